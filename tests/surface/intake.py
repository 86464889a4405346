"""How intake comes to the state each of its operations needs."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from common.clock import new_id
from common.contracts.referral import ReferralAccepted
from intake.domain.identification import IdentificationStatus, roles_for
from intake.domain.roles import ActorRole, screeners
from tests.kit import HOME, told
from tests.surface.operations import authorisation
from tests.surface.stage import (
    PARTNER,
    WHOLE_FEED,
    WHOLE_LIST,
    Answer,
    Ready,
    Relations,
    Stage,
    Who,
    no_judgement,
    related,
    version_of,
)

WORKER = Who("SOCIAL_WORKER")
OFFICER = Who("IDENTIFICATION_OFFICER")
DAY = "2025-11-20"

NOTICE: Relations = related(own="own", assigned="own")
CASE: Relations = related(own="own", assigned="own assigned", partner="referred")


async def create_notice(_: Stage, body: Any) -> Ready:
    return Ready(Who("FIRST_RESPONDER"), body=body)


create_notices = create_notice


async def list_notices(stage: Stage, _: Any) -> Ready:
    return Ready(
        WORKER, relations=NOTICE, listed=str(await _notice(stage, new_id())), query=WHOLE_LIST
    )


async def get_notice(stage: Stage, _: Any) -> Ready:
    return Ready(WORKER, path={"notice_id": str(await _notice(stage, new_id()))}, relations=NOTICE)


async def triage_notice(stage: Stage, body: Any) -> Ready:
    notice_id = await _notice(stage, new_id())
    if body["decision"] == "LINK_CASE":
        await _case(stage, body["case_id"])
    return Ready(
        WORKER,
        path={"notice_id": str(notice_id)},
        version=1,
        body=body,
        relations=NOTICE,
        judge=_judge_presumption if body.get("beneficiary_kind") == "PRESUMED" else no_judgement,
    )


async def create_case(stage: Stage, body: Any) -> Ready:
    if body.get("notice_id"):
        await _notice(stage, body["notice_id"])
    if body.get("primary_case_id"):
        await _case(stage, body["primary_case_id"])
    judge = _judge_taking_up if body.get("notice_id") else _judge_opening
    return Ready(WORKER, body=body, relations=NOTICE, judge=judge)


async def list_cases(stage: Stage, _: Any) -> Ready:
    case = await _case(stage)
    return Ready(WORKER, relations=CASE, listed=case["case_id"], query=WHOLE_LIST)


async def get_case(stage: Stage, _: Any) -> Ready:
    return Ready(WORKER, path=await _case(stage), relations=CASE)


get_case_note = get_access_log = list_identification = get_case


async def update_case(stage: Stage, body: Any) -> Ready:
    return await _changing(stage, await _case(stage), body)


assign_case = update_case


async def put_identity(stage: Stage, body: Any) -> Ready:
    case = await _case(stage)
    await _consent(stage, case, "DATA_RECORD")
    return await _changing(stage, case, body)


async def get_identity(stage: Stage, _: Any) -> Ready:
    case = await _case(stage)
    await _consent(stage, case, "DATA_RECORD")
    await _sharing(stage, case)
    identity = {"given_name": {"value": "Blerta"}, "birth_date": "1990-02"}
    path = f"/v1/cases/{case['case_id']}/identity"
    await stage.do("PUT", path, WORKER, identity, await _version(stage, case))
    return Ready(WORKER, path=case, query={"purpose": "ASSISTANCE"}, relations=CASE)


async def grant_consent(stage: Stage, body: Any) -> Ready:
    return Ready(WORKER, path=await _case(stage), body=body, relations=CASE)


async def list_consents(stage: Stage, _: Any) -> Ready:
    case = await _case(stage)
    await _sharing(stage, case)
    return Ready(WORKER, path=case, relations=CASE)


async def get_consent(stage: Stage, _: Any) -> Ready:
    case = await _case(stage)
    path = {**case, "consent_id": await _sharing(stage, case)}
    return Ready(WORKER, path=path, relations=CASE)


async def withdraw_consent(stage: Stage, body: Any) -> Ready:
    ready = await get_consent(stage, None)
    return Ready(WORKER, path=ready.path, body=body, relations=CASE)


async def record_marker(stage: Stage, body: Any) -> Ready:
    return Ready(WORKER, path=await _case(stage), body=body, relations=CASE)


async def list_markers(stage: Stage, _: Any) -> Ready:
    case = await _case(stage)
    await _marker(stage, case)
    return Ready(WORKER, path=case, relations=CASE)


async def get_marker(stage: Stage, _: Any) -> Ready:
    case = await _case(stage)
    await _sharing(stage, case, "FAMILY")
    path = {**case, "marker_id": await _marker(stage, case)}
    return Ready(WORKER, path=path, relations=CASE)


async def end_marker(stage: Stage, body: Any) -> Ready:
    case = await _case(stage)
    path = {**case, "marker_id": await _marker(stage, case)}
    return await _changing(stage, path, body)


async def record_declaration(stage: Stage, body: Any) -> Ready:
    case = await _case(stage)
    await _agreeing(stage, case)
    return Ready(WORKER, path=case, body=body, relations=CASE)


async def list_declarations(stage: Stage, _: Any) -> Ready:
    ready = await get_declaration(stage, None)
    case = {"case_id": ready.path["case_id"]}
    return Ready(WORKER, path=case, query={"purpose": "ASSISTANCE"}, relations=CASE)


async def get_declaration(stage: Stage, _: Any) -> Ready:
    case = await _case(stage)
    await _agreeing(stage, case)
    declaration_id = str(new_id())
    body = {
        "id": declaration_id,
        "category": "ETHNICITY_ROMA",
        "self_declared": True,
        "purposes": ["ASSISTANCE"],
    }
    await stage.do("POST", f"/v1/cases/{case['case_id']}/declarations", WORKER, body)
    return Ready(WORKER, path={**case, "declaration_id": declaration_id}, relations=CASE)


withdraw_declaration = get_declaration


async def decide_identification(stage: Stage, body: Any) -> Ready:
    case = await _case(stage)
    way = ["SCREENING", "PRESUMED", "FORMAL_ASSESSMENT"]
    wanted = body["status"]
    before = way[: way.index(wanted)] if wanted in way else way
    for status in before:
        step = {
            "status": status,
            "decided_by": "NON_POLICE_GOVERNMENTAL_ORGANIZATION",
            "legal_basis": "REASONABLE_GROUNDS",
            "decided_on": DAY,
        }
        path = f"/v1/cases/{case['case_id']}/identification"
        await stage.do("POST", path, OFFICER, step, await _version(stage, case))
    from_status = IdentificationStatus(before[-1] if before else "REPORTED")
    entitled = roles_for(from_status, IdentificationStatus(wanted), country="RS", is_minor=False)

    def judge(role: str, _identity: str, is_open: bool) -> Answer | None:  # noqa: FBT001
        if is_open and ActorRole(role) not in entitled:
            return 403, "identification.role_not_entitled"
        return None

    version = await _version(stage, case)
    return Ready(OFFICER, path=case, version=version, body=body, relations=CASE, judge=judge)


async def list_changes(stage: Stage, _: Any) -> Ready:
    notice = await _notice(stage, new_id())
    await stage.publish()
    return Ready(
        WORKER,
        relations=NOTICE,
        listed=str(notice),
        listed_by="subject",
        readers=frozenset(authorisation("intake")["get_notice"]),
        query=WHOLE_FEED,
    )


# --- what they are made of


async def _notice(stage: Stage, notice_id: UUID | str) -> UUID | str:
    body = {"id": str(notice_id), "source": "CSW", "country": "RS", "urgency": "HIGH"}
    if stage.is_new(notice_id):
        await stage.do("POST", "/v1/notices", WORKER, body)
    return notice_id


async def _case(stage: Stage, case_id: str | None = None) -> dict[str, str]:
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


async def _consent(stage: Stage, case: Mapping[str, str], scope: str, **named: Any) -> str:
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


async def _agreeing(stage: Stage, case: Mapping[str, str]) -> str:
    """Return a consent that says explicitly for what special categories may be kept."""
    return await _consent(
        stage,
        case,
        "DATA_RECORD",
        purposes=["ASSISTANCE", "PROTECTION"],
        data_groups=["IDENTITY", "HEALTH"],
    )


async def _marker(stage: Stage, case: Mapping[str, str]) -> str:
    marker_id = str(new_id())
    body = {"id": marker_id, "marker": "LONE_PARENT", "since": DAY}
    await stage.do("POST", f"/v1/cases/{case['case_id']}/markers", WORKER, body)
    return marker_id


async def _sharing(stage: Stage, case: Mapping[str, str], group: str = "IDENTITY") -> str:
    return await _consent(
        stage,
        case,
        "SHARE_NATIONAL",
        recipient_organisation_id=str(PARTNER),
        purposes=["ASSISTANCE"],
        data_groups=[group],
    )


async def _version(stage: Stage, case: Mapping[str, str]) -> int:
    return version_of(await stage.do("GET", f"/v1/cases/{case['case_id']}", WORKER))


async def _changing(stage: Stage, case: Mapping[str, str], body: Any) -> Ready:
    version = await _version(stage, case)
    return Ready(WORKER, path=case, version=version, body=body, relations=CASE)


def _judge_taking_up(role: str, identity: str, is_open: bool) -> Answer | None:  # noqa: FBT001
    """To open the case of a notice is to triage it."""
    if role not in authorisation("intake")["triage_notice"]:
        return 403, "forbidden"
    return _judge_opening(role, identity, is_open)


def _judge_opening(role: str, identity: str, is_open: bool) -> Answer | None:  # noqa: FBT001
    """A notice the caller may not know of and one that does not exist are the same."""
    if not is_open:
        return 422, "reference.unknown"
    return _judge_presumption(role, identity, is_open)


def _judge_presumption(role: str, _identity: str, is_open: bool) -> Answer | None:  # noqa: FBT001
    if is_open and ActorRole(role) not in screeners("RS", is_minor=False):
        return 403, "identification.role_not_entitled"
    return None
