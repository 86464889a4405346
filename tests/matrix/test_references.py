"""A record named in a body or a query is as closed as one named in the path (T28).

Every id in every body and query is found by walking; what kind of thing it names stands in NAMES.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from common.clock import new_id
from common.contracts.intake import CaseOpened
from common.contracts.referral import CrossBorderChanged
from common.settings import ServiceName
from tests.kit import ELSEWHERE, open_service, told
from tests.matrix.test_authorisation import CHANGING
from tests.surface.fields import example_with, fields, pointer, put
from tests.surface.operations import SERVICES, Operation, authorisation, operations
from tests.surface.stage import Stage, Who, builder_of, time_stands_still

NEW = "the id of what is made, chosen by the caller"
LISTED = "an entry of the directory, which everybody may read"
STORED = "kept as it is, and never looked up"
CASE = "a case"
NOTICE = "a notice"
TRANSFER = "a referral of a case to another country"

NAMES = {
    "create_notice /id": NEW,
    "create_notices /items/0/notice/id": NEW,
    "triage_notice /case_id": CASE,
    "create_case /id": NEW,
    "create_case /notice_id": NOTICE,
    "create_case /primary_case_id": CASE,
    "update_case /primary_case_id": CASE,
    "grant_consent /id": NEW,
    "record_marker /id": NEW,
    "record_declaration /id": NEW,
    "grant_consent /recipient_organisation_id": STORED,
    "release_case /referral_id": TRANSFER,
    "give_case /referral_id": TRANSFER,
    "recall_case /referral_id": TRANSFER,
    "register_organisation /id": NEW,
    "register_service /id": NEW,
    "register_service /organisation_id": LISTED,
    "draft_referral /id": NEW,
    "draft_referral /case_id": CASE,
    "draft_referral /receiving_organisation_id": LISTED,
    "draft_referral /service_id": LISTED,
    "decline_referral /suggested_service_id": LISTED,
    "draft_cross_border_referral /id": NEW,
    "draft_cross_border_referral /case_id": CASE,
    "draft_cross_border_referral /requested_organisation_id": STORED,
    "accept_cross_border_referral /organisation_id": LISTED,
    "accept_cross_border_referral /service_id": LISTED,
}

SECONDARY = {"beneficiary_kind": "SECONDARY"}
MORE = {
    "create_case /primary_case_id": SECONDARY,
    "update_case /primary_case_id": SECONDARY,
    "triage_notice /case_id": {"decision": "LINK_CASE"},
}
"""What else the body says where it names such a record."""


@pytest.fixture(params=SERVICES)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    time_stands_still()
    service: ServiceName = request.param
    async with open_service(service, tmp_path) as kit:
        yield Stage(kit)


def ids_in(operation: Operation) -> dict[str, tuple[str | int, ...]]:
    return {
        f"{operation.name} {pointer(field.path)}": field.path
        for field in fields(operation)
        if field.text is not None and field.text.get("format") == "uuid"
    }


def test_every_id_in_a_body_has_its_kind() -> None:
    """Seeded: add a UUID field to a body; nobody has said what it opens."""
    found = {name for service in SERVICES for o in operations(service) for name in ids_in(o)}

    assert found == set(NAMES)


@pytest.mark.row("F59")
async def test_a_body_that_names_a_strangers_record_learns_nothing(stage: Stage) -> None:
    """Seeded: look a case up by its id alone in `find_case`."""
    for operation in operations(stage.kit.runtime.name):
        for name, path in ids_in(operation).items():
            if NAMES[name] not in {CASE, NOTICE, TRANSFER}:
                continue
            hidden = await _made_by_a_stranger(stage, NAMES[name])
            base = {**example_with(operation, path), **MORE.get(name, {})}
            ready = await builder_of(operation)(stage, base)
            answers = []
            for id_ in (hidden, new_id()):
                body = put(base, path, str(id_))
                answers.append(await stage.call(operation, replace(ready, body=body), ready.by))

            assert 400 <= answers[0].status_code < 500, f"{name}: {answers[0].text}"
            assert _shown(answers[0]) == _shown(answers[1]), name


@pytest.mark.row("F59")
async def test_a_list_asked_for_a_strangers_record_is_as_empty_as_for_none(stage: Stage) -> None:
    """Seeded: apply a filter before the caller's own condition, joined by OR."""
    asked = 0
    for operation in operations(stage.kit.runtime.name):
        ids = [
            name
            for name, parameter in operation.parameters("query").items()
            if "uuid" in str(parameter["schema"]) and "." not in name
        ]
        for name in ids:
            ready = await builder_of(operation)(stage, None)
            stranger = _stranger(operation, ready.relations or {})
            if stranger is None:
                continue  # everybody may read these
            own = await stage.call(operation, ready, ready.by)
            [id_] = {item[name] for item in own.json()["items"] if item["id"] == ready.listed}

            found = await stage.call(operation, replace(ready, query={name: id_}), ready.by)
            hidden = await stage.call(operation, replace(ready, query={name: id_}), stranger)
            nothing = replace(ready, query={name: str(new_id())})
            absent = await stage.call(operation, nothing, stranger)

            assert [item["id"] for item in found.json()["items"]] == [ready.listed]
            assert _shown(hidden) == _shown(absent), f"{operation} {name}"
            asked += 1
    assert asked == {"referral": 2, "reintegration": 1}.get(stage.kit.runtime.name, 0)


