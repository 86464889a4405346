"""The reintegration agreement: who signs, which version holds, when it is looked at again (F46)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from common.errors import ConflictError, InvalidError


class Party(StrEnum):
    """Codes of agreement_parties whose signature makes an agreement; others may be parties too."""

    PERSON = "PERSON"
    GUARDIAN = "GUARDIAN"
    CASE_WORKER = "CASE_WORKER"


class AgreementStatus(StrEnum):
    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    SUPERSEDED = "SUPERSEDED"


@dataclass(frozen=True, slots=True)
class Signature:
    party: str
    signed_on: date


# The support plan bears the name and signature of the person and of the interviewer (nrm.bg,
# domain.md section 4). A child signs beside its guardian: assent is recorded, never a substitute.
_SIGNERS: Final = frozenset({Party.PERSON, Party.CASE_WORKER})


def required_signers(*, is_minor: bool | None) -> frozenset[Party]:
    """Return who has to sign; in doubt the person is presumed a child."""
    return _SIGNERS if is_minor is False else _SIGNERS | {Party.GUARDIAN}


def next_version(current: int | None) -> int:
    """Return the number of a plan's next agreement version; None when it has none yet."""
    return 1 if current is None else current + 1


def check_terms(
    parties: Collection[str], review_on: date, *, is_minor: bool | None, today: date
) -> None:
    """Refuse terms that could never become active, or that nobody would ever look at again.

    Raises InvalidError `agreement.party_missing` with the missing parties, InvalidError
    `agreement.review_not_ahead` for a review that is not after today.
    """
    missing = sorted(required_signers(is_minor=is_minor) - set(parties))
    if missing:
        names = [party.value for party in missing]
        raise InvalidError("agreement.party_missing", pointer="/parties", parties=names)
    if review_on <= today:
        raise InvalidError("agreement.review_not_ahead", pointer="/review_on")


def check_signature(
    signature: Signature,
    *,
    status: AgreementStatus,
    parties: Collection[str],
    signed: Collection[Signature],
    opened_on: date,
    today: date,
    place: str = "",
) -> None:
    """Refuse a signature that does not count. `place` is its JSON pointer within the body.

    Nobody can have signed the agreement of a plan before the plan was opened, on `opened_on`.

    Raises ConflictError `agreement.superseded` and `agreement.already_signed`, InvalidError
    `agreement.not_a_party`, `agreement.signed_in_future` and `plan.day_out_of_range`.
    """
    if status is AgreementStatus.SUPERSEDED:
        raise ConflictError("agreement.superseded")
    if signature.party not in parties:
        raise InvalidError("agreement.not_a_party", pointer=f"{place}/party")
    if signature.signed_on > today:
        raise InvalidError("agreement.signed_in_future", pointer=f"{place}/signed_on")
    if signature.signed_on < opened_on:
        raise InvalidError("plan.day_out_of_range", pointer=f"{place}/signed_on")
    if any(earlier.party == signature.party for earlier in signed):
        raise ConflictError("agreement.already_signed")


def effective_on(signatures: Collection[Signature], *, is_minor: bool | None) -> date | None:
    """Return the day of the last required signature; None while one is missing.

    From then on the version is active and supersedes the one before it.
    """
    days = {signature.party: signature.signed_on for signature in signatures}
    signers = required_signers(is_minor=is_minor)
    if not signers <= days.keys():
        return None
    return max(days[signer] for signer in signers)


def is_review_due(status: AgreementStatus, review_on: date, today: date) -> bool:
    """Say whether an active agreement waits for its review. It stays active meanwhile."""
    return status is AgreementStatus.ACTIVE and today >= review_on
