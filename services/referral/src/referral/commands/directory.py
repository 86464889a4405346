from typing import Any
from uuid import UUID

from common.auth import Principal
from common.clock import utcnow
from common.codelists import codes
from common.contracts.referral import (
    OrganisationChanged,
    OrganisationEntry,
    OrganisationRegistered,
    ServiceChanged,
    ServiceEntry,
    ServiceListed,
)
from common.errors import ForbiddenError, InvalidError
from common.unit import Unit
from referral.domain.directory import check_places
from referral.models import Organisation, Service
from referral.queries import directory as queries
from referral.schemas.directory import (
    OrganisationCreate,
    OrganisationUpdate,
    ServiceCreate,
    ServiceUpdate,
)

_PLACES = {"XK": "places_xk"}
"""Country → the code list of its municipalities, where there is one."""
_ORGANISATION_ENTRY = tuple(set(OrganisationEntry.model_fields) - {"organisation_id"})
_SERVICE_ENTRY = tuple(set(ServiceEntry.model_fields) - {"service_id"})


async def register_organisation(unit: Unit, entry: OrganisationCreate) -> Organisation:
    """List an organisation; InvalidError `field.code_unknown` for a municipality its country lacks."""
    _check_municipality(entry.municipality, entry.country)
    columns = entry.model_dump()
    registered = OrganisationRegistered(
        organisation_id=entry.id, **{name: columns[name] for name in _ORGANISATION_ENTRY}
    )
    return unit.create(Organisation, registered, **columns)


async def update_organisation(
    unit: Unit, organisation_id: UUID, change: OrganisationUpdate, *, expected: int
) -> Organisation:
    organisation = await queries.get_organisation(unit, organisation_id)
    unit.shows(organisation, expected)
    changed = change.model_dump(exclude_unset=True)
    _check_municipality(changed.get("municipality"), organisation.country)
    entry = _merged(organisation, changed, _ORGANISATION_ENTRY)
    told = OrganisationChanged(organisation_id=organisation_id, **entry)
    return unit.change(Organisation, organisation, told, updated_at=utcnow(), **changed)


async def register_service(unit: Unit, entry: ServiceCreate, *, principal: Principal) -> Service:
    """List a service; InvalidError `referral.organisation_unknown` unless its organisation is listed."""
    _require_own(entry.organisation_id, principal)
    organisation = await queries.find_organisation(unit, entry.organisation_id)
    if organisation is None:
        raise InvalidError("referral.organisation_unknown", pointer="/organisation_id")
    check_places(entry.capacity, entry.free_places)
    columns = entry.model_dump() | {"country": organisation.country}
    listed = ServiceListed(service_id=entry.id, **{name: columns[name] for name in _SERVICE_ENTRY})
    return unit.create(Service, listed, **columns)


async def update_service(
    unit: Unit, service_id: UUID, change: ServiceUpdate, *, principal: Principal, expected: int
) -> Service:
    service = await queries.get_service(unit, service_id)
    unit.shows(service, expected)
    _require_own(service.organisation_id, principal)
    changed = change.model_dump(exclude_unset=True)
    entry = _merged(service, changed, _SERVICE_ENTRY)
    check_places(entry["capacity"], entry["free_places"])
    return change_service(unit, service, **changed)


def change_service(unit: Unit, service: Service, **changed: Any) -> Service:
    """Hand over a change of a service's entry with the event that tells of the whole of it."""
    entry = _merged(service, changed, _SERVICE_ENTRY)
    told = ServiceChanged(service_id=service.id, **entry)
    return unit.change(Service, service, told, updated_at=utcnow(), **changed)


def _check_municipality(code: str | None, country: str) -> None:
    places = _PLACES.get(country)
    if code is not None and places is not None and code not in codes(places):
        raise InvalidError("field.code_unknown", pointer="/municipality", codelist=places)


def _merged(
    row: Organisation | Service, changed: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    return {name: changed[name] if name in changed else getattr(row, name) for name in names}


def _require_own(organisation_id: UUID, principal: Principal) -> None:
    # The directory is readable by all, so a refusal to write tells nobody anything new.
    if "all" not in principal.relations and organisation_id != principal.organisation_id:
        raise ForbiddenError("forbidden")
