"""Persons assisted over facts: against a count made another way, at a past cut, after a rebuild."""

import random
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from analytics.consumers import HANDLERS
from analytics.domain import PERSONS_ASSISTED, PERSONS_AT_RISK_ASSISTED
from analytics.migrate import RIGHTS
from analytics.queries import by_phase, count_plans, count_referrals_by_status, overdue_by_phase
from common.bus import Record
from common.consumer import Consumer, with_audit_heads
from common.contracts.reintegration import PlanClosed, PlanPhaseOverdue
from common.db.base import unit_of
from common.events import topic_of
from common.migrations import sync_url
from common.migrations.anew import forget
from common.runtime import Runtime
from common.tables import AuditEntry
from tests.analytics.log import Log, consume, dump, today_is
from tests.kit import Kit, open_service

ASSISTED = "/v1/indicators/persons-assisted"
KINDS = ["VICTIM", "PRESUMED", "AT_RISK", "SECONDARY"]
SEXES = ["FEMALE", "MALE", "UNKNOWN"]
BANDS = {"0-11": "CHILD", "12-17": "CHILD", "18-24": "ADULT", "35+": "ADULT", "UNKNOWN": "UNKNOWN"}


def cells(figure: httpx.Response) -> dict[tuple[int, str, str], int]:
    assert figure.status_code == 200, figure.text
    return {(c["year"], c["sex"], c["age_group"]): c["value"] for c in figure.json()["cells"]}


async def read(kit: Kit, as_of: str | None = None, indicator: str = ASSISTED) -> httpx.Response:
    query = f"?as_of={as_of}T12:00:00Z" if as_of else ""
    return await kit.caller("ANALYST").get(indicator + query)


class Register:
    """A paper register beside the log: one line a person, corrected by hand."""

    def __init__(self, seed: int) -> None:
        self.log = Log()
        self._random = random.Random(seed)  # noqa: S311
        self._plans = 0
        self.lines: dict[int, dict[str, Any]] = {}

    def day(self) -> str:
        return (date(2023, 1, 1) + timedelta(days=self._random.randrange(1300))).isoformat()

    def person(self, number: int) -> None:
        pick = self._random.choice
        on = self.day()
        line = {"kind": pick(KINDS), "sex": pick(SEXES), "age_group": pick(sorted(BANDS))}
        self.log.case(number, on, **line)
        if self._random.random() < 0.4:
            line = {"kind": pick(KINDS), "sex": pick(SEXES), "age_group": pick(sorted(BANDS))}
            self.log.profile(number, on, **line)
        starts = [self.day() for _ in range(self._random.choice([0, 1, 1, 2, 3]))]
        for start in starts:
            self._plans += 1
            self.log.start(self._plans, number, start)
        self._plans += 1
        self.log.plan(self._plans, number, on)  # one that is never started
        self.lines[number] = {**line, "starts": starts}

    def count(self, *kinds: str) -> dict[tuple[int, str, str], int]:
        """Go through the lines with a finger and make a stroke for each person helped."""
        strokes: Counter[tuple[int, str, str]] = Counter()
        for line in self.lines.values():
            if line["kind"] in kinds and line["starts"]:
                year = int(min(line["starts"])[:4])
                strokes[year, line["sex"], BANDS[line["age_group"]]] += 1
        return dict(strokes)


# Fails when a plan counts instead of a person, when a kind slips in, or when an old profile counts.
@pytest.mark.row("F84")
@pytest.mark.parametrize("seed", range(3))
async def test_persons_assisted_are_those_of_an_independent_count(kit: Kit, seed: int) -> None:
    today_is("2027-01-01")
    register = Register(seed)
    for number in range(1, 61):
        register.person(number)
    shuffled = [*register.log.events]
    random.Random(seed).shuffle(shuffled)  # noqa: S311
    await consume(kit.runtime, shuffled)

    figure = await read(kit)

    assert cells(figure) == register.count("VICTIM", "PRESUMED")
    assert figure.json()["total"] == sum(register.count("VICTIM", "PRESUMED").values()) > 10
    for indicator, kind in (
        ("persons-at-risk-assisted", "AT_RISK"),
        ("secondary-beneficiaries", "SECONDARY"),
    ):
        apart = await read(kit, indicator=f"/v1/indicators/{indicator}")
        assert cells(apart) == register.count(kind)


