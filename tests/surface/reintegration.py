"""How reintegration comes to the state each of its operations needs."""

from datetime import date
from typing import Any
from uuid import UUID, uuid5

from common.clock import new_id
from common.contracts.intake import CaseOpened
from common.contracts.referral import ReferralAccepted
from tests.kit import HOME, told
from tests.surface.stage import (
    PARTNER,
    WHOLE_FEED,
    WHOLE_LIST,
    Ready,
    Relations,
    Stage,
    Who,
    related,
    version_of,
)

MANAGER = Who("NGO_CASE_MANAGER")

PLAN: Relations = related(own="own", assigned="own", partner="shared", all_too=False)

Step = tuple[str, dict[str, Any]]

START: Step = ("start", {"entered_on": "2026-03-31"})
TRANSITION: Step = ("phase", {"to_phase": "TRANSITION"})
SUSPEND: Step = ("suspend", {})
CLOSE: Step = (
    "close",
    {"reason": "COMPLETED_REINTEGRATED", "closed_on": "2026-10-30", "note": "Well."},
)


async def list_plans(stage: Stage, _: Any) -> Ready:
    plan = await _plan(stage)
    return Ready(MANAGER, relations=PLAN, listed=plan.path["plan_id"], query=WHOLE_LIST)


async def get_plan(stage: Stage, _: Any) -> Ready:
    return await _plan(stage, START)


async def list_notes(stage: Stage, _: Any) -> Ready:
    return await _plan(stage, START, CLOSE)


async def start_plan(stage: Stage, body: Any) -> Ready:
    return await _plan(stage, body=body)


async def change_phase(stage: Stage, body: Any) -> Ready:
    before = [START] if body["to_phase"] == "TRANSITION" else [START, TRANSITION]
    return await _plan(stage, *before, body=body)


async def suspend_plan(stage: Stage, body: Any) -> Ready:
    return await _plan(stage, START, body=body)


close_plan = suspend_plan


async def resume_plan(stage: Stage, body: Any) -> Ready:
    return await _plan(stage, START, SUSPEND, body=body)


async def reopen_plan(stage: Stage, body: Any) -> Ready:
    return await _plan(stage, START, CLOSE, body=body)


async def create_agreement(stage: Stage, body: Any) -> Ready:
    return await _plan(stage, START, body=body)


async def list_agreements(stage: Stage, _: Any) -> Ready:
    return await _agreement(stage, None)


get_agreement = list_agreements


async def sign_agreement(stage: Stage, body: Any) -> Ready:
    return await _agreement(stage, body)


async def get_phase_policy(_: Stage, __: Any) -> Ready:
    return Ready(MANAGER)


async def list_changes(stage: Stage, _: Any) -> Ready:
    plan = await _plan(stage)
    await stage.publish()
    return Ready(
        MANAGER, relations=PLAN, listed=plan.path["plan_id"], listed_by="subject", query=WHOLE_FEED
    )


# --- what they are made of


async def _plan(stage: Stage, *steps: Step, body: Any = None) -> Ready:
    """Return a plan of HOME for a case of PARTNER that has taken these steps."""
    case_id, referral_id = new_id(), new_id()
    opened = CaseOpened(
        case_id=case_id,
        organisation_id=PARTNER,
        country="RS",
        beneficiary_kind="PRESUMED",
        identification_status="PRESUMED",
        sex="FEMALE",
        age_group="25-34",
        is_minor=False,
        urgency="HIGH",
        legal_basis="LAW",
        opened_on=date(2026, 2, 20),
    )
    await stage.hear(told("intake", case_id, opened))
    accepted = ReferralAccepted(
        referral_id=referral_id,
        case_id=case_id,
        sending_organisation_id=PARTNER,
        receiving_organisation_id=HOME,
        service_type="SHELTER",
        urgency="HIGH",
        status="ACCEPTED",
        on=date(2026, 3, 1),
    )
    await stage.hear(told("referral", referral_id, accepted))
    plan_id = uuid5(referral_id, "plan")
    version = await _version(stage, plan_id)
    for verb, fields in steps:
        url = f"/v1/plans/{plan_id}/{verb}"
        version = version_of(await stage.do("POST", url, MANAGER, fields, version))
    path = {"plan_id": str(plan_id)}
    return Ready(MANAGER, path=path, version=version, body=body, relations=PLAN)


async def _agreement(stage: Stage, body: Any) -> Ready:
    """Return a plan with an agreement nobody has signed yet."""
    plan = await _plan(stage, START)
    terms = {
        "parties": ["PERSON", "CASE_WORKER"],
        "duties": "She attends the course.",
        "review_on": "2027-02-01",
    }
    path = f"/v1/plans/{plan.path['plan_id']}/agreements"
    written = await stage.do("POST", path, MANAGER, terms)
    return Ready(
        MANAGER,
        path={**plan.path, "agreement_id": written.json()["id"]},
        version=version_of(written),
        body=body,
        relations=PLAN,
    )


async def _version(stage: Stage, plan_id: UUID) -> int:
    return version_of(await stage.do("GET", f"/v1/plans/{plan_id}", MANAGER))
