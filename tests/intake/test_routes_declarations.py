"""Ethnicity and health as a person declares them, and that nothing of it gets out (F5)."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
from prometheus_client import generate_latest
from sqlalchemy import select

from common import logs
from common.auth import Principal
from common.db.base import unit_of
from common.here import Here
from common.relay import Relay
from common.tables import AuditEntry
from common.unit import StaleError
from intake.commands.declaration import SEALED_BYTES, record_declaration
from intake.commands.disclosure import disclose_declarations
from intake.models import Case, Declaration
from intake.schemas.declaration import DeclarationRecord
from tests.common.things import fail_on, mend
from tests.intake.bodies import CASE, consent, guardian, opened, version
from tests.kit import HOME, Kit

URL = f"/v1/cases/{CASE}/declarations"
WORDS = "Romani čhaj, Gurbet"
TRACES = ("ETHNIC", "ROMA", "Roma", "čhaj", "DISABILITY", "PREGNANCY")


def nth(number: int) -> UUID:
    return UUID(f"30000000-0000-4000-8000-{number:012x}")


def body(category: str = "ETHNICITY_ROMA", number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": str(nth(number)),
        "category": category,
        "own_words": WORDS,
        "self_declared": True,
        "purposes": ["ASSISTANCE"],
    } | fields


async def agreed(caller: httpx.AsyncClient, **terms: Any) -> str:
    """Record the explicit consent; return where it is."""
    explicit = {"purposes": ["ASSISTANCE", "PROTECTION"], "data_groups": ["IDENTITY", "HEALTH"]}
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=consent(**explicit | terms))
    assert granted.status_code == 201, granted.text
    return granted.headers["Location"]


async def declared(caller: httpx.AsyncClient, *args: Any, **fields: Any) -> httpx.Response:
    answer = await caller.post(URL, json=body(*args, **fields))
    assert answer.status_code == 201, answer.text
    return answer


async def shown(caller: httpx.AsyncClient, purpose: str = "ASSISTANCE") -> list[str]:
    answer = await caller.get(f"{URL}?purpose={purpose}")
    assert answer.status_code == 200, answer.text
    return [item["category"] for item in answer.json()["items"]]


@pytest.mark.row("F5")
async def test_what_she_says_of_herself_is_read_for_what_she_agreed_to(kit_on_each: Kit) -> None:
    """Seeded: leave the purpose out of `disclose_declarations`."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await agreed(caller)
    answer = await declared(caller)
    await declared(caller, "PREGNANCY", 2, purposes=["PROTECTION"], own_words=None)

    read = await caller.get(f"{URL}?purpose=ASSISTANCE")

    [item] = read.json()["items"]
    assert (item["category"], item["own_words"]) == ("ETHNICITY_ROMA", WORDS)
    assert item["purposes"] == ["ASSISTANCE"]
    assert await shown(caller, "PROTECTION") == ["PREGNANCY"]
    assert await shown(caller, "RESEARCH") == []
    fact = (await caller.get(answer.headers["Location"])).json()
    assert set(fact) == {"id", "case_id", "recorded_by", "recorded_at", "withdrawn_at"}
    assert answer.json() == fact


@pytest.mark.row("F5")
@pytest.mark.parametrize(
    ("fields", "terms", "status", "code"),
    [
        ({"self_declared": False}, {}, 422, "declaration.not_self_declared"),
        ({"purposes": []}, {}, 422, "field.length"),
        ({"purposes": ["RESEARCH"]}, {}, 403, "consent.missing"),
        ({}, {"purposes": []}, 403, "consent.missing"),
        ({}, {"data_groups": ["HEALTH"]}, 403, "consent.missing"),
        ({}, {"scope": "ASSISTANCE"}, 403, "consent.missing"),
    ],
)
async def test_nobody_is_assigned_to_a_community(
    kit: Kit, fields: dict[str, Any], terms: dict[str, Any], status: int, code: str
) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await agreed(caller, **terms)

    refused = await caller.post(URL, json=body(**fields))

    assert refused.status_code == status, refused.text
    codes = [refused.json()["code"], *(e["code"] for e in refused.json().get("errors", []))]
    assert code in codes
    assert await kit.rows(select(Declaration)) == []