def a_first_year() -> Log:
    log = Log()
    log.case(1, "2025-02-01", kind="PRESUMED", sex="FEMALE", age_group="12-17")
    log.case(2, "2025-02-01", kind="VICTIM", sex="MALE", age_group="25-34")
    log.case(3, "2025-02-01", kind="AT_RISK", sex="FEMALE", age_group="25-34")
    for number in (1, 2, 3):
        log.start(number, number, "2025-03-01")
    return log


# Fails when a later event changes what was true before it, or when the cut is not told.
@pytest.mark.row("X19")
async def test_a_past_figure_is_computed_again_from_its_cut(kit: Kit) -> None:
    today_is("2026-01-01")
    log = a_first_year()
    await consume(kit.runtime, log.events)
    then = await read(kit, "2025-12-31")
    assert cells(then) == {(2025, "FEMALE", "CHILD"): 1, (2025, "MALE", "ADULT"): 1}

    before = len(log.events)
    log.profile(1, "2026-02-01", kind="VICTIM", sex="FEMALE", age_group="18-24")
    log.profile(3, "2026-02-02", kind="PRESUMED", sex="FEMALE", age_group="25-34")
    log.case(4, "2026-02-03", sex="MALE")
    log.start(4, 4, "2026-02-04")
    log.start(5, 2, "2026-02-05")
    await kit.hear(*log.events[:before])  # again: nothing new
    today_is("2026-06-01")
    await consume_more(kit, log, before)

    again, now = await read(kit, "2025-12-31"), await read(kit)

    assert again.json() == then.json()
    for name in ("formula", "formula_version", "query_hash", "data_cut"):
        assert again.json()[name] == then.json()[name]
    assert cells(now) == {
        (2025, "FEMALE", "ADULT"): 2,
        (2025, "MALE", "ADULT"): 1,
        (2026, "MALE", "ADULT"): 1,
    }
    assert now.json()["query_hash"] != then.json()["query_hash"]


async def consume_more(kit: Kit, log: Log, already: int) -> None:
    await kit.hear(*log.events[already:])


# An event that was on its way for long changes the past, and the hash shows that it did.
@pytest.mark.row("X19")
async def test_a_late_event_shows_in_the_number_of_facts_and_in_the_hash(kit: Kit) -> None:
    log = a_first_year()
    log.case(9, "2025-04-01")
    log.start(9, 9, "2025-04-02")
    on_time, late = log.events[:-3], log.events[-3:]
    await kit.hear(*on_time)
    then = (await read(kit, "2025-12-31")).json()

    await kit.hear(*late)
    again = (await read(kit, "2025-12-31")).json()

    assert (then["total"], again["total"]) == (2, 3)
    assert again["data_cut"]["facts"] == then["data_cut"]["facts"] + len(late)
    assert again["query_hash"] != then["query_hash"]


async def test_what_had_not_happened_yet_is_not_counted(kit: Kit) -> None:
    await kit.hear(*a_first_year().events)

    assert cells(await read(kit, "2025-02-28")) == {}
    assert (await read(kit, "2025-01-31")).json()["data_cut"]["facts"] == 0


async def test_plans_and_referrals_are_counted_where_they_are_now(kit: Kit) -> None:
    log = Log()
    for number in range(1, 7):
        log.case(number, "2025-02-01", kind="AT_RISK" if number == 1 else "PRESUMED")
    for number in range(1, 6):
        log.start(number, number, "2025-03-01")
    log.plan(6, 6, "2025-03-01")
    log.phase(2, 2, "TRANSITION", "2025-06-01", entered_on="2025-03-01")
    overdue = {"phase": "CRISIS", "due_on": date(2025, 6, 1), "month": 4}
    for number in (3, 4):
        log.about_plan(PlanPhaseOverdue, number, "2025-06-01", **overdue)
    log.about_plan(
        PlanClosed, 4, "2025-07-01", reason="WITHDREW", closed_on=date(2025, 7, 1), episode=1
    )
    log.referral(1, 1, ("DRAFT", "2025-01-01"), ("SUBMITTED", "2025-01-02"))
    log.referral(2, 2, ("DRAFT", "2025-01-01"))
    await kit.hear(*log.events)
    unit = unit_of(kit.runtime.database, source="/RS/analytics", operation="test")

    phases = {"PLANNED": 1, "CRISIS": 2, "TRANSITION": 1, "CLOSED": 1}
    plans = await count_plans(unit)
    assert by_phase(plans, PERSONS_ASSISTED.kinds) == phases
    assert by_phase(plans, PERSONS_AT_RISK_ASSISTED.kinds) == {"CRISIS": 1}
    assert overdue_by_phase(plans) == {"CRISIS": 1}
    assert await count_referrals_by_status(unit) == {"SUBMITTED": 1, "DRAFT": 1}