def _stranger(operation: Operation, relations: Any) -> Who | None:
    """Return a caller who may ask and to whom this record is not open."""
    row = authorisation(operation.service)[operation.name]
    assert isinstance(row, dict)
    closed = [role for role, granted in row.items() if not relations["other"] & set(granted)]
    return Who.of(closed[0], "other") if closed else None


async def _made_by_a_stranger(stage: Stage, kind: str) -> UUID:
    """Return a record of this kind, of an organisation that nobody else has to do with."""
    stranger, id_ = Who("SOCIAL_WORKER", ELSEWHERE, "stranger-1"), new_id()
    if kind == TRANSFER:
        accepted = CrossBorderChanged(
            referral_id=id_,
            direction="SENT",
            peer_country="XK",
            case_id=await _made_by_a_stranger(stage, CASE),
            organisation_id=ELSEWHERE,
            purpose="ASSISTANCE",
            data_groups=("IDENTITY",),
            urgency="HIGH",
            status="ARRIVED",
            on=date(2026, 3, 1),
        )
        await stage.hear(told("referral", id_, accepted))
        return id_
    if stage.kit.runtime.name == "referral":
        opened = CaseOpened(
            case_id=id_,
            organisation_id=ELSEWHERE,
            country="RS",
            beneficiary_kind="PRESUMED",
            identification_status="PRESUMED",
            sex="FEMALE",
            age_group="25-34",
            is_minor=False,
            urgency="HIGH",
            legal_basis="CONSENT",
            opened_on=date(2026, 3, 1),
        )
        await stage.hear(told("intake", id_, opened))
        return id_
    body = {"id": str(id_), "urgency": "HIGH"}
    if kind == NOTICE:
        body |= {"source": "CSW", "country": "RS"}
        await stage.do("POST", "/v1/notices", stranger, body)
    else:
        body |= {"beneficiary_kind": "AT_RISK", "sex": "MALE", "legal_basis": "PUBLIC_TASK"}
        await stage.do("POST", "/v1/cases", stranger, body)
    return id_


def _shown(answer: Any) -> tuple[int, list[tuple[str, str]], dict[str, Any]]:
    """Return all of an answer but what names this one request."""
    body = {name: value for name, value in answer.json().items() if name != "trace_id"}
    headers = [(n, v) for n, v in answer.headers.items() if n not in {*CHANGING, "content-length"}]
    return answer.status_code, headers, body
