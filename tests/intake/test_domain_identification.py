from datetime import date
from itertools import product

import pytest

from common.errors import ConflictError, ForbiddenError, InvalidError
from intake.domain.identification import (
    CaseFacts,
    Decision,
    IdentificationStatus,
    check_legal_basis,
    check_opening,
    decide,
    is_reopening,
    services_open,
)
from intake.domain.roles import AUTHORITY_OF, ActorRole, DecidingAuthority

TODAY = date(2026, 11, 22)

# Written from domain.md section 5 by hand, not read from the code's table.
LEGAL = {
    ("REPORTED", "SCREENING"),
    ("REPORTED", "DISCONTINUED"),
    ("SCREENING", "PRESUMED"),
    ("SCREENING", "REJECTED"),
    ("SCREENING", "DISCONTINUED"),
    ("PRESUMED", "FORMAL_ASSESSMENT"),
    ("PRESUMED", "DISCONTINUED"),
    ("FORMAL_ASSESSMENT", "IDENTIFIED"),
    ("FORMAL_ASSESSMENT", "NOT_VICTIM"),
    ("FORMAL_ASSESSMENT", "DISCONTINUED"),
    ("NOT_VICTIM", "SCREENING"),
    ("REJECTED", "SCREENING"),
}


def case(
    status: IdentificationStatus,
    *,
    country: str = "RS",
    is_minor: bool = False,
    last_decided_on: date | None = None,
    is_age_known: bool = True,
) -> CaseFacts:
    return CaseFacts(country, status, is_minor, last_decided_on, is_age_known)


def decision(
    status: IdentificationStatus,
    *,
    role: ActorRole = ActorRole.IDENTIFICATION_OFFICER,
    decided_by: DecidingAuthority | None = None,
    decided_on: date = TODAY,
    legal_basis: str = "NATIONAL_SOP",
    participants: set[ActorRole] | None = None,
    purposes: tuple[str, ...] = ("FORCED_LABOUR",),
    acts: tuple[str, ...] = ("ACT_RECRUITMENT",),
    means: tuple[str, ...] = ("MEANS_DECEPTION",),
    is_explained: bool = True,
) -> Decision:
    return Decision(
        status=status,
        role=role,
        decided_by=decided_by or AUTHORITY_OF.get(role, DecidingAuthority.OTHER),
        decided_on=decided_on,
        legal_basis=legal_basis,
        participants=participants or set(),
        purposes=set(purposes),
        acts=set(acts),
        means=set(means),
        is_explained=is_explained,
    )


@pytest.mark.parametrize(
    ("before", "after"), list(product(IdentificationStatus, IdentificationStatus))
)
def test_only_the_steps_of_the_state_machine_are_taken(
    before: IdentificationStatus, after: IdentificationStatus
) -> None:
    """Seeded: let PRESUMED go straight to NOT_VICTIM or IDENTIFIED, or reopen DISCONTINUED."""
    if (before, after) in LEGAL:
        assert decide(case(before), decision(after), today=TODAY) is after
    else:
        with pytest.raises(ConflictError) as refusal:
            decide(case(before), decision(after), today=TODAY)
        assert refusal.value.code == "identification.illegal_step"
        legal = refusal.value.members["legal"]
        assert isinstance(legal, list)
        assert set(legal) == {end for start, end in LEGAL if start == before}


@pytest.mark.parametrize("status", IdentificationStatus)
def test_services_open_at_the_presumption_and_not_before(status: IdentificationStatus) -> None:
    """Seeded: open services at IDENTIFIED only (F4)."""
    assert services_open(status) == (status in {"PRESUMED", "FORMAL_ASSESSMENT", "IDENTIFIED"})


