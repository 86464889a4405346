"""What one broker tells of its cluster: where the others are, and what a user may do with which topic.

aiokafka knows no request that tells the rights, nor which log a topic is, so the eleventh version of
Metadata is written down here.
"""

from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from common.bus.base import PARTITIONS, BusError, BusRefusedError

# Codes of the protocol: operations as bits, and errors.
_READ, _WRITE = 3, 4
_NO_ERROR, _UNKNOWN_TOPIC, _NO_LEADER = 0, 3, 5
_TOPIC_REFUSED, _GROUP_REFUSED = 29, 30
_NO_ID = UUID(int=0)


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]  # it ships no types
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponseV11(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 11
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestV11(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 11
    RESPONSE_TYPE = _MetadataResponseV11
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("topic", CompactString()), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_MetadataRequestV11]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = sorted(topics)

    def build(self, request_struct_class: type[_MetadataRequestV11]) -> _MetadataRequestV11:
        topics: list[tuple[Any, ...]] = [(_NO_ID, topic, {}) for topic in self._topics]
        return request_struct_class(topics, False, True, {})  # noqa: FBT003  the wire's order


async def check_rights(
    broker: AIOKafkaConnection, *, user: str, reads: Collection[str], writes: Collection[str]
) -> None:
    """BusRefusedError unless each topic is there, with its partitions, and open to this user.

    Who reads must be let into the group that is called as the user too. BusError while the cluster
    cannot tell.
    """
    answer = await broker.send(_Metadata({*reads, *writes}))
    for topic in answer.to_object()["topics"]:
        _check_topic(topic, reads, writes)
    if reads:
        # Of a member that is none: rights are looked at before anything else, and nothing changes.
        beat = await broker.send(HeartbeatRequest(user, -1, "nobody"))
        if beat.error_code == _GROUP_REFUSED:
            raise lacks("READ", "group", [user])


async def hosts_of(broker: AIOKafkaConnection) -> list[str]:
    """Return where the cluster sends its clients: the host of each of its brokers."""
    answer = await broker.send(_Metadata(()))
    return [each["host"] for each in answer.to_object()["brokers"]]


async def ids_of(
    broker: AIOKafkaConnection, topics: Collection[str], right: str
) -> dict[str, UUID]:
    """Return topic → which log it is: a topic that is made anew has another id, whatever it holds.

    BusRefusedError, which names this right, for one that the user may not see; BusError for one
    that is not there.
    """
    answer = await broker.send(_Metadata(topics))
    found: dict[str, UUID] = {}
    for each in answer.to_object()["topics"]:
        if each["error_code"] == _TOPIC_REFUSED:
            raise lacks(right, "topic", [each["topic"]])
        if each["topic_id"] == _NO_ID:
            raise BusError(f"{each['topic']}: {each['error_code']}")
        found[each["topic"]] = each["topic_id"]
    return found


def lacks(right: str, kind: str, names: Collection[str]) -> BusRefusedError:
    """Return the refusal that names a right the user has not, on a topic or group of these names."""
    return BusRefusedError("PRAG_KAFKA_USER", f"lacks {right} on the {kind} {', '.join(names)}")


def _check_topic(found: Mapping[str, Any], reads: Collection[str], writes: Collection[str]) -> None:
    topic, error = found["topic"], found["error_code"]
    if error == _TOPIC_REFUSED:
        raise lacks("READ" if topic in reads else "WRITE", "topic", [topic])
    if error not in {_NO_ERROR, _UNKNOWN_TOPIC, _NO_LEADER}:
        raise BusError(f"{topic}: {error}")
    if len(found["partitions"]) != PARTITIONS:
        raise BusRefusedError(
            "PRAG_KAFKA_BOOTSTRAP",
            f"leads to a cluster whose topic {topic} has {len(found['partitions'])} partitions, "
            f"not {PARTITIONS}",
        )
    for right, bit, wanted in (("READ", _READ, reads), ("WRITE", _WRITE, writes)):
        if topic in wanted and not found["authorized_operations"] >> bit & 1:
            raise lacks(right, "topic", [topic])
