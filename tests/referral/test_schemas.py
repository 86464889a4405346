"""The bodies of the referral service: their examples, their refusals, and what the preview hides."""

from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from common.codelists import all_codes
from common.schema import StrictModel
from referral.domain.directory import Ground, check_places, choose_service_type
from referral.domain.referral import REASON_LISTS, ReferralStatus, Urgency
from referral.schemas import directory, referral
from referral.schemas.directory import (
    OrganisationCreate,
    OrganisationUpdate,
    ServiceCreate,
    ServiceUpdate,
)
from referral.schemas.referral import (
    ReferralCancel,
    ReferralCreate,
    ReferralDecline,
    ReferralItem,
    ReferralPreview,
    ReferralRead,
    ReferralResubmit,
    ReferralReturn,
)

WRITES = sorted(
    {
        value
        for module in (directory, referral)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, StrictModel) and value is not StrictModel
    },
    key=lambda model: model.__name__,
)


def example(model: type[BaseModel], number: int = 0) -> dict[str, Any]:
    found = model.model_json_schema()["examples"][number]
    assert isinstance(found, dict)
    return dict(found)


def test_the_bodies_are_found() -> None:
    assert {
        OrganisationCreate,
        OrganisationUpdate,
        ServiceCreate,
        ReferralCreate,
        ReferralReturn,
        ReferralResubmit,
        ReferralDecline,
        ReferralCancel,
    } <= set(WRITES)


# Fails when a body is added without an example, or an example no longer fits its body.
@pytest.mark.parametrize("model", WRITES)
def test_every_example_is_a_body_that_is_taken(model: type[BaseModel]) -> None:
    examples = model.model_json_schema()["examples"]

    assert examples
    for body in examples:
        model.model_validate(body)


def test_the_examples_keep_the_rules_of_the_domain_too() -> None:
    for number in range(2):
        service = ServiceCreate.model_validate(example(ServiceCreate, number))
        check_places(service.capacity, service.free_places)
        asked = ReferralCreate.model_validate(example(ReferralCreate, number))
        choose_service_type(asked.service_type, "SHELTER" if asked.service_id else None)