# country, child?, caller's role, authority, others who took part → may identify
ENTITLED = [
    ("RS", False, "IDENTIFICATION_OFFICER", "NON_POLICE_GOVERNMENT", "", True),
    ("RS", False, "SOCIAL_WORKER", "NON_POLICE_GOVERNMENT", "", False),
    ("RS", True, "SOCIAL_WORKER", "NON_POLICE_GOVERNMENT", "", True),
    ("RS", False, "IDENTIFICATION_OFFICER", "POLICE", "", False),
    ("RS", False, "POLICE_INVESTIGATOR", "NON_POLICE_GOVERNMENT", "", False),
    ("AL", False, "POLICE_INVESTIGATOR", "POLICE", "SOCIAL_WORKER", True),
    ("AL", False, "POLICE_INVESTIGATOR", "POLICE", "", False),
    ("AL", True, "SOCIAL_WORKER", "NON_POLICE_GOVERNMENT", "POLICE_INVESTIGATOR", True),
    ("AL", False, "NGO_CASE_MANAGER", "NGO", "POLICE_INVESTIGATOR SOCIAL_WORKER", False),
    ("XK", False, "POLICE_INVESTIGATOR", "POLICE", "VICTIM_ADVOCATE", True),
    ("XK", True, "POLICE_INVESTIGATOR", "POLICE", "VICTIM_ADVOCATE", False),
    ("XK", True, "POLICE_INVESTIGATOR", "POLICE", "VICTIM_ADVOCATE SOCIAL_WORKER", True),
    ("MK", False, "IDENTIFICATION_OFFICER", "NON_POLICE_GOVERNMENT", "", True),
    ("MK", True, "NGO_CASE_MANAGER", "NGO", "", False),
    ("BA", False, "POLICE_INVESTIGATOR", "POLICE", "", True),
    ("BA", False, "PROSECUTOR", "COURT_OR_PROSECUTION", "", True),
    ("ME", False, "IDENTIFICATION_OFFICER", "NON_POLICE_GOVERNMENT", "", True),
    ("BG", False, "BORDER_POLICE", "POLICE", "", True),
    ("RO", False, "IDENTIFICATION_OFFICER", "POLICE", "POLICE_INVESTIGATOR", True),
    ("RO", False, "IDENTIFICATION_OFFICER", "POLICE", "", False),
    ("RO", False, "BORDER_POLICE", "POLICE", "", False),
    ("DE", False, "IDENTIFICATION_OFFICER", "NON_POLICE_GOVERNMENT", "", True),
]


@pytest.mark.parametrize(("country", "is_minor", "role", "by", "others", "may"), ENTITLED)
def test_who_identifies_by_country_and_age(
    *, country: str, is_minor: bool, role: str, by: str, others: str, may: bool
) -> None:
    """Seeded: take the caller's role without the country, the age, or the joint partners."""
    facts = case(IdentificationStatus.FORMAL_ASSESSMENT, country=country, is_minor=is_minor)
    wanted = decision(
        IdentificationStatus.IDENTIFIED,
        role=ActorRole(role),
        decided_by=DecidingAuthority[by],
        participants={ActorRole(other) for other in others.split()},
    )

    if may:
        assert decide(facts, wanted, today=TODAY) is IdentificationStatus.IDENTIFIED
    else:
        with pytest.raises((ForbiddenError, InvalidError), match=r"identification\."):
            decide(facts, wanted, today=TODAY)


@pytest.mark.parametrize("role", ActorRole)
@pytest.mark.parametrize(
    "status",
    [
        IdentificationStatus.REJECTED,
        IdentificationStatus.NOT_VICTIM,
        IdentificationStatus.IDENTIFIED,
    ],
)
def test_protection_is_not_ended_by_whoever_may_only_screen(
    role: ActorRole, status: IdentificationStatus
) -> None:
    """Seeded: count REJECTED among the screening steps."""
    before = (
        IdentificationStatus.SCREENING
        if status is IdentificationStatus.REJECTED
        else IdentificationStatus.FORMAL_ASSESSMENT
    )
    wanted = decision(status, role=role)

    if role is ActorRole.IDENTIFICATION_OFFICER:
        assert decide(case(before), wanted, today=TODAY) is status
    else:
        with pytest.raises(ForbiddenError, match=r"identification\.role_not_entitled") as refusal:
            decide(case(before), wanted, today=TODAY)
        assert refusal.value.members["entitled"] == ["IDENTIFICATION_OFFICER"]


