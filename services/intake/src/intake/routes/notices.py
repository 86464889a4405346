from typing import Any
from uuid import UUID

from fastapi import Request

from common.auth import Principal
from common.codelists import all_codes
from common.http import (
    CurrentPrincipal,
    Filter,
    Filters,
    IfMatch,
    Page,
    PageDep,
    UnitDep,
    page,
    router,
)
from common.http.request import HereDep, RuntimeDep
from intake.commands import disclosure, triage
from intake.commands import notice as commands
from intake.models import Notice
from intake.queries import notice as queries
from intake.schemas.notice import (
    NoticeBulk,
    NoticeBulkRead,
    NoticeCreate,
    NoticeRead,
    NoticeSummary,
    NoticeTriage,
)

notices = router(prefix="/v1/notices", tags=["notices"])

FILTERS = Filters(
    status=Filter(Notice.status, "code", all_codes("notice_statuses")),
    urgency=Filter(Notice.urgency, "code", all_codes("urgency")),
    source=Filter(Notice.source, "code", all_codes("notice_sources")),
    received_on=Filter(Notice.received_on, "date"),
)


@notices.post("", status_code=201)
async def create_notice(
    body: NoticeCreate, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> NoticeSummary:
    """Report a person who may need help. Only source, country and urgency are needed.

    A notice is taken whatever is missing: one without a place we know waits in the queue TRIAGE of
    the national desk, never refused for it. The age is an estimate in years with a margin; it
    says who may be a child. All texts are sealed on arrival. Codes: notice_sources, iso_countries,
    urgency. An id of your own choice makes a repeated report a 409 instead of a second notice.
    """
    created = await commands.create_notice(unit, body, principal=principal, here=here)
    return _summary(created, principal, owner=None)


@notices.post("/bulk", status_code=207)
async def create_notices(
    body: NoticeBulk, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> NoticeBulkRead:
    """Report up to 500 persons at once; each is taken or refused by itself.

    The results come in the order of the items, each with your `client_reference`: 201 with the id,
    409 where the id is a notice's already, 422 with the faults of the item. All items that are
    taken are stored together; a refused one stops no other.
    """
    results = await commands.create_notices(unit, body.items, principal=principal, here=here)
    unit.version = None  # many notices have no one version
    return NoticeBulkRead(items=tuple(results))


@notices.get("", openapi_extra=FILTERS.openapi)
async def list_notices(
    request: Request, unit: UnitDep, principal: CurrentPrincipal, pages: PageDep
) -> Page[NoticeSummary]:
    """List notices, newest first, without their texts.

    Who reports sees the notices of its own organisation and what came of them; the desk that
    triages sees all. Filters: status, urgency, source, received_on (a day of this country).
    """
    shown: list[UUID] = []

    def read(row: Any) -> NoticeSummary:  # noqa: ANN401  a row of Notice with the owner of its case
        # The case with it: its person was shown, and finds the look in the case's access log.
        shown.extend(id_ for id_ in (row.id, row.case_id) if id_ is not None)
        return _summary(row, principal, owner=row.case_organisation_id)

    statement = FILTERS.apply(queries.list_notices(principal), request)
    found = await page(
        unit, statement, pages, read, time=Notice.recorded_at, id=Notice.id, is_audited=False
    )
    unit.audit("list", Notice.__tablename__, dict.fromkeys(map(str, shown)))
    return found


@notices.get("/{notice_id}")
async def get_notice(
    notice_id: UUID, unit: UnitDep, principal: CurrentPrincipal, runtime: RuntimeDep
) -> NoticeRead | NoticeSummary:
    """Read a notice. The look is entered in the audit trail, and in the access log of its case.

    Its texts (place, note, contact) are opened only for those who may triage it. Its reporter sees
    what came of it, and of which case only where the case is the same organisation's.
    """
    notice = await queries.get_notice(unit, notice_id, principal=principal)
    summary = _summary(notice, principal, owner=await queries.owner_of_case(unit, notice))
    if not _may_triage(runtime, principal, notice):
        disclosure.enter_notice(unit, notice)
        return summary
    return NoticeRead(**summary.model_dump(), **await disclosure.disclose_notice(unit, notice))


@notices.post("/{notice_id}/triage")
async def triage_notice(
    notice_id: UUID,
    *,
    body: NoticeTriage,
    unit: UnitDep,
    principal: CurrentPrincipal,
    here: HereDep,
    expected: IfMatch,
) -> NoticeSummary:
    """Decide what comes of a notice: a new case, a known case, or nothing. It is decided once.

    OPEN_CASE opens a case under the id you choose, with what the notice says of sex, age and
    urgency and on the legal basis you name, in one step with the decision. LINK_CASE adds it to an
    open case you may know of, whichever organisation's: the case becomes as urgent as the notice,
    never less. To raise it is part of triage, also for who may not change the case otherwise; its
    owner may lower it again. REJECT names a reason of triage_reasons.
    """
    notice = await triage.triage_notice(
        unit, notice_id, body, principal=principal, here=here, expected=expected
    )
    owner = principal.organisation_id if body.case_id is not None else None
    return _summary(notice, principal, owner=owner)


def _summary(notice: Notice, principal: Principal, *, owner: UUID | None) -> NoticeSummary:
    """Return a notice as the caller may see it; `owner` is the organisation its case belongs to."""
    knows_case = owner == principal.organisation_id or "all" in principal.relations
    return NoticeSummary.of(notice, case_id=notice.case_id if knows_case else None)


def _may_triage(runtime: RuntimeDep, principal: Principal, notice: Notice) -> bool:
    relations = runtime.authorisation.granted("triage_notice", principal.role)
    is_own = notice.organisation_id == principal.organisation_id
    return "all" in relations or ("own" in relations and is_own)
