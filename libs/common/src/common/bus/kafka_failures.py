"""What goes wrong in aiokafka's clients, told as the bus tells it; and how they are ended."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    NoOffsetForPartitionError,
    TopicAuthorizationFailedError,
)

from common.bus.base import BusError
from common.bus.kafka_rights import lacks

_CLOSE_SECONDS = 5.0
_NAME = re.compile(r"'([a-z][a-z.-]*)'")
"""A topic or a group, as it stands in what an error was made of."""


async def stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """End a client, whatever it says: one whose broker is away lets out that it cancelled its own task.

    It has then left its connections open, and asks its cluster for news for ever.
    """
    inner = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001
    for end in (client.stop, inner.close):
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.gather(end(), return_exceptions=True)


@contextmanager
def failures() -> Iterator[None]:
    try:
        yield
    except NoOffsetForPartitionError:
        raise
    except (KafkaError, TimeoutError) as error:
        raise error_of(error, "READ") from error


def error_of(error: Exception, right: str) -> BusError:
    """Keep the kind, and of a right its name: the text of an error may hold what was sent."""
    if isinstance(error, TopicAuthorizationFailedError | GroupAuthorizationFailedError):
        kind = "topic" if isinstance(error, TopicAuthorizationFailedError) else "group"
        return lacks(right, kind, sorted(set(_NAME.findall(str(error.args)))))
    return BusError(type(error).__name__)
