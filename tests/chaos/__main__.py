"""`make chaos`: kill processes and brokers at named points while people are handed over, and judge.

In each round two persons cross the border, beside the ordinary work of both countries, while three
things die: two that work in the background, and one that answers, or a broker, or those of both
countries at once. After it everything must come to rest with exactly one owner of each case, nothing
lost, nothing doubled, and a chain of custody that holds on both sides (T1, F36, C1).
"""

import argparse
import random
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from common.clock import monotonic
from tests import kafka
from tests.chaos.handover import ChaosError, Handover
from tests.chaos.oracle import count_events, find_faults, is_quiet
from tests.chaos.ordinary import Ordinary
from tests.chaos.plan import APIS, BROKERS, KILLS, WORKERS, Kill, kills, unreached
from tests.chaos.world import World, running
from tests.system.processes import poll

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "build" / "chaos.txt"
PERSONS = 2
_QUIET_SECONDS = 180.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))  # noqa: S311
    parser.add_argument("--rounds", type=int, default=20, help=f"of {KILLS} kills each (20)")
    options = parser.parse_args(arguments)
    if lacking := kafka.missing():
        print(f"chaos: not run: {lacking}", file=sys.stderr)
        return 2
    (ROOT / "build").mkdir(exist_ok=True)
    print(f"chaos: seed {options.seed}, {options.rounds} rounds of {KILLS} kills", flush=True)
    with (
        tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="chaos-") as folder,
        running(Path(folder)) as world,
    ):
        return _play(world, options.seed, options.rounds)


def _play(world: World, seed: int, rounds: int) -> int:
    first = Handover(world)
    first.prepare()
    first.close()
    done: list[Handover] = []
    reached: list[Kill] = []
    beside = [Ordinary(land) for land in world.lands.values()]
    faults: list[str] = []
    lines = [f"seed {seed}, {rounds} rounds of {KILLS} kills"]
    try:
        for number, plan in enumerate(kills(seed, rounds), 1):
            began = monotonic()
            handovers = [Handover(world) for _ in range(PERSONS)]
            done += handovers
            died = _round(world, plan, handovers, beside)
            reached += [kill for kill, is_dead in zip(plan, died, strict=True) if is_dead]
            came_to_rest = monotonic()
            poll(lambda: is_quiet(world), patience=_QUIET_SECONDS)
            found = [*find_faults(world, handovers), *chain(*(each.faults() for each in beside))]
            faults += found
            names = ", ".join(
                f"{kill}{'' if is_dead else ' (by hand)'}"
                for kill, is_dead in zip(plan, died, strict=True)
            )
            rest = monotonic() - came_to_rest
            lines.append(
                f"{number:3}  {monotonic() - began:5.1f} s, quiet after {rest:4.1f} s  {names}"
                + "".join(f"\n     FAULT {fault}" for fault in found)
            )
            print(lines[-1], flush=True)
        faults += find_faults(world, done)
    except (ChaosError, AssertionError) as error:
        faults.append(str(error))
        print(f"     FAULT {error}", flush=True)
    finally:
        for handover in done:
            handover.close()
    total = (
        f"{rounds * KILLS} kills ({len(reached)} at their point, the others by hand), "
        f"{len(done)} persons, {sum(len(each.changed) for each in beside)} cases beside them, "
        f"{count_events(world.lands)} events: {len(set(faults))} faults"
    )
    end = [*_summary(reached), total]
    print("\n".join(end))
    lines += end
    REPORT.write_text("\n".join([*lines, *faults]) + "\n")
    return 1 if faults else 0


def _summary(reached: Sequence[Kill]) -> list[str]:
    """Say how much of what can die has died at its point, and what has not."""
    left = unreached(reached)
    counts = ", ".join(
        f"{len(pool) - sum(target in pool for target in left)} of {len(pool)} {name}"
        for name, pool in (
            ("points of the workers", WORKERS),
            ("of the APIs", APIS),
            ("steps of the brokers", BROKERS),
        )
    )
    points: dict[str, list[str]] = {}
    for what, point in left:
        points.setdefault(what, []).append(point)
    lines = [f"     not reached: {what} at {', '.join(each)}" for what, each in points.items()]
    return [f"reached {counts}", *lines]


def _round(
    world: World,
    plan: Sequence[Kill],
    handovers: Sequence[Handover],
    beside: Sequence[Ordinary],
) -> list[bool]:
    """Let the persons cross while what is planned dies and comes back; tell which died at its point."""
    over = threading.Event()
    with ThreadPoolExecutor(KILLS + PERSONS + len(beside)) as others:
        # Armed before anybody moves: an API that starts again would refuse the first calls only.
        deaths = [others.submit(_die, world, kill, handovers[0], over) for kill in plan]
        work = [others.submit(each.run, over) for each in beside]
        crossings = [others.submit(handover.run) for handover in handovers]
        try:
            for crossing in crossings:
                crossing.result()
        finally:
            over.set()
        for each in work:
            each.result()
        return [death.result() for death in deaths]


def _die(world: World, kill: Kill, person: Handover, over: threading.Event) -> bool:
    """Kill one thing and bring it back; False where the round was over before its point came."""
    pause = threading.Event()
    if kill.step:
        brokers = [world.brokers[name] for name in kill.what.split("+")]
        while person.steps < kill.step and not over.is_set():
            pause.wait(0.02)
        is_dead = not over.is_set()
        for broker in brokers:
            broker.kill()
        pause.wait(1)
        for broker in brokers:
            broker.start()
        return is_dead
    code, service, part = kill.what.split(".")
    land = world.lands[code]
    land.kill(service, part)
    land.start(service, part, crash_at=f"{kill.point}:{kill.n}")
    while land.is_running(service, part) and not over.is_set():
        pause.wait(0.02)
    died = not land.is_running(service, part)
    if not died:
        land.kill(service, part)
    land.start(service, part)
    return died


if __name__ == "__main__":
    sys.exit(main())