@pytest.mark.parametrize("before", ["REPORTED", "SCREENING", "PRESUMED", "FORMAL_ASSESSMENT"])
def test_who_may_only_screen_stops_before_services_are_open_and_not_after(before: str) -> None:
    """Seeded: let a screening role take DISCONTINUED from every status; services would close."""
    facts = case(IdentificationStatus(before))
    wanted = decision(IdentificationStatus.DISCONTINUED, role=ActorRole.NGO_CASE_MANAGER)

    if before in {"REPORTED", "SCREENING"}:
        assert decide(facts, wanted, today=TODAY) == "DISCONTINUED"
    else:
        with pytest.raises(ForbiddenError, match=r"identification\.role_not_entitled"):
            decide(facts, wanted, today=TODAY)


NEVER = {
    ActorRole.ANALYST,
    ActorRole.HUB_OPERATOR,
    ActorRole.DPO,
    ActorRole.GUARDIAN,
    ActorRole.NATIONAL_COORDINATOR,
    ActorRole.NATIONAL_CONTACT_POINT,
    ActorRole.SHELTER_STAFF,
}


@pytest.mark.parametrize("country", ["RS", "AL", "XK", "MK", "BA", "ME", "BG", "RO", "DE"])
@pytest.mark.parametrize("is_minor", [True, False])
@pytest.mark.parametrize("role", NEVER)
def test_roles_that_see_figures_or_help_decide_nothing(
    *, country: str, is_minor: bool, role: ActorRole
) -> None:
    facts = case(IdentificationStatus.SCREENING, country=country, is_minor=is_minor)

    with pytest.raises(ForbiddenError):
        decide(facts, decision(IdentificationStatus.PRESUMED, role=role), today=TODAY)


def test_a_consul_presumes_where_the_country_says_so() -> None:
    wanted = decision(IdentificationStatus.PRESUMED, role=ActorRole.CONSULAR_OFFICER)

    assert (
        decide(case(IdentificationStatus.SCREENING, country="XK"), wanted, today=TODAY)
        is IdentificationStatus.PRESUMED
    )
    with pytest.raises(ForbiddenError):
        decide(case(IdentificationStatus.SCREENING, country="RS"), wanted, today=TODAY)


ELEMENTS = [
    # purposes, acts, means, child? → refusal
    (("FORCED_LABOUR",), ("ACT_RECRUITMENT",), ("MEANS_FRAUD",), False, None),
    (("FORCED_LABOUR",), ("ACT_RECRUITMENT",), (), True, None),
    (("FORCED_LABOUR",), ("ACT_RECRUITMENT",), (), False, "identification.means_missing"),
    ((), ("ACT_RECRUITMENT",), ("MEANS_FRAUD",), False, "identification.purpose_missing"),
    ((), ("ACT_RECRUITMENT",), (), True, "identification.purpose_missing"),
    (("UNKNOWN",), ("ACT_RECEIPT",), ("MEANS_FRAUD",), False, "identification.purpose_missing"),
    (("UNKNOWN", "FORCED_BEGGING"), ("ACT_RECEIPT",), (), True, None),
    (("FORCED_LABOUR",), (), ("MEANS_FRAUD",), False, "identification.act_missing"),
    (("FORCED_LABOUR",), (), (), True, "identification.act_missing"),
]


@pytest.mark.parametrize(("purposes", "acts", "means", "is_minor", "code"), ELEMENTS)
def test_a_victim_is_identified_by_act_means_and_purpose(
    *,
    purposes: tuple[str, ...],
    acts: tuple[str, ...],
    means: tuple[str, ...],
    is_minor: bool,
    code: str | None,
) -> None:
    """Seeded: ask a child for a means, or take UNKNOWN for a purpose."""
    facts = case(IdentificationStatus.FORMAL_ASSESSMENT, is_minor=is_minor)
    wanted = decision(IdentificationStatus.IDENTIFIED, purposes=purposes, acts=acts, means=means)

    if code is None:
        assert decide(facts, wanted, today=TODAY) is IdentificationStatus.IDENTIFIED
    else:
        with pytest.raises(InvalidError) as refusal:
            decide(facts, wanted, today=TODAY)
        assert refusal.value.code == code
        assert refusal.value.pointer in {"/exploitation_types", "/acts", "/means"}


