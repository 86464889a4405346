"""The change feed tells nobody what a reading would refuse: another way to the same fact (T28).

What is expected comes from readings: for each event that a caller finds in the feed, the caller asks
for the record that the event is about, and must find there every member that the event tells.
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from common.clock import new_id
from common.codelists import codes
from common.settings import ServiceName
from tests.kit import open_service
from tests.surface.operations import description, operations
from tests.surface.stage import IDENTITIES, WHOLE_FEED, Stage, Who, builder_of, time_stands_still

READINGS: Mapping[str, str] = {
    "intake.notice.": "/v1/notices/{subject}",
    "intake.case.identification_": "/v1/cases/{subject}/identification",
    "intake.case.marker_": "/v1/cases/{subject}/markers/{marker_id}",
    "intake.case.consent_": "/v1/cases/{subject}/consents/{consent_id}",
    "intake.case.": "/v1/cases/{subject}",
    "referral.directory.organisation_": "/v1/organisations/{subject}",
    "referral.directory.service_": "/v1/services/{subject}",
    "referral.referral.cross_border_": "/v1/cross-border-referrals/{subject}",
    "referral.referral.package_": "/v1/cross-border-referrals/{subject}",
    "referral.referral.ownership_": "/v1/cross-border-referrals/{subject}",
    "referral.referral.": "/v1/referrals/{subject}",
    "reintegration.plan.agreement_": "/v1/plans/{subject}/agreements/{agreement_id}",
    "reintegration.plan.": "/v1/plans/{subject}",
}
"""Where the fact that an event tells is read, the more special kinds first."""

NOT_MADE = ("audit.", "phase_overdue", "expired", "closed_to_sender", "profile_changed")
"""Kinds that no single call of the surface makes, or that time makes."""

LAST_WORDS = ("intake.case.consent_withdrawn.",)
"""Who loses a record by such an event keeps the event that says so."""


@pytest.fixture(params=["intake", "referral", "reintegration"])
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    time_stands_still()
    service: ServiceName = request.param
    async with open_service(service, tmp_path) as kit:
        yield Stage(kit)


@pytest.mark.slow
@pytest.mark.row("F59")
async def test_the_feed_tells_nobody_what_a_reading_refuses(stage: Stage) -> None:
    """Seeded: filter the feed by organisation alone; leave a data group out of feed.json."""
    service = stage.kit.runtime.name
    for operation in operations(service):
        if operation.is_write:
            body = next(iter(operation.examples), None)
            if body is not None and "id" in body:
                body = {**body, "id": str(new_id())}
            ready = await builder_of(operation)(stage, body)
            assert (await stage.call(operation, ready, ready.by)).is_success, operation
    await stage.publish()
    readers = 0
    faults: list[str] = []
    for role in sorted(codes("actor_roles")):
        for identity in IDENTITIES:
            who = Who.of(role, identity)
            events = await _feed(stage, who)
            readers += bool(events)
            faults += [
                f"{event['type']} to {role}/{identity}: {fault}"
                for event in events
                if (fault := await _refused(stage, who, event))
            ]
    assert sorted(set(faults)) == [], "\n".join(sorted(set(faults)))
    assert readers > 3


@pytest.mark.row("F59")
async def test_who_may_read_all_of_it_is_told_every_kind(stage: Stage) -> None:
    # Fails when a kind of event is hidden from everybody, which would pass the test above.
    service = stage.kit.runtime.name
    authorisation = stage.kit.runtime.authorisation

    told = {
        kind
        for role in codes("actor_roles")
        for kinds in authorisation.readings(role).values()
        for kind in kinds
    }

    assert {kind for kind in authorisation.told if ".audit." not in kind} <= told, service


async def _feed(stage: Stage, who: Who) -> list[dict[str, Any]]:
    answer = await stage.request("GET", "/v1/changes", who, params=WHOLE_FEED)
    items: list[dict[str, Any]] = answer.json()["items"] if answer.is_success else []
    return items


async def _refused(stage: Stage, who: Who, event: dict[str, Any]) -> str | None:
    """Return what the event tells and the caller cannot read, None where there is nothing."""
    path = next(path for kind, path in READINGS.items() if event["type"].startswith(kind))
    if who.organisation_id != IDENTITIES["own"][0] and event["type"].startswith(LAST_WORDS):
        return None
    answer = await stage.request("GET", path.format(subject=event["subject"], **event["data"]), who)
    if not answer.is_success:
        return f"{answer.status_code} by GET"
    told = event["data"].keys() & _members(stage, path)
    return ", ".join(sorted(told - _found(answer.json()))) or None


def _members(stage: Stage, path: str) -> set[str]:
    """Return the members that the description gives the answer of a reading to somebody."""
    document = description(stage.kit.runtime.name)
    shape = path.replace("{subject}", "{id}")
    for known, item in document["paths"].items():
        if _shape(known) == _shape(shape) and "get" in item:
            return _named(document, item["get"]["responses"]["200"])
    raise LookupError(path)


def _shape(path: str) -> list[str]:
    return ["{}" if part.startswith("{") else part for part in path.split("/")]


def _named(document: Mapping[str, Any], schema: Any) -> set[str]:
    """Return the names of all properties in a schema, followed through references."""
    found: set[str] = set()
    if isinstance(schema, list):
        return found.union(*(_named(document, each) for each in schema))
    if not isinstance(schema, dict):
        return found
    if "$ref" in schema and "/schemas/" in schema["$ref"]:
        name = schema["$ref"].rpartition("/")[2]
        found |= _named(document, document["components"]["schemas"][name])
    found |= set(schema.get("properties", {}))
    return found.union(*(_named(document, each) for each in schema.values()))


def _found(content: Any) -> set[str]:
    """Return the names of all members of an answer, those inside others too."""
    if isinstance(content, list):
        return set[str]().union(*map(_found, content))
    if not isinstance(content, dict):
        return set()
    return {*content}.union(*map(_found, content.values()))
