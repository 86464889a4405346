"""Writes with a person in every field that may hold one: good ones, refused ones, read again."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import httpx

from common.clock import new_id
from tests.privacy.canaries import Person
from tests.surface.fields import Field, fields, fits, put
from tests.surface.operations import Operation, all_operations, operations
from tests.surface.stage import Ready, Stage, Who, builder_of

WRITES = [o for o in all_operations() if any(field.is_personal for field in fields(o))]
"""Every operation by which something personal comes in, found by the data classes of its body."""

READER = Who("SOCIAL_WORKER")

LONG = 1_000
SHORT = 200
"""Lengths of a text of many lines and of one line, as descriptions name them."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One write, with the canaries in it by the field they are in."""

    operation: Operation
    ready: Ready
    canaries: dict[str, tuple[str, ...]]
    answer: httpx.Response

    @property
    def path(self) -> dict[str, str]:
        """Return the path parameters that lead to the record that was written."""
        if self.answer.status_code == 207:
            return {"notice_id": self.answer.json()["items"][0]["id"]}
        if self.answer.status_code != 201:
            return dict(self.ready.path)
        made = f"{self.operation.path}/{{"
        [get] = [o for o in _reads(self.operation) if o.path.rpartition("/")[0] + "/{" == made]
        return {**self.ready.path, get.record_ids[-1]: self.answer.json()["id"]}


async def write(stage: Stage, operation: Operation, made: Iterator[Person]) -> Sent:
    """Make the operation's first example about made-up persons and send it."""
    body, canaries = operation.examples[0], {}
    if "id" in body:
        body = put(body, ("id",), str(new_id()))  # the examples share some
    for field in fields(operation):
        if field.is_personal:
            value, canaries[str(field)] = _disguised(field, next(made))
            body = put(body, field.path, value)
    ready = await builder_of(operation)(stage, body)
    answer = await stage.call(operation, ready, ready.by)
    assert answer.is_success, f"{operation}: {answer.text}"
    return Sent(operation, ready, canaries, answer)


def _disguised(field: Field, person: Person) -> tuple[str, tuple[str, ...]]:
    """Return what to write into a field, and the canaries that are in it."""
    text = field.text
    assert text is not None
    if field.path[-1] == "birth_date":
        return person.birth_date, (person.birth_date,)
    if "pattern" in text:
        value = next(
            each for each in (person.phone, person.email, person.place_code) if fits(text, each)
        )
        return value, (value,)
    if text["maxLength"] >= LONG:
        return person.story, person.traits
    if text["maxLength"] >= SHORT:
        return person.story.replace("\n", "; "), person.traits
    return person.document, (person.document,)


def _reads(write: Operation) -> list[Operation]:
    return [o for o in operations(write.service) if not o.is_write]


async def missing_when_read(stage: Stage, sent: Sent) -> list[str]:
    """Return the fields of which something is not given back by any operation on the record."""
    path, text = sent.path, ""
    for read in _reads(sent.operation):
        if read.record_ids and set(read.record_ids) <= path.keys():
            query = {name: "ASSISTANCE" for name in read.parameters("query") if name == "purpose"}
            ready = Ready(READER, path=path, query=query)
            answer = await stage.call(read, ready, READER)
            text += answer.text if answer.is_success else ""
    return [
        f"{sent.operation.name} {field}"
        for field, canaries in sent.canaries.items()
        if not all(canary in text for canary in canaries)
    ]


async def refusals(stage: Stage, sent: Sent) -> AsyncIterator[httpx.Response]:
    """Send the same persons so that it must be refused, in every way there is."""
    operation, ready = sent.operation, sent.ready
    [canary, *_] = [each for group in sent.canaries.values() for each in group]
    good = json.dumps(ready.body).encode()
    yield await stage.call(operation, ready, None)
    yield await stage.call(operation, ready, Who("HUB_OPERATOR"))
    yield await stage.call(operation, replace(ready, body={**ready.body, canary: canary}), ready.by)
    yield await stage.call(operation, ready, ready.by, content=good[:-1])
    yield await stage.call(
        operation, ready, ready.by, content=good, headers={"Content-Type": "x/y"}
    )
    yield await stage.call(operation, replace(ready, query={"expand": "1"}), ready.by)
    for name in operation.record_ids:
        absent = replace(ready, path={**ready.path, name: str(new_id())})
        yield await stage.call(operation, absent, ready.by)
    if operation.takes_version:
        yield await stage.call(operation, replace(ready, version=None), ready.by)
        yield await stage.call(operation, ready, ready.by)  # of yesterday's version
        now = await _version(stage, sent)
        yield await stage.call(
            operation, replace(ready, version=now), Who.of(ready.by.role, "other")
        )
    for field in fields(operation):
        if field.is_personal and "items" not in field.path:
            for spoilt in (f"{canary}\u202e", f"{canary} " * 2_000):
                body = put(ready.body, field.path, spoilt)
                yield await stage.call(operation, replace(ready, body=body), ready.by)


async def _version(stage: Stage, sent: Sent) -> int:
    etag = sent.answer.headers["ETag"]
    return int(etag.strip('"'))


def all_canaries(sent: list[Sent]) -> list[str]:
    return [each for write in sent for group in write.canaries.values() for each in group]


def new_in(service: str, sent: list[Sent]) -> Sent | None:
    """Return a write of the service that depends on no version, and so could be made again."""
    return next(
        (
            each
            for each in sent
            if each.operation.service == service and not each.operation.takes_version
        ),
        None,
    )