@pytest.mark.parametrize("model", WRITES)
def test_an_unknown_field_is_refused(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as refusal:
        model.model_validate({**example(model), "surprise": 1})

    assert [error["type"] for error in refusal.value.errors()] == ["extra_forbidden"]


# Each row fails when its bound or its code list is taken off the field.
@pytest.mark.parametrize(
    ("model", "field", "value", "fault"),
    [
        (OrganisationCreate, "id", "7", "uuid_parsing"),
        (OrganisationCreate, "name", "", "string_too_short"),
        (OrganisationCreate, "name", "x" * 201, "string_too_long"),
        (OrganisationCreate, "name", "Agimi\u202e", "text_unsafe"),
        (OrganisationCreate, "country", "GB", "code_unknown"),
        (OrganisationCreate, "kind", "ngo", "code_unknown"),
        (OrganisationCreate, "municipality", "Rruga e Dëshmorëve 12", "string_pattern_mismatch"),
        (OrganisationCreate, "languages", [], "too_short"),
        (ServiceCreate, "sexes", [], "too_short"),
        (ServiceCreate, "age_groups", ["0--8"], "code_unknown"),
        (ServiceCreate, "age_groups", ["CHILD"], "code_unknown"),
        (ServiceCreate, "capacity", -1, "greater_than_equal"),
        (ServiceCreate, "capacity", "12", "int_type"),
        (ServiceCreate, "capacity", True, "int_type"),
        (ServiceCreate, "free_places", 10_001, "less_than_equal"),
        (ReferralCreate, "urgency", "SOON", "code_unknown"),
        (ReferralCreate, "purpose", None, "string_type"),
        (ReferralCreate, "data_groups", [], "too_short"),
        (ReferralCreate, "trm_stage", "SOP9", "code_unknown"),
        (ReferralCreate, "note", "x" * 10_001, "string_too_long"),
        (ReferralCreate, "note", "a\x00b", "text_unsafe"),
        (ReferralDecline, "reason", "CONSENT_WITHDRAWN", "code_unknown"),
        (ReferralCancel, "reason", "NO_CAPACITY", "code_unknown"),
        (ReferralReturn, "reason", "NO_CAPACITY", "code_unknown"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(
    model: type[BaseModel], field: str, value: object, fault: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        model.model_validate({**example(model), field: value})

    [error] = refusal.value.errors()
    assert (error["type"], error["loc"][0]) == (fault, field)


# Mass assignment: what the service itself decides is no field of any body.
@pytest.mark.parametrize("field", ["status", "version", "sending_organisation_id", "respond_by"])
def test_a_draft_cannot_set_what_the_service_decides(field: str) -> None:
    assert field not in ReferralCreate.model_fields


# F37. Fails when a field is added to the preview without being thought about here.
def test_the_preview_tells_need_band_sex_language_and_urgency_only() -> None:
    header = {
        "id",
        "version",
        "status",
        "sending_organisation_id",
        "receiving_organisation_id",
        "submitted_at",
        "respond_by",
        "consent_withdrawn_on",
    }

    assert set(ReferralPreview.model_fields) == header | {
        "service_id",
        "service_type",
        "urgency",
        "sex",
        "age_group",
        "languages",
    }


# Fails when a free text is added to what lists and steps answer.
def test_lists_and_steps_tell_codes_only() -> None:
    hidden = {"note", "reason_note", "purpose", "data_groups"}

    assert not hidden & set(ReferralItem.model_fields)


# Fails when a field left out of a change comes to stand for null, or when null is taken for a field
# that cannot be empty.
@pytest.mark.parametrize("model", [OrganisationUpdate, ServiceUpdate])
def test_a_change_tells_left_out_from_null(model: type[BaseModel]) -> None:
    empty = {"municipality", "capacity", "free_places"}

    assert model.model_validate({}).model_dump(exclude_unset=True) == {}
    for field in model.model_fields:
        if field in empty:
            changed = model.model_validate({field: None}).model_dump(exclude_unset=True)
            assert changed == {field: None}
        else:
            with pytest.raises(ValidationError):
                model.model_validate({field: None})


# Fails when the description calls null the default of a field that is left out.
def test_a_field_left_out_has_no_default_in_the_description() -> None:
    for model in (OrganisationUpdate, ServiceUpdate):
        properties = model.model_json_schema()["properties"].values()

        assert not any("default" in field for field in properties)


def test_free_text_about_a_person_carries_its_data_class() -> None:
    for model, field in (
        (ReferralCreate, "note"),
        (ReferralReturn, "note"),
        (ReferralResubmit, "note"),
        (ReferralDecline, "note"),
        (ReferralCancel, "note"),
        (ReferralRead, "note"),
        (ReferralRead, "reason_note"),
    ):
        schema = model.model_json_schema(mode="serialization")
        assert schema["properties"][field]["x-data-class"] == "P1"


# Fails when an answer gets a default: a forgotten field would look like an empty one.
@pytest.mark.parametrize(
    "model",
    [
        directory.OrganisationRead,
        directory.ServiceRead,
        ReferralItem,
        ReferralPreview,
        ReferralRead,
    ],
)
def test_answers_have_no_defaults(model: type[BaseModel]) -> None:
    assert all(field.is_required() for field in model.model_fields.values())


# The domain decides by codes; the lists are what the API, the database and the events carry.
@pytest.mark.parametrize(
    ("members", "codelist"),
    [
        (ReferralStatus, "referral_statuses"),
        (Urgency, "urgency"),
        (Ground, "eligibility_grounds"),
    ],
)
def test_the_domains_codes_are_those_of_the_lists(members: type[StrEnum], codelist: str) -> None:
    assert set(members) == all_codes(codelist)


def test_the_codes_the_domain_picks_out_are_in_their_lists() -> None:
    assert all("OTHER" in all_codes(name) for name in REASON_LISTS.values())


def test_ids_are_chosen_by_the_caller() -> None:
    body = {**example(ReferralCreate), "id": "11111111-2222-4333-8444-555555555555"}

    assert ReferralCreate.model_validate(body).id == UUID("11111111-2222-4333-8444-555555555555")
