"""`make chaos`: kill processes and brokers at named points while people are handed over, and judge.

In each round two persons cross the border while three things die: one that answers, one that works in
the background, and a broker. After it everything must come to rest with exactly one owner of each case,
nothing lost, nothing doubled, and a chain of custody that holds on both sides (T1, F36, C1).
"""

import argparse
import random
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from common.clock import monotonic
from tests import kafka
from tests.chaos.handover import ChaosError, Handover
from tests.chaos.oracle import count_events, find_faults, is_quiet
from tests.chaos.world import RECEIVER, SENDER, SERVICES, World, running
from tests.system.processes import poll

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "build" / "chaos.txt"
KILLS = 3
"""In a round."""
PERSONS = 2
ANSWERING = ("http.after_write", "db.before_commit", "db.after_commit")
WORKING = (
    *("relay.before_send", "relay.after_send", "relay.after_mark"),
    *("consumer.before_commit", "consumer.after_commit", "db.before_commit", "db.after_commit"),
)
CARRYING = ("courier.before_send", "courier.after_send", "courier.after_mark")
_QUIET_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Kill:
    """What dies, and when: at the n-th passing of a point, or after so many steps of the first person."""

    what: str
    point: str
    n: int

    def __str__(self) -> str:
        return f"{self.what} at {self.point}:{self.n}"


def kills(seed: int, rounds: int) -> list[list[Kill]]:
    """Return what dies in each round; every point of every process comes before any comes again."""
    chance = random.Random(seed)  # noqa: S311
    answering = [
        (f"{land}.{service}.api", point, 3)
        for land in (SENDER, RECEIVER)
        for service in SERVICES
        for point in ANSWERING
    ]
    working = [
        (f"{land}.{service}.worker", point, 6)
        for land in (SENDER, RECEIVER)
        for service in SERVICES
        for point in (*WORKING, *(CARRYING if service == "referral" else ()))
    ]
    brokers = [(name, "step", 13) for name in (SENDER, RECEIVER, "hub")]
    drawn: dict[str, list[tuple[str, str, int]]] = {}
    plan = []
    for _ in range(rounds):
        of_round = []
        for name, pool in (("answering", answering), ("working", working), ("broker", brokers)):
            if not drawn.get(name):
                drawn[name] = chance.sample(pool, len(pool))
            what, point, most = drawn[name].pop()
            of_round.append(Kill(what, point, chance.randint(1, most)))
        plan.append(of_round)
    return plan


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
    faults: list[str] = []
    lines = [f"seed {seed}, {rounds} rounds of {KILLS} kills"]
    fired = 0
    try:
        for number, plan in enumerate(kills(seed, rounds), 1):
            began = monotonic()
            handovers = [Handover(world) for _ in range(PERSONS)]
            done += handovers
            died = _round(world, plan, handovers)
            fired += sum(died)
            came_to_rest = monotonic()
            poll(lambda: is_quiet(world), patience=_QUIET_SECONDS)
            found = find_faults(world, handovers)
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
    lines.append(
        f"{rounds * KILLS} kills ({fired} at their point, the others by hand), {len(done)} persons, "
        f"{count_events(world.lands)} events: {len(set(faults))} faults"
    )
    print(lines[-1])
    REPORT.write_text("\n".join([*lines, *faults]) + "\n")
    return 1 if faults else 0


def _round(world: World, plan: Sequence[Kill], handovers: Sequence[Handover]) -> list[bool]:
    """Let the persons cross while what is planned dies and comes back; tell which died at its point."""
    over = threading.Event()
    with ThreadPoolExecutor(KILLS + PERSONS) as others:
        # Armed before anybody moves: an API that starts again would refuse the first calls only.
        deaths = [others.submit(_die, world, kill, handovers[0], over) for kill in plan]
        crossings = [others.submit(handover.run) for handover in handovers]
        try:
            for crossing in crossings:
                crossing.result()
        finally:
            over.set()
        return [death.result() for death in deaths]


def _die(world: World, kill: Kill, person: Handover, over: threading.Event) -> bool:
    """Kill one thing and bring it back; False where the round was over before its point came."""
    if kill.point == "step":
        broker, pause = world.brokers[kill.what], threading.Event()
        while person.steps < kill.n and not over.is_set():
            pause.wait(0.02)
        broker.kill()
        pause.wait(1)
        broker.start()
        return not over.is_set()
    code, service, part = kill.what.split(".")
    land = world.lands[code]
    land.kill(service, part)
    land.start(service, part, crash_at=f"{kill.point}:{kill.n}")
    pause = threading.Event()
    while land.is_running(service, part) and not over.is_set():
        pause.wait(0.02)
    died = not land.is_running(service, part)
    if not died:
        land.kill(service, part)
    land.start(service, part)
    return died


if __name__ == "__main__":
    sys.exit(main())