# --- rebuild


async def read_to_the_end(runtime: Runtime) -> None:
    """Consume from the bus, from where this database stands to the log's present end."""
    handlers = with_audit_heads(runtime.name, HANDLERS)
    consumer = Consumer(runtime.database, handlers, service=runtime.name, box=runtime.box)
    subscription = await runtime.bus.subscribe(
        consumer.topics, group=runtime.name, position_of=consumer.claim
    )
    while found := await subscription.poll(limit=40, seconds=0):
        await consumer.accept_all(found)
    await subscription.close()


# I7. Fails when a fact depends on when, or in how many pieces, the log was read.
@pytest.mark.row("F75")
async def test_a_fresh_database_that_replays_the_log_holds_the_same_facts_and_figures(
    kit: Kit, database_url: str, tmp_path: Path
) -> None:
    today_is("2027-01-01")
    register = Register(7)
    for number in range(1, 31):
        register.person(number)
        if number % 7 == 0:
            register.log.referral(number, number, ("DRAFT", "2025-01-01"))
    records = [
        Record(topic_of(event.type), str(event.subject), event.to_bytes())
        for event in register.log.events
    ]
    third = len(records) // 3
    for piece in (records[:third], records[third : 2 * third], records[third:]):
        await kit.runtime.bus.publish(piece)  # the last piece sends some again
        await read_to_the_end(kit.runtime)
    live, figure = await dump(kit.runtime), (await read(kit, "2026-12-31")).json()

    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "bus.db").hardlink_to(tmp_path / "bus.db")
    async with open_service("analytics", tmp_path / "fresh", database_url=database_url) as fresh:
        await read_to_the_end(fresh.runtime)
        rebuilt, again = await dump(fresh.runtime), (await read(fresh, "2026-12-31")).json()

    assert rebuilt == live
    assert again == figure
    assert sum(len(rows) for rows in live.values()) == len(register.log.events)


async def test_what_is_forgotten_and_told_again_is_the_same_and_the_trail_says_so(
    tmp_path: Path, database_url: str
) -> None:
    # Fails when something seen before is still taken for seen, or the trail is emptied with the facts.
    today_is("2027-01-01")
    register = Register(7)
    for number in range(1, 31):
        register.person(number)
    records = [
        Record(topic_of(event.type), str(event.subject), event.to_bytes())
        for event in register.log.events
    ]
    async with open_service("analytics", tmp_path, database_url=database_url) as kit:
        database, trail = kit.runtime.database, select(AuditEntry.action).order_by(AuditEntry.id)
        await kit.runtime.bus.publish(records[:-1])
        await read_to_the_end(kit.runtime)
        assert (await read(kit, "2026-12-31")).status_code == 200
        before = [row.action for row in await database.fetch(trail)]

        forget(sync_url(database_url), RIGHTS)
        emptied = await dump(kit.runtime)
        await kit.runtime.bus.publish(records)
        await read_to_the_end(kit.runtime)

        assert [row.action for row in await database.fetch(trail)] == [*before, "forget"]
        assert sum(len(rows) for rows in emptied.values()) == 0
        told_again = await dump(kit.runtime)
    (tmp_path / "fresh").mkdir()
    async with open_service("analytics", tmp_path / "fresh") as fresh:
        await fresh.runtime.bus.publish(records)
        await read_to_the_end(fresh.runtime)
        assert told_again == await dump(fresh.runtime)
