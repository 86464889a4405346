"""One editor at any time, one owner at the end: letters lost, doubled, late; countries that die (F38)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common.contracts.referral import OwnershipHeard
from common.errors import ConflictError
from intake.domain.ownership import (
    ABSURD,
    ANSWERS,
    FOUND,
    HEARD_OF,
    HIGHEST,
    LEAP,
    Holding,
    Ownership,
    Saying,
    Word,
    give,
    has_say,
    hear,
    is_expected,
    recall,
    require_epoch,
)
from tests.conftest import fixed_id

OFFERS = (Word.GIVEN, Word.RECALLED)


@dataclass(eq=False)
class Row:
    """A country's case. What survives a crash is this: committed with the letter that is to leave."""

    country: str
    view: Ownership
    came_by: UUID | None = None
    given_by: UUID | None = None
    edits: list[int] = field(default_factory=list)

    def hear(self, by: UUID, saying: Saying, *, refuses: bool) -> Saying | None:
        """Hear as intake does: see commands.ownership.hear_of."""
        if not has_say(saying.word, by, came_by=self.came_by, given_by=self.given_by):
            return None
        before = self.view
        self.view, answer = hear(before, saying, refuses=refuses)
        assert self.view.epoch >= before.epoch
        assert self.view.refused >= before.refused
        return answer


@dataclass(frozen=True)
class Letter:
    by: UUID
    to: Row
    saying: Saying


