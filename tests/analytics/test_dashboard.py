"""The dashboard: who sees it, in which languages, with charts that show the figures' numbers."""

import base64
import hashlib
import re
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from xml.etree import ElementTree as ET

import httpx
import pytest

from analytics import charts
from analytics.domain import AgeGroup, Cell
from analytics.pages.words import number, percent, time_of
from common import messages
from common.contracts.reintegration import PlanPhaseOverdue
from common.messages import LANGUAGES
from tests.analytics.log import Log, consume, noon, today_is
from tests.kit import HOME, Kit

SVG = "{http://www.w3.org/2000/svg}"
PAGE = "/dashboard"


class Parsed(HTMLParser):
    """What a browser would see: the words, and everything that would load, run or be sent."""

    LOADING = frozenset(
        {"script", "link", "img", "iframe", "object", "embed", "use", "image", "base"}
    )

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.loading: list[str] = []
        self.attributes: set[str] = set()
        self.forms: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loading += [tag] if tag in self.LOADING else []
        self.forms += [dict(attrs)] if tag == "form" else []
        for name, value in attrs:
            self.attributes.add(name)
            if name in {"href", "src", "action", "srcset", "data", "poster", "xlink:href"}:
                self.addresses.append(value or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


async def look(
    kit: Kit, role: str | None = "ANALYST", language: str = "en", token: str | None = None
) -> httpx.Response:
    """Open the page as a browser does that has signed in."""
    if role is not None:
        token = kit.issuer.token(role, HOME, "reader-1")
    headers = {"Cookie": f"prag_dashboard={token}"} if token else {}
    return await kit.stranger().get(PAGE, params={"language": language}, headers=headers)


def drawings(page: str) -> list[ET.Element]:
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]  # noqa: S314


def bars(svg: ET.Element) -> dict[str, float]:
    """Return the height of each bar by what it says to a screen reader."""
    found = {}
    for path in svg.iter(f"{SVG}path"):
        if path.get("aria-roledescription") == "bar":
            height = re.search(r"v(-?[\d.]+)h-", path.get("d", ""))
            assert height is not None
            found[path.get("aria-label", "")] = float(height[1])
    return found


def three_years() -> Log:
    log = Log()
    persons = [
        ("2023-03-01", "VICTIM", "FEMALE", "25-34"),
        ("2024-03-01", "VICTIM", "FEMALE", "12-17"),
        ("2024-04-01", "PRESUMED", "FEMALE", "25-34"),
        ("2024-05-01", "PRESUMED", "MALE", "0-11"),
        ("2025-05-01", "VICTIM", "MALE", "25-34"),
        ("2025-06-01", "VICTIM", "FEMALE", "UNKNOWN"),
        ("2025-06-02", "VICTIM", "UNKNOWN", "UNKNOWN"),
        ("2025-06-03", "VICTIM", "FEMALE", "12-17"),
        ("2025-06-04", "AT_RISK", "MALE", "12-17"),
        ("2025-06-05", "SECONDARY", "MALE", "35+"),
        ("2025-06-06", "SECONDARY", "MALE", "35+"),
    ]
    for n, (on, kind, sex, age_group) in enumerate(persons, 1):
        log.case(n, on, kind=kind, sex=sex, age_group=age_group)
        log.start(n, n, on)
    log.phase(1, 1, "TRANSITION", "2023-06-01", entered_on="2023-03-01")
    due = {"phase": "CRISIS", "due_on": noon("2024-06-01").date(), "month": 4}
    log.about_plan(PlanPhaseOverdue, 2, "2024-06-01", **due)
    log.referral(1, 1, ("DRAFT", "2023-01-01"), ("SUBMITTED", "2023-01-02"))
    return log


# --- who sees it


async def test_without_a_token_the_form_is_shown_and_no_figure(kit: Kit) -> None:
    await consume(kit.runtime, three_years().events)

    page = await look(kit, role=None)

    assert (page.status_code, drawings(page.text)) == (200, [])
    assert "<table>" not in page.text
    [form] = Parsed(page.text).forms
    assert (form["method"], form["action"]) == ("post", "/dashboard?language=en")
    assert await kit.audit() == []


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "x" * 9000])
async def test_a_token_that_is_none_is_refused(kit: Kit, token: str) -> None:
    page = await look(kit, role=None, token=token)

    assert (page.status_code, drawings(page.text)) == (401, [])
    assert messages.text("unauthorized", "en") in page.text
    assert token not in page.text


async def test_an_expired_token_is_refused(kit: Kit) -> None:
    today_is("2026-06-01")
    token = kit.issuer.token("ANALYST", HOME, "reader-1")
    today_is("2026-06-02")

    assert (await look(kit, role=None, token=token)).status_code == 401


