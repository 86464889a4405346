"""Facts from events: a row per event with the whole state, whatever the order of arrival."""

import random
from datetime import date
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select

from analytics.consumers import HANDLERS
from analytics.models import CaseFact, PlanFact, ReferralFact
from common.contracts.reintegration import (
    PlanAgreementSigned,
    PlanClosed,
    PlanPhaseOverdue,
    PlanReopened,
    PlanResumed,
    PlanSuspended,
)
from common.events import Event
from common.tables import DeadLetter, InboxMessage
from tests.analytics.log import Log, case_id, consume, deliveries, dump, noon, plan_id, referral_id
from tests.kit import Kit, open_service


async def facts(kit: Kit, model: type[Any], *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of all facts of a kind, by `seq`."""
    rows = await kit.rows(select(model).order_by(model.seq))
    return [tuple(getattr(row, column) for column in columns) for row in rows]


async def test_a_case_is_kept_as_it_stood_after_each_event(kit: Kit) -> None:
    log = Log()
    log.case(1, "2025-03-01", kind="PRESUMED", sex="UNKNOWN", age_group="UNKNOWN")
    log.identity(1, "2025-03-04", age_group="12-17", sex="FEMALE")
    log.identity(1, "2025-03-05", age_group="18-24")
    log.profile(1, "2025-04-01", kind="VICTIM", sex="FEMALE", age_group="12-17")
    log.identified(1, "2025-05-02")

    await kit.hear(*log.events)

    columns = ("seq", "beneficiary_kind", "sex", "age_group", "identification_status")
    assert await facts(kit, CaseFact, *columns) == [
        (1, "PRESUMED", "UNKNOWN", "UNKNOWN", "PRESUMED"),
        (2, "PRESUMED", "FEMALE", "12-17", "PRESUMED"),
        (3, "PRESUMED", "FEMALE", "18-24", "PRESUMED"),
        (4, "VICTIM", "FEMALE", "12-17", "PRESUMED"),
        (5, "VICTIM", "FEMALE", "12-17", "IDENTIFIED"),
    ]
    first, *_, last = await facts(kit, CaseFact, "case_id", "country", "happened_at")
    assert first == (case_id(1), "RS", noon("2025-03-01"))
    assert last == (case_id(1), "RS", noon("2025-05-02"))


# Fails when a fact forgets: each row must tell the plan whole.
async def test_a_plan_is_kept_as_it_stood_after_each_event(kit: Kit) -> None:
    log = Log()
    log.plan(1, 1, "2025-01-15")
    log.phase(1, 1, "CRISIS", "2025-01-20", entered_on="2025-01-15")
    due = {"phase": "CRISIS", "due_on": date(2025, 4, 15), "month": 4}
    log.about_plan(PlanPhaseOverdue, 1, "2025-04-15", **due)
    log.about_plan(PlanSuspended, 1, "2025-04-16", suspended_on=date(2025, 4, 16))
    log.about_plan(PlanResumed, 1, "2025-04-17", resumed_on=date(2025, 4, 17))
    log.about_plan(PlanPhaseOverdue, 1, "2025-04-18", **due)
    log.phase(1, 1, "TRANSITION", "2025-04-20", entered_on="2025-01-15")
    log.about_plan(
        PlanClosed, 1, "2025-05-01", reason="LEFT_AREA", closed_on=date(2025, 5, 1), episode=1
    )
    log.about_plan(
        PlanReopened,
        1,
        "2025-06-01",
        to_phase="TRANSITION",
        reason="RE_TRAFFICKED",
        reopened_on=date(2025, 6, 1),
        episode=2,
    )

    await kit.hear(*log.events)

    entered = date(2025, 1, 15)
    columns = ("seq", "phase", "entered_on", "overdue", "closure_reason")
    assert await facts(kit, PlanFact, *columns) == [
        (1, "PLANNED", None, False, None),
        (2, "CRISIS", entered, False, None),
        (3, "CRISIS", entered, True, None),
        (4, "CRISIS", entered, False, None),
        (6, "CRISIS", entered, True, None),
        (7, "TRANSITION", entered, False, None),
        (8, "CLOSED", entered, False, "LEFT_AREA"),
        (9, "TRANSITION", entered, False, None),
    ]


async def test_a_referral_is_kept_at_every_step(kit: Kit) -> None:
    log = Log()
    steps = [
        "DRAFT",
        "SUBMITTED",
        "RETURNED_FOR_INFO",
        "SUBMITTED",
        "ACKNOWLEDGED",
        "ACCEPTED",
        "COMPLETED",
    ]
    log.referral(1, 1, *((status, "2025-02-03") for status in steps))
    log.referral(2, 1, ("DRAFT", "2025-02-03"), ("CANCELLED", "2025-02-03"))
    log.referral(3, 1, *((s, "2025-02-03") for s in ("DRAFT", "SUBMITTED", "EXPIRED")))
    log.referral(4, 1, *((s, "2025-02-03") for s in ("DRAFT", "SUBMITTED", "DECLINED")))

    await kit.hear(*log.events)

    rows = await facts(kit, ReferralFact, "referral_id", "status", "urgency", "service_type")
    assert [row[1:] for row in rows if row[0] == referral_id(1)] == [
        (status, "HIGH", "SHELTER") for status in steps
    ]
    ends = {row[0]: row[1] for row in rows}
    assert [ends[referral_id(n)] for n in (2, 3, 4)] == ["CANCELLED", "EXPIRED", "DECLINED"]


# An event of which analytics keeps nothing still counts in its aggregate's order.
async def test_an_event_without_a_fact_does_not_stop_those_behind_it(kit: Kit) -> None:
    log = Log()
    log.start(1, 1, "2025-01-15")
    log.about_plan(
        PlanAgreementSigned,
        1,
        "2025-01-16",
        agreement_id=plan_id(99),
        agreement_version=1,
        review_on=date(2025, 7, 1),
        signed_on=date(2025, 1, 16),
    )
    log.phase(1, 1, "TRANSITION", "2025-04-15", entered_on="2025-01-15")

    assert await kit.hear(*log.events) == ["applied"] * 4

    assert PlanAgreementSigned.type not in HANDLERS
    assert await facts(kit, PlanFact, "seq") == [(1,), (2,), (4,)]


def story() -> list[Event]:
    """A person from the first contact to a closed plan, told by three services."""
    log = Log()
    log.case(1, "2025-01-02", kind="PRESUMED")
    log.referral(1, 1, ("DRAFT", "2025-01-03"), ("SUBMITTED", "2025-01-04"))
    log.identified(1, "2025-01-05")
    log.start(1, 1, "2025-01-20")
    return log.events


# Fails when one service's fact needs another's to be there: the topics promise no common order.
async def test_the_services_may_be_heard_in_any_order(kit: Kit) -> None:
    events = story()
    by_topic = [
        [event for event in events if event.type.startswith(f"{service}.")]
        for service in ("intake", "referral", "reintegration")
    ]
    await kit.hear(*events)
    expected = await dump(kit.runtime)

    for number, order in enumerate(permutations(by_topic)):
        async with open_service("analytics", kit.home / str(number)) as other:
            await other.hear(*(event for topic in order for event in topic))
            assert await dump(other.runtime) == expected


# I3, I4. Fails when a repetition is counted, or when an early event is applied before its elder.
@pytest.mark.parametrize("seed", range(3))
async def test_events_that_come_early_late_or_again_make_the_same_facts(
    kit: Kit, seed: int
) -> None:
    log = Log()
    for number in range(1, 9):
        log.case(number, "2025-01-02")
        log.profile(number, "2025-02-02", kind="VICTIM", sex="MALE", age_group="12-17")
        log.start(number, number, "2025-03-02")
        log.referral(number, number, ("DRAFT", "2025-01-03"), ("SUBMITTED", "2025-01-04"))
    shuffled = [*log.events, *log.events[::3]]
    random.Random(seed).shuffle(shuffled)  # noqa: S311  any order will do

    await consume(kit.runtime, shuffled)

    got = await dump(kit.runtime)
    assert [len(got[name]) for name in ("case_fact", "plan_fact", "referral_fact")] == [16] * 3
    assert len(await kit.rows(select(InboxMessage))) == len(log.events)
    last = [row for row in got["case_fact"] if row["seq"] == "2"]
    assert {(row["sex"], row["age_group"]) for row in last} == {("MALE", "12-17")}


@pytest.mark.parametrize("kind", sorted(HANDLERS))
async def test_a_payload_that_cannot_be_read_is_buried_and_leaves_no_fact(
    kit: Kit, kind: str
) -> None:
    event = story()[0].model_copy(update={"type": kind, "data": {"case_id": "?"}})

    assert await kit.hear(event) == ["dead"]

    [letter] = await kit.rows(select(DeadLetter))
    assert letter.reason == "payload_invalid"
    assert all(rows == [] for rows in (await dump(kit.runtime)).values())


# A gap is an incident: the plan waits instead of being invented.
async def test_a_plan_whose_opening_was_lost_waits(kit: Kit) -> None:
    log = Log()
    log.start(1, 1, "2025-03-02")

    assert await kit.hear(log.events[1]) == ["pending"]
    assert await kit.rows(select(PlanFact)) == []
    assert await kit.hear(log.events[0]) == ["applied"]

    assert await facts(kit, PlanFact, "phase") == [("PLANNED",), ("CRISIS",)]


def test_deliveries_stand_in_one_line_per_topic() -> None:
    found = deliveries(story())

    for topic in {delivery.topic for delivery in found}:
        offsets = [delivery.offset for delivery in found if delivery.topic == topic]
        assert offsets == [*range(len(offsets))]
