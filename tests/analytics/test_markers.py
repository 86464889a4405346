"""Figures by population marker (X20): who was helped, and how they lived when help began."""

import random
from collections import Counter
from datetime import date, timedelta

import pytest

from tests.analytics.log import Log, consume, today_is
from tests.kit import Kit

PATH = "/v1/indicators"
MARKERS = ["STREET_CHILD", "CHILD_BEGGING", "UNACCOMPANIED_CHILD", "STATELESS"]


async def by_marker(
    kit: Kit, indicator: str = "persons-assisted", as_of: str | None = None
) -> dict[tuple[int, str], int]:
    query = f"?as_of={as_of}T12:00:00Z" if as_of else ""
    figure = await kit.caller("ANALYST").get(f"{PATH}/{indicator}{query}")
    assert figure.status_code == 200, figure.text
    return {(c["year"], c["marker"]): c["value"] for c in figure.json()["by_marker"]}


@pytest.mark.row("X20", "S53")
async def test_a_person_is_in_the_cell_of_each_marker_that_held_when_help_began(kit: Kit) -> None:
    """Seeded: count markers instead of persons; leave `until` out of `PlanStart.markers`."""
    log = Log()
    for number in (1, 2, 3, 4):
        log.case(number, "2024-01-10", age_group="12-17")
    log.case(5, "2024-01-10", kind="AT_RISK", age_group="12-17")
    for number in (1, 2, 3, 5):
        log.start(number, number, "2024-06-01")
    # Two of one kind, one after the other, are one person; the second holds when help begins.
    log.marker(11, "2024-01-11", "STREET_CHILD", of=1)
    log.marker_end(11, "2024-03-01", "STREET_CHILD", of=1, until="2024-02-28")
    log.marker(12, "2024-05-01", "STREET_CHILD", of=1)
    log.marker(13, "2024-05-01", "CHILD_BEGGING", of=1)
    log.marker(21, "2024-01-11", "STREET_CHILD", of=2)
    log.marker_end(21, "2024-06-02", "STREET_CHILD", of=2, until="2024-06-01")
    log.marker(31, "2024-01-11", "STREET_CHILD", of=3)
    log.marker_end(31, "2024-06-02", "STREET_CHILD", of=3, until="2024-05-31")
    log.marker(41, "2024-01-11", "STREET_CHILD", of=4)  # was never helped by a plan
    log.marker(51, "2024-01-11", "STREET_CHILD", of=5)
    today_is("2026-11-22")
    await consume(kit.runtime, log.events)

    assert await by_marker(kit) == {(2024, "STREET_CHILD"): 2, (2024, "CHILD_BEGGING"): 1}
    assert await by_marker(kit, "persons-at-risk-assisted") == {(2024, "STREET_CHILD"): 1}
    assert await by_marker(kit, "secondary-beneficiaries") == {}


async def test_a_past_cut_knows_the_markers_of_its_time(kit: Kit) -> None:
    """Seeded: leave `happened_at` out of one side of the join in `_marked`."""
    log = Log()
    log.case(1, "2024-01-10", age_group="12-17")
    log.start(1, 1, "2024-02-01")
    log.marker(11, "2024-03-01", "STREET_CHILD", of=1, since="2024-01-01")
    log.marker_end(11, "2024-05-01", "STREET_CHILD", of=1, until="2024-01-31")
    today_is("2026-11-22")
    await consume(kit.runtime, log.events)

    assert await by_marker(kit, as_of="2024-02-15") == {}
    assert await by_marker(kit, as_of="2024-04-01") == {(2024, "STREET_CHILD"): 1}
    assert await by_marker(kit, as_of="2024-06-01") == {}
    hashes = {
        (await kit.caller("ANALYST").get(f"{PATH}/persons-assisted?as_of={day}T12:00:00Z")).json()[
            "query_hash"
        ]
        for day in ("2024-02-15", "2024-04-01", "2024-06-01")
    }
    assert len(hashes) == 3


async def test_the_cells_agree_with_a_paper_register_in_any_order_of_arrival(kit: Kit) -> None:
    """Seeded: `continue` at the second marker of a case in `_marked`."""
    chance = random.Random(20)  # noqa: S311
    log, expected = Log(), Counter[tuple[int, str]]()
    for number in range(1, 80):
        log.case(number, "2022-12-01", age_group="12-17")
        start = date(2023, 1, 1) + timedelta(days=chance.randrange(1000))
        lived: set[str] = set()
        for code in chance.sample(MARKERS, chance.randrange(len(MARKERS) + 1)):
            id_ = number * 10 + MARKERS.index(code)
            log.marker(id_, "2022-12-02", code, of=number)
            until = start + timedelta(days=chance.choice([-30, -1, 0, 1]))
            if chance.random() < 0.5:
                log.marker_end(id_, "2026-10-01", code, of=number, until=until.isoformat())
                lived |= {code} if until >= start else set()
            else:
                lived.add(code)
        log.start(number, number, start.isoformat())
        expected.update((start.year, code) for code in lived)
    today_is("2026-11-22")
    others = [e for e in log.events if not e.type.startswith("intake.")]
    await consume(kit.runtime, others)
    await consume(kit.runtime, [e for e in log.events if e.type.startswith("intake.")])

    assert await by_marker(kit) == dict(expected)
    assert len(expected) >= 8