@pytest.mark.parametrize("role", ["SOCIAL_WORKER", "HUB_OPERATOR", "DPO"])
async def test_another_role_is_refused_and_that_is_recorded(kit: Kit, role: str) -> None:
    await consume(kit.runtime, three_years().events)

    page = await look(kit, role)

    assert (page.status_code, drawings(page.text)) == (403, [])
    assert messages.text("forbidden", "en") in page.text
    assert "For: Analyst, " in page.text
    assert await kit.audit() == []
    [denied] = await kit.audit(decision="deny")
    assert (denied.operation, denied.role, denied.actor) == ("view_dashboard", role, "reader-1")


@pytest.mark.parametrize("role", ["ANALYST", "NATIONAL_COORDINATOR"])
async def test_every_look_is_recorded(kit: Kit, role: str) -> None:
    page = await look(kit, role)

    assert page.status_code == 200
    [entry] = await kit.audit()
    assert (entry.operation, entry.action, entry.role) == ("view_dashboard", "read", role)


# --- signing in and out


async def test_a_token_from_the_form_becomes_a_cookie_no_script_reads(kit: Kit) -> None:
    client = kit.stranger()

    answer = await client.post(f"{PAGE}?language=sq", data={"token": " a.b.c "})

    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard?language=sq")
    cookie = SimpleCookie(answer.headers["set-cookie"])["prag_dashboard"]
    assert (cookie.value, cookie["path"], cookie["max-age"]) == ("a.b.c", PAGE, "900")
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "strict"
    assert not cookie["secure"]  # over http on a laptop


