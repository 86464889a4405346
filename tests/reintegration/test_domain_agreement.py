"""Who signs an agreement, and when it holds."""

from datetime import date

import pytest

from common.errors import ConflictError, InvalidError
from reintegration.domain.agreement import (
    AgreementStatus,
    Party,
    Signature,
    check_signature,
    check_terms,
    effective_on,
    is_review_due,
    next_version,
    required_signers,
)

TODAY = date(2026, 5, 1)
OPENED_ON = date(2026, 4, 1)
ADULT_PARTIES = ["PERSON", "CASE_WORKER"]


def signed(*parties: str, on: date = TODAY) -> list[Signature]:
    return [Signature(party, on) for party in parties]


# Fails when a child's agreement holds without the guardian, or a doubtful age counts as adult.
@pytest.mark.parametrize(
    ("is_minor", "signers"),
    [
        (False, {Party.PERSON, Party.CASE_WORKER}),
        (True, {Party.PERSON, Party.CASE_WORKER, Party.GUARDIAN}),
        (None, {Party.PERSON, Party.CASE_WORKER, Party.GUARDIAN}),
    ],
)
def test_who_has_to_sign(*, is_minor: bool | None, signers: set[Party]) -> None:
    assert required_signers(is_minor=is_minor) == signers


# Fails when either signature alone makes the agreement active.
@pytest.mark.parametrize(
    ("parties", "is_minor"),
    [
        ([], False),
        (["PERSON"], False),
        (["CASE_WORKER"], False),
        (["GUARDIAN", "CASE_WORKER"], False),
        (["PERSON", "CASE_WORKER"], True),
        (["GUARDIAN", "CASE_WORKER"], True),
    ],
)
def test_an_agreement_does_not_hold_while_a_signature_is_missing(
    *, parties: list[str], is_minor: bool
) -> None:
    assert effective_on(signed(*parties), is_minor=is_minor) is None


# Fails with the first instead of the last signature, and when a bystander's day counts.
def test_an_agreement_holds_from_its_last_required_signature() -> None:
    signatures = [
        Signature("PERSON", date(2026, 4, 3)),
        Signature("CASE_WORKER", date(2026, 4, 1)),
        Signature("ORGANISATION", date(2026, 4, 9)),
    ]

    assert effective_on(signatures, is_minor=False) == date(2026, 4, 3)


@pytest.mark.parametrize(
    ("parties", "is_minor", "missing"),
    [
        (["PERSON"], False, ["CASE_WORKER"]),
        (["ORGANISATION"], False, ["CASE_WORKER", "PERSON"]),
        (ADULT_PARTIES, True, ["GUARDIAN"]),
    ],
)
def test_terms_without_a_party_that_has_to_sign_are_refused(
    *, parties: list[str], is_minor: bool, missing: list[str]
) -> None:
    with pytest.raises(InvalidError) as refusal:
        check_terms(parties, date(2026, 8, 1), is_minor=is_minor, today=TODAY)

    assert (refusal.value.code, refusal.value.pointer) == ("agreement.party_missing", "/parties")
    assert refusal.value.members == {"parties": missing}


def test_the_review_lies_ahead() -> None:
    check_terms(ADULT_PARTIES, date(2026, 5, 2), is_minor=False, today=TODAY)

    with pytest.raises(InvalidError) as refusal:
        check_terms(ADULT_PARTIES, TODAY, is_minor=False, today=TODAY)

    assert refusal.value.code == "agreement.review_not_ahead"
    assert refusal.value.pointer == "/review_on"


def sign(party: str, *, on: date = TODAY, status: AgreementStatus = AgreementStatus.DRAFT) -> None:
    check_signature(
        Signature(party, on),
        status=status,
        parties=[*ADULT_PARTIES, "ORGANISATION"],
        signed=signed("CASE_WORKER"),
        opened_on=OPENED_ON,
        today=TODAY,
    )


def test_a_party_signs_today_or_earlier_also_beside_an_active_version() -> None:
    sign("PERSON")
    sign("PERSON", on=OPENED_ON)
    sign("ORGANISATION", status=AgreementStatus.ACTIVE)


def test_a_superseded_version_takes_no_signature() -> None:
    with pytest.raises(ConflictError, match=r"agreement\.superseded"):
        sign("PERSON", status=AgreementStatus.SUPERSEDED)


def test_nobody_signs_twice() -> None:
    with pytest.raises(ConflictError, match=r"agreement\.already_signed"):
        sign("CASE_WORKER")


def test_a_stranger_does_not_sign() -> None:
    with pytest.raises(InvalidError, match=r"agreement\.not_a_party") as refusal:
        sign("GUARDIAN")

    assert refusal.value.pointer == "/party"


def test_nobody_signs_in_advance() -> None:
    with pytest.raises(InvalidError, match=r"agreement\.signed_in_future") as refusal:
        sign("PERSON", on=date(2026, 5, 2))

    assert refusal.value.pointer == "/signed_on"


def test_a_refused_signature_of_a_whole_agreement_is_pointed_at() -> None:
    with pytest.raises(InvalidError) as refusal:
        check_signature(
            Signature("GUARDIAN", TODAY),
            status=AgreementStatus.DRAFT,
            parties=ADULT_PARTIES,
            signed=[],
            opened_on=OPENED_ON,
            today=TODAY,
            place="/signatures/1",
        )

    assert refusal.value.pointer == "/signatures/1/party"


def test_versions_count_from_one() -> None:
    assert [next_version(None), next_version(1), next_version(7)] == [1, 2, 8]


# Fails when a review that is due takes the agreement away, or is asked for of an old version.
def test_a_review_falls_due_on_its_day_for_an_active_agreement_only() -> None:
    active = AgreementStatus.ACTIVE

    assert not is_review_due(active, date(2026, 5, 2), TODAY)
    assert is_review_due(active, TODAY, TODAY)
    assert not is_review_due(AgreementStatus.DRAFT, TODAY, TODAY)
    assert not is_review_due(AgreementStatus.SUPERSEDED, TODAY, TODAY)