async def test_for_a_child_the_guardian_agrees(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, birth_date="2012-05-17")
    await agreed(caller, **guardian())

    assert await shown(caller) == []
    await declared(caller)
    assert await shown(caller) == ["ETHNICITY_ROMA"]


@pytest.mark.row("F5")
async def test_a_withdrawal_closes_it_and_a_declaration_taken_back_is_gone(kit: Kit) -> None:
    """Seeded: keep `content` at the withdrawal."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    consent_url = await agreed(caller)
    first = await declared(caller)
    await declared(caller, "DISABILITY", 2)

    taken_back = await caller.post(f"{first.headers['Location']}/withdraw")
    twice = await caller.post(f"{first.headers['Location']}/withdraw")
    remaining = await shown(caller)
    await caller.post(f"{consent_url}/withdraw", json={})

    assert taken_back.status_code == 200
    assert taken_back.json()["withdrawn_at"] is not None
    assert twice.json()["code"] == "declaration.already_withdrawn"
    assert remaining == ["DISABILITY"]
    assert await shown(caller) == []
    rows = await kit.rows(select(Declaration).order_by(Declaration.id))
    assert [row.content is None for row in rows] == [True, False]


async def test_whoever_it_is_not_for_has_no_way_to_it(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await agreed(caller)
    await declared(caller)

    for role in ("SHELTER_STAFF", "POLICE_INVESTIGATOR", "ANALYST", "DPO", "VICTIM_ADVOCATE"):
        refused = await kit.caller(role).get(f"{URL}?purpose=ASSISTANCE")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), role
    assert (await caller.get(URL)).status_code == 400


async def test_a_look_is_in_the_trail_before_it_is_given(kit_on_each: Kit) -> None:
    """Seeded: `unit.disclose` left out, or with the group of what was found."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await agreed(caller)
    await declared(caller)
    await shown(caller)

    [entry] = await kit.audit(operation="list_declarations")
    assert (entry.action, entry.subject, entry.purpose) == ("read", CASE, "ASSISTANCE")
    assert (entry.data_groups, entry.legal_basis) == (["HEALTH", "IDENTITY"], "CONSENT")
    url = kit.runtime.settings.database_url
    fail_on(url, "audit_entry", "NEW.operation = 'list_declarations'", code="53100")
    refused = await caller.get(f"{URL}?purpose=ASSISTANCE")
    mend(url, "audit_entry")
    assert refused.status_code >= 500
    assert "ROMA" not in refused.text


async def test_the_sealed_bytes_do_not_tell_by_their_length(kit: Kit) -> None:
    """Seeded: seal the content as it is; ROMA is two letters shorter than ASHKALI and so on."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await agreed(caller)
    longest = '"\\' * 50 + "\U00010400" * 100
    await declared(caller, own_words=longest, purposes=["ASSISTANCE", "PROTECTION"])
    await declared(caller, "PREGNANCY", 2, own_words=None)

    lengths = {len(row.content.box) for row in await kit.rows(select(Declaration.content))}

    assert len(lengths) == 1
    assert lengths.pop() > SEALED_BYTES


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """Logging as a service sets it up, into a file beside the service's; undone afterwards."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    path = tmp_path / "prag.log"
    with path.open("w") as stream:
        logs.configure(stream)
        yield path
        logging.captureWarnings(capture=False)
        root.handlers[:], root.level, sys.excepthook = handlers, level, hook
        structlog.configure(**before)


