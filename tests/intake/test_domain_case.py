from itertools import product

import pytest

from common.errors import ConflictError, InvalidError
from intake.domain.case import (
    HTCDS_STATUS,
    BeneficiaryKind,
    CaseStatus,
    change_kind,
    check_primary,
    identification_at_opening,
    kind_after,
    next_status,
    require_open,
)
from intake.domain.identification import IdentificationStatus, services_open

# HTCDS 2.0 cas_Status, and reopening (domain.md section 6): written by hand.
LEGAL = {
    ("ACTIVE", "FOLLOW_UP"),
    ("ACTIVE", "CLOSED"),
    ("ACTIVE", "CLOSED_REFERRED"),
    ("FOLLOW_UP", "ACTIVE"),
    ("FOLLOW_UP", "CLOSED"),
    ("FOLLOW_UP", "CLOSED_REFERRED"),
    ("CLOSED", "ACTIVE"),
    ("CLOSED_REFERRED", "ACTIVE"),
}


@pytest.mark.parametrize(("before", "after"), list(product(CaseStatus, CaseStatus)))
def test_the_life_of_a_case(before: CaseStatus, after: CaseStatus) -> None:
    """Seeded: let a closed case go to FOLLOW_UP without being reopened."""
    if (before, after) in LEGAL:
        assert next_status(before, after) is after
    else:
        with pytest.raises(ConflictError, match=r"case\.illegal_step") as refusal:
            next_status(before, after)
        legal = refusal.value.members["legal"]
        assert isinstance(legal, list)
        assert set(legal) == {end for start, end in LEGAL if start == before}


def test_a_closed_case_is_not_worked_on() -> None:
    require_open(CaseStatus.ACTIVE)
    require_open(CaseStatus.FOLLOW_UP)
    for status in (CaseStatus.CLOSED, CaseStatus.CLOSED_REFERRED):
        with pytest.raises(ConflictError, match=r"case\.closed"):
            require_open(status)


def test_the_standards_spelling_is_known_for_every_status() -> None:
    assert HTCDS_STATUS.keys() == set(CaseStatus)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("PRESUMED", "PRESUMED"), ("AT_RISK", "REPORTED"), ("SECONDARY", "REPORTED")],
)
def test_where_identification_starts(kind: str, status: str) -> None:
    assert identification_at_opening(BeneficiaryKind(kind)) == status


def test_nobody_is_a_victim_without_a_decision() -> None:
    """Seeded: map VICTIM to IDENTIFIED; a partner could create identified victims by POST."""
    with pytest.raises(InvalidError, match=r"case\.victim_needs_identification") as refusal:
        identification_at_opening(BeneficiaryKind.VICTIM)

    assert refusal.value.pointer == "/beneficiary_kind"


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("AT_RISK", "SCREENING", "AT_RISK"),
        ("AT_RISK", "PRESUMED", "PRESUMED"),
        ("PRESUMED", "FORMAL_ASSESSMENT", "PRESUMED"),
        ("PRESUMED", "IDENTIFIED", "VICTIM"),
        ("PRESUMED", "NOT_VICTIM", "AT_RISK"),
        ("PRESUMED", "DISCONTINUED", "PRESUMED"),
        ("AT_RISK", "DISCONTINUED", "AT_RISK"),
        ("AT_RISK", "REJECTED", "AT_RISK"),
        ("SECONDARY", "SCREENING", "SECONDARY"),
        ("SECONDARY", "REJECTED", "SECONDARY"),
        ("SECONDARY", "PRESUMED", "PRESUMED"),
        ("SECONDARY", "IDENTIFIED", "VICTIM"),
    ],
)
def test_the_kind_follows_identification(kind: str, status: str, expected: str) -> None:
    """Seeded: count a person turned down as PRESUMED still; persons assisted would be too many."""
    assert kind_after(BeneficiaryKind(kind), IdentificationStatus(status)) == expected


@pytest.mark.parametrize(("kind", "status"), list(product(BeneficiaryKind, IdentificationStatus)))
def test_services_and_kind_agree_while_identification_runs(
    kind: BeneficiaryKind, status: IdentificationStatus
) -> None:
    """Seeded: forget FORMAL_ASSESSMENT in KIND_AFTER."""
    if services_open(status):
        assert kind_after(kind, status) in {BeneficiaryKind.PRESUMED, BeneficiaryKind.VICTIM}


@pytest.mark.parametrize(
    ("kind", "wanted", "status", "may"),
    [
        ("AT_RISK", "SECONDARY", "REPORTED", True),
        ("SECONDARY", "AT_RISK", "SCREENING", True),
        ("PRESUMED", "AT_RISK", "DISCONTINUED", True),
        ("PRESUMED", "PRESUMED", "PRESUMED", True),
        ("AT_RISK", "PRESUMED", "REPORTED", False),
        ("AT_RISK", "VICTIM", "SCREENING", False),
        ("PRESUMED", "AT_RISK", "PRESUMED", False),
        ("VICTIM", "SECONDARY", "IDENTIFIED", False),
    ],
)
def test_a_worker_states_only_kinds_that_identification_does_not_give(
    *, kind: str, wanted: str, status: str, may: bool
) -> None:
    """Seeded: let PATCH set any kind; a victim is made or unmade without a decision."""
    if may:
        assert (
            change_kind(
                BeneficiaryKind(kind), BeneficiaryKind(wanted), IdentificationStatus(status)
            )
            == wanted
        )
    else:
        with pytest.raises(ConflictError, match=r"case\.kind_follows_identification"):
            change_kind(
                BeneficiaryKind(kind), BeneficiaryKind(wanted), IdentificationStatus(status)
            )


@pytest.mark.parametrize("kind", BeneficiaryKind)
def test_a_secondary_beneficiary_has_one_primary_case(kind: BeneficiaryKind) -> None:
    is_secondary = kind is BeneficiaryKind.SECONDARY

    check_primary(kind, has_primary=is_secondary)
    with pytest.raises(InvalidError, match=r"case\.primary_") as refusal:
        check_primary(kind, has_primary=not is_secondary)

    assert refusal.value.pointer == "/primary_case_id"
