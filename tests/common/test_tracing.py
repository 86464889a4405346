"""Tracing: one trace leads from the request to what a consumer did with its event."""

from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext
from sqlalchemy import select

from common.consumer import Consumer
from common.db import Database
from common.events import Event
from common.relay import Relay
from common.sealing import ServiceBox
from common.tables import AuditEntry
from common.telemetry import TRACEPARENT
from common.unit import Unit
from tests.common.things import HANDLERS, TOPIC, ThingMade, on_bus, on_thing, outbox, trails
from tests.common.tiny import TABLE, Tiny
from tests.conftest import MASTER, fixed_id

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # pragma: allowlist secret
CANARY = "Ana-Canary-Марковић"
THINGS = "/v1/things"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """An SDK as `opentelemetry-instrument` sets it up for a process, undone afterwards."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


async def relayed(tiny: Tiny) -> None:
    relay = Relay(tiny.runtime.database, tiny.runtime.bus, service="intake")
    await relay.lead()
    await relay.publish_waiting()


async def consumed(tiny: Tiny, database: Database) -> Consumer:
    """Let a consumer take what is on the bus, as a worker does."""
    consumer = Consumer(database, HANDLERS, service="seeing", box=ServiceBox(MASTER, "seeing"))
    bus = tiny.runtime.bus
    subscription = await bus.subscribe([TOPIC], group="seeing", position_of=consumer.claim)
    await consumer.accept_all(await subscription.poll(seconds=0))
    return consumer


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def by_name(found: Sequence[ReadableSpan]) -> dict[str, ReadableSpan]:
    return {span.name: span for span in found}


@pytest.mark.row("F90")
async def test_one_trace_leads_from_the_request_to_the_consumers_effect(
    tiny: Tiny, database: Database, spans: InMemorySpanExporter
) -> None:
    """The caller's trace goes on in the event, and from the event to its handler.

    Seeded: begin the request's span, or the consumer's, without the parent it was given.
    """
    answer = await tiny.post(THINGS, {"label": "a thing"}, headers={"traceparent": GIVEN})
    await relayed(tiny)
    await consumed(tiny, database)

    found = by_name(spans.get_finished_spans())
    request, batch, effect = found["create_thing"], found["relay"], found[ThingMade.type]
    caller = TRACEPARENT.fullmatch(GIVEN)
    assert caller is not None
    assert answer.status_code == 201
    assert answer.headers["trace-id"] == caller[1]
    assert {f"{context_of(s).trace_id:032x}" for s in (request, effect)} == {caller[1]}
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == caller[2]
    assert effect.parent is not None
    assert effect.parent.span_id == context_of(request).span_id
    assert [link.context.trace_id for link in batch.links] == [int(caller[1], 16)]
    assert await trails(database) != {}


async def test_a_request_without_a_caller_begins_a_trace_of_its_own(
    tiny: Tiny, database: Database, spans: InMemorySpanExporter
) -> None:
    # Fails when the answer, the audit entry or the event name another trace than the span.
    answer = await tiny.post(THINGS, {"label": "a thing"})

    [request] = spans.get_finished_spans()
    trace_id = f"{context_of(request).trace_id:032x}"
    [event] = await outbox(database)
    [entry] = await database.fetch(select(AuditEntry))
    assert request.parent is None
    assert answer.headers["trace-id"] == entry.trace_id == trace_id
    told = TRACEPARENT.fullmatch(event.traceparent or "")
    assert told is not None
    assert told.groups()[:2] == (trace_id, f"{context_of(request).span_id:016x}")


@pytest.mark.row("F90")
async def test_a_span_tells_operation_service_and_outcome_and_nothing_else(
    tiny: Tiny, database: Database, spans: InMemorySpanExporter
) -> None:
    """Seeded: record exceptions; name a span by its URL; add the subject as an attribute."""

    async def broken(_: Unit, __: Event) -> None:
        raise KeyError(CANARY)

    thing_id = (await tiny.post(THINGS, {"label": CANARY})).json()["id"]
    await tiny.get(f"{THINGS}/{thing_id}")
    await tiny.get(f"{THINGS}/{fixed_id(9)}?{CANARY}={CANARY}")
    await tiny.post(THINGS, {"label": CANARY, CANARY: CANARY})
    await relayed(tiny)
    failing = Consumer(
        database,
        {ThingMade.type: broken},
        service="failing",
        box=ServiceBox(MASTER, "failing"),
        pause=_at_once,
    )
    bus = tiny.runtime.bus
    subscription = await bus.subscribe([TOPIC], group="failing", position_of=failing.claim)
    await failing.accept_all(await subscription.poll(seconds=0))

    found = spans.get_finished_spans()
    assert {span.name for span in found} <= {*TABLE, "relay", ThingMade.type}
    assert {key for span in found for key in span.attributes or ()} == {
        "operation",
        "service",
        "status",
    }
    assert {(span.attributes or {})["service"] for span in found} == {"intake", "failing"}
    assert {(span.attributes or {}).get("status") for span in found} == {"2xx", "4xx", None}
    told = "".join(span.to_json() for span in found)
    assert CANARY not in told
    assert thing_id not in told
    assert [event for span in found for event in span.events] == []


async def test_without_an_sdk_events_still_name_the_request_that_caused_them(
    tiny: Tiny, database: Database
) -> None:
    # Fails when the trace ends at the bus: the entries of two services could not be put together.
    await tiny.post(THINGS, {"label": "a thing"}, headers={"traceparent": GIVEN})
    await relayed(tiny)
    consumer = Consumer(
        database, {ThingMade.type: _noting}, service="seeing", box=ServiceBox(MASTER, "seeing")
    )
    bus = tiny.runtime.bus
    subscription = await bus.subscribe([TOPIC], group="seeing", position_of=consumer.claim)
    await consumer.accept_all(await subscription.poll(seconds=0))

    [event] = await on_bus(tiny.runtime.bus)
    entries = await database.fetch(select(AuditEntry).order_by(AuditEntry.id))
    assert (event.traceparent or "").startswith(GIVEN[:36])
    assert [(entry.action, entry.trace_id) for entry in entries] == [
        ("create", GIVEN[3:35]),
        ("noted", GIVEN[3:35]),
    ]


async def _noting(unit: Unit, event: Event) -> None:
    await on_thing(unit, event)
    unit.audit("noted", "thing", [str(event.subject)])


async def _at_once(_: float) -> None:
    return None
