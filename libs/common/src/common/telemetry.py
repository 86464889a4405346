"""Metrics of one process, for a scraper on the same machine only.

Labels come from fixed sets; never an id. Request counts tell how busy a service is, which is why
they are not for the world.
"""

from contextlib import AbstractContextManager, nullcontext

from opentelemetry import trace
from prometheus_client import Counter, Gauge, Histogram

_TRACER = trace.get_tracer("prag")
_NO_SPAN: AbstractContextManager[None] = nullcontext()

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
INBOX = Counter("prag_inbox_total", "Deliveries by what became of them", ["service", "outcome"])
CONSUMER_LAG_AT = Gauge(
    "prag_consumer_last_progress_timestamp_seconds", "When the consumer last advanced", ["service"]
)
AUDIT_UNSEALED = Gauge("prag_audit_unsealed", "Audit entries not yet in the chain", ["service"])


def span(operation: str) -> AbstractContextManager[object]:
    """Open a span that carries the operation's name; without an OpenTelemetry SDK it costs nothing."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return _NO_SPAN
    return _TRACER.start_as_current_span(operation, record_exception=False)