@pytest.mark.row("F5", "S29")
async def test_ethnicity_and_health_leave_no_trace(kit: Kit, log_file: Path) -> None:
    """Not in an event, the bus's file, the feed, a log line, a metric or the database (leak test).

    Seeded: an event of the declaration; the category in a column or in the audit's data_groups.
    """
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await agreed(caller)
    told_before = len(await kit.events())
    first = await declared(caller)
    await declared(caller, "PREGNANCY", 2)
    await declared(caller, "DISABILITY", 3)
    await shown(caller)
    refused = [
        await caller.post(URL, json=body(number=4, purposes=["RESEARCH"])),
        await caller.post(URL, json=body(number=5, self_declared=False)),
        await caller.post(URL, json=body(number=6, ethnicity="ROMA")),
        await kit.caller("DPO").post(URL, json=body(number=8)),
    ]
    await caller.post(f"{first.headers['Location']}/withdraw")
    relay = Relay(kit.runtime.database, kit.runtime.bus, service="intake")
    await relay.lead()
    while await relay.publish_waiting():
        pass

    assert len(await kit.events()) == told_before, (
        "nobody is told, not even that there is something"
    )
    places = {
        "events": b"".join(event.to_bytes() for event in await kit.events()),
        "feed": (await caller.get("/v1/changes")).content,
        "access log": (await caller.get(f"/v1/cases/{CASE}/access-log")).content,
        "case": (await caller.get(f"/v1/cases/{CASE}")).content,
        "trail": repr(await kit.rows(select(AuditEntry))).encode(),
        "refusals": b"".join(answer.content for answer in refused),
        "metrics": generate_latest(),
        "files": kit.stored_bytes(),
        "log": log_of(log_file),
    }
    assert all(400 <= answer.status_code < 500 for answer in refused)
    assert {place: found for place, content in places.items() if (found := traces(content))} == {}

    # The scanner is no good if it does not find what was planted.
    planted = unit_of(kit.runtime.database, source="/RS/intake", operation="test")
    planted.update(Case, {"id": CASE}, worker="ETHNICITY_ROMA")
    await kit.runtime.database.write(planted)
    assert traces(kit.stored_bytes()) == ["ETHNIC", "ROMA"]


async def test_a_category_there_is_not_is_refused_alike_whatever_it_was(kit: Kit) -> None:
    # Fails when the answer, which names the categories there are, depends on the one that was sent.
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await agreed(caller)

    answers = [
        (await caller.post(URL, json=body(category, 7))).json() | {"trace_id": ""}
        for category in ("ROMA", "X")
    ]

    assert answers[0] == answers[1]
    assert answers[0]["errors"][0]["code"] == "field.choice"


def log_of(file: Path) -> bytes:
    return file.read_bytes()


def traces(content: bytes) -> list[str]:
    """Return what of a declaration stands in `content`; labels of the lists are not in any place."""
    return [
        trace
        for trace in TRACES
        if any(trace.encode(e) in content for e in ("utf-8", "utf-16-le", "unicode_escape"))
    ]


async def test_a_declaration_is_no_change_that_is_told(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await agreed(caller)
    before = await version(caller)
    await declared(caller)

    assert await version(caller) == before


async def test_a_withdrawal_that_comes_meanwhile_stops_record_and_answer(kit: Kit) -> None:
    """Seeded: drop `require_unchanged` from `record_declaration` or `disclose_declarations`."""
    caller, here = kit.caller("SOCIAL_WORKER"), Here("RS", "Europe/Belgrade")
    await opened(caller)
    consent_url = await agreed(caller)
    await declared(caller)
    worker = Principal(
        "worker-1",
        HOME,
        "SOCIAL_WORKER",
        relations=frozenset({"own"}),
        data_groups=frozenset({"IDENTITY"}),
    )
    units = [
        unit_of(kit.runtime.database, source="/RS/intake", operation=name)
        for name in ("record_declaration", "list_declarations")
    ]
    new = DeclarationRecord.model_validate(body(number=2))
    await record_declaration(units[0], CASE, new, principal=worker, here=here)
    found = await disclose_declarations(
        units[1], CASE, purpose="ASSISTANCE", principal=worker, here=here
    )
    await caller.post(f"{consent_url}/withdraw", json={})

    assert [each.category for each in found] == ["ETHNICITY_ROMA"]
    for unit in units:
        with pytest.raises(StaleError):
            await kit.runtime.database.write(unit)
    assert len(await kit.rows(select(Declaration))) == 1
