"""The sample cases of a first start: whole, believable, loaded beside everybody else's work."""

import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.codelists import all_codes, codes
from prag.issuer import LocalIssuer, organisation_id
from prag.samples.story import age_at_least, months_before
from tests.system.files import is_drained
from tests.system.processes import PATIENCE, Country, free_ports, poll, prag, report_notice

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    """A country with its samples. Its loading was killed once and taken up by a second start."""
    home = tmp_path_factory.mktemp("samples") / "prag"
    with Country(home) as first:
        first.read_until(lambda line: line.startswith("Loading sample cases"))
        # Signed here: to run a command for it takes a good part of the loading.
        office = organisation_id("csr-beograd", "RS")
        bearer = LocalIssuer(home).token("SOCIAL_WORKER", office, "reader")
        answer = report_notice(first, bearer, "6f0e7c2a-5b1d-4a86-9c1e-0d9a5c3b7e99")
        assert answer.status_code == 201, "the loading is in nobody's way"
        first.end(signal.SIGKILL)
    assert (home / "samples.json").exists()
    with Country(home) as again:
        again.read_until(lambda line: line.startswith("Sample cases:"))
        # What was told last reaches the other services a moment later.
        poll(lambda: is_drained(home))
        yield again


def read(country: Country, service: str, path: str, role: str, organisation: str) -> dict[str, Any]:
    office = organisation_id(organisation, "RS")
    bearer = LocalIssuer(country.home).token(role, office, "reader")
    answer = httpx.get(
        country.url(service, path), headers={"Authorization": f"Bearer {bearer}"}, timeout=PATIENCE
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def everything(
    country: Country, service: str, path: str, role: str, organisation: str
) -> list[dict[str, Any]]:
    page = read(country, service, f"{path}?limit=200", role, organisation)
    assert page["next"] is None
    items: list[dict[str, Any]] = page["items"]
    return items


def cases(country: Country) -> list[dict[str, Any]]:
    return everything(
        country, "intake", "/v1/cases", "IDENTIFICATION_OFFICER", "identification-centre"
    )


def test_all_are_told_once_though_the_first_start_was_killed(country: Country) -> None:
    told, count = map(int, re.findall(r"\d+", country.lines[-1]))

    assert told == count >= 30
    assert not (country.home / "samples.json").exists()
    assert len(cases(country)) == count + 2  # two families bring one more each


def test_the_loading_left_the_real_clock_alone(country: Country) -> None:
    notice = read(
        country,
        "intake",
        "/v1/notices/6f0e7c2a-5b1d-4a86-9c1e-0d9a5c3b7e99",
        "IDENTIFICATION_OFFICER",
        "identification-centre",
    )
    newest = max(case["recorded_at"] for case in cases(country))

    assert notice["recorded_at"] >= newest[:10]


def test_they_show_every_kind_of_beneficiary_and_every_status_of_identification(
    country: Country,
) -> None:
    found = cases(country)

    assert {case["beneficiary_kind"] for case in found} == codes("beneficiary_kinds")
    assert {case["identification_status"] for case in found} == codes("identification_status")


def test_some_carry_markers_of_how_they_live(country: Country) -> None:
    found = {
        marker["marker"]
        for case in cases(country)
        for marker in read(
            country,
            "intake",
            f"/v1/cases/{case['id']}/markers",
            "IDENTIFICATION_OFFICER",
            "identification-centre",
        )["items"]
    }

    assert {"STREET_CHILD", "CHILD_BEGGING", "UNACCOMPANIED_CHILD", "LONE_PARENT"} <= found


def test_they_show_every_status_of_a_referral(country: Country) -> None:
    path = "/v1/referrals"
    referrals = everything(country, "referral", path, "NATIONAL_COORDINATOR", "ministry")
    # A draft is its office's own until it is submitted.
    referrals += everything(country, "referral", path, "SOCIAL_WORKER", "csr-beograd")

    # The one whose time is over expires at the next sweep, within a minute.
    shown = {referral["status"] for referral in referrals}
    assert shown | {"EXPIRED"} == all_codes("referral_statuses")


def test_they_show_every_phase_of_a_plan(country: Country) -> None:
    plans = [
        plan
        for organisation in ("lipa", "breza")
        for plan in everything(
            country, "reintegration", "/v1/plans", "NGO_CASE_MANAGER", organisation
        )
    ]
    # A plan of a case of one and the programme of the other is listed to both.
    found = {plan["id"]: plan for plan in plans}.values()

    assert {plan["phase"] for plan in found} == codes("plan_phases")
    assert any(plan["is_suspended"] for plan in found)
    assert any(plan["is_overdue"] for plan in found)
    assert any(plan["episode"] > 1 for plan in found)


def test_the_figures_reach_over_years_and_count_women_men_and_children(country: Country) -> None:
    shown = read(country, "analytics", "/v1/indicators/persons-assisted", "ANALYST", "statistics")

    cells = shown["cells"]
    assert len({cell["year"] for cell in cells}) >= 4
    assert {cell["sex"] for cell in cells} == {"FEMALE", "MALE"}
    assert {cell["age_group"] for cell in cells} == {"CHILD", "ADULT"}


def test_their_names_are_written_in_every_script_of_the_region(country: Country) -> None:
    path = Path(__file__).parents[2] / "deploy/standalone/src/prag/samples/cases.json"
    text = path.read_text(encoding="utf-8")

    for letters in ("Đđ", "Џђћ", "Ѓѓ", "ë", "ăț", "Йъ", "šžčć"):
        assert set(letters) & set(text), letters
    assert {"sq", "sr-Latn", "sr-Cyrl", "mk", "bs", "ro", "bg", "rom"} <= set(
        re.findall(r'"([a-z]{2,3}(?:-[A-Z][a-z]+)?)"', text)
    )


def test_an_office_reads_a_name_it_wrote_down(country: Country) -> None:
    [own, *_] = everything(country, "intake", "/v1/cases", "SOCIAL_WORKER", "csr-beograd")
    path = f"/v1/cases/{own['id']}/identity?purpose=ASSISTANCE"

    identity = read(country, "intake", path, "SOCIAL_WORKER", "csr-beograd")

    assert identity["given_name"]["value"]
    assert own["organisation_id"] == str(organisation_id("csr-beograd", "RS"))


def test_the_audit_trail_of_all_that_history_is_whole(country: Country) -> None:
    ended = prag("verify-audit", home=country.home)

    assert ended.returncode == 0, ended.stdout
    assert int(ended.stdout.split()[0]) > 500


@pytest.mark.slow
@pytest.mark.parametrize("code", ["AL", "BA", "BG", "ME", "MK", "RO", "XK"])
def test_every_country_can_tell_them(tmp_path: Path, code: str) -> None:
    """Each country has rules of its own on who may identify whom."""
    with Country(tmp_path / "prag", "--country", code, port_base=free_ports()) as other:
        line = other.read_until(lambda line: line.startswith("Sample cases:"))

        told, count = map(int, re.findall(r"\d+", line))
        assert told == count
        assert other.end() == 0


def test_months_are_counted_back_by_the_calendar() -> None:
    began = datetime(2026, 3, 31, 17, 5, tzinfo=UTC)

    assert months_before(began, 1) == datetime(2026, 2, 28, 9, tzinfo=UTC)
    assert months_before(began, 15) == datetime(2024, 12, 31, 9, tzinfo=UTC)
    assert months_before(began, -3) == datetime(2026, 6, 30, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("birth", "age"),
    [("2008", 17), ("2008-03", 18), ("2008-04", 17), ("2008-03-31", 18), ("2008-04-01", 17)],
)
def test_in_doubt_somebody_is_a_child(birth: str, age: int) -> None:
    assert age_at_least(birth, datetime(2026, 3, 31, tzinfo=UTC)) == age