@pytest.mark.parametrize(
    "status",
    [
        IdentificationStatus.PRESUMED,
        IdentificationStatus.REJECTED,
        IdentificationStatus.DISCONTINUED,
    ],
)
def test_elements_are_asked_for_identification_only(status: IdentificationStatus) -> None:
    wanted = decision(status, purposes=(), acts=(), means=())

    assert decide(case(IdentificationStatus.SCREENING), wanted, today=TODAY) is status


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (IdentificationStatus.SCREENING, IdentificationStatus.REJECTED),
        (IdentificationStatus.FORMAL_ASSESSMENT, IdentificationStatus.NOT_VICTIM),
        (IdentificationStatus.PRESUMED, IdentificationStatus.DISCONTINUED),
        (IdentificationStatus.NOT_VICTIM, IdentificationStatus.SCREENING),
        (IdentificationStatus.REJECTED, IdentificationStatus.SCREENING),
    ],
)
def test_turning_somebody_down_and_starting_anew_need_a_note(
    before: IdentificationStatus, after: IdentificationStatus
) -> None:
    """Seeded: drop NOT_VICTIM from EXPLAINED; a script could turn people down."""
    with pytest.raises(InvalidError, match=r"identification\.note_required") as refusal:
        decide(case(before), decision(after, is_explained=False), today=TODAY)

    assert refusal.value.pointer == "/note"


def test_the_first_screening_needs_no_note() -> None:
    wanted = decision(IdentificationStatus.SCREENING, is_explained=False)

    assert (
        decide(case(IdentificationStatus.REPORTED), wanted, today=TODAY)
        is IdentificationStatus.SCREENING
    )
    assert not is_reopening(IdentificationStatus.REPORTED, IdentificationStatus.SCREENING)
    assert is_reopening(IdentificationStatus.NOT_VICTIM, IdentificationStatus.SCREENING)


@pytest.mark.parametrize(
    ("decided_on", "code"),
    [
        (date(2026, 11, 23), "field.date_in_future"),
        (date(2026, 10, 31), "identification.decided_before_previous"),
    ],
)
def test_a_decision_lies_between_the_last_one_and_today(decided_on: date, code: str) -> None:
    facts = case(IdentificationStatus.SCREENING, last_decided_on=date(2026, 11, 1))

    with pytest.raises(InvalidError) as refusal:
        decide(facts, decision(IdentificationStatus.PRESUMED, decided_on=decided_on), today=TODAY)

    assert (refusal.value.code, refusal.value.pointer) == (code, "/decided_on")


@pytest.mark.parametrize("decided_on", [date(2026, 11, 1), TODAY])
def test_two_decisions_may_fall_on_one_day(decided_on: date) -> None:
    facts = case(IdentificationStatus.SCREENING, last_decided_on=date(2026, 11, 1))

    assert decide(
        facts, decision(IdentificationStatus.PRESUMED, decided_on=decided_on), today=TODAY
    )


def test_the_childs_legal_basis_is_for_children() -> None:
    check_legal_basis("CHILD_BEST_INTEREST", is_minor=True)
    check_legal_basis("CONSENT", is_minor=False)
    with pytest.raises(InvalidError, match=r"legal_basis\.for_children_only"):
        check_legal_basis("CHILD_BEST_INTEREST", is_minor=False)


def test_a_case_is_opened_as_presumed_by_who_may_presume() -> None:
    """Seeded: skip the check; a guardian or an analyst could open services."""
    check_opening(
        IdentificationStatus.PRESUMED, ActorRole.NGO_CASE_MANAGER, country="RS", is_minor=False
    )
    check_opening(
        IdentificationStatus.REPORTED, ActorRole.SHELTER_STAFF, country="RS", is_minor=False
    )
    with pytest.raises(ForbiddenError, match=r"identification\.role_not_entitled"):
        check_opening(
            IdentificationStatus.PRESUMED, ActorRole.SHELTER_STAFF, country="RS", is_minor=False
        )
