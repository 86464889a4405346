"""The only places where sealed data are opened to leave, each with its entry in the audit trail.

The entry commits before the answer is sent: no entry, no data.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from common.auth import Principal
from common.codelists import all_codes
from common.errors import NotFoundError
from common.unit import Unit
from intake.commands.sealing import case_box, open_sealed
from intake.domain import age
from intake.domain.here import Here
from intake.domain.identity import DATA_GROUPS, fields_in, groups_shared, purpose_opening
from intake.models import Case, CaseIdentity, IdentificationDecision, Notice
from intake.queries import case as cases
from intake.queries.consent import list_consents
from intake.queries.identification import list_decisions
from intake.queries.identity import find_identity
from intake.schemas.case import CaseNoteRead
from intake.schemas.identification import IdentificationRead
from intake.schemas.identity import IdentityRead

_LISTS = frozenset({"other_names", "phones", "documents"})
_TEXTS = ("place_code", "place_text", "note", "contact", "triage_note")
_REPORT_BASIS = "PUBLIC_TASK"
"""On which ground a report is read: nobody has yet asked the person (nrm.bg, measure 1)."""
_DECISION = IdentificationDecision.__tablename__
_EXPLOITATION = "EXPLOITATION"
"""The data group of what a decision says was done to the person."""


async def disclose_identity(
    unit: Unit, case_id: UUID, *, purpose: str, principal: Principal, here: Here
) -> IdentityRead:
    """Open who the person of a case is, for a stated purpose (a code of purposes).

    An organisation the case was referred to gets the data groups that a consent in force names for
    it and for the purpose: ForbiddenError `consent.missing` when identity is not among them.
    NotFoundError also while no identity was recorded.
    """
    case, relation = await cases.see_case(unit, case_id, principal=principal)
    groups, legal_basis = DATA_GROUPS, case.legal_basis
    if relation == "referred":
        groups, legal_basis = await _consented(unit, case, purpose, principal, here), "CONSENT"
        # A withdrawal raises the case's version: one that comes now stops this answer.
        unit.require_unchanged(Case, id=case.id, version=case.version)
    identity = await find_identity(unit, case_id)
    if identity is None:
        raise NotFoundError
    box = await case_box(unit, case_id)
    shown = fields_in(groups)
    fields: dict[str, Any] = dict.fromkeys(fields_in(DATA_GROUPS))
    for name in shown:
        text = open_sealed(box, CaseIdentity, case_id, name, getattr(identity, name))
        fields[name] = None if text is None else json.loads(text)
    unit.disclose(
        CaseIdentity.__tablename__,
        [str(case_id)],
        about=case_id,
        data_groups=sorted(groups),
        purpose=purpose,
        legal_basis=legal_basis,
    )
    return IdentityRead(
        **fields | {name: fields[name] or () for name in _LISTS},
        case_id=case_id,
        data_groups=tuple(sorted(groups)),
        recorded_at=identity.recorded_at,
    )


async def disclose_notice(unit: Unit, notice: Notice) -> dict[str, str | None]:
    """Open the texts of a notice the caller was shown, by their names."""
    box = await unit.box(notice.id)
    texts: dict[str, str | None] = dict.fromkeys(_TEXTS)
    if box is not None:
        for name in _TEXTS:
            texts[name] = open_sealed(box, Notice, notice.id, name, getattr(notice, name))
    unit.audit(
        "read",
        Notice.__tablename__,
        [str(notice.id)],
        about=notice.case_id,
        data_groups=_any_group(),
        purpose="IDENTIFICATION",
        legal_basis=_REPORT_BASIS,
    )
    return texts


async def disclose_note(unit: Unit, case_id: UUID, *, principal: Principal) -> CaseNoteRead:
    """Open the note of a case."""
    case = await cases.get_case(unit, case_id, principal=principal)
    note = open_sealed(await case_box(unit, case_id), Case, case_id, "note", case.note)
    unit.disclose(
        Case.__tablename__,
        [str(case_id)],
        about=case_id,
        data_groups=_any_group(),
        purpose="ASSISTANCE",
        legal_basis=case.legal_basis,
    )
    return CaseNoteRead(case_id=case_id, note=note)


async def disclose_decisions(
    unit: Unit, case_id: UUID, *, principal: Principal, here: Here
) -> list[IdentificationRead]:
    """Open the history of identification, oldest step first, each with its note.

    To an organisation the case was referred to, the notes stay closed, and what happened to the
    person opens with a consent in force that names it and the data group EXPLOITATION.
    """
    case, relation = await cases.see_case(unit, case_id, principal=principal)
    decisions = await list_decisions(unit, case_id)
    if relation == "referred":
        purpose = await _exploitation_opened(unit, case, principal, here)
        if purpose is None:
            unit.audit("read", _DECISION, [str(case_id)], about=case_id)
        else:
            # As for identity: a withdrawal that comes now stops this answer.
            unit.require_unchanged(Case, id=case.id, version=case.version)
            unit.disclose(
                _DECISION,
                [str(case_id)],
                about=case_id,
                data_groups=[_EXPLOITATION],
                purpose=purpose,
                legal_basis="CONSENT",
            )
        return [
            IdentificationRead.of(each, note=None, with_elements=purpose is not None)
            for each in decisions
        ]
    if not any(decision.note for decision in decisions):
        unit.audit("read", _DECISION, [str(case_id)], about=case_id)
        return [IdentificationRead.of(each, note=None) for each in decisions]
    box = await case_box(unit, case_id)
    unit.disclose(
        _DECISION,
        [str(case_id)],
        about=case_id,
        data_groups=_any_group(),
        purpose="IDENTIFICATION",
        legal_basis=case.legal_basis,
    )
    return [
        IdentificationRead.of(
            each, note=open_sealed(box, IdentificationDecision, each.id, "note", each.note)
        )
        for each in decisions
    ]


async def _exploitation_opened(
    unit: Unit, case: Case, principal: Principal, here: Here
) -> str | None:
    birth = (await cases.told_age(unit, case)).birth()
    return purpose_opening(
        await list_consents(unit, case.id),
        _EXPLOITATION,
        recipient=principal.organisation_id,
        country=here.country,
        is_minor=age.is_minor(birth, on=here.today),
        today=here.today,
    )


async def _consented(
    unit: Unit, case: Case, purpose: str, principal: Principal, here: Here
) -> frozenset[str]:
    birth = (await cases.told_age(unit, case)).birth()
    return groups_shared(
        await list_consents(unit, case.id),
        recipient=principal.organisation_id,
        purpose=purpose,
        country=here.country,
        is_minor=age.is_minor(birth, on=here.today),
        today=here.today,
    )


def _any_group() -> Sequence[str]:
    """Return all data groups: what stands in a free text nobody knows before reading it."""
    return sorted(all_codes("data_groups"))
