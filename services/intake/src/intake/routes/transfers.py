from uuid import UUID

from common.http import CurrentPrincipal, IfMatch, UnitDep, router
from common.http.peers import SpeakingDep
from common.http.request import HereDep
from intake.commands import ownership as commands
from intake.commands import release
from intake.models import CaseOrigin
from intake.queries.transfer import get_origin as find_origin
from intake.schemas.case import CaseRead
from intake.schemas.transfer import (
    CaseGive,
    CaseOriginRead,
    CaseRecall,
    CaseRelease,
    UnmappedRead,
)

transfers = router(prefix="/v1/cases/{case_id}", tags=["handover"])


@transfers.post("/release", response_model_exclude_unset=True)
async def release_case(
    case_id: UUID,
    *,
    body: CaseRelease,
    unit: UnitDep,
    principal: CurrentPrincipal,
    here: HereDep,
    peers: SpeakingDep,
    expected: IfMatch,
) -> CaseRead:
    """Send who the person is to the country that accepted her, sealed to its register alone.

    It takes a referral across the border from ACCEPTED to ARRIVED (else 409 `transfer.not_open`),
    and a consent SHARE_CROSS_BORDER in force that names the recipient, the country, the purpose and
    every data group of the referral (else 403 `consent.missing`). Her sex and the band of her age go
    along, as the offer has told them; of IDENTITY also citizenships, languages and an estimated age,
    of EXPLOITATION how far she is identified. What the groups do not open stays here; free texts
    never go. Sent again it replaces what was sent before, as long as the case was not handed over.
    It is in the audit trail before it leaves, with the groups of which there was something.
    `409 peer.no_own_key`: this country's own keys have ended, and it could not sign what it sends.
    """
    case = await release.release_case(
        unit,
        case_id,
        body.referral_id,
        principal=principal,
        here=here,
        peers=peers,
        expected=expected,
    )
    return CaseRead.of(case, groups=principal.data_groups)


@transfers.post("/give", response_model_exclude_unset=True)
async def give_case(
    case_id: UUID,
    *,
    body: CaseGive,
    unit: UnitDep,
    principal: CurrentPrincipal,
    peers: SpeakingDep,
    expected: IfMatch,
) -> CaseRead:
    """Hand the case over to the country where the person has arrived.

    From this moment nobody edits it here (`ownership.holding` GIVING); it is the other country's
    once that has answered, and ours again if it refuses. At every moment one country at most edits
    it. The epoch is the one you decided under: another one is 409 `ownership.stale_epoch`. What she
    is known by must have been released before. `409 peer.no_own_key` as for the release;
    `409 peer.unknown` once nothing is exchanged with that country any more.
    """
    case = await commands.give_case(
        unit,
        case_id,
        body.referral_id,
        body.epoch,
        principal=principal,
        peers=peers,
        expected=expected,
    )
    return CaseRead.of(case, groups=principal.data_groups)


@transfers.post("/recall", response_model_exclude_unset=True)
async def recall_case(
    case_id: UUID,
    *,
    body: CaseRecall,
    unit: UnitDep,
    principal: CurrentPrincipal,
    expected: IfMatch,
) -> CaseRead:
    """Ask back a case that was given and not yet taken; the other country's answer decides.

    Until it comes nobody edits the case. It may be asked again.
    """
    case = await commands.recall_case(
        unit, case_id, body.referral_id, principal=principal, expected=expected
    )
    return CaseRead.of(case, groups=principal.data_groups)


@transfers.get("/origin", response_model_exclude_unset=True)
async def get_origin(case_id: UUID, unit: UnitDep, principal: CurrentPrincipal) -> CaseOriginRead:
    """Read by which referral a case came from another country, and what was told of her in codes.

    Codes of the other country that this register does not have held nothing up; they are listed as
    `unmapped`. 404 for a case that was opened here.
    """
    origin = await find_origin(unit, case_id, principal=principal)
    unit.audit("read", CaseOrigin.__tablename__, [str(case_id)], about=case_id)
    unmapped = tuple(
        UnmappedRead(field=field, codes=tuple(codes))
        for field, codes in sorted(origin.unmapped.items())
    )
    return CaseOriginRead.of(origin, groups=principal.data_groups, unmapped=unmapped)
