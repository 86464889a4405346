"""What dies in which round of `make chaos`, and what of all that could die a plan reaches."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from tests.chaos.handover import STEPS
from tests.chaos.world import RECEIVER, SENDER, SERVICES

KILLS = 3
"""In a round: two workers, and an API or brokers."""
STEP = "step"
_ANSWERING = ("http.after_write", "db.before_commit", "db.after_commit")
_WORKING = (
    *("relay.before_send", "relay.after_send", "relay.after_mark"),
    *("consumer.before_commit", "consumer.after_commit", "db.before_commit", "db.after_commit"),
)
CARRYING = ("courier.before_send", "courier.after_send", "courier.after_mark")
_LANDS = (SENDER, RECEIVER)
_APIS_EVERY = 4
"""Of so many rounds in one an API dies, in the others brokers: of these there is more to reach."""

Target = tuple[str, str]
"""What dies, and at which point of it."""

WORKERS: Sequence[Target] = [
    (f"{land}.{service}.worker", point)
    for land, service in product(_LANDS, SERVICES)
    for point in (*_WORKING, *(CARRYING if service == "referral" else ()))
]
APIS: Sequence[Target] = [
    (f"{land}.{service}.api", point)
    for land, service, point in product(_LANDS, SERVICES, _ANSWERING)
]
BROKERS: Sequence[Target] = [
    (names, f"{STEP} {step}")
    for names, step in product((*_LANDS, "hub", "+".join(_LANDS)), range(1, STEPS + 1))
]


@dataclass(frozen=True, slots=True)
class Kill:
    """What dies, and when: at the n-th passing of a point, or after so many steps of the first person.

    `what` names a process, or the brokers that die at once, joined by `+`.
    """

    what: str
    point: str
    n: int = 1

    @property
    def target(self) -> Target:
        return self.what, self.point

    @property
    def step(self) -> int:
        """After how many steps brokers die; 0 for a process."""
        return int(self.point.removeprefix(STEP)) if self.point.startswith(STEP) else 0

    def __str__(self) -> str:
        return f"{self.what} at {self.point}{'' if self.step else f':{self.n}'}"


def kills(seed: int, rounds: int) -> list[list[Kill]]:
    """Return what dies in each round; every target of a kind comes before any comes again."""
    chance = random.Random(seed)  # noqa: S311
    working, answering, brokers = (_Pool(chance, each) for each in (WORKERS, APIS, BROKERS))
    plan = []
    for number in range(1, rounds + 1):
        third = (brokers if number % _APIS_EVERY else answering).draw()
        plan.append([Kill(*t, _passing(chance, t)) for t in (*working.draw_two(), third)])
    return plan


def unreached(done: Iterable[Kill]) -> list[Target]:
    """Return the targets at which nothing died, the workers' first."""
    reached = {kill.target for kill in done}
    return [target for target in (*WORKERS, *APIS, *BROKERS) if target not in reached]


def _passing(chance: random.Random, target: Target) -> int:
    """Draw at which passing it dies: some points are passed at a few of the steps only."""
    if target in BROKERS:
        return 1
    return chance.randint(1, 3 if target in APIS or target[1] in CARRYING else 6)


class _Pool:
    """Draws by chance, and everything once before anything twice."""

    def __init__(self, chance: random.Random, targets: Sequence[Target]) -> None:
        self._chance = chance
        self._targets = targets
        self._left: list[Target] = []

    def draw(self) -> Target:
        if not self._left:
            self._left = self._chance.sample(self._targets, len(self._targets))
        return self._left.pop()

    def draw_two(self) -> tuple[Target, Target]:
        """Draw two of different processes: one that is to die twice at once would die once."""
        counts = Counter(what for what, _ in self._left)
        if len(counts) < 2:
            self._left[:0] = self._chance.sample(self._targets, len(self._targets))
            counts = Counter(what for what, _ in self._left)
        # Of those with the most left, so that none remains alone before the others are through.
        (one, _), (other, _) = counts.most_common(2)
        return self._take(one), self._take(other)

    def _take(self, what: str) -> Target:
        at = max(index for index, target in enumerate(self._left) if target[0] == what)
        return self._left.pop(at)
