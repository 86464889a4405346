"""Where sealed data are opened to be read, each with its entry in the audit trail.

They leave in one more way: commands.release. The entry commits before the answer is sent: no entry, no data.
"""

import json
from collections.abc import Sequence
from uuid import UUID

from common.auth import Principal
from common.codelists import all_codes
from common.errors import ForbiddenError, NotFoundError
from common.here import Here
from common.unit import Unit
from intake.commands.sealing import case_box, open_identity, open_sealed
from intake.domain import declaration, marker
from intake.domain.identity import (
    DATA_GROUPS,
    Recipient,
    fields_in,
    groups_shared,
    purpose_opening,
)
from intake.models import (
    Case,
    CaseIdentity,
    CaseMarker,
    Declaration,
    IdentificationDecision,
    Notice,
)
from intake.queries import case as cases
from intake.queries.consent import list_consents
from intake.queries.declaration import list_standing
from intake.queries.identification import list_decisions
from intake.queries.identity import find_identity
from intake.queries.marker import list_markers
from intake.queries.organisation import find_kind
from intake.schemas.case import CaseNoteRead
from intake.schemas.declaration import DeclarationRead
from intake.schemas.identification import IdentificationRead
from intake.schemas.identity import IdentityRead
from intake.schemas.marker import MarkerRead

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
    it, or for all of its kind, and for the purpose: ForbiddenError `consent.missing` when identity is not among them.
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
    groups &= principal.data_groups
    fields = open_identity(box, identity, fields_in(groups))
    unit.disclose(
        CaseIdentity.__tablename__,
        [str(case_id)],
        about=case_id,
        data_groups=sorted(groups),
        purpose=purpose,
        legal_basis=legal_basis,
    )
    return IdentityRead(
        **fields,
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
    enter_notice(unit, notice, data_groups=_any_group(), purpose="IDENTIFICATION")
    return texts


def enter_notice(
    unit: Unit, notice: Notice, *, data_groups: Sequence[str] = (), purpose: str | None = None
) -> None:
    """Enter the look at a notice: about the case it led to, else about the notice itself.

    Of a notice looked at before it leads to a case, the case's access log finds it all the same.
    """
    unit.audit(
        "read",
        Notice.__tablename__,
        [str(notice.id)],
        about=notice.case_id or notice.id,
        data_groups=data_groups,
        purpose=purpose,
        legal_basis=_REPORT_BASIS,
    )


async def disclose_note(unit: Unit, case_id: UUID, *, principal: Principal) -> CaseNoteRead:
    """Open the note of a case; ForbiddenError `data_group.closed` to who may not know every group."""
    case = await cases.get_case(unit, case_id, principal=principal)
    if not principal.may_read_texts:
        raise ForbiddenError("data_group.closed")
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

    What happened to the person belongs to the data group EXPLOITATION. To an organisation the case
    was referred to it opens with a consent in force that names it and the group. The notes are for
    those who may know every group, and stay closed to receivers.
    """
    case, relation = await cases.see_case(unit, case_id, principal=principal)
    decisions = await list_decisions(unit, case_id)
    groups, box, purpose = principal.data_groups, None, None
    if relation == "referred":
        if _EXPLOITATION in groups:
            purpose = await _purpose_opening(unit, case, _EXPLOITATION, principal, here)
        groups = groups if purpose is not None else groups - {_EXPLOITATION}
    elif principal.may_read_texts and any(decision.note for decision in decisions):
        box = await case_box(unit, case_id)
    if purpose is not None:
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
    elif box is not None:
        unit.disclose(
            _DECISION,
            [str(case_id)],
            about=case_id,
            data_groups=_any_group(),
            purpose="IDENTIFICATION",
            legal_basis=case.legal_basis,
        )
    else:
        unit.audit("read", _DECISION, [str(case_id)], about=case_id)
    return [
        IdentificationRead.of(
            each,
            groups=groups,
            note=None
            if box is None
            else open_sealed(box, IdentificationDecision, each.id, "note", each.note),
        )
        for each in decisions
    ]


async def disclose_markers(
    unit: Unit, case_id: UUID, *, principal: Principal, here: Here
) -> list[MarkerRead]:
    """Return the markers of a case of the data groups the caller may know.

    To an organisation the case was referred to, a group opens with a consent in force that names
    the organisation and the group.
    """
    case, relation = await cases.see_case(unit, case_id, principal=principal)
    groups = principal.data_groups & frozenset(marker.GROUP.values())
    if relation == "referred":
        opened = {
            group: purpose
            for group in sorted(groups)
            if (purpose := await _purpose_opening(unit, case, group, principal, here)) is not None
        }
        groups = frozenset(opened)
        unit.require_unchanged(Case, id=case.id, version=case.version)
        for group, purpose in opened.items():
            _markers_read(unit, case_id, [group], purpose=purpose, legal_basis="CONSENT")
    if relation != "referred" or not groups:
        _markers_read(unit, case_id, sorted(groups), legal_basis=case.legal_basis)
    return [
        MarkerRead.model_validate(row)
        for row in await list_markers(unit, case_id)
        if marker.GROUP[row.marker] in groups
    ]


async def disclose_marker(
    unit: Unit, case_id: UUID, marker_id: UUID, *, principal: Principal, here: Here
) -> MarkerRead:
    """Return one of the markers `disclose_markers` returns; NotFoundError."""
    for shown in await disclose_markers(unit, case_id, principal=principal, here=here):
        if shown.id == marker_id:
            return shown
    raise NotFoundError


def _markers_read(
    unit: Unit,
    case_id: UUID,
    groups: Sequence[str],
    *,
    legal_basis: str,
    purpose: str | None = None,
) -> None:
    unit.audit(
        "read",
        CaseMarker.__tablename__,
        [str(case_id)],
        about=case_id,
        data_groups=groups,
        purpose=purpose,
        legal_basis=legal_basis,
    )


async def disclose_declarations(
    unit: Unit, case_id: UUID, *, purpose: str, principal: Principal, here: Here
) -> list[DeclarationRead]:
    """Open what a person declared of herself and agreed to for the purpose, while she still does."""
    case = await cases.get_case(unit, case_id, principal=principal)
    is_minor = await cases.is_minor(unit, case, on=here.today)
    consents = await list_consents(unit, case_id)
    groups = {
        group
        for group in principal.data_groups & declaration.DATA_GROUPS
        if declaration.is_agreed(group, purpose, consents, is_minor=is_minor, on=here.today)
    }
    unit.require_unchanged(Case, id=case.id, version=case.version)
    # What was asked for, not what was found: the trail shall not tell what was declared.
    unit.disclose(
        Declaration.__tablename__,
        [str(case_id)],
        about=case_id,
        data_groups=sorted(declaration.DATA_GROUPS),
        purpose=purpose,
        legal_basis="CONSENT",
    )
    box = await case_box(unit, case_id)
    found = []
    for row in await list_standing(unit, case_id):
        text = open_sealed(box, Declaration, row.id, "content", row.content)
        said = json.loads(text or "{}")
        if said and purpose in said["purposes"] and declaration.GROUP[said["category"]] in groups:
            columns = {"id": row.id, "case_id": case_id, "recorded_by": row.recorded_by}
            found.append(DeclarationRead(**columns, **said, recorded_at=row.recorded_at))
    return found


async def _purpose_opening(
    unit: Unit, case: Case, group: str, principal: Principal, here: Here
) -> str | None:
    recipient = await _recipient(unit, case, principal, here)
    return purpose_opening(await list_consents(unit, case.id), group, recipient)


async def _consented(
    unit: Unit, case: Case, purpose: str, principal: Principal, here: Here
) -> frozenset[str]:
    recipient = await _recipient(unit, case, principal, here)
    return groups_shared(await list_consents(unit, case.id), purpose, recipient)


async def _recipient(unit: Unit, case: Case, principal: Principal, here: Here) -> Recipient:
    return Recipient(
        organisation_id=principal.organisation_id,
        kind=await find_kind(unit, principal.organisation_id),
        country=here.country,
        is_minor=await cases.is_minor(unit, case, on=here.today),
        on=here.today,
    )


def _any_group() -> Sequence[str]:
    """Return all data groups: what stands in a free text nobody knows before reading it."""
    return sorted(all_codes("data_groups"))