async def test_over_https_the_cookie_is_for_https_only(kit: Kit) -> None:
    transport = httpx.ASGITransport(app=kit.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://ministry") as client:
        answer = await client.post(PAGE, data={"token": "a.b.c"})

    assert SimpleCookie(answer.headers["set-cookie"])["prag_dashboard"]["secure"] is True


async def test_signing_out_takes_the_cookie_away(kit: Kit) -> None:
    answer = await kit.stranger().post(PAGE, headers={"Cookie": "prag_dashboard=a.b.c"})

    cookie = SimpleCookie(answer.headers["set-cookie"])["prag_dashboard"]
    assert (cookie.value, cookie["max-age"], cookie["path"]) == ("", "0", PAGE)


async def test_a_form_that_is_too_large_sets_nothing(kit: Kit) -> None:
    answer = await kit.stranger().post(PAGE, data={"token": "x" * 20_000})

    assert answer.status_code == 303
    assert "set-cookie" not in answer.headers


# --- what it shows


@pytest.mark.row("F84")
async def test_the_charts_bars_are_the_figures_numbers(kit: Kit) -> None:
    await consume(kit.runtime, three_years().events)

    by_sex, by_age = drawings((await look(kit)).text)

    sexes, ages = bars(by_sex), bars(by_age)
    assert set(sexes) == {
        "2023, Female: 1",
        "2024, Female: 2",
        "2024, Male: 1",
        "2025, Female: 2",
        "2025, Male: 1",
        "2025, Not known: 1",
    }
    assert set(ages) == {
        "2023, Adults: 1",
        "2024, Children: 2",
        "2024, Adults: 1",
        "2025, Children: 1",
        "2025, Adults: 1",
        "2025, Not known: 2",
    }
    # A bar is as high as its number: all have the same height a person.
    for found in (sexes, ages):
        heights = {
            round(height / int(label.rsplit(" ", 1)[1]), 3) for label, height in found.items()
        }
        assert len(heights) == 1
        assert min(heights) > 10


@pytest.mark.row("F84")
async def test_the_tables_tell_persons_shares_phases_and_referrals(kit: Kit) -> None:
    today_is("2026-03-05")
    await consume(kit.runtime, three_years().events)

    page = (await look(kit)).text

    rows = [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>.*?</tr>", page)
    ]
    assert rows == [
        ["Year", "Female", "Male", "Not known", "Persons", "Male %"],
        ["2023", "1", "0", "0", "1", "0.0%"],
        ["2024", "2", "1", "0", "3", "33.3%"],
        ["2025", "2", "1", "1", "4", "25.0%"],
        ["Total", "5", "2", "1", "8", "25.0%"],
        ["Year", "Children", "Adults", "Not known", "Persons", "Children %"],
        ["2023", "0", "1", "0", "1", "0.0%"],
        ["2024", "2", "1", "0", "3", "66.7%"],
        ["2025", "1", "1", "2", "4", "25.0%"],
        ["Total", "3", "3", "2", "8", "37.5%"],
        ["Phase", "Persons assisted", "Persons at risk", "Secondary beneficiaries", "Overdue"],
        ["Crisis intervention", "7", "1", "2", '<strong class="due">1</strong>'],
        ["Transition", "1", "0", "0", "0"],
        ["Status", "Referrals"],
        ["Submitted", "1"],
    ]
    assert re.findall(r'class="number">(\d+)<', page) == ["8", "1", "2"]
    assert "Formula 1 · Data as of 5 March 2026 13:00" in page


async def test_an_empty_country_has_a_page_too(kit: Kit) -> None:
    page = await look(kit)

    assert (page.status_code, drawings(page.text)) == (200, [])
    assert Parsed(page.text).words.count("No data yet") == 3


# Fails when a word comes from the code instead of the catalogue, or a letter is lost on its way.
@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_page_speaks_the_readers_language(kit: Kit, language: str) -> None:
    await consume(kit.runtime, three_years().events)

    page = (await look(kit, language=language)).text

    words = Parsed(page).words
    assert f'<html lang="{language}">' in page
    for key in ("persons_assisted", "at_risk", "by_sex", "year", "total", "overdue", "sign_out"):
        assert messages.text(f"ui.{key}", language) in words
    assert messages.text("ui.country.RS", language) in words
    by_sex, by_age = drawings(page)
    for svg, group in ((by_sex, "female"), (by_age, "child")):
        name = messages.text(f"ui.{group}", language)
        assert f"2024, {name}: 2" in bars(svg)
        assert name in "".join(svg.itertext())
    if language != "en":
        assert not {"Year", "Overdue", "Sign out", "Crisis intervention"} & set(words)


async def test_the_browsers_language_decides_without_a_choice(kit: Kit) -> None:
    page = await kit.stranger().get(PAGE, headers={"Accept-Language": "fr, mk;q=0.8"})

    assert '<html lang="mk">' in page.text


# Fails when groups are stacked by the alphabet: a reader of two languages would see two pictures.
def test_the_stacks_order_is_the_same_in_every_language() -> None:
    cells = [Cell(2024, "FEMALE", age, 1) for age in AgeGroup]
    orders = []
    for language in LANGUAGES:
        svg = ET.fromstring(charts.draw_by_age(cells, language))  # noqa: S314
        names = {messages.text(f"ui.{age.lower()}", language): age for age in AgeGroup}
        tops = {
            names[label.split(", ")[1].split(":")[0]]: float(
                path.get("d", "").split(",")[1].split("h")[0]
            )
            for path in svg.iter(f"{SVG}path")
            if (label := path.get("aria-label", "")) and path.get("aria-roledescription") == "bar"
        }
        orders.append(sorted(tops, key=lambda age: -tops[age]))

    assert orders == [[AgeGroup.CHILD, AgeGroup.ADULT, AgeGroup.UNKNOWN]] * len(LANGUAGES)


# A code of a newer release is drawn with what is not known; it must not break the page.
def test_an_unknown_code_is_drawn_as_not_known() -> None:
    cells = [
        Cell(2024, "A_NEWER_CODE", AgeGroup.ADULT, 2),
        Cell(2024, "UNKNOWN", AgeGroup.ADULT, 1),
    ]

    svg = ET.fromstring(charts.draw_by_sex(cells, "en"))  # noqa: S314

    assert set(bars(svg)) == {"2024, Not known: 3"}


# --- what a browser may do with it


async def test_the_page_loads_and_runs_nothing(kit: Kit) -> None:
    await consume(kit.runtime, three_years().events)
    page = await look(kit)

    seen = Parsed(page.text)

    assert seen.loading == []
    assert all(
        re.fullmatch(r"(/dashboard(\?language=[\w-]+)?|#content)", a) for a in seen.addresses
    )
    assert not {name for name in seen.attributes if name.startswith("on")}
    assert "style" not in seen.attributes
    assert "url(" not in page.text.replace("url(#", "")
    assert "@import" not in page.text
    outside = set(re.findall(r"https?://[^\"'\s<]+", page.text))
    assert outside == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


async def test_the_policy_forbids_everything_but_the_pages_own_style(kit: Kit) -> None:
    page = await look(kit)

    [style] = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


# --- numbers and dates


@pytest.mark.parametrize(
    ("language", "persons", "share", "cut"),
    [
        ("en", "1,731", "17.3%", "30 March 2026 01:30"),
        ("sr-Cyrl", "1.731", "17,3%", "30. март 2026. 01:30"),
        ("sr-Latn", "1.731", "17,3%", "30. mart 2026. 01:30"),
        ("ro", "1.731", "17,3\xa0%", "30 martie 2026 01:30"),
    ],
)
def test_numbers_and_times_are_written_as_people_write_them(
    language: str, persons: str, share: str, cut: str
) -> None:
    night = datetime(2026, 3, 29, 23, 30, tzinfo=UTC)

    assert number(1731, language) == persons
    assert percent(Decimal("17.3"), language) == share
    assert time_of(night, language, "Europe/Belgrade") == cut
    assert percent(None, language) == "–"
