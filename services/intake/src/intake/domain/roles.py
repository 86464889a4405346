"""Whose word counts in identification: actor roles, deciding authorities, and each country's rule.

Every table here is policy. A country that changes its rule changes a row and RULE_VERSION in
`identification`; decisions already made keep the version they were made under.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum


class ActorRole(StrEnum):
    """Codes of the list actor_roles."""

    NATIONAL_COORDINATOR = "NATIONAL_COORDINATOR"
    NATIONAL_CONTACT_POINT = "NATIONAL_CONTACT_POINT"
    IDENTIFICATION_OFFICER = "IDENTIFICATION_OFFICER"
    FIRST_RESPONDER = "FIRST_RESPONDER"
    BORDER_POLICE = "BORDER_POLICE"
    POLICE_INVESTIGATOR = "POLICE_INVESTIGATOR"
    SOCIAL_WORKER = "SOCIAL_WORKER"
    GUARDIAN = "GUARDIAN"
    VICTIM_ADVOCATE = "VICTIM_ADVOCATE"
    NGO_CASE_MANAGER = "NGO_CASE_MANAGER"
    SHELTER_STAFF = "SHELTER_STAFF"
    PROSECUTOR = "PROSECUTOR"
    LABOUR_INSPECTOR = "LABOUR_INSPECTOR"
    CONSULAR_OFFICER = "CONSULAR_OFFICER"
    ANALYST = "ANALYST"
    HUB_OPERATOR = "HUB_OPERATOR"
    DPO = "DPO"


class DecidingAuthority(StrEnum):
    """Codes of the list deciding_authorities: HTCDS 2.0 `vic_TraffickingStatusDecisionMakingOrg`."""

    POLICE = "POLICE"
    NGO = "NGO"
    COURT_OR_PROSECUTION = "COURT_OR_PROSECUTION"
    NON_POLICE_GOVERNMENT = "NON_POLICE_GOVERNMENTAL_ORGANIZATION"
    OTHER = "OTHER"


AUTHORITY_OF: Mapping[ActorRole, DecidingAuthority] = {
    ActorRole.IDENTIFICATION_OFFICER: DecidingAuthority.NON_POLICE_GOVERNMENT,
    ActorRole.FIRST_RESPONDER: DecidingAuthority.OTHER,
    ActorRole.BORDER_POLICE: DecidingAuthority.POLICE,
    ActorRole.POLICE_INVESTIGATOR: DecidingAuthority.POLICE,
    ActorRole.SOCIAL_WORKER: DecidingAuthority.NON_POLICE_GOVERNMENT,
    ActorRole.VICTIM_ADVOCATE: DecidingAuthority.NON_POLICE_GOVERNMENT,
    ActorRole.NGO_CASE_MANAGER: DecidingAuthority.NGO,
    ActorRole.PROSECUTOR: DecidingAuthority.COURT_OR_PROSECUTION,
    ActorRole.LABOUR_INSPECTOR: DecidingAuthority.NON_POLICE_GOVERNMENT,
    ActorRole.CONSULAR_OFFICER: DecidingAuthority.NON_POLICE_GOVERNMENT,
}
"""The authority a role speaks for. A role that is not here decides nothing."""

SCREENERS = frozenset(
    {
        ActorRole.FIRST_RESPONDER,
        ActorRole.BORDER_POLICE,
        ActorRole.IDENTIFICATION_OFFICER,
        ActorRole.POLICE_INVESTIGATOR,
        ActorRole.SOCIAL_WORKER,
        ActorRole.NGO_CASE_MANAGER,
    }
)
"""Who may screen and presume in every country: `screen` of actor_roles, and the mixed mobile teams
of social worker, police and NGO (domain.md section 4: MK, AL). A low threshold on purpose."""

MORE_SCREENERS: Mapping[str, frozenset[ActorRole]] = {
    # Early identification by consular staff, border police, labour inspectorate: AI 01/2014.
    "XK": frozenset(
        {ActorRole.CONSULAR_OFFICER, ActorRole.LABOUR_INSPECTOR, ActorRole.VICTIM_ADVOCATE}
    ),
}


@dataclass(frozen=True, slots=True)
class Entitlement:
    """Who decides a formal identification.

    `roles` may record it, for one of `authorities`; every role in `together` must have taken part.
    """

    roles: frozenset[ActorRole]
    authorities: frozenset[DecidingAuthority]
    together: frozenset[ActorRole] = frozenset()


OFFICER = ActorRole.IDENTIFICATION_OFFICER
POLICE = ActorRole.POLICE_INVESTIGATOR
SOCIAL = ActorRole.SOCIAL_WORKER
ADVOCATE = ActorRole.VICTIM_ADVOCATE
PROSECUTOR = ActorRole.PROSECUTOR
STATE = frozenset({DecidingAuthority.NON_POLICE_GOVERNMENT})
STATE_OR_POLICE = STATE | {DecidingAuthority.POLICE}


def _row(
    *roles: ActorRole,
    by: frozenset[DecidingAuthority] = STATE,
    together: AbstractSet[ActorRole] = frozenset(),
) -> Entitlement:
    return Entitlement(frozenset(roles), by, frozenset(together))


ANYWHERE = _row(OFFICER, by=STATE_OR_POLICE)
"""A country without a row: the role actor_roles gives `decide identification`."""

DECIDERS: Mapping[str, Entitlement] = {
    # The Centre for the protection of victims identifies.
    "RS": _row(OFFICER),
    # Police and State Social Service interview jointly (SOP, DCM 499 of 29 Aug 2018).
    "AL": _row(OFFICER, POLICE, SOCIAL, by=STATE_OR_POLICE, together={POLICE, SOCIAL}),
    # The trafficking directorate's investigator with the victim advocate.
    "XK": _row(OFFICER, POLICE, ADVOCATE, by=STATE_OR_POLICE, together={POLICE, ADVOCATE}),
    # The operational team decides since 2022; mobile teams find and presume.
    "MK": _row(OFFICER, by=STATE_OR_POLICE),
    # The police interview decides, in practice with the prosecution's confirmation.
    "BA": _row(
        OFFICER, POLICE, PROSECUTOR, by=STATE_OR_POLICE | {DecidingAuthority.COURT_OR_PROSECUTION}
    ),
    # A formal identification team of six roles, recorded by its officer.
    "ME": _row(OFFICER, by=STATE_OR_POLICE),
    # Police, border police, migration.
    "BG": _row(OFFICER, POLICE, ActorRole.BORDER_POLICE, by=STATE_OR_POLICE),
}
"""Formal identification by country: domain.md section 4, "Who may do what", and the row
`identifying_authority` of the code list countries. RO has no sourced rule and uses ANYWHERE."""

CHILD_DECIDERS: Mapping[str, Entitlement] = {
    # TIP 2021 and 2022 say the centres for social work identify children, other years say the
    # Centre identifies all: both may.
    "RS": _row(OFFICER, SOCIAL),
    # A social worker joins for a child.
    "XK": _row(OFFICER, POLICE, ADVOCATE, by=STATE_OR_POLICE, together={POLICE, ADVOCATE, SOCIAL}),
}
"""Where a child's case is decided otherwise than an adult's."""


def entitlement(country: str, *, is_minor: bool) -> Entitlement:
    row = DECIDERS.get(country, ANYWHERE)
    return CHILD_DECIDERS.get(country, row) if is_minor else row


def screeners(country: str, *, is_minor: bool) -> frozenset[ActorRole]:
    """Return who may screen and presume: whoever may decide may also do that."""
    deciders = entitlement(country, is_minor=is_minor).roles
    return SCREENERS | MORE_SCREENERS.get(country, frozenset()) | deciders
