"""What a person sees: the pages of a running country in a real browser, which reaches nobody else."""

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from common.messages import LANGUAGES, text
from tests.system.processes import SERVICES, Country, token

pytestmark = pytest.mark.system

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def country(
    browser: Browser,  # asked for first: without it there is nothing to start a country for
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Country]:
    with Country(tmp_path_factory.mktemp("country") / "prag") as started:
        started.wait_ready()
        started.read_until(lambda line: line.startswith("Sample cases"))
        yield started


class Visit:
    """One page, with whatever went wrong on it and every host it asked."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.hosts: set[str | None] = set()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))

    def _note(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.errors.append(said.text)

    def went_well(self) -> bool:
        # A page's own data: addresses have no host.
        return not self.errors and self.hosts <= {"127.0.0.1", "", None}


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(locale="en")
    yield Visit(context.new_page())
    context.close()


@pytest.fixture
def signed_in(country: Country, visit: Visit, bearer: str) -> None:
    """The browser holds the cookie that the form gives."""
    address = country.url("analytics", "/dashboard")
    visit.page.context.add_cookies([{"name": "prag_dashboard", "value": bearer, "url": address}])


@pytest.fixture(scope="module")
def bearer(country: Country) -> str:
    return token(country.home, "ANALYST", "ministry")


@pytest.mark.parametrize("service", SERVICES)
def test_the_documentation_shows_every_operation(
    country: Country, visit: Visit, service: str
) -> None:
    # Fails with scripts too old for OpenAPI 3.1, and with a policy that keeps the page from running.
    paths = httpx.get(country.url(service, "/openapi.json")).json()["paths"]
    operations = sum(
        len(set(path) & {"get", "post", "put", "patch", "delete"}) for path in paths.values()
    )

    visit.page.goto(country.url(service, "/docs"))
    visit.page.wait_for_selector(".opblock")

    assert visit.page.locator(".opblock").count() == operations
    assert visit.went_well(), visit.errors


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_start_page_shows_four_services_at_work(
    country: Country, visit: Visit, language: str
) -> None:
    visit.page.goto(country.url("intake", f"/?language={language}"))

    assert visit.page.get_by_text(text("ui.healthy", language)).count() == len(SERVICES)
    assert visit.went_well(), visit.errors


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_minister_signs_in_and_sees_the_chart(
    country: Country, visit: Visit, language: str
) -> None:
    # Fails when the chart is drawn without marks, or the policy hides what the page draws.
    visit.page.set_default_timeout(10_000)
    visit.page.goto(country.url("intake", f"/?language={language}"))
    visit.page.get_by_role("link", name=text("ui.dashboard", language)).click()
    bearer = token(country.home, "ANALYST", "ministarstvo")
    visit.page.get_by_role("textbox").fill(bearer)
    visit.page.get_by_role("button", name=text("ui.sign_in", language)).click()
    visit.page.wait_for_selector("svg")

    assert bearer not in visit.page.url
    assert visit.page.locator("html").get_attribute("lang") == language
    drawn = visit.page.locator("svg").first.bounding_box()
    assert drawn is not None
    assert min(drawn["width"], drawn["height"]) > 100
    assert visit.page.locator("svg .mark-rect path").count() > 0
    assert visit.went_well(), visit.errors


_OVERFLOWS = """() => [document.documentElement, ...document.querySelectorAll("section, figure")]
    .filter(box => box.scrollWidth > box.clientWidth)
    .map(box => `${box.tagName} ${box.scrollWidth - box.clientWidth} px`)"""
_LOST_TABLES = """() => [...document.querySelectorAll("table")].filter(table => {
    const box = table.parentElement, card = table.closest("section").getBoundingClientRect();
    const frame = box.getBoundingClientRect(), scrolls = getComputedStyle(box).overflowX === "auto";
    return frame.left < card.left || frame.right > card.right
        || (!scrolls && table.scrollWidth > box.clientWidth);
}).length"""
_CUT_TABLES = """() => [...document.querySelectorAll(".scroll")]
    .filter(box => box.scrollWidth > box.clientWidth).length"""
_WHOLE_FROM = 1024
"""From this width on every table is seen whole; below it one may have to be moved inside its card."""


@pytest.mark.parametrize("width", [360, 500, 1024, 1280, 1920])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_table_of_the_dashboard_can_be_read_at_every_width(
    country: Country, visit: Visit, signed_in: None, language: str, width: int
) -> None:
    # Fails when a card is narrower than its table: the last columns were cut off, or the page moved.
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.page.goto(country.url("analytics", f"/dashboard?language={language}"))

    assert visit.page.locator("table").count() == 4
    assert visit.page.evaluate(_OVERFLOWS) == []
    assert visit.page.evaluate(_LOST_TABLES) == 0
    if width >= _WHOLE_FROM:
        assert visit.page.evaluate(_CUT_TABLES) == 0
    assert visit.went_well(), visit.errors


def test_a_table_wider_than_a_telephone_is_moved_inside_its_card(
    country: Country, visit: Visit, signed_in: None
) -> None:
    visit.page.set_viewport_size({"width": 360, "height": 900})
    visit.page.goto(country.url("analytics", "/dashboard?language=mk"))
    last = visit.page.locator(".most th").last

    last.scroll_into_view_if_needed()

    shown, card = last.bounding_box(), visit.page.locator(".most").bounding_box()
    assert shown is not None
    assert card is not None
    assert shown["x"] + shown["width"] <= card["x"] + card["width"]
