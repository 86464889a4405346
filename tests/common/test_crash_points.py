"""Kills (T1): a process that dies at any named point leaves nothing lost, doubled or half done."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from common import crash
from tests.house import ROOT

EVERYWHERE = [
    "db.before_commit:3",
    "db.after_commit:1",
    "db.after_commit:3",
    "relay.before_send",
    "relay.after_send",
    "relay.after_send:2",
    "relay.after_mark",
    "consumer.before_commit:1",
    "consumer.before_commit:2",
    "consumer.after_commit:1",
    "consumer.after_commit:2",
    "bus.before_commit",
    "bus.after_commit",
    "http.after_write",
    "audit.after_link",
    "audit.after_head",
]
ON_POSTGRES = [
    "db.before_commit:3",
    "db.after_commit:3",
    "relay.after_send",
    "consumer.before_commit:2",
    "consumer.after_commit:2",
]
ELSEWHERE = {"libs/common/src/common/migrations/__init__.py"}
"""Points that lie in no service's daily work."""


def killed_at(url: str, folder: Path, points: list[str]) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "tests.common.crash_runner", url, str(folder), *points]
    return subprocess.run(  # noqa: S603  our own program
        arguments, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_kill_at_any_point_loses_doubles_and_halves_nothing(
    database_url: str, tmp_path: Path
) -> None:
    # Fails when rows and events commit apart, events are marked before they are sent, or the position
    # moves without the effect; the message names the point.
    points = EVERYWHERE if database_url.startswith("sqlite") else ON_POSTGRES

    # The point nobody reaches shows that a kill which does not happen is noticed.
    ended = killed_at(database_url, tmp_path, [*points, "nowhere"])

    assert (ended.returncode, ended.stderr) == (1, "nowhere was not reached\n")


def test_every_point_in_the_source_is_killed_at() -> None:
    # Fails when a point is added and no test dies there.
    found = {
        call.args[0].value
        for path in (ROOT / "libs/common/src/common").rglob("*.py")
        if path.relative_to(ROOT).as_posix() not in ELSEWHERE
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "crash"
        and isinstance(call.args[0], ast.Constant)
    }

    assert found == {point.partition(":")[0] for point in EVERYWHERE}


@pytest.mark.parametrize("name", ["", "db.before_commit", "x"])
def test_without_its_variable_a_point_does_nothing(name: str) -> None:
    # Fails when a point is armed by anything but the variable: this process would die here.
    assert crash._name == ""
    crash.crash(name or "relay.after_send")
