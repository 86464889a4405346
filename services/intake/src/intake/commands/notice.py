from collections.abc import Sequence
from uuid import UUID

from common.auth import Principal
from common.clock import new_id, utcnow
from common.codelists import codes, names
from common.contracts.intake import NoticeReceived, NoticeTriaged
from common.errors import ProblemError
from common.here import Here
from common.unit import Unit
from intake.commands.sealing import seal
from intake.domain import age
from intake.domain import notice as domain
from intake.domain.notice import NoticeStatus
from intake.models import Case, Notice
from intake.queries import notice as queries
from intake.schemas.notice import (
    FieldFault,
    NoticeBulkItem,
    NoticeBulkResult,
    NoticeCreate,
    NoticeTriage,
    RefusedItem,
)

_PLAIN = (
    "source",
    "country",
    "urgency",
    "sex",
    "estimated_age",
    "estimated_age_margin",
    "occurred_at",
)
_TEXTS = ("place_code", "place_text", "note", "contact")
CREATED, CONFLICT, INVALID = 201, 409, 422


async def create_notice(
    unit: Unit, body: NoticeCreate, *, principal: Principal, here: Here
) -> Notice:
    """Take a notice in; its texts are sealed under a key of its own, made if there are any."""
    notice_id = body.id or new_id()
    texts = {name: getattr(body, name) for name in _TEXTS}
    is_minor = _is_minor(body, here)
    sealed = dict.fromkeys(texts)
    if any(texts.values()):
        sealed = seal(await unit.new_box(notice_id), Notice, notice_id, **texts)
    return unit.create(
        Notice,
        NoticeReceived(
            notice_id=notice_id,
            organisation_id=principal.organisation_id,
            country=body.country,
            source=body.source,
            urgency=body.urgency,
            is_minor=is_minor,
            has_location=bool(body.place_code or body.place_text),
            received_on=here.today,
        ),
        **{name: getattr(body, name) for name in _PLAIN},
        **sealed,
        id=notice_id,
        organisation_id=principal.organisation_id,
        status=NoticeStatus.RECEIVED,
        queue=domain.queue_of(body.place_code, known_places=_places(body.country)),
        is_minor=is_minor,
        received_on=here.today,
    )


async def create_notices(
    unit: Unit,
    items: Sequence[NoticeBulkItem | RefusedItem],
    *,
    principal: Principal,
    here: Here,
) -> list[NoticeBulkResult]:
    """Take many notices in, each accepted or refused by itself, all accepted ones together."""
    named = [i.notice.id for i in items if isinstance(i, NoticeBulkItem) and i.notice.id]
    taken = await queries.list_taken(unit, named)
    results = []
    for item in items:
        if isinstance(item, RefusedItem):
            result = _refused(item.client_reference, INVALID, "invalid", item.faults)
        else:
            result = await _take(unit, item, taken, principal=principal, here=here)
        results.append(result)
    return results


async def conclude(
    unit: Unit, notice: Notice, triage: NoticeTriage, *, case: Case | None = None
) -> Notice:
    """Write down what came of a notice; `case` is the one it opened or was linked to.

    The event names the case only where the reporter's organisation owns it: the reporter reads the
    event in the feed, and may learn that its notice was taken up but not by whom.
    """
    case_id = None if case is None else case.id
    status = domain.triage(notice.status, triage.decision, case_id=case_id, reason=triage.reason)
    sealed = {}
    if triage.note is not None:
        box = await unit.box(notice.id) or await unit.new_box(notice.id)
        sealed = seal(box, Notice, notice.id, triage_note=triage.note)
    is_own = case is not None and case.organisation_id == notice.organisation_id
    return unit.change(
        Notice,
        notice,
        NoticeTriaged(
            notice_id=notice.id,
            decision=triage.decision,
            case_id=case_id if is_own else None,
            reason=triage.reason,
        ),
        about=case_id,
        **sealed,
        status=status,
        case_id=case_id,
        triage_reason=triage.reason,
        triaged_at=utcnow(),
        updated_at=utcnow(),
    )


async def _take(
    unit: Unit, item: NoticeBulkItem, taken: set[UUID], *, principal: Principal, here: Here
) -> NoticeBulkResult:
    reference, id_ = item.client_reference, item.notice.id
    if id_ is not None and id_ in taken:
        # Whose it is, is not said; that somebody met it is written.
        unit.audit("deny", "notice", [str(id_)], about=id_, decision="deny")
        return _refused(reference, CONFLICT, "already_exists")
    try:
        notice = await create_notice(unit, item.notice, principal=principal, here=here)
    except ProblemError as error:  # raised before anything was handed over
        faults = (FieldFault(code=error.code, pointer=f"/notice{error.pointer or ''}"),)
        return _refused(reference, int(error.status), error.code, faults)
    taken.add(notice.id)
    return NoticeBulkResult(
        client_reference=reference, status=CREATED, id=notice.id, code=None, errors=()
    )


def _refused(
    reference: str | None, status: int, code: str, faults: tuple[FieldFault, ...] = ()
) -> NoticeBulkResult:
    return NoticeBulkResult(
        client_reference=reference, status=status, id=None, code=code, errors=faults
    )


def _is_minor(body: NoticeCreate, here: Here) -> bool | None:
    """Tell whether the person may be a child; None, and not yes, when nobody said anything."""
    if body.estimated_age is None:
        return None
    seen_on = here.day_of(body.occurred_at) if body.occurred_at else here.today
    told = age.ToldAge(None, body.estimated_age, body.estimated_age_margin, seen_on)
    return age.is_minor(told.birth(), on=here.today)


def _places(country: str) -> frozenset[str]:
    """Return the codes of a country's places; empty where we have no list of them."""
    name = f"places_{country.lower()}"
    return codes(name) if name in names() else frozenset()
