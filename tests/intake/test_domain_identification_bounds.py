"""What leaving something out, or naming somebody absent, does not gain in identification."""

from datetime import date, timedelta

import pytest

from common.errors import ForbiddenError, InvalidError
from intake.domain.identification import IdentificationStatus, decide
from intake.domain.roles import ActorRole, DecidingAuthority
from tests.intake.test_domain_identification import TODAY, case, decision


def test_an_unknown_age_gives_nobody_a_childs_authority() -> None:
    """Seeded: hand `is_minor` to `entitlement`; leaving the age out makes a decider."""
    facts = case(IdentificationStatus.FORMAL_ASSESSMENT, is_minor=True, is_age_known=False)

    with pytest.raises(ForbiddenError, match=r"identification\.role_not_entitled"):
        decide(
            facts,
            decision(IdentificationStatus.IDENTIFIED, role=ActorRole.SOCIAL_WORKER),
            today=TODAY,
        )


def test_an_unknown_age_does_not_spare_the_means() -> None:
    """Seeded: drop the means for whoever may be a child."""
    facts = case(IdentificationStatus.FORMAL_ASSESSMENT, is_minor=True, is_age_known=False)

    with pytest.raises(InvalidError, match=r"identification\.means_missing"):
        decide(facts, decision(IdentificationStatus.IDENTIFIED, means=()), today=TODAY)
    assert decide(facts, decision(IdentificationStatus.IDENTIFIED), today=TODAY)


def test_who_joins_for_a_child_joins_while_the_age_is_unknown() -> None:
    """Seeded: ask the adult's row alone; in Kosovo the social worker stays away."""
    facts = case(
        IdentificationStatus.FORMAL_ASSESSMENT, country="XK", is_minor=True, is_age_known=False
    )
    wanted = decision(
        IdentificationStatus.IDENTIFIED,
        role=ActorRole.POLICE_INVESTIGATOR,
        participants={ActorRole.VICTIM_ADVOCATE},
    )

    with pytest.raises(InvalidError, match=r"identification\.participant_missing"):
        decide(facts, wanted, today=TODAY)


@pytest.mark.parametrize("status", ["PRESUMED", "REJECTED", "DISCONTINUED"])
def test_every_step_is_in_the_name_of_somebody_present(status: str) -> None:
    """Seeded: check the authority of IDENTIFIED and NOT_VICTIM only."""
    facts = case(IdentificationStatus.SCREENING)
    wanted = IdentificationStatus(status)
    by_court = DecidingAuthority.COURT_OR_PROSECUTION

    with pytest.raises(InvalidError) as refusal:
        decide(facts, decision(wanted, decided_by=by_court), today=TODAY)
    joined = decision(wanted, decided_by=by_court, participants={ActorRole.PROSECUTOR})

    assert (refusal.value.code, refusal.value.pointer) == (
        "identification.authority_absent",
        "/decided_by",
    )
    assert refusal.value.members["present"] == ["NON_POLICE_GOVERNMENTAL_ORGANIZATION"]
    assert decide(facts, joined, today=TODAY) is wanted


def test_nothing_is_decided_before_the_protocol_of_palermo() -> None:
    """Seeded: leave `decided_on` without a lower bound."""
    facts, first = case(IdentificationStatus.SCREENING), date(2000, 1, 1)
    presumed = IdentificationStatus.PRESUMED

    assert decide(facts, decision(presumed, decided_on=first), today=TODAY)
    with pytest.raises(InvalidError) as refusal:
        decide(facts, decision(presumed, decided_on=first - timedelta(days=1)), today=TODAY)
    assert (refusal.value.code, refusal.value.pointer) == ("field.range", "/decided_on")
