"""No query, path or header brings a service down, gets more than asked for, or comes back."""

import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest

from common.clock import new_id
from common.settings import ServiceName
from tests.kit import open_service
from tests.matrix.abuse import MARK
from tests.surface.everywhere import ANYBODY
from tests.surface.operations import PROBLEM, SERVICES, Operation, authorisation, operations
from tests.surface.stage import Ready, Stage, Who, builder_of, time_stands_still


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


BAD_VALUES = {
    "a text": MARK,
    "nothing": "",
    "NUL": f"{MARK}%00",
    "invalid UTF-8": f"{MARK}%ff%fe",
    "surrogate": f"{MARK}%ed%a0%80",
    "line break": f"{MARK}%0d%0aSet-Cookie: {MARK}=1",
    "quote": quote(f"{MARK}' OR 1=1 --"),
    "negative": "-7319473219",
    "beyond 64 bits": "9" * 20,
    "many digits": "9" * 5_000,
    "another alphabet's digits": quote("٣"),
    "impossible day": "2026-02-30",
    "impossible time": "2026-02-28T25:00:00Z",
    "time without offset": "2026-02-28T10:00:00",
    "first year": "0001-01-01T00:00:00%2B14:00",
    "last year": "9999-12-31T23:59:59-14:00",
    "cursor without offset": _cursor(f"2026-01-01T00:00:00|{new_id()}"),
    "cursor of a foreign id": _cursor(f"2026-01-01T00:00:00+00:00|{MARK}"),
    "cursor beyond 64 bits": _cursor(f"2026-01-01T00:00:00+00:00|{9**30}"),
    "cursor at the first year": _cursor(f"0001-01-01T00:00:00+14:00|{new_id()}"),
    "cursor of noise": "%ff%00==",
    "many values": ",".join([MARK] * 1_000),
    "long": MARK * 2_000,
}
"""As they stand in a URL."""

BAD_HEADERS = {
    "Idempotency-Key": ("", "a b", "ć" * 3, "x" * 256),
    "If-Match": ("", "*", 'W/"1"', '"1", "2"', '"-1"', '"99999999999999999999"', MARK),
    "If-None-Match": ('"', "W/", "*", MARK),
}
"""For the operations that read these."""

BAD_HEADERS_ANYWHERE = {
    "Authorization": ("Bearer", "Bearer ", "bearer a.b.c", "Basic YTpi", "Bearer ć"),
    "Accept-Language": ("x" * 10_000, "*;q=2", "sq;q=0", "ć", "," * 5_000),
    "traceparent": (f"00-{MARK}", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"),
    "Content-Type": ("application/json; charset=utf-16", "application/json;" * 500),
}
"""Read by one place for all operations, so each service is asked once."""


@dataclass(frozen=True, slots=True)
class Trial:
    name: str
    url: str
    headers: Mapping[str, str]


@pytest.fixture(params=SERVICES)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    time_stands_still()
    service: ServiceName = request.param
    async with open_service(service, tmp_path) as kit:
        yield Stage(kit)


@pytest.mark.row("F78", "F79")
async def test_an_unknown_parameter_is_refused_by_every_operation(stage: Stage) -> None:
    """Seeded: take `_check_query` out of the edge; a misspelt filter then shows everything."""
    for operation in operations(stage.kit.runtime.name):
        path = operation.path.format(**dict.fromkeys(operation.parameters("path"), new_id()))
        row = authorisation(operation.service)[operation.name]
        who = ANYBODY if isinstance(row, str) else Who(next(iter(row)))

        answer = await stage.request(operation.method, path, who, params={MARK: MARK}, content=b"")

        is_list = "cursor" in operation.parameters("query")
        known = {"filter.unknown"} if is_list else {"query.unknown"}
        if operation.name == "list_changes":
            known = {"filter.unknown", "query.unknown"}
        assert answer.status_code == 400, f"{operation}: {answer.text}"
        assert answer.json()["code"] in known, operation
        assert MARK not in answer.text


@pytest.mark.slow
async def test_no_parameter_or_header_brings_a_service_down(stage: Stage) -> None:
    """Seeded: bind a cursor's number as it comes; let a naive time through to the database."""
    faults = []
    for operation in operations(stage.kit.runtime.name):
        ready = await builder_of(operation)(stage, next(iter(operation.examples), None))
        for trial in _trials(operation, ready):
            faults += [
                f"{operation} {trial.name}: {f}"
                for f in await _judge(stage, trial, ready, operation)
            ]

    assert faults == [], "\n".join(faults)


async def test_a_misspelt_wish_to_check_only_writes_nothing(stage: Stage) -> None:
    """Seeded: compare with "true" and take everything else as no."""
    writes = [operation for operation in operations(stage.kit.runtime.name) if operation.is_write]
    ready = {o: await builder_of(o)(stage, next(iter(o.examples), None)) for o in writes}
    before = len(await stage.kit.events())

    for operation, call in ready.items():
        for value in ("True", "1", "yes", "", ["true", "false"]):
            spoilt = replace(call, query={**call.query, "validate_only": value})
            answer = await stage.call(operation, spoilt, call.by)
            assert (answer.status_code, answer.json()["code"]) == (400, "query.invalid"), operation

    assert len(await stage.kit.events()) == before


def _trials(operation: Operation, ready: Ready) -> Iterator[Trial]:
    path = operation.path.format(**ready.path)
    given = "".join(f"{name}={value}&" for name, value in ready.query.items())
    for name in operation.parameters("query"):
        for what, value in BAD_VALUES.items():
            yield Trial(f"{name} {what}", f"{path}?{given}{name}={value}", {})
    for name in operation.parameters("path"):
        for what in ("a text", "NUL", "quote", "invalid UTF-8", "many digits"):
            spoilt = operation.path.format(**{**ready.path, name: BAD_VALUES[what]})
            yield Trial(f"{name} {what}", f"{spoilt}?{given}", {})
    read = {name.lower() for name in operation.parameters("header")}
    headers = {name: values for name, values in BAD_HEADERS.items() if name.lower() in read}
    if operation == operations(operation.service)[0]:
        headers |= BAD_HEADERS_ANYWHERE
    for name, values in headers.items():
        for value in values:
            yield Trial(f"{name} {value[:30]!r}", f"{path}?{given}", {name: value})


async def _judge(stage: Stage, trial: Trial, ready: Ready, operation: Operation) -> list[str]:
    headers: dict[str, str | bytes] = {
        name: value.encode() for name, value in trial.headers.items()
    }
    if ready.version is not None:
        headers.setdefault("If-Match", f'"{ready.version}"')
    body = {} if ready.body is None else {"json": ready.body}
    url = trial.url
    if operation.is_write and "validate_only" not in url:
        url += "&validate_only=true"  # nothing shall change what the next trial meets
    answer = await stage.request(operation.method, url, ready.by, headers=headers, **body)
    if answer.status_code < 400:
        return []
    if not 400 <= answer.status_code < 500:
        return [f"answered {answer.status_code}"]
    if answer.headers["content-type"] != PROBLEM:
        return ["is no problem+json"]
    if not operation.documents(answer.status_code):
        return [f"answered {answer.status_code}, which is not in the description"]
    return ["echoes what was sent"] if MARK in answer.text + str(answer.headers) else []
