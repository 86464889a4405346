"""The event catalogue: AsyncAPI 3, whole, and true of the events that are sent."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from common.clock import new_id
from common.events import Event, topic_of
from tests.contracts.asyncapi import describe_events
from tests.contracts.snapshot import event_classes

DOCUMENT = describe_events()

FIELDS = {
    "document": {
        "asyncapi",
        "info",
        "defaultContentType",
        "servers",
        "channels",
        "operations",
        "components",
    },
    "server": {"host", "protocol", "description", "variables", "security"},
    "info": {"title", "version", "description"},
    "channel": {"address", "messages", "title", "description"},
    "operation": {"action", "channel", "summary", "messages"},
    "message": {"name", "title", "summary", "description", "contentType", "payload"},
    "components": {"messages", "schemas", "securitySchemes"},
}
"""What AsyncAPI 3.0 knows of in each object, as far as we use it."""


@pytest.mark.row("X17")
def test_the_catalogue_has_the_form_of_asyncapi_3() -> None:
    """Seeded: `publish` for an action (AsyncAPI 2), a channel without its address."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT.keys() <= FIELDS["document"]
    assert {"title", "version"} <= DOCUMENT["info"].keys() <= FIELDS["info"]
    assert DOCUMENT["components"].keys() <= FIELDS["components"]
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol", "security"} <= server.keys() <= FIELDS["server"]
    for channel in DOCUMENT["channels"].values():
        assert {"address", "messages"} <= channel.keys() <= FIELDS["channel"]
    for operation in DOCUMENT["operations"].values():
        assert operation.keys() <= FIELDS["operation"]
        assert operation["action"] in {"send", "receive"}
    for message in DOCUMENT["components"]["messages"].values():
        assert message.keys() <= FIELDS["message"]
        assert message["summary"], message["name"]


@pytest.mark.row("X17")
def test_every_reference_leads_somewhere() -> None:
    """Seeded: leave the `$defs` of a payload where its own root was."""
    references = list(_references(DOCUMENT))

    assert references
    for reference in references:
        node: Any = DOCUMENT
        assert reference.startswith("#/")
        for step in reference[2:].split("/"):
            assert step in node, f"{reference} leads nowhere"
            node = node[step]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for part in node:
            yield from _references(part)
    elif isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for part in node.values():
            yield from _references(part)


@pytest.mark.row("X17")
def test_every_event_is_in_the_channel_of_its_topic() -> None:
    """Seeded: leave a service's contracts out of the walk."""
    described = {
        (channel["address"], DOCUMENT["components"]["messages"][name]["name"])
        for channel in DOCUMENT["channels"].values()
        for name in channel["messages"]
    }
    topics = {operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()}

    assert described == {(topic_of(kind), kind) for kind in event_classes()}
    assert topics == {f"#/channels/{name}" for name in DOCUMENT["channels"]}


@pytest.mark.row("X17")
@pytest.mark.parametrize("event_type", sorted(event_classes()))
def test_the_envelope_of_an_event_is_as_described(event_type: str) -> None:
    """Seeded: rename a member of the envelope in the description only."""
    [message] = [m for m in DOCUMENT["components"]["messages"].values() if m["name"] == event_type]
    envelope = {name: part for name, part in message["payload"].items() if name != "data"}
    envelope["properties"] = {
        name: part for name, part in message["payload"]["properties"].items() if name != "data"
    }
    event = Event(source="/RS/intake", type=event_type, subject=new_id(), seq=1, data={})
    traced = event.model_copy(update={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})

    plain, sent = (json.loads(each.to_bytes()) for each in (event, traced))

    for each in (plain, sent):
        assert [fault.message for fault in Draft202012Validator(envelope).iter_errors(each)] == []
    assert set(envelope["properties"]) == set(sent) - {"data"}
