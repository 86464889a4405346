"""One editor at any time, one owner at the end: letters lost, doubled, late; countries that die (F38)."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common.errors import ConflictError
from intake.domain.ownership import (
    FOUND,
    HEARD_OF,
    Holding,
    Ownership,
    Saying,
    Word,
    give,
    hear,
    recall,
    repeat,
    require_epoch,
)

COUNTRIES = ("RS", "XK")


@dataclass
class Country:
    """What survives a crash is the view alone: it is committed with the letter that is to leave."""

    view: Ownership
    edits: list[int] = field(default_factory=list)


class TwoCountries(RuleBasedStateMachine):
    """Every letter ever sent may come at any time, any number of times, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.countries = {"RS": Country(FOUND), "XK": Country(HEARD_OF)}
        self.sent: list[tuple[str, Saying]] = []
        """To whom, and what. Letters stay: each can be delivered again for ever."""
        self.answers: dict[tuple[str, int], set[Word]] = {}

    def post(self, sender: str, saying: Saying | None) -> None:
        if saying is None:
            return
        if saying.word in {Word.TAKEN, Word.REFUSED}:
            self.answers.setdefault((sender, saying.epoch), set()).add(saying.word)
        self.sent.append((_other(sender), saying))

    @rule(name=st.sampled_from(COUNTRIES))
    def someone_gives(self, name: str) -> None:
        country = self.countries[name]
        if country.view.may_edit:
            country.view, saying = give(country.view)
            self.post(name, saying)

    @rule(name=st.sampled_from(COUNTRIES))
    def someone_recalls(self, name: str) -> None:
        if self.countries[name].view.holding is Holding.GIVING:
            self.post(name, recall(self.countries[name].view))

    @precondition(lambda self: bool(self.sent))
    @rule(data=st.data(), refuses=st.booleans(), dies=st.booleans())
    def a_letter_comes(self, data: st.DataObject, refuses: bool, dies: bool) -> None:  # noqa: FBT001
        name, saying = data.draw(st.sampled_from(self.sent))
        country = self.countries[name]
        view, answer = hear(country.view, saying, refuses=refuses)
        if dies:
            return  # before the commit: neither the view nor the answer is there
        assert view.epoch >= country.view.epoch
        assert view.refused >= country.view.refused
        country.view = view
        self.post(name, answer)

    @rule(name=st.sampled_from(COUNTRIES), behind=st.integers(0, 3))
    def someone_edits(self, name: str, behind: int) -> None:
        """Whoever decided on an older epoch is refused."""
        country = self.countries[name]
        epoch = country.view.epoch - behind
        try:
            require_epoch(country.view, epoch)
        except ConflictError:
            assert behind > 0 or not country.view.may_edit
        else:
            country.edits.append(epoch)

    @invariant()
    def at_most_one_may_edit(self) -> None:
        editors = [name for name, country in self.countries.items() if country.view.may_edit]
        assert len(editors) <= 1, self.countries

    @invariant()
    def no_epoch_has_two_editors(self) -> None:
        mine, other = ({*country.edits} for country in self.countries.values())
        assert not mine & other

    @invariant()
    def an_answer_once_given_is_the_answer(self) -> None:
        assert all(len(words) == 1 for words in self.answers.values()), self.answers

    def teardown(self) -> None:
        """Once letters come through, and who waits says it again, exactly one owns the case."""
        for _ in range(10):
            for name, country in self.countries.items():
                self.post(name, repeat(country.view))
            for name, saying in [*self.sent]:
                country = self.countries[name]
                country.view, answer = hear(country.view, saying)
                self.post(name, answer)
        assert Counter(c.view.holding for c in self.countries.values()) == {
            Holding.OWNER: 1,
            Holding.NONE: 1,
        }


TwoCountries.TestCase.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
TestTwoCountries = TwoCountries.TestCase


def _other(name: str) -> str:
    return COUNTRIES[1 - COUNTRIES.index(name)]


def test_a_case_goes_over_and_comes_back_under_ever_higher_epochs() -> None:
    here, letter = give(FOUND)
    there, answer = hear(HEARD_OF, letter)
    assert answer == Saying(Word.TAKEN, 2)
    here, _ = hear(here, answer)
    there, letter = give(there)
    here, answer = hear(here, letter)
    assert answer == Saying(Word.TAKEN, 3)
    there, _ = hear(there, answer)

    assert (here, there) == (Ownership(Holding.OWNER, 3), Ownership(Holding.NONE, 3))


def test_what_was_refused_comes_back_and_can_never_be_taken() -> None:
    # Fails when a late copy of the offer is taken after the giver has the case again.
    here, letter = give(FOUND)
    there, answer = hear(HEARD_OF, letter, refuses=True)
    assert answer is not None
    here, _ = hear(here, answer)
    late, again = hear(there, letter)

    assert here == Ownership(Holding.OWNER, 3)
    assert (late.may_edit, again) == (False, Saying(Word.REFUSED, 2))


def test_a_recall_that_comes_too_late_is_answered_with_what_is_so() -> None:
    # C1. Fails when the giver takes back by itself what the other has taken.
    here, letter = give(FOUND)
    there, _ = hear(HEARD_OF, letter)

    there, answer = hear(there, recall(here))

    assert (there.may_edit, answer) == (True, Saying(Word.TAKEN, 2))
    assert answer is not None
    assert hear(here, answer)[0].may_edit is False


def test_a_change_under_an_old_epoch_is_refused_with_409() -> None:
    here, letter = give(FOUND)
    there, _ = hear(HEARD_OF, letter)

    with pytest.raises(ConflictError, match=r"ownership\.not_here"):
        require_epoch(here, 1)
    with pytest.raises(ConflictError, match=r"ownership\.stale_epoch"):
        require_epoch(there, 1)
    require_epoch(there, 2)
