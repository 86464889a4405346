"""What the states of intake's operations are made of: notices, cases and their parts."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from common.clock import new_id
from common.contracts.referral import ReferralAccepted
from tests.kit import HOME, told
from tests.surface.stage import PARTNER, Ready, Relations, Stage, Who, related, version_of

WORKER = Who("SOCIAL_WORKER")
DAY = "2025-11-20"

CASE: Relations = related(own="own", assigned="own assigned", partner="referred")


async def notice(stage: Stage, notice_id: UUID | str) -> UUID | str:
    body = {"id": str(notice_id), "source": "CSW", "country": "RS", "urgency": "HIGH"}
    if stage.is_new(notice_id):
        await stage.do("POST", "/v1/notices", WORKER, body)
    return notice_id


async def case(stage: Stage, case_id: str | None = None) -> dict[str, str]:
    """Return the path of a case of HOME in the hands of worker-1, taken on by PARTNER."""
    case_id = case_id or str(new_id())
    if stage.is_new(case_id):
        case = {
            "id": case_id,
            "beneficiary_kind": "AT_RISK",
            "sex": "FEMALE",
            "urgency": "NORMAL",
            "legal_basis": "PUBLIC_TASK",
            "birth_date": "1990-02",
            "occurred_at": f"{DAY}T09:00:00Z",
            "note": "Asked for help at the counter.",
        }
        opened = await stage.do("POST", "/v1/cases", WORKER, case)
        path = f"/v1/cases/{case_id}/assign"
        await stage.do("POST", path, WORKER, {"worker": "worker-1"}, version_of(opened))
        referral_id = new_id()
        accepted = ReferralAccepted(
            referral_id=referral_id,
            case_id=UUID(case_id),
            sending_organisation_id=HOME,
            receiving_organisation_id=PARTNER,
            service_type="SHELTER",
            urgency="NORMAL",
            status="ACCEPTED",
            on=date(2026, 2, 1),
        )
        await stage.hear(told("referral", referral_id, accepted))
    return {"case_id": case_id}


async def consent(stage: Stage, case: Mapping[str, str], scope: str, **named: Any) -> str:
    """Return a consent by an appointed guardian, who may speak for a child and for an adult."""
    body = {
        "scope": scope,
        "given_by": "GUARDIAN",
        "guardian": "APPOINTED",
        "guardian_suspected": False,
        "assent": "GIVEN",
        "language": "sq",
        "granted_on": DAY,
    }
    path = f"/v1/cases/{case['case_id']}/consents"
    granted = await stage.do("POST", path, WORKER, body | named)
    consent_id: str = granted.json()["id"]
    return consent_id


async def agreeing(stage: Stage, case: Mapping[str, str]) -> str:
    """Return a consent that says explicitly for what special categories may be kept."""
    return await consent(
        stage,
        case,
        "DATA_RECORD",
        purposes=["ASSISTANCE", "PROTECTION"],
        data_groups=["IDENTITY", "HEALTH"],
    )


async def marker(stage: Stage, case: Mapping[str, str]) -> str:
    marker_id = str(new_id())
    body = {"id": marker_id, "marker": "LONE_PARENT", "since": DAY}
    await stage.do("POST", f"/v1/cases/{case['case_id']}/markers", WORKER, body)
    return marker_id


async def sharing(stage: Stage, case: Mapping[str, str], group: str = "IDENTITY") -> str:
    return await consent(
        stage,
        case,
        "SHARE_NATIONAL",
        recipient_organisation_id=str(PARTNER),
        purposes=["ASSISTANCE"],
        data_groups=[group],
    )


async def version(stage: Stage, case: Mapping[str, str]) -> int:
    return version_of(await stage.do("GET", f"/v1/cases/{case['case_id']}", WORKER))


async def changing(stage: Stage, case: Mapping[str, str], body: Any) -> Ready:
    newest = await version(stage, case)
    return Ready(WORKER, path=case, version=newest, body=body, relations=CASE)
