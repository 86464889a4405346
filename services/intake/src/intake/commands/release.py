"""The one place where a person's data leave the country, with its entry in the audit trail."""

from collections.abc import Set as AbstractSet
from typing import Any, cast
from uuid import UUID

from common.auth import Principal
from common.clock import new_id, utcnow
from common.consent import ConsentScope, Disclosure, require_consent
from common.contracts.intake import CasePackageReleased
from common.errors import ConflictError, ForbiddenError
from common.federation.keys import SealTo
from common.federation.package import seal_package
from common.federation.peers import Peers
from common.here import Here
from common.unit import Unit
from intake.commands.sealing import case_box, open_identity
from intake.domain.age import AgeGroup
from intake.domain.case import require_open
from intake.domain.identity import DATA_GROUPS, FIELDS, fields_in
from intake.domain.transfer import require_releasable
from intake.models import Case, KnownTransfer, PackageRelease
from intake.queries import case as cases
from intake.queries import transfer as queries
from intake.queries.consent import list_consents
from intake.queries.identification import find_last
from intake.queries.identity import find_identity
from intake.schemas.package import Package

_IDENTITY, _EXPLOITATION = "IDENTITY", "EXPLOITATION"


async def release_case(
    unit: Unit,
    case_id: UUID,
    referral_id: UUID,
    *,
    principal: Principal,
    here: Here,
    peers: Peers,
    expected: int,
) -> Case:
    """Seal the person's data to the register of the country that accepted her.

    As far as the referral's data groups go, all of which a consent in force must open to whoever
    accepted it: ForbiddenError `consent.missing`. Beside them go her sex and the band of her age,
    which the offer has told. ConflictError `transfer.not_open`, `peer.unknown`
    or `peer.no_key` while the other country cannot be sent anything.
    """
    case = await cases.get_for_step(unit, case_id, principal=principal, expected=expected)
    require_open(case.status)
    transfer = await queries.get_sent(unit, case, referral_id, pointer="/referral_id")
    require_releasable(transfer.status)
    groups = frozenset(transfer.data_groups)
    if not groups <= principal.data_groups:
        raise ForbiddenError("data_group.closed")
    # A withdrawal raises the case's version: one that comes now stops this release.
    await _require_consent(unit, case, transfer, here)
    key = _key(peers, transfer.peer_country)
    document = await _document(unit, case, groups)
    package = _sealed(document, key, transfer, here)
    _enter(unit, case, transfer, _groups_in(document))
    released = CasePackageReleased(
        case_id=case_id,
        organisation_id=case.organisation_id,
        referral_id=referral_id,
        recipient_country=transfer.peer_country,
        package=package,
    )
    return unit.change(Case, case, released, about=case_id, updated_at=utcnow())


async def _require_consent(unit: Unit, case: Case, transfer: KnownTransfer, here: Here) -> None:
    require_consent(
        await list_consents(unit, case.id),
        Disclosure(
            scope=ConsentScope.SHARE_CROSS_BORDER,
            is_minor=await cases.is_minor(unit, case, on=here.today),
            on=here.today,
            recipient_organisation_id=transfer.recipient_organisation_id,
            recipient_kind=transfer.recipient_kind,
            country=transfer.peer_country,
            purpose=transfer.purpose,
            data_groups=frozenset(transfer.data_groups),
        ),
    )


async def _document(unit: Unit, case: Case, groups: AbstractSet[str]) -> Package:
    """Open what the data groups allow, and what the offer has told. Whatever is closed is absent."""
    identity = await find_identity(unit, case.id)
    fields, told = {}, dict[str, Any]()
    if identity is not None and groups & DATA_GROUPS:
        box = await case_box(unit, case.id)
        fields = open_identity(box, identity, fields_in(groups & DATA_GROUPS))
    if _IDENTITY in groups:
        if fields.get("birth_date") is None:
            # Told of the case before, or without, a name.
            fields["birth_date"] = (await cases.told_age(unit, case)).birth_date
        told |= {
            "citizenships": case.citizenships,
            "languages": case.languages,
            "estimated_age": case.estimated_age,
            "estimated_age_margin": case.estimated_age_margin,
            "estimated_on": case.estimated_on,
        }
    if _EXPLOITATION in groups:
        last = await find_last(unit, case.id)
        told |= {
            "beneficiary_kind": case.beneficiary_kind,
            "identification_status": case.identification_status,
            "exploitation_types": last.exploitation_types if last else (),
        }
    return Package.model_validate(
        {
            "sex": case.sex,
            "age_group": None if case.age_group is AgeGroup.UNKNOWN else case.age_group,
            "identity": fields if any(fields.values()) else None,
            **told,
        }
    )


def _groups_in(document: Package) -> list[str]:
    """Return the data groups of which a document holds something."""
    identity = {} if document.identity is None else document.identity.model_dump()
    found = {group for group, names in FIELDS.items() if any(identity.get(n) for n in names)}
    if document.citizenships or document.languages or document.estimated_age is not None:
        found.add(_IDENTITY)
    if document.identification_status is not None:
        found.add(_EXPLOITATION)
    return sorted(found)


def _key(peers: Peers, country: str) -> SealTo:
    peers.require(country)
    key = peers.directory.sealing_key(country, utcnow(), use="package")
    if key is None:
        raise ConflictError("peer.no_key")
    return key


def _sealed(document: Package, key: SealTo, transfer: KnownTransfer, here: Here) -> str:
    # The largest identity that can be written down fits.
    return seal_package(
        document.model_dump(mode="json", exclude_none=True),
        to=key,
        sender=here.country,
        recipient=transfer.peer_country,
        referral_id=transfer.referral_id,
    )


def _enter(unit: Unit, case: Case, transfer: KnownTransfer, groups: list[str]) -> None:
    """Keep what left, for what and by which referral, and enter it in the audit trail."""
    purpose = cast(str, transfer.purpose)  # a consent that shares names one, and covered this
    release = unit.add(
        PackageRelease,
        id=new_id(),
        case_id=case.id,
        referral_id=transfer.referral_id,
        recipient_country=transfer.peer_country,
        purpose=purpose,
        data_groups=groups,
    )
    unit.disclose(
        PackageRelease.__tablename__,
        [str(release.id), str(transfer.referral_id)],
        about=case.id,
        data_groups=groups,
        purpose=purpose,
        legal_basis="CONSENT",
    )
