"""Indicators through the API: who may read them, and how a question can be wrong."""

import pytest

from common.codelists import codes
from tests.analytics.log import Log, consume
from tests.kit import Kit

ASSISTED = "/v1/indicators/persons-assisted"
READERS = ["NATIONAL_COORDINATOR", "ANALYST"]


@pytest.mark.parametrize("role", READERS)
async def test_an_indicator_is_read_and_the_reading_is_recorded(kit: Kit, role: str) -> None:
    log = Log()
    log.case(1, "2025-02-01", sex="FEMALE", age_group="12-17")
    log.start(1, 1, "2025-03-01")
    await consume(kit.runtime, log.events)

    answer = await kit.caller(role).get(ASSISTED)

    told = answer.json()
    assert (told["formula"], told["formula_version"]) == ("persons_assisted", 1)
    assert told["totals"] == {"year": {"2025": 1}, "sex": {"FEMALE": 1}, "age_group": {"CHILD": 1}}
    assert told["shares"][0]["child"] == {"part": 1, "whole": 1, "percent": "100.0"}
    [entry] = await kit.audit(operation="get_indicator")
    assert (entry.action, entry.object_ids) == ("read", ["persons-assisted"])
    assert (entry.role, entry.actor) == (role, "worker-1")


# Exact numbers stay inside the ministry: case workers need none, and the hub gets releases.
@pytest.mark.parametrize("role", sorted(codes("actor_roles") - set(READERS)))
async def test_nobody_else_reads_exact_numbers(kit: Kit, role: str) -> None:
    answer = await kit.caller(role).get(ASSISTED)

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert answer.json()["entitled"] == ["ANALYST", "NATIONAL_COORDINATOR"]
    assert await kit.audit() == []
    [denied] = await kit.audit(decision="deny")
    assert (denied.role, denied.operation) == (role, "get_indicator")


async def test_without_a_token_nothing_is_told(kit: Kit) -> None:
    answer = await kit.stranger().get(ASSISTED)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/indicators/happiness", 422, "invalid"),
        (f"{ASSISTED}?as_of=yesterday", 400, "query.invalid"),
        (f"{ASSISTED}?as_of=2025-01-01T00:00:00", 400, "query.invalid"),
        (f"{ASSISTED}?as_of=2999-01-01T00:00:00Z", 400, "query.invalid"),
        (f"{ASSISTED}?year=2025", 400, "query.unknown"),
        ("/v1/indicators", 404, "not_found"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_refused(
    kit: Kit, path: str, status: int, code: str
) -> None:
    answer = await kit.caller("ANALYST").get(path)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await kit.audit() == []
