"""A case that went to another country is not worked on here any more; what was done can be read (F38)."""

from datetime import date

import httpx
import pytest

from common.contracts.referral import CrossBorderChanged
from common.events import Event
from reintegration import worker as background
from tests.conftest import fixed_id
from tests.kit import HOME, Kit, if_match, told
from tests.reintegration.plans import (
    ACCEPTED_ON,
    PLAN,
    TERMS,
    agree,
    open_plan,
    signed,
    start,
    step,
    today_is,
    types,
    written,
)
from tests.reintegration.test_handover import crossing

AGREEMENTS = f"/v1/plans/{PLAN}/agreements"
ABROAD = fixed_id(700)
NOT_HERE = (409, "ownership.not_here")


def abroad(*statuses: str) -> list[Event]:
    """Return the steps of a referral by which the case goes to another country."""
    steps = [CrossBorderChanged.model_validate(e.data) for e in crossing(*statuses)]
    sent = {"direction": "SENT", "referral_id": ABROAD}
    return told("referral", ABROAD, *(each.model_copy(update=sent) for each in steps))


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.row("F38", "C1")
async def test_no_plan_is_started_for_a_case_another_country_owns(kit_on_each: Kit) -> None:
    """Seeded: hear only of cases that come; refuse from the acceptance on, while she is still here."""
    kit = kit_on_each
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    *before, last = abroad("ACCEPTED", "ARRIVED", "HANDED_OVER")
    await kit.hear(*before)
    drafted = await worker.post(AGREEMENTS, json=TERMS)

    assert await kit.hear(last) == ["applied"]

    assert drafted.status_code == 201, drafted.text
    assert code(await step(worker, "start", entered_on=ACCEPTED_ON.isoformat())) == NOT_HERE
    assert (await worker.get(f"/v1/plans/{PLAN}")).json()["phase"] == "PLANNED"


@pytest.mark.row("F38", "C1")
async def test_a_plan_of_a_case_that_left_takes_no_step_but_its_end(kit: Kit) -> None:
    """Seeded: leave the check out of any step or of an agreement; refuse to close."""
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    agreement = (await agree(worker, "PERSON")).json()
    await kit.hear(*abroad("HANDED_OVER"))
    before = await written(kit)
    version = if_match(await worker.get(f"/v1/plans/{PLAN}"))

    refused = [
        await step(worker, "phase", to_phase="TRANSITION", reason="READY_EARLY"),
        await step(worker, "suspend"),
        await step(worker, "resume"),
        await step(worker, "reopen", reason="RELAPSE"),
        await worker.post(AGREEMENTS, json=TERMS),
        await worker.post(
            f"{AGREEMENTS}/{agreement['id']}/sign",
            json=signed("CASE_WORKER")[0],
            headers=version,
        ),
    ]

    assert [code(answer) for answer in refused] == [NOT_HERE] * 6
    assert (await written(kit))[0] == before[0]
    for path in ("", "/notes", "/agreements"):
        assert (await worker.get(f"/v1/plans/{PLAN}{path}")).status_code == 200
    closed = await step(worker, "close", reason="WITHDREW", closed_on=ACCEPTED_ON.isoformat())
    assert closed.status_code == 200, closed.text


async def test_nobody_is_told_that_the_plan_of_a_case_that_left_is_overdue(kit: Kit) -> None:
    await open_plan(kit)
    await start(kit.caller("NGO_CASE_MANAGER"))
    await kit.hear(*abroad("HANDED_OVER"))

    today_is(date(2027, 1, 15))
    await background.sweep(kit.runtime)

    assert "phase_overdue" not in types(await kit.events(PLAN))


async def test_the_departure_may_be_heard_of_before_the_case(kit: Kit) -> None:
    """Seeded: mark the known case only; what is not known yet would stay open."""
    await kit.hear(*abroad("HANDED_OVER"))
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER", HOME)

    assert code(await step(worker, "start", entered_on=ACCEPTED_ON.isoformat())) == NOT_HERE
