from datetime import date

from common.consent import require_consent
from common.unit import Unit
from referral.models import KnownCase, KnownConsent, Organisation, Referral
from referral.queries.disclosure import disclosure_of
from referral.queries.referral import consent_of, find_heard, list_consents


async def rest_on_consent(
    unit: Unit, referral: Referral, case: KnownCase, receiver: Organisation, *, on: date
) -> list[str]:
    """Return the consents the disclosure rests on; they must still be so when the Unit is written.

    ForbiddenError `consent.missing` when they do not cover it on the day `on`. Inside one
    organisation nothing is disclosed, so nothing is asked (F34).
    """
    if referral.sending_organisation_id == referral.receiving_organisation_id:
        return []
    known = {row.id: row for row in await list_consents(unit, referral.case_id)}
    used = require_consent(
        [consent_of(row) for row in known.values()],
        disclosure_of(referral, case, receiver, on),
        case_version=await find_heard(unit, referral.case_id),
    )
    unit.require_unchanged(KnownCase, case_id=case.case_id, version=case.version)
    for consent_id in used:
        row = known[consent_id]
        found_as = {"id": row.id, "version": row.version, "uses": row.uses}
        unit.update(KnownConsent, found_as, expect=1, uses=row.uses + 1)
    return [str(consent_id) for consent_id in used]
