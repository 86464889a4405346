"""Consumer contracts: each handler takes every event its snapshot allows, and those to come (F74)."""

from collections.abc import AsyncIterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from common.clock import new_id
from common.consumer import with_audit_heads
from common.events import Event, topic_of
from common.federation.keys import SealingKey
from common.federation.package import seal_package
from common.settings import ServiceName
from tests.contracts.snapshot import event_classes, load
from tests.kit import Kit, handlers_of, open_service
from tests.peers import keeper
from tests.surface.operations import SERVICES

EVENTS = event_classes()
CODES = {
    "^[A-Z]{2}$": "RS",
    "^[a-z][a-z_]*\\.[0-9]{4}-[0-9]{1,3}$": "identification.2026-1",
    "^[A-Za-z0-9][A-Za-z0-9._-]*$": "worker-1",
}
"""A string for each pattern that is not simply a code."""

KNOWN = {"sex": "FEMALE", "age_group": "25-34", "month": "2026-03"}
NEWER = "A_CODE_OF_A_LATER_RELEASE"


@pytest.fixture(params=SERVICES)
async def kit(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    service: ServiceName = request.param
    async with open_service(service, tmp_path) as opened:
        keeper("RS").settle_in(opened.runtime)
        yield opened


def handled(kit: Kit) -> list[str]:
    return sorted(with_audit_heads(kit.runtime.name, handlers_of(kit.runtime)))


FORMS = ("whole", "least", "with an addition", "with nulls")
FIRST = {
    "intake.case": "intake.case.opened.v1",
    "referral.referral": "referral.referral.drafted.v1",
    "reintegration.plan": "reintegration.plan.opened.v1",
}
"""With what an aggregate's events begin; the others rest on it."""

WHAT_IT_RESTS_ON = {
    "intake.case.consent_withdrawn.v1": ("intake.case.consent_granted.v1",),
    "referral.referral.ownership_heard.v1": ("referral.referral.package_received.v1",),
}


def payload(event_type: str, subject: UUID, form: str) -> dict[str, Any]:
    """Return a payload the published form allows: all, the least, more than we know, or nulls."""
    schema = load(event_type)
    assert schema is not None, f"{event_type} has no snapshot"
    parts: dict[str, dict[str, Any]] = schema["properties"]
    whole = {name: _value(part, name) for name, part in parts.items()}
    own = f"{event_type.split('.')[-3]}_id"
    # A consent is granted and withdrawn under one id; here it is its case's.
    whole |= {name: str(subject) for name in (own, "consent_id") if name in whole}
    if "package" in whole:
        whole["package"] = _package(whole)
    match form:
        case "least":
            return {name: whole[name] for name in schema.get("required", [])}
        case "with an addition":
            return whole | {"added_later": NEWER}
        case "with nulls":
            return {n: None if _may_be_null(part) else whole[n] for n, part in parts.items()}
    return whole


def _package(whole: Mapping[str, Any]) -> str:
    """Return a package that opens: of the payloads, it alone has a form of its own inside."""
    facts = {"sex": NEWER, "beneficiary_kind": NEWER, "identification_status": NEWER}
    return seal_package(
        facts,
        to=SealingKey(keeper("RS").packages[-1]).public,
        sender=whole.get("sender_country", "RS"),
        recipient="RS",
        referral_id=UUID(whole["referral_id"]),
    )


def story(event_type: str, form: str) -> list[Event]:
    """Return the event in this form, after the first one of its aggregate."""
    subject, topic = new_id(), topic_of(event_type)
    before = [*WHAT_IT_RESTS_ON.get(event_type, ()), FIRST.get(topic, event_type)]
    types = [*(kind for kind in reversed(before) if kind != event_type), event_type]
    return [
        Event(
            source=f"/RS/{topic.partition('.')[0]}",
            type=kind,
            subject=subject,
            seq=seq,
            data=payload(kind, subject, form),
        )
        for seq, kind in enumerate(types, 1)
    ]


def _may_be_null(part: dict[str, Any]) -> bool:
    return {"type": "null"} in part.get("anyOf", [])


def _value(part: dict[str, Any], name: str) -> Any:
    options = [option for option in part.get("anyOf", [part]) if option.get("type") != "null"]
    option = options[0]
    match option.get("type"):
        case "boolean":
            return True
        case "integer":
            return max(option.get("minimum", 1), 1)
        case "array":
            return [_value(option["items"], name)]
        case "string":
            return _text(option, name)
    return option.get("const", option.get("enum", [None])[0])


def _text(option: dict[str, Any], name: str) -> str:
    if name in KNOWN:
        return KNOWN[name]
    if option.get("format") == "uuid":
        return str(new_id())
    if option.get("format") in {"date", "date-time"}:
        return "2026-03-02" if option["format"] == "date" else "2026-03-02T09:00:00Z"
    if "const" in option or "enum" in option:
        return str(option.get("const", option.get("enum", [""])[0]))
    return CODES.get(option.get("pattern", ""), "SHELTER")


def test_every_event_a_service_handles_is_published_by_another() -> None:
    # Fails for a handler of an event nobody tells, or no longer tells under this version.
    for service in SERVICES:
        handlers = import_module(f"{service}.consumers").HANDLERS
        assert handlers, service
        assert set(handlers) <= set(EVENTS), service
        assert not {kind for kind in handlers if kind.startswith(f"{service}.")}, service


@pytest.mark.row("F74")
async def test_a_handler_takes_every_form_its_snapshot_allows(kit: Kit) -> None:
    """Seeded: read an optional field as if it were always there; forbid fields that come later."""
    for event_type in handled(kit):
        for form in FORMS:
            told = story(event_type, form)
            assert {*await kit.hear(*told)} == {"applied"}, f"{event_type} {form}: {told[-1].data}"


@pytest.mark.row("F74")
async def test_an_event_of_a_type_nobody_handles_yet_holds_nobody_up(kit: Kit) -> None:
    # Fails when a sibling's newer release, which tells one more fact, blocks the aggregate.
    [known] = story(FIRST["intake.case"], "whole")
    newer = known.model_copy(
        update={"id": new_id(), "type": "intake.case.told_by_a_later_release.v1", "seq": 2}
    )

    assert await kit.hear(known, newer) == ["applied", "applied"]
