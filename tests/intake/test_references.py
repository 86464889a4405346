"""Records of others named in a body: refused as if there were none, and entered in the trail."""

from uuid import UUID

import httpx
import pytest

from common.clock import new_id
from tests.intake.bodies import CASE, OTHER, case, notice, opened
from tests.kit import ELSEWHERE, HOME, Kit, if_match

FIXED_TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


@pytest.mark.row("F64")
async def test_who_names_a_case_of_others_in_a_body_stands_in_its_access_log(kit: Kit) -> None:
    """Seeded: refuse a reference without an entry, or only one that is there."""
    await opened(kit.caller("SOCIAL_WORKER"))
    secondary = {"beneficiary_kind": "SECONDARY"}

    async def tried(subject: str, named: UUID) -> list[httpx.Response]:
        sly = kit.caller("NGO_CASE_MANAGER", ELSEWHERE, subject)
        mine = new_id()
        own = await opened(sly, mine)
        reported = await sly.post("/v1/notices", json=notice())
        relative = {**secondary, "primary_case_id": str(named)}
        answers = []
        for dry in ("", "?validate_only=true"):
            answers += [
                await sly.post(
                    f"/v1/cases{dry}", json=case(new_id(), **relative), headers=FIXED_TRACE
                ),
                await sly.patch(
                    f"/v1/cases/{mine}{dry}", json=relative, headers=if_match(own) | FIXED_TRACE
                ),
                await sly.post(
                    f"{reported.headers['Location']}/triage{dry}",
                    json={"decision": "LINK_CASE", "case_id": str(named)},
                    headers=if_match(reported) | FIXED_TRACE,
                ),
            ]
        return answers

    hidden, absent = await tried("sly-1", CASE), await tried("sly-2", OTHER)

    assert {(each.status_code, each.json()["code"]) for each in hidden + absent} == {
        (422, "reference.unknown")
    }
    assert [each.content for each in hidden] == [each.content for each in absent]
    dpo = kit.caller("DPO", UUID(int=8), "dpo-1")
    log = (await dpo.get(f"/v1/cases/{CASE}/access-log")).json()["items"]
    denied = [
        (e["actor"], e["operation"], e["object_type"]) for e in log if e["decision"] == "deny"
    ]
    assert sorted(denied) == sorted(
        ("sly-1", operation, "case_file")
        for operation in ("create_case", "update_case", "triage_notice") * 2
    )
    # As many statements, and as many entries, for a case that is not there.
    assert len(await kit.audit(decision="deny", actor="sly-2")) == len(denied)


@pytest.mark.row("F64")
async def test_who_names_a_notice_of_others_in_a_body_is_entered(kit: Kit) -> None:
    """Seeded: answer `reference.unknown` without an entry."""
    reporter = kit.caller("BORDER_POLICE", HOME, "officer-3")
    reported = await reporter.post("/v1/notices", json=notice(source="BORDER_POLICE"))
    notice_id = reported.json()["id"]
    sly = kit.caller("NGO_CASE_MANAGER", ELSEWHERE, "sly-1")

    refused = await sly.post("/v1/cases", json=case(notice_id=notice_id))

    assert (refused.status_code, refused.json()["code"]) == (422, "reference.unknown")
    assert [e["pointer"] for e in refused.json()["errors"]] == ["/notice_id"]
    [entry] = await kit.audit(decision="deny")
    assert (entry.actor, entry.object_type) == ("sly-1", "notice")
    assert (entry.object_ids, entry.subject) == ([notice_id], UUID(notice_id))
