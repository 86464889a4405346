"""Payloads that the published form of an event allows, and the events each of them follows."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from common.clock import new_id
from common.events import Event, topic_of
from common.federation.keys import SealingKey
from common.federation.package import seal_package
from tests.contracts.snapshot import HEX, Schema, load
from tests.peers import Keeper

CODES = {
    "^[A-Z]{2}$": "RS",
    "^[a-z][a-z_]*\\.[0-9]{4}-[0-9]{1,3}$": "identification.2026-1",
    "^[A-Za-z0-9][A-Za-z0-9._-]*$": "worker-1",
    "^[a-z]{2,3}(-[A-Z][a-z]{3})?$": "sr-Latn",
    "^([0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}\\+|UNKNOWN)$": "25-34",
}
"""A string for each pattern that is not simply a code."""

KNOWN = {"sex": "FEMALE", "month": "2026-03"}
NEWER = "A_CODE_OF_A_LATER_RELEASE"

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


@cache
def register_keeper() -> Keeper:
    """Return the country whose register opens the packages here: its key is always the same one."""
    made = Keeper("RS")
    raw = bytes(range(96))
    made.packages.append(raw)
    public = SealingKey(raw).public
    made.add("package", public.raw, public.kid, since=datetime.fromisoformat("2026-10-01T00:00Z"))
    return made


def story(
    event_type: str, form: str, *, schema_of: Callable[[str], Schema | None] = load
) -> list[Event]:
    """Return the event in this form, after those of its aggregate that it rests on."""
    subject, topic = new_id(), topic_of(event_type)
    before = [*WHAT_IT_RESTS_ON.get(event_type, ()), FIRST.get(topic, event_type)]
    types = [*(kind for kind in reversed(before) if kind != event_type), event_type]
    return [
        Event(
            source=f"/RS/{topic.partition('.')[0]}",
            type=kind,
            subject=subject,
            seq=seq,
            data=payload(kind, subject, form, schema_of(kind)),
        )
        for seq, kind in enumerate(types, 1)
    ]


def payload(event_type: str, subject: UUID, form: str, schema: Schema | None) -> dict[str, Any]:
    """Return a payload the published form allows: all, the least, more than we know, or nulls."""
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
        to=SealingKey(register_keeper().packages[-1]).public,
        sender=whole.get("sender_country", "RS"),
        recipient="RS",
        referral_id=UUID(whole["referral_id"]),
    )


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
    pattern = option.get("pattern", "")
    if (digits := HEX.fullmatch(pattern)) is not None:
        return "0" * int(digits[1])
    return CODES.get(pattern, "SHELTER")
