"""One editor at any moment, over two real databases: words lost, doubled, late, in any order (F38)."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.contracts.intake import CaseOwnershipSaid
from common.events import Event
from intake.domain.ownership import Holding
from tests.intake.bodies import CASE
from tests.intake.crossing import Crossing, Side, crossed, heard, step, two_countries
from tests.kit import if_match

ACTS = ("give", "recall", "letter", "letter", "letter")
Act = tuple[str, int]


@asynccontextmanager
async def arrived() -> AsyncIterator[Crossing]:
    """Let the person have arrived, her data with her."""
    with tempfile.TemporaryDirectory() as scratch:
        async with two_countries(Path(scratch)) as crossing:
            await crossed(crossing)
            yield crossing


class Post:
    """Every word ever said; each may be delivered at any time, any number of times, or never."""

    def __init__(self, crossing: Crossing) -> None:
        self.sides = (crossing.here, crossing.there)
        self.letters: list[tuple[Side, Event]] = []

    async def collect(self) -> None:
        one, other = self.sides
        for sender, recipient in ((one, other), (other, one)):
            self.letters += [(recipient, e) for e in await sender.said(CaseOwnershipSaid)]

    async def deliver(self, number: int) -> None:
        recipient, event = self.letters[number % len(self.letters)]
        assert await recipient.hear(heard(event)) == ["applied"]


async def editors(crossing: Crossing) -> list[Side]:
    """Return who can edit the case, asked through the API."""
    found = []
    for side, id_ in ((crossing.here, CASE), (crossing.there, (await crossing.there.case()).id)):
        shown = await side.worker.get(f"/v1/cases/{id_}")
        edited = await side.worker.patch(
            f"/v1/cases/{id_}", json={"urgency": "HIGH"}, headers=if_match(shown)
        )
        assert edited.status_code in {200, 409}, edited.text
        found += [side] if edited.is_success else []
    return found


async def act(crossing: Crossing, post: Post, what: str, number: int) -> None:
    if what == "letter":
        if post.letters:
            await post.deliver(number)
    else:
        epoch = (await crossing.here.case()).epoch
        more = {"epoch": epoch} if what == "give" else {}
        answer = await step(crossing.here, what, **more)
        assert answer.status_code in {200, 409}, answer.text
    await post.collect()


@pytest.mark.slow
@pytest.mark.row("F36", "F38", "C1")
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 30)), min_size=3, max_size=14))
async def test_never_two_editors_and_one_owner_at_the_end(november: None, acts: list[Act]) -> None:
    """Seeded: take back with the recall; take what was refused; forget `given_by` or `refused`."""
    async with arrived() as crossing:
        post = Post(crossing)
        for what, number in [("give", 0), *acts]:
            await act(crossing, post, what, number)
            assert len(await editors(crossing)) <= 1, acts

        for _ in range(4):  # letters come through at last: each is sent until it is answered
            for number in range(len(post.letters)):
                await post.deliver(number)
            await post.collect()

        holdings = sorted(holding for holding, _ in await crossing.holdings())
        assert holdings == [Holding.NONE, Holding.OWNER], acts
        assert len(await editors(crossing)) == 1