class Countries(RuleBasedStateMachine):
    """Every letter ever sent may come at any time, any number of times, or never."""

    names: tuple[str, ...] = ("RS", "XK")

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.referrals: dict[UUID, tuple[Row, Row]] = {}
        """Who gives by it, and who is given."""
        self.sent: list[Letter] = []
        """Letters stay: each can be delivered again for ever."""
        self.answers: dict[tuple[UUID, int], set[Word]] = {}
        self.begin()

    def begin(self) -> None:
        self.rows.append(Row("RS", FOUND))

    def refer(self, giver: Row, country: str) -> UUID:
        """Send the person's data: the other country has a case of its own from then on."""
        referral = fixed_id(len(self.referrals) + 1)
        taker = Row(country, HEARD_OF, came_by=referral)
        self.rows.append(taker)
        self.referrals[referral] = (giver, taker)
        return referral

    def post(self, by: UUID, saying: Saying | None) -> None:
        if saying is None:
            return
        giver, taker = self.referrals[by]
        if saying.word in ANSWERS:
            self.answers.setdefault((by, saying.epoch), set()).add(saying.word)
        self.sent.append(Letter(by, giver if saying.word in ANSWERS else taker, saying))

    @rule(data=st.data(), again=st.booleans())
    def someone_gives(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001
        """To any other country, by a new referral or by the one that was refused before."""
        for row in [*self.rows]:
            if row.view.may_edit:
                others = [name for name in self.names if name != row.country]
                past = [id_ for id_, (giver, _) in self.referrals.items() if giver is row]
                if again and past:
                    by = data.draw(st.sampled_from(past))
                else:
                    by = self.refer(row, data.draw(st.sampled_from(others)))
                row.view, saying = give(row.view, is_first=row.given_by is None)
                row.given_by = by
                self.post(by, saying)

    @rule()
    def someone_recalls(self) -> None:
        for row in self.rows:
            if row.view.holding is Holding.GIVING and row.given_by is not None:
                self.post(row.given_by, recall(row.view))

    @precondition(lambda self: bool(self.sent))
    @rule(data=st.data(), refuses=st.booleans(), dies=st.booleans())
    def a_letter_comes(self, data: st.DataObject, refuses: bool, dies: bool) -> None:  # noqa: FBT001
        letter = data.draw(st.sampled_from(self.sent))
        before = letter.to.view
        answer = letter.to.hear(letter.by, letter.saying, refuses=refuses)
        if dies:  # before the commit: neither the view nor the answer is there
            letter.to.view = before
        else:
            self.post(letter.by, answer)

    @rule(data=st.data(), behind=st.integers(0, 3))
    def someone_edits(self, data: st.DataObject, behind: int) -> None:
        """Whoever decided on an older epoch is refused."""
        row = data.draw(st.sampled_from(self.rows))
        epoch = row.view.epoch - behind
        try:
            require_epoch(row.view, epoch)
        except ConflictError:
            assert behind > 0 or not row.view.may_edit
        else:
            row.edits.append(epoch)

    @invariant()
    def at_most_one_may_edit(self) -> None:
        assert sum(row.view.may_edit for row in self.rows) <= 1, self.rows

    @invariant()
    def no_epoch_has_two_editors(self) -> None:
        edits = [epoch for row in self.rows for epoch in {*row.edits}]
        assert len(edits) == len({*edits}), self.rows

    @invariant()
    def an_answer_once_given_is_the_answer(self) -> None:
        assert all(len(words) == 1 for words in self.answers.values()), self.answers

    def teardown(self) -> None:
        """Once letters come through, and who waits says it again, exactly one owns the case."""
        for _ in range(4):
            for row in self.rows:
                if row.given_by is not None and row.view.holding is Holding.GIVING:
                    self.post(row.given_by, Saying(Word.GIVEN, row.view.epoch))
            for letter in [*dict.fromkeys(self.sent)]:
                self.post(letter.by, letter.to.hear(letter.by, letter.saying, refuses=False))
        self.ends()

    def ends(self) -> None:
        holdings = [row.view.holding for row in self.rows]
        assert sorted(holdings) == [*[Holding.NONE] * (len(holdings) - 1), Holding.OWNER]


class ThreeWithALiar(Countries):
    """XK gave its case to RS, by one referral; RS and AL are honest. Of the rows, XK's is not one.

    XK says under that referral whatever it likes, whenever it likes. It gives the case once or
    never; what it told before RS took it is its own affair.
    """

    names = ("RS", "AL")

    def begin(self) -> None:
        self.lies = self.refer(Row("XK", FOUND), "RS")

    @rule(
        word=st.sampled_from(Word),
        epoch=st.integers(1, 12) | st.sampled_from([ABSURD - 1, ABSURD, HIGHEST - 1, HIGHEST]),
        refuses=st.booleans(),
    )
    def the_liar_says(self, word: Word, epoch: int, refuses: bool) -> None:  # noqa: FBT001
        [row] = [row for row in self.rows if row.came_by == self.lies]
        before, was_given = row.view, row.given_by is not None
        row.hear(self.lies, Saying(word, epoch), refuses=refuses)
        assert row.view == before or not (was_given or before.was_here)

    @invariant()
    def no_epoch_has_two_editors(self) -> None:
        """Of honest countries; an absurd epoch of the liar's is left behind, and may come again."""

    @invariant()
    def every_word_can_be_said(self) -> None:
        assert all(1 <= letter.saying.epoch <= HIGHEST for letter in self.sent)

    def ends(self) -> None:
        was_taken = any(row.view.was_here for row in self.rows)
        assert _owners(self.rows) == int(was_taken), self.rows


def _owners(rows: Iterable[Row]) -> int:
    assert not any(row.view.holding is Holding.GIVING for row in rows), rows
    return sum(row.view.may_edit for row in rows)


for machine in (Countries, ThreeWithALiar):
    machine.TestCase.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
TestTwoCountries = Countries.TestCase
TestThreeCountriesOfWhichOneLies = ThreeWithALiar.TestCase


def test_a_case_goes_over_and_comes_back_as_one_of_its_own_under_ever_higher_epochs() -> None:
    here, letter = give(FOUND)
    there, answer = hear(HEARD_OF, letter)
    assert answer == Saying(Word.TAKEN, 2)
    here, _ = hear(here, answer)
    there, letter = give(there)
    back, answer = hear(HEARD_OF, letter)
    assert answer == Saying(Word.TAKEN, 3)
    there, _ = hear(there, answer)

    assert here == Ownership(Holding.NONE, 2)
    assert (back, there) == (Ownership(Holding.OWNER, 3), Ownership(Holding.NONE, 3))


@pytest.mark.row("F38", "C1")
@pytest.mark.parametrize("word", Word)
@pytest.mark.parametrize("epoch", [2, 3, 4, 9, HIGHEST])
def test_a_former_owner_changes_nothing_whatever_it_says(word: Word, epoch: int) -> None:
    """Fails when an offer counts while the case is on its way, or was, to somebody else."""
    came_by, given_by = fixed_id(1), fixed_id(2)
    owned, _ = hear(HEARD_OF, Saying(Word.GIVEN, 2))
    giving, _ = give(owned, is_first=True)
    gone, _ = hear(giving, Saying(Word.TAKEN, 3))
    kept, _ = hear(giving, Saying(Word.REFUSED, 3))

    for view in (giving, gone, kept):
        assert not has_say(word, came_by, came_by=came_by, given_by=given_by)
        if word in OFFERS:  # and were it asked, the view by itself would say so
            assert hear(view, Saying(word, epoch))[0] == view


def test_only_the_country_it_was_given_to_last_answers() -> None:
    came_by, refused_by, given_by = (fixed_id(number) for number in (1, 2, 3))
    for word in Word:
        heard = {
            by: has_say(word, by, came_by=came_by, given_by=given_by)
            for by in (came_by, refused_by, given_by)
        }
        assert heard == {came_by: False, refused_by: False, given_by: word in ANSWERS}
        assert has_say(word, came_by, came_by=came_by, given_by=None) is (word in OFFERS)


@pytest.mark.parametrize("epoch", [ABSURD, HIGHEST - 1, HIGHEST])
def test_a_case_that_came_under_an_absurd_epoch_goes_on_all_the_same(epoch: int) -> None:
    """Fails when the next epoch is counted from whatever a peer said: nobody could hear it."""
    owned, taken = hear(HEARD_OF, Saying(Word.GIVEN, epoch))
    giving, offer = give(owned, is_first=True)
    there, answer = hear(HEARD_OF, offer)
    kept, _ = hear(giving, Saying(Word.REFUSED, offer.epoch))
    _, second = give(kept)

    assert (taken, offer) == (Saying(Word.TAKEN, epoch), Saying(Word.GIVEN, 2))
    assert (there.may_edit, answer) == (True, Saying(Word.TAKEN, 2))
    assert second == Saying(Word.GIVEN, 4)


@pytest.mark.parametrize("word", OFFERS)
@pytest.mark.parametrize("epoch", [0, 1, HIGHEST + 1, 2_000_000])
def test_what_no_honest_country_says_is_passed_over(word: Word, epoch: int) -> None:
    assert hear(HEARD_OF, Saying(word, epoch)) == (HEARD_OF, None)


def test_an_offer_after_a_refusal_is_near_it() -> None:
    refused, _ = hear(HEARD_OF, Saying(Word.RECALLED, 7))

    near = [epoch for epoch in range(1, 1000) if is_expected(refused, epoch)]

    assert near == [*range(8, 7 + LEAP + 1)]


def test_the_bound_is_that_of_the_letters() -> None:
    [bound] = [
        each.le for each in OwnershipHeard.model_fields["epoch"].metadata if hasattr(each, "le")
    ]

    assert bound == HIGHEST


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
