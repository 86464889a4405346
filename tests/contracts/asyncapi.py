"""The event catalogue as an AsyncAPI 3.0 document, made from the contracts themselves."""

import inspect
from typing import Any

from common.events import CHECKSUM_SCHEMA, EventData, topic_of
from common.telemetry import TRACEPARENT
from tests.contracts.snapshot import event_classes

_ENVELOPE_NOTE = (
    "CloudEvents 1.0, structured JSON mode. `subject` is the aggregate, `seq` counts its events from 1; "
    "the record's key is the subject, so the events of an aggregate keep their order. Delivered at least "
    "once: drop what you have seen by `id`. Of an event whose content was erased, `id`, `subject` and "
    "`seq` stay: sent again it is of the type `<topic>.emptied.v1` and its `data` are empty. Drop it if "
    "you have seen its `id`, else pass it over.\n\n"
    "Who has no connection to the bus reads the same events over HTTP: `GET /v1/changes` of each "
    "service gives those that concern the caller's organisation, in the order of their publication. "
    "The feed has no last page: `next` is never null and stays valid, empty `items` mean that there "
    "is nothing new yet. A cursor belongs to one service."
)


_SERVERS = {
    "country": {
        "host": "{bootstrap}",
        "protocol": "kafka-secure",
        "description": "The country's own cluster. Users and their rights come from `prag kafka`: each service "
        "reads and writes its topics and nothing else.",
        "variables": {
            "bootstrap": {
                "default": "kafka:9092",
                "description": "host:port, as in PRAG_KAFKA_BOOTSTRAP",
            }
        },
        "security": [{"$ref": "#/components/securitySchemes/scram"}],
    }
}
_SCHEMES = {
    "scram": {
        "type": "scramSha512",
        "description": "SASL over TLS; the CA of the cluster is `ca.pem` of its secrets.",
    }
}


def describe_events() -> dict[str, Any]:
    """Return the document: one channel a topic, one message an event type, payload schemas inline."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for _, kind in sorted(event_classes().items()):
        topic, name = _name(topic_of(kind.type)), _name(kind.type)
        channel = channels.setdefault(topic, {"address": topic_of(kind.type), "messages": {}})
        channel["messages"][name] = {"$ref": f"#/components/messages/{name}"}
        operations[f"send_{topic}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{topic}"},
        }
        messages[name] = _message(kind)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Prag events", "version": "1.0.0", "description": _ENVELOPE_NOTE},
        "defaultContentType": "application/cloudevents+json",
        "servers": _SERVERS,
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "securitySchemes": _SCHEMES},
    }


def _message(kind: type[EventData]) -> dict[str, Any]:
    words = _words(kind)
    data = kind.model_json_schema()
    data.pop("description", None)
    return {
        "name": kind.type,
        "summary": words.partition("\n")[0],
        "description": words,
        "contentType": "application/cloudevents+json",
        "payload": {
            "type": "object",
            "required": ["specversion", "id", "source", "type", "subject", "time", "seq", "data"],
            "properties": {
                "checksum": CHECKSUM_SCHEMA,
                "specversion": {"const": "1.0"},
                "id": {"type": "string", "format": "uuid"},
                "source": {"type": "string"},
                "type": {"const": kind.type},
                "subject": {"type": "string", "format": "uuid"},
                "time": {"type": "string", "format": "date-time"},
                "datacontenttype": {"const": "application/json"},
                "seq": {"type": "integer", "minimum": 1},
                "traceparent": {
                    "type": "string",
                    "pattern": TRACEPARENT.pattern,
                    "description": "W3C Trace Context of the request that caused it, if it had one.",
                },
                "data": data,
            },
        },
    }


def _words(kind: type[EventData]) -> str:
    """Return what the event's class, or else the one it is a kind of, says of it."""
    said = (inspect.cleandoc(each.__doc__ or "") for each in kind.__mro__)
    return next(words for words in said if words)


def _name(dotted: str) -> str:
    return dotted.replace(".", "_")
