"""The event catalogue as an AsyncAPI 3.0 document, made from the contracts themselves."""

from typing import Any

from common.events import topic_of
from tests.contracts.snapshot import event_classes

_ENVELOPE_NOTE = (
    "CloudEvents 1.0, structured JSON mode. `subject` is the aggregate, `seq` counts its events from 1; "
    "the record's key is the subject, so the events of an aggregate keep their order. Delivered at least "
    "once: drop what you have seen by `id`."
)


def describe_events() -> dict[str, Any]:
    """Return the document: one channel a topic, one message an event type, payload schemas inline."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for _, kind in sorted(event_classes().items()):
        topic = topic_of(kind.type)
        channel = channels.setdefault(_name(topic), {"address": topic, "messages": {}})
        channel["messages"][_name(kind.type)] = {"$ref": f"#/components/messages/{_name(kind.type)}"}
        operations.setdefault(
            f"receive_{_name(topic)}", {"action": "receive", "channel": {"$ref": f"#/channels/{_name(topic)}"}}
        )
        messages[_name(kind.type)] = _message(kind)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Prag events", "version": "1.0.0", "description": _ENVELOPE_NOTE},
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _message(kind: Any) -> dict[str, Any]:
    data = kind.model_json_schema()
    return {
        "name": kind.type,
        "summary": (kind.__doc__ or "").strip().split("\n")[0],
        "contentType": "application/cloudevents+json",
        "payload": {
            "type": "object",
            "required": ["specversion", "id", "source", "type", "subject", "time", "seq", "data"],
            "properties": {
                "specversion": {"const": "1.0"},
                "id": {"type": "string", "format": "uuid"},
                "source": {"type": "string"},
                "type": {"const": kind.type},
                "subject": {"type": "string", "format": "uuid"},
                "time": {"type": "string", "format": "date-time"},
                "datacontenttype": {"const": "application/json"},
                "seq": {"type": "integer", "minimum": 1},
                "data": data,
            },
        },
    }


def _name(dotted: str) -> str:
    return dotted.replace(".", "_")
