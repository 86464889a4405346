"""Every bad token of T27, against the operations of each service in turn."""

import json
from itertools import cycle
from pathlib import Path

import pytest

from common.clock import new_id
from common.settings import ServiceName
from tests.common.tokens import Forger
from tests.kit import open_service
from tests.surface.operations import SERVICES, Operation, authorisation, operations
from tests.surface.stage import Stage


@pytest.mark.parametrize("service", SERVICES)
async def test_no_bad_token_opens_an_operation_and_all_are_refused_alike(
    service: ServiceName, tmp_path: Path
) -> None:
    """Seeded: take `typ` out of the header's check; say in the answer what was wrong."""
    async with open_service(service, tmp_path) as kit:
        stage, forger = Stage(kit), Forger(kit.issuer)
        closed = [o for o in operations(service) if authorisation(service)[o.name] != "PUBLIC"]
        mutants = [(name, token) for name, token in forger.mutants() if _can_be_sent(token)]
        answers: dict[str, str] = {}

        for (name, token), operation in zip(mutants, cycle(closed), strict=False):
            answers[f"{operation} {name}"] = await _ask(stage, operation, token)
        for operation in closed:
            answers[f"{operation} without a token"] = await _ask(stage, operation, None)
        good = {operation: await _ask(stage, operation, forger.token()) for operation in closed}

        assert len(answers) >= 200
        [(refusal, _)] = _by_answer(answers)
        assert refusal.startswith("401 ")
        assert not any(answer.startswith("401 ") for answer in good.values())


def _can_be_sent(token: str) -> bool:
    return token.isascii() and token.isprintable()


async def _ask(stage: Stage, operation: Operation, token: str | None) -> str:
    """Return all that an answer shows but what names this one request."""
    path = operation.path.format(**dict.fromkeys(operation.parameters("path"), new_id()))
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = await stage.request(operation.method, path, None, headers=headers)
    body = answer.json()
    body.pop("trace_id", None)
    shown = {name: value for name, value in answer.headers.items() if name != "trace-id"}
    return f"{answer.status_code} {json.dumps([shown, body], sort_keys=True)}"


def _by_answer(answers: dict[str, str]) -> list[tuple[str, list[str]]]:
    return [
        (answer, [name for name, given in answers.items() if given == answer])
        for answer in sorted(set(answers.values()))
    ]
