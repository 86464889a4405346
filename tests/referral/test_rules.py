"""The rules of conduct, as anybody may read them and as the authorisation table holds them."""

import pytest

from common.authz import Authorisation
from common.codelists import all_codes
from referral.domain.referral import STEPS, Action, Side
from tests.kit import Kit

OPERATION_OF = {
    Action.SUBMIT: "submit_referral",
    Action.ACKNOWLEDGE: "acknowledge_referral",
    Action.RETURN_FOR_INFO: "return_referral",
    Action.RESUBMIT: "resubmit_referral",
    Action.ACCEPT: "accept_referral",
    Action.DECLINE: "decline_referral",
    Action.COMPLETE: "complete_referral",
    Action.CANCEL: "cancel_referral",
}


# Written by hand from domain.md section 4 and feature F35.
@pytest.mark.row("S90")
async def test_the_rules_say_who_may_take_which_step_and_by_when(kit: Kit) -> None:
    answer = await kit.caller("POLICE_INVESTIGATOR").get("/v1/referral-rules")

    assert answer.status_code == 200
    rules = answer.json()
    assert rules["deadlines"] == [
        {"urgency": "CRISIS", "hours": 24, "working_days": None},
        {"urgency": "HIGH", "hours": 48, "working_days": None},
        {"urgency": "NORMAL", "hours": None, "working_days": 10},
        {"urgency": "LOW", "hours": None, "working_days": 10},
    ]
    assert {
        "status": "ACKNOWLEDGED",
        "step": "decline",
        "side": "RECEIVER",
        "leads_to": "DECLINED",
        "reasons": "decline_reasons",
    } in rules["steps"]
    assert len(rules["steps"]) == 15
    assert {
        "status": "IN_TRANSFER",
        "step": "fail",
        "directions": ["RECEIVED", "SENT"],
        "leads_to": "FAILED",
        "reasons": "transfer_failures",
    } in rules["cross_border_steps"]
    assert len(rules["cross_border_steps"]) == 17
    assert rules["law_enforcement_kinds"] == ["BORDER_POLICE", "POLICE", "PROSECUTION"]


# Fails when the table opens a step to roles under the relation of the other side.
def test_a_step_is_open_under_the_relation_of_its_side() -> None:
    table = Authorisation.of_package("referral")
    sides = {action: side for steps in STEPS.values() for action, (side, _) in steps.items()}

    for action, operation in OPERATION_OF.items():
        relation = "own" if sides[action] is Side.SENDER else "referred"
        opened = [
            table.relations(operation, role)
            for role in all_codes("actor_roles")
            if _is_listed(table, operation, role)
        ]
        assert opened
        assert set(opened) == {frozenset({relation})}


def _is_listed(table: Authorisation, operation: str, role: str) -> bool:
    return bool(table._rows[operation].get(role))
