"""Kills a process at each point named: `python -m tests.common.crash_runner URL FOLDER POINT…`.

It loads everything once and forks; each child reads its own PRAG_TEST_CRASH anew. Exit code 0 if every
armed child died at its point and what it left could be finished.
"""

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from common import crash
from tests.common import crash_steps

Act = Callable[[str, Path, str], None]


def in_a_child(act: Act, armed: str, url: str, folder: Path, plan: str) -> int:
    """Run a part of crash_steps in a process of its own; return how that ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.environ["PRAG_TEST_CRASH"] = armed  # noqa: TID251  what common.crash reads
            importlib.reload(crash)
            act(url, folder, plan)
            code = 0
        except BaseException:  # noqa: BLE001  the parent sees the code, a person the traceback
            traceback.print_exc()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(url: str, folder: Path, points: list[str]) -> int:
    failed = []
    for point in points:
        if in_a_child(crash_steps.go, point, url, folder, point) != -signal.SIGKILL:
            failed.append(f"{point} was not reached")
        if in_a_child(crash_steps.check_and_finish, "", url, folder, point) != 0:
            failed.append(f"{point} left something behind")
    sys.stderr.write("".join(f"{line}\n" for line in failed))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
