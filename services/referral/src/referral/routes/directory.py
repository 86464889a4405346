from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from sqlalchemy import select

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
from referral.commands import directory as commands
from referral.domain.directory import Need
from referral.models import Organisation, Service
from referral.queries import directory as queries
from referral.schemas.directory import (
    Accessibility,
    AgeBand,
    Language,
    OrganisationCreate,
    OrganisationRead,
    OrganisationUpdate,
    ServiceCreate,
    ServiceRead,
    ServiceUpdate,
    Sex,
)

organisations = router(prefix="/v1/organisations", tags=["directory"])
services = router(prefix="/v1/services", tags=["directory"])

COUNTRIES = all_codes("countries")
ORGANISATION_FILTERS = Filters(
    kind=Filter(Organisation.kind, "code", all_codes("organisation_kinds")),
    sector=Filter(Organisation.sector, "code", all_codes("organisation_sectors")),
    country=Filter(Organisation.country, "code", COUNTRIES),
    municipality=Filter(Organisation.municipality, "code"),
)
SERVICE_FILTERS = Filters(
    service_type=Filter(Service.service_type, "code", all_codes("service_types")),
    organisation_id=Filter(Service.organisation_id, "id"),
    country=Filter(Service.country, "code", COUNTRIES),
    municipality=Filter(Organisation.municipality, "code"),
)


@organisations.post("", status_code=201)
async def register_organisation(
    body: OrganisationCreate, unit: UnitDep, _principal: CurrentPrincipal
) -> OrganisationRead:
    """Enter an organisation in the directory, under an id of your choice.

    The contact point and the coordinator of the country keep the directory: state bodies and
    associations of the referral mechanism (ODIHR, National Referral Mechanisms, 2nd edition). The
    place is a municipality's code: a shelter has no address here.
    """
    return OrganisationRead.model_validate(await commands.register_organisation(unit, body))


@organisations.get("", openapi_extra=ORGANISATION_FILTERS.openapi)
async def list_organisations(
    request: Request, unit: UnitDep, _principal: CurrentPrincipal, page_request: PageDep
) -> Page[OrganisationRead]:
    """List the organisations of the directory, the newest entry first."""
    statement = ORGANISATION_FILTERS.apply(select(Organisation), request)
    return await page(
        unit,
        statement,
        page_request,
        OrganisationRead.model_validate,
        time=Organisation.recorded_at,
        id=Organisation.id,
        is_audited=False,  # the directory is for everybody and names no person
    )


@organisations.get("/{organisation_id}")
async def get_organisation(
    organisation_id: UUID, unit: UnitDep, _principal: CurrentPrincipal
) -> OrganisationRead:
    """Read one organisation's entry."""
    organisation = unit.shows(await queries.get_organisation(unit, organisation_id))
    return OrganisationRead.model_validate(organisation)


@organisations.patch("/{organisation_id}")
async def update_organisation(
    organisation_id: UUID,
    body: OrganisationUpdate,
    unit: UnitDep,
    _principal: CurrentPrincipal,
    expected: IfMatch,
) -> OrganisationRead:
    """Change an organisation's entry; what the body leaves out stays as it is.

    Kinds decide whose consent is asked: police and prosecution are opened by SHARE_LAW_ENFORCEMENT
    only, so a change of kind holds for every later disclosure.
    """
    organisation = await commands.update_organisation(
        unit, organisation_id, body, expected=expected
    )
    return OrganisationRead.model_validate(organisation)


@services.post("", status_code=201)
async def register_service(
    body: ServiceCreate, unit: UnitDep, principal: CurrentPrincipal
) -> ServiceRead:
    """List a service an organisation offers, under an id of your choice.

    An organisation's own workers list its services; the contact point and the coordinator may list
    any. Sexes, age bands and languages say in full whom the service takes.
    """
    service = await commands.register_service(unit, body, principal=principal)
    return ServiceRead.model_validate(service)


@services.get("", openapi_extra=SERVICE_FILTERS.openapi)
async def find_services(
    request: Request,
    unit: UnitDep,
    _principal: CurrentPrincipal,
    page_request: PageDep,
    *,
    sex: Annotated[Sex | None, Query(description="Only services that take this sex")] = None,
    age_group: Annotated[
        AgeBand | None,
        Query(description="Only services that take this age; UNKNOWN is placed as a child"),
    ] = None,
    language: Annotated[
        list[Language] | None,
        Query(max_length=10, description="Only services that speak one of these; repeatable"),
    ] = None,
    accessibility: Annotated[
        list[Accessibility] | None,
        Query(max_length=10, description="Only services that offer all of these; repeatable"),
    ] = None,
    has_free_places: Annotated[
        bool, Query(description="true: only services with a free place, or that count none")
    ] = False,
) -> Page[ServiceRead]:
    """Find the services that can take a person with these needs, the newest entry first.

    Only eligible services are shown, by the same rule that a referral is held to when it is
    submitted. The two scripts of Serbian are one language. While the age is not known the person is
    placed as a child (UNICEF guidelines: in doubt a child is presumed).
    """
    need = Need(
        sex=sex,
        age_group=age_group,
        languages=frozenset(language or ()),
        accessibility=frozenset(accessibility or ()),
        place=has_free_places,
    )
    candidates = SERVICE_FILTERS.apply(queries.services_with_place(), request)
    return await page(
        unit,
        await queries.narrow_to_eligible(unit, candidates, need),
        page_request,
        ServiceRead.model_validate,
        time=Service.recorded_at,
        id=Service.id,
        is_audited=False,  # the directory is for everybody and names no person
    )


@services.get("/{service_id}")
async def get_service(service_id: UUID, unit: UnitDep, _principal: CurrentPrincipal) -> ServiceRead:
    """Read one service's entry."""
    return ServiceRead.model_validate(unit.shows(await queries.get_service(unit, service_id)))


@services.patch("/{service_id}")
async def update_service(
    service_id: UUID,
    body: ServiceUpdate,
    unit: UnitDep,
    principal: CurrentPrincipal,
    expected: IfMatch,
) -> ServiceRead:
    """Change whom a service takes, its capacity or its free places; what is left out stays.

    Free places are the provider's own count. An accepted referral takes one and gives it back when
    it is completed or cancelled.
    """
    service = await commands.update_service(
        unit, service_id, body, principal=principal, expected=expected
    )
    return ServiceRead.model_validate(service)
