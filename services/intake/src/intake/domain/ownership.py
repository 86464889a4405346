"""Who may edit a case that goes from one country to another: one at most, and at the end one.

Each country keeps its own view, an epoch and what it holds under it. The owner gives a case away by
raising the epoch and letting go first; the other takes what it was given, or refuses it, once and for
good. Nobody takes back what is on its way by the clock alone: the giver asks, and the taker's answer,
given once, is the answer for ever. Letters may come twice, late, in any order or not at all; whoever
waits for an answer sends again.

Every country has a view of each time the case came to it, a row of its own. What came by a referral
is taken by it once, and given on by other referrals; a case that comes back comes by a new referral,
as a new row. So no former owner has a say: whom it came from has none from the taking on, and whom it
was given to only as long as its answer is awaited. A peer may lie; it can hurt what it still owns.

F36, F38, C1 (SORMAS #9967: after a failed back-share both instances could edit the same case).
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final
from uuid import UUID

from common.errors import ConflictError

HIGHEST: Final = 1_000_000
"""The last epoch there is. One that honest countries never come near: a handover raises it by 1."""
ABSURD: Final = HIGHEST // 2
"""From here on an epoch that came with a case is a peer's lie, and is not counted on from."""
LEAP: Final = 100
"""How far above a refused offer the next one may be. It is 2 above, and 2 more for each other country
that the giver tried in between."""


class Holding(StrEnum):
    """What a country holds of a case."""

    OWNER = "OWNER"
    GIVING = "GIVING"
    """Let go, and waiting for the answer: it may edit no more, whatever the answer will be."""
    NONE = "NONE"


class Word(StrEnum):
    """What a letter says about the ownership under one epoch."""

    GIVEN = "GIVEN"
    """From the giver: take it under this epoch, or refuse."""
    RECALLED = "RECALLED"
    """From the giver: if you have not taken it yet, do not."""
    TAKEN = "TAKEN"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Saying:
    word: Word
    epoch: int


@dataclass(frozen=True, slots=True)
class Ownership:
    """One country's view of one case.

    `epoch` only rises, but see `give`. `refused` is the highest epoch that was offered here and
    refused; what was refused is never taken.
    """

    holding: Holding
    epoch: int
    refused: int = 0

    @property
    def may_edit(self) -> bool:
        return self.holding is Holding.OWNER

    @property
    def was_here(self) -> bool:
        """Whether this country has ever owned the case."""
        return self.epoch > 0


FOUND = Ownership(Holding.OWNER, 1)
"""Of the country that opened the case."""
HEARD_OF = Ownership(Holding.NONE, 0)
"""Of a country that was only offered it."""

ANSWERS: Final = frozenset({Word.TAKEN, Word.REFUSED})


def has_say(word: Word, by: UUID, *, came_by: UUID | None, given_by: UUID | None) -> bool:
    """Tell whether a word counts that was said under the referral `by`.

    An answer counts under the referral by which the case was last given away, and no other. What
    the country says from which it came (`came_by`) counts until the case has been given on, whatever
    became of that.
    """
    if word in ANSWERS:
        return by == given_by
    return by == came_by and given_by is None


def require_confirmed(*, is_asking: bool) -> None:
    """Refuse a change while peers are asked whose the cases are: `ownership.unconfirmed`."""
    if is_asking:
        raise ConflictError("ownership.unconfirmed")


def require_here(view: Ownership) -> None:
    """Refuse a change of a case that another country owns, or is about to: `ownership.not_here`."""
    if not view.may_edit:
        raise ConflictError("ownership.not_here")


def require_epoch(view: Ownership, epoch: int) -> None:
    """Refuse a change that was decided under another epoch, or by who no longer owns the case.

    ConflictError `ownership.stale_epoch` or `ownership.not_here`.
    """
    require_here(view)
    if epoch != view.epoch:
        raise ConflictError("ownership.stale_epoch")


def give(view: Ownership, *, is_first: bool = False) -> tuple[Ownership, Saying]:
    """Let go of the case and offer it under the next epoch; ConflictError if it is not here.

    `is_first` of a case that was never given away from here. Then nobody it can be given to has
    heard an epoch of ours, and an absurd one that a peer brought it under is left behind: else
    whoever named the last epoch would have kept the case from ever going on.
    """
    require_here(view)
    epoch = FOUND.epoch if is_first and view.epoch >= ABSURD else view.epoch
    given = replace(view, holding=Holding.GIVING, epoch=epoch + 1)
    return given, Saying(Word.GIVEN, given.epoch)


def recall(view: Ownership) -> Saying:
    """Ask for what is on its way; it is not ours before the other says so."""
    if view.holding is not Holding.GIVING:
        raise ConflictError("ownership.not_given")
    return Saying(Word.RECALLED, view.epoch)


def hear(
    view: Ownership, saying: Saying, *, refuses: bool = False
) -> tuple[Ownership, Saying | None]:
    """Return the view after a letter, and the answer to it.

    `refuses` says that this country does not want what it is given now; what it took before stays
    taken.
    """
    match saying.word:
        case Word.GIVEN | Word.RECALLED:
            return _offered(view, saying, refuses=refuses or saying.word is Word.RECALLED)
        case Word.TAKEN | Word.REFUSED:
            return _answered(view, saying), None


def hear_own(view: Ownership, saying: Saying) -> Ownership:
    """Return the view after this country's own word, which its register may have forgotten.

    It was put back from a backup of before. A word of an older epoch than the view's changes nothing.
    """
    epoch = saying.epoch
    match saying.word:
        case Word.GIVEN | Word.RECALLED if epoch > view.epoch:
            return replace(view, holding=Holding.GIVING, epoch=epoch)
        case Word.TAKEN if not view.was_here:
            return replace(view, holding=Holding.OWNER, epoch=epoch)
        case Word.REFUSED if not view.was_here and epoch > view.refused:
            return replace(view, refused=epoch)
    return view


def _offered(view: Ownership, saying: Saying, *, refuses: bool) -> tuple[Ownership, Saying | None]:
    epoch = saying.epoch
    if epoch == view.refused > 0:
        return view, Saying(Word.REFUSED, epoch)
    if view.was_here:
        # It is taken once. What comes back comes by another referral, and has a view of its own.
        is_ours = view.may_edit and epoch == view.epoch
        return view, Saying(Word.TAKEN, epoch) if is_ours else None
    if not is_expected(view, epoch):
        return view, None
    if refuses:
        return replace(view, refused=epoch), Saying(Word.REFUSED, epoch)
    taken = replace(view, holding=Holding.OWNER, epoch=epoch)
    return taken, Saying(Word.TAKEN, epoch)


def is_expected(view: Ownership, epoch: int) -> bool:
    """Tell whether an honest giver may offer the case under this epoch to whoever has this view.

    The first offer may come at the end of a long way; its epoch is bounded by HIGHEST alone.
    """
    most = view.refused + LEAP if view.refused else HIGHEST
    return max(FOUND.epoch, view.refused) < epoch <= min(most, HIGHEST)


def _answered(view: Ownership, saying: Saying) -> Ownership:
    if view.holding is not Holding.GIVING or saying.epoch != view.epoch:
        return view  # an answer to what is over
    if saying.word is Word.TAKEN:
        return replace(view, holding=Holding.NONE)
    # Under an epoch of its own, so that what was offered can be taken by nobody any more.
    return replace(view, holding=Holding.OWNER, epoch=view.epoch + 1)
