from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, select

from common.errors import NotFoundError
from common.unit import AnySelect, Unit
from referral.domain.directory import Need, Offer, grounds_against
from referral.models import Organisation, Service

_ORGANISATION = select(Organisation).where(Organisation.id == bindparam("id"))
_SERVICE = select(Service).where(Service.id == bindparam("id"))


async def find_organisation(unit: Unit, organisation_id: UUID) -> Organisation | None:
    return await unit.find(_ORGANISATION, id=organisation_id)


async def get_organisation(unit: Unit, organisation_id: UUID) -> Organisation:
    found = await find_organisation(unit, organisation_id)
    if found is None:
        raise NotFoundError
    return found


async def find_service(unit: Unit, service_id: UUID) -> Service | None:
    return await unit.find(_SERVICE, id=service_id)


async def get_service(unit: Unit, service_id: UUID) -> Service:
    found = await find_service(unit, service_id)
    if found is None:
        raise NotFoundError
    return found


def services_with_place() -> Select[Any]:
    """Select services so that they can be narrowed by their organisation's columns too."""
    return select(Service).join(Organisation, Organisation.id == Service.organisation_id)


async def narrow_to_eligible(unit: Unit, statement: AnySelect, need: Need) -> AnySelect:
    """Narrow `statement` to the services that can take a person with this need.

    The rule is the domain's, so every candidate is looked at: a country lists hundreds of services.
    """
    candidates = await unit.rows(statement)
    eligible = [row.id for row in candidates if not grounds_against(offer_of(row), need)]
    return statement.where(Service.id.in_(eligible))


def offer_of(service: Service) -> Offer:
    return Offer(
        sexes=frozenset(service.sexes),
        age_groups=frozenset(service.age_groups),
        languages=frozenset(service.languages),
        accessibility=frozenset(service.accessibility),
        free_places=service.free_places,
    )
