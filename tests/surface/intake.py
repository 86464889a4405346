"""How intake comes to the state each of its operations needs."""

from typing import Any

from common.clock import new_id
from intake.domain.identification import IdentificationStatus, roles_for
from intake.domain.roles import ActorRole, screeners
from tests.surface import casework as made
from tests.surface.abroad import get_origin, give_case, recall_case, release_case
from tests.surface.casework import CASE, DAY, WORKER
from tests.surface.operations import authorisation
from tests.surface.stage import (
    WHOLE_FEED,
    WHOLE_LIST,
    Answer,
    Ready,
    Relations,
    Stage,
    Who,
    no_judgement,
    related,
)

__all__ = ["get_origin", "give_case", "recall_case", "release_case"]

OFFICER = Who("IDENTIFICATION_OFFICER")
NOTICE: Relations = related(own="own", assigned="own")


async def create_notice(_: Stage, body: Any) -> Ready:
    return Ready(Who("FIRST_RESPONDER"), body=body)


create_notices = create_notice


async def list_notices(stage: Stage, _: Any) -> Ready:
    return Ready(
        WORKER, relations=NOTICE, listed=str(await made.notice(stage, new_id())), query=WHOLE_LIST
    )


async def get_notice(stage: Stage, _: Any) -> Ready:
    return Ready(
        WORKER, path={"notice_id": str(await made.notice(stage, new_id()))}, relations=NOTICE
    )


async def triage_notice(stage: Stage, body: Any) -> Ready:
    notice_id = await made.notice(stage, new_id())
    if body["decision"] == "LINK_CASE":
        await made.case(stage, body["case_id"])
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
        await made.notice(stage, body["notice_id"])
    if body.get("primary_case_id"):
        await made.case(stage, body["primary_case_id"])
    judge = _judge_taking_up if body.get("notice_id") else _judge_opening
    return Ready(WORKER, body=body, relations=NOTICE, judge=judge)


async def list_cases(stage: Stage, _: Any) -> Ready:
    case = await made.case(stage)
    return Ready(WORKER, relations=CASE, listed=case["case_id"], query=WHOLE_LIST)


async def get_case(stage: Stage, _: Any) -> Ready:
    return Ready(WORKER, path=await made.case(stage), relations=CASE)


get_case_note = get_access_log = list_identification = get_case


async def update_case(stage: Stage, body: Any) -> Ready:
    return await made.changing(stage, await made.case(stage), body)


assign_case = update_case


async def put_identity(stage: Stage, body: Any) -> Ready:
    case = await made.case(stage)
    await made.consent(stage, case, "DATA_RECORD")
    return await made.changing(stage, case, body)


async def get_identity(stage: Stage, _: Any) -> Ready:
    case = await made.case(stage)
    await made.consent(stage, case, "DATA_RECORD")
    await made.sharing(stage, case)
    identity = {"given_name": {"value": "Blerta"}, "birth_date": "1990-02"}
    path = f"/v1/cases/{case['case_id']}/identity"
    await stage.do("PUT", path, WORKER, identity, await made.version(stage, case))
    return Ready(WORKER, path=case, query={"purpose": "ASSISTANCE"}, relations=CASE)


async def grant_consent(stage: Stage, body: Any) -> Ready:
    return Ready(WORKER, path=await made.case(stage), body=body, relations=CASE)


async def list_consents(stage: Stage, _: Any) -> Ready:
    case = await made.case(stage)
    await made.sharing(stage, case)
    return Ready(WORKER, path=case, relations=CASE)


async def get_consent(stage: Stage, _: Any) -> Ready:
    case = await made.case(stage)
    path = {**case, "consent_id": await made.sharing(stage, case)}
    return Ready(WORKER, path=path, relations=CASE)


async def withdraw_consent(stage: Stage, body: Any) -> Ready:
    ready = await get_consent(stage, None)
    return Ready(WORKER, path=ready.path, body=body, relations=CASE)


async def record_marker(stage: Stage, body: Any) -> Ready:
    return Ready(WORKER, path=await made.case(stage), body=body, relations=CASE)


async def list_markers(stage: Stage, _: Any) -> Ready:
    case = await made.case(stage)
    await made.marker(stage, case)
    return Ready(WORKER, path=case, relations=CASE)


async def get_marker(stage: Stage, _: Any) -> Ready:
    case = await made.case(stage)
    await made.sharing(stage, case, "FAMILY")
    path = {**case, "marker_id": await made.marker(stage, case)}
    return Ready(WORKER, path=path, relations=CASE)


async def end_marker(stage: Stage, body: Any) -> Ready:
    case = await made.case(stage)
    path = {**case, "marker_id": await made.marker(stage, case)}
    return await made.changing(stage, path, body)


async def record_declaration(stage: Stage, body: Any) -> Ready:
    case = await made.case(stage)
    await made.agreeing(stage, case)
    return Ready(WORKER, path=case, body=body, relations=CASE)


async def list_declarations(stage: Stage, _: Any) -> Ready:
    ready = await get_declaration(stage, None)
    case = {"case_id": ready.path["case_id"]}
    return Ready(WORKER, path=case, query={"purpose": "ASSISTANCE"}, relations=CASE)


async def get_declaration(stage: Stage, _: Any) -> Ready:
    case = await made.case(stage)
    await made.agreeing(stage, case)
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
    case = await made.case(stage)
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
        await stage.do("POST", path, OFFICER, step, await made.version(stage, case))
    from_status = IdentificationStatus(before[-1] if before else "REPORTED")
    entitled = roles_for(from_status, IdentificationStatus(wanted), country="RS", is_minor=False)

    def judge(role: str, _identity: str, is_open: bool) -> Answer | None:  # noqa: FBT001
        if is_open and ActorRole(role) not in entitled:
            return 403, "identification.role_not_entitled"
        return None

    version = await made.version(stage, case)
    return Ready(OFFICER, path=case, version=version, body=body, relations=CASE, judge=judge)


async def list_changes(stage: Stage, _: Any) -> Ready:
    notice = await made.notice(stage, new_id())
    await stage.publish()
    return Ready(
        WORKER,
        relations=NOTICE,
        listed=str(notice),
        listed_by="subject",
        readers=frozenset(authorisation("intake")["get_notice"]),
        query=WHOLE_FEED,
    )


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
