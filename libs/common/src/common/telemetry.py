"""Metrics of one process, for a scraper on the same machine only.

Labels come from fixed sets; never an id. Request counts tell how busy a service is, which is why
they are not for the world.
"""

import json
import os
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from prometheus_client import Counter, Gauge, Histogram

TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""W3C Trace Context, version 00: trace id, id of the span that caused this, flags."""

PRODUCER, CONSUMER, SERVER = SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.SERVER

_NO_SPAN: AbstractContextManager[Span] = nullcontext(trace.INVALID_SPAN)

HTTP_SECONDS = Histogram(
    "prag_http_request_seconds",
    "Time to answer",
    ["service", "operation", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
HTTP_DENIED = Counter(
    "prag_http_denied_total", "Requests refused by authorisation", ["service", "operation"]
)
OUTBOX_PENDING = Gauge(
    "prag_outbox_pending", "Events the relay found waiting, at most one batch", ["service"]
)
RELAY_EPOCH = Gauge("prag_relay_epoch", "Epoch under which this relay leads", ["service"])
RELAY_PUBLISHED = Counter("prag_relay_published_total", "Events published", ["service"])
STALE_EPOCH = Counter(
    "prag_stale_epoch_rejected_total", "Marks refused to a former leader", ["service"]
)
PRODUCER_REBUILDS = Counter(
    "prag_relay_producer_rebuilds_total", "Producers thrown away after an error", ["service"]
)
CONSUMER_REBUILDS = Counter(
    "prag_consumer_rebuilds_total",
    "Subscriptions begun anew after an error or silence",
    ["service"],
)
BUS_OUTSIDE_LOG = Gauge(
    "prag_consumer_outside_log",
    "1 for a partition that rests because its position lies outside the log",
    ["service", "topic", "partition"],
)
INBOX = Counter("prag_inbox_total", "Deliveries by what became of them", ["service", "outcome"])
CONSUMER_LAG_AT = Gauge(
    "prag_consumer_last_progress_timestamp_seconds", "When the consumer last advanced", ["service"]
)
CONSUMER_LAG_EVENTS = Gauge(
    "prag_consumer_lag_events",
    "Events on the bus that the service has not taken",
    ["service", "topic"],
)
CONSUMER_LAG_SECONDS = Gauge(
    "prag_consumer_lag_seconds",
    "Age of the oldest event on the bus that the service has not taken",
    ["service", "topic"],
)
OUTBOX_LAG_SECONDS = Gauge(
    "prag_outbox_lag_seconds", "Age of the oldest event not yet published", ["service"]
)
PARKED = Gauge(
    "prag_consumer_parked", "Aggregates of which no event is applied any more", ["service"]
)
GAP_SECONDS = Gauge(
    "prag_consumer_gap_seconds",
    "How long the oldest event has waited for an earlier one of its record",
    ["service"],
)
DEAD_LETTERS = Gauge("prag_dead_letters", "Records kept that can never be applied", ["service"])
BACKLOG_READABLE = Gauge(
    "prag_backlog_readable",
    "1 while this tells what waits, else 0; of: database, bus",
    ["service", "of"],
)
ISSUER_KEYS_KNOWN = Gauge(
    "prag_issuer_keys_known",
    "1 while the API holds keys of the issuer by which it knows callers, else 0: then it answers 503",
    ["service"],
)
ISSUER_KEYS_AGE_SECONDS = Gauge(
    "prag_issuer_keys_age_seconds",
    "How long ago the issuer last confirmed its keys; none before it ever did, or of keys in a file",
    ["service"],
)
CUSTODY_FORKS = Gauge(
    "prag_custody_forks",
    "Referrals of which a peer has signed two statements under one number",
    ["service"],
)
PEERS_TO_HEAR = Gauge(
    "prag_peers_to_hear",
    "Peers that have not yet told a country put back from a backup what they heard of it",
    ["service"],
)
LETTERS_WAIT_SECONDS = Gauge(
    "prag_letters_wait_seconds",
    "Age of the oldest word to a peer country that has not left yet; none where nothing waits",
    ["service", "country"],
)
LETTERS_UNHEARD_SECONDS = Gauge(
    "prag_letters_unheard_seconds",
    "Age of the oldest letter that left for a peer country and that it has not confirmed; none where "
    "it has confirmed all",
    ["service", "country"],
)
EXCHANGE_BEGUN_ANEW = Gauge(
    "prag_exchange_begun_anew",
    "Times in the last fifteen minutes that sending or taking letters ended and was begun anew",
    ["service"],
)
OWN_KEY_DAYS = Gauge(
    "prag_own_key_days",
    "Days until this country has no key any more of a use: seal, package or sign; none where it has none",
    ["service", "use"],
)
ARCHIVE_FAILS = Gauge(
    "prag_archive_fails",
    "1 while PostgreSQL cannot archive its write-ahead log, so that what is written is in no backup",
    ["service"],
)
ARCHIVE_OFF = Gauge(
    "prag_archive_off",
    "1 where PostgreSQL archives nothing of its write-ahead log",
    ["service"],
)
AUDIT_UNSEALED = Gauge("prag_audit_unsealed", "Audit entries not yet in the chain", ["service"])


def span(
    name: str,
    *,
    service: str,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: str | None = None,
    causes: Iterable[bytes] = (),
) -> AbstractContextManager[Span]:
    """Open a span; without an OpenTelemetry SDK it costs nothing and records nothing.

    An SDK that is installed and set up for the process (`opentelemetry-instrument`) is used as it
    is. `parent` is a traceparent from outside; `causes` are events, to whose traces a batch is
    linked. A span carries `operation`, `service` and later `status`: never an id of ours, never an
    error's text.
    """
    if not _is_traced():
        return _NO_SPAN
    context = trace.set_span_in_context(NonRecordingSpan(_context(parent))) if parent else None
    links = [Link(_context(given)) for given in map(_traceparent_of, causes) if given]
    return trace.get_tracer("prag").start_as_current_span(
        name,
        context=context,
        kind=kind,
        attributes={"operation": name, "service": service},
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    )


def new_trace_id() -> str:
    return os.urandom(16).hex()


def traceparent(trace_id: str) -> str | None:
    """Return what names the present span to others; without an SDK, the request by its trace id."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    made = f"00-{trace_id}-{os.urandom(8).hex()}-00"
    return made if TRACEPARENT.fullmatch(made) else None


def trace_id_of(given: str | None) -> str:
    """Return the trace id of a traceparent; an empty text if there is none."""
    match = TRACEPARENT.fullmatch(given or "")
    return match[1] if match else ""


def _is_traced() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _context(given: str) -> SpanContext:
    _, trace_id, span_id, flags = given.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )


def _traceparent_of(event: bytes) -> str | None:
    given = json.loads(event).get("traceparent", "")
    return given if TRACEPARENT.fullmatch(given) else None
