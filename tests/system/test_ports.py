"""The ports that tests hand out, for a run is one of three beside each other."""

import subprocess
import sys

from tests.system.processes import SERVICES, free_ports

_MANY = 60
_ANOTHER_RUN = f"""
from tests.system.processes import free_ports
print(*(free_ports() for _ in range({_MANY})), flush=True)
input()
"""


def taken(firsts: list[int]) -> list[int]:
    return [port for first in firsts for port in range(first, first + len(SERVICES))]


def test_no_port_is_given_twice_not_even_to_another_run_before_anybody_listens_there() -> None:
    # Fails when ports are drawn at random: of two countries that start at once one finds its taken.
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", _ANOTHER_RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        theirs = taken([int(first) for first in other.stdout.readline().split()])
        ours = taken([free_ports() for _ in range(_MANY)])
        other.communicate("\n")

    assert len(theirs) == len({*theirs}) == len(SERVICES) * _MANY
    assert len(ours) == len({*ours}) == len(SERVICES) * _MANY
    assert {*theirs}.isdisjoint(ours)
