"""The bodies of the reintegration service: their examples, refusals and data classes."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from common.codelists import all_codes, codelist
from common.schema import GroupedRead, ReadModel, StrictModel
from reintegration import schemas
from reintegration.domain.agreement import (
    AgreementStatus,
    Party,
    check_signature,
    check_terms,
)
from reintegration.domain.agreement import Signature as Signed
from reintegration.domain.phases import PHASE_POLICIES, Phase
from reintegration.domain.plan import Direction
from reintegration.schemas import (
    AgreementCreate,
    AgreementRead,
    Money,
    MoneyRead,
    PhaseChange,
    PlanClose,
    PlanNoteRead,
    PlanReopen,
    PlanResume,
    PlanStart,
    PlanSuspend,
    Signature,
)

# Money has no meaning of its own; it is run as part of the agreements.
WRITES = sorted(
    (
        value
        for value in vars(schemas).values()
        if isinstance(value, type) and issubclass(value, StrictModel)
        if value not in {StrictModel, Money}
    ),
    key=lambda model: model.__name__,
)

ANSWERS = sorted(
    (
        value
        for value in vars(schemas).values()
        if isinstance(value, type) and issubclass(value, ReadModel)
        if value not in {ReadModel, GroupedRead}
    ),
    key=lambda model: model.__name__,
)


def example(model: type[BaseModel], number: int = 0) -> dict[str, Any]:
    found = model.model_json_schema()["examples"][number]
    assert isinstance(found, dict)
    return dict(found)


def test_the_bodies_are_found() -> None:
    assert {PlanStart, PhaseChange, PlanClose, AgreementCreate, Signature} <= set(WRITES)
    assert {PlanNoteRead, AgreementRead, MoneyRead} <= set(ANSWERS)


# Fails when a body is added without an example, or an example no longer fits its body.
@pytest.mark.parametrize("model", WRITES)
def test_every_example_is_a_body_that_is_taken(model: type[BaseModel]) -> None:
    examples = model.model_json_schema()["examples"]

    assert examples
    for body in examples:
        model.model_validate(body)


def test_the_examples_keep_the_rules_of_the_domain_too() -> None:
    today = date(2026, 9, 14)
    for number, is_minor in ((0, False), (1, True)):
        agreement = AgreementCreate.model_validate(example(AgreementCreate, number))
        check_terms(agreement.parties, agreement.review_on, is_minor=is_minor, today=today)
        signed: list[Signed] = []
        for signature in agreement.signatures:
            given = Signed(signature.party, signature.signed_on)
            check_signature(
                given,
                status=AgreementStatus.DRAFT,
                parties=agreement.parties,
                signed=signed,
                opened_on=date(2026, 3, 31),
                today=today,
            )
            signed.append(given)


@pytest.mark.parametrize("model", WRITES)
def test_an_unknown_field_is_refused(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as refusal:
        model.model_validate({**example(model), "surprise": 1})

    assert [error["type"] for error in refusal.value.errors()] == ["extra_forbidden"]


# Each row fails when its bound or its code list is taken off the field.
@pytest.mark.parametrize(
    ("model", "field", "value", "fault"),
    [
        (PlanStart, "entered_on", "2026-02-29", "date_from_datetime_parsing"),
        (PlanStart, "entered_on", None, "date_type"),
        (PlanStart, "entered_on", 0, "date_type"),
        (PlanStart, "entered_on", "2026-03-31T00:00:00", "date_parsing"),
        (PlanClose, "closed_on", 1_700_006_400, "date_type"),
        (AgreementCreate, "review_on", "1700006400", "date_parsing"),
        (Signature, "signed_on", True, "date_type"),
        (PhaseChange, "to_phase", "INCLUSION", "code_unknown"),
        (PhaseChange, "reason", "BORED", "code_unknown"),
        (PhaseChange, "note", "", "string_too_short"),
        (PlanClose, "reason", None, "string_type"),
        (PlanClose, "reason", "RELAPSE", "code_unknown"),
        (AgreementCreate, "parties", ["PERSON"], "too_short"),
        (AgreementCreate, "parties", ["PERSON", "NEIGHBOUR"], "code_unknown"),
        (AgreementCreate, "duties", "a\x00b", "text_unsafe"),
        (AgreementCreate, "money", {"amount": "-1", "currency": "EUR"}, "string_pattern_mismatch"),
        (
            AgreementCreate,
            "money",
            {"amount": "1.005", "currency": "EUR"},
            "string_pattern_mismatch",
        ),
        (AgreementCreate, "money", {"amount": "1e9", "currency": "EUR"}, "string_pattern_mismatch"),
        (AgreementCreate, "money", {"amount": "NaN", "currency": "EUR"}, "string_pattern_mismatch"),
        (AgreementCreate, "money", {"amount": "٣", "currency": "EUR"}, "string_pattern_mismatch"),
        (AgreementCreate, "money", {"amount": 10.1, "currency": "EUR"}, "string_type"),
        (AgreementCreate, "money", {"amount": "1", "currency": "€"}, "string_pattern_mismatch"),
        (AgreementCreate, "money", {"amount": "1", "currency": "ZZZ"}, "code_unknown"),
        (AgreementCreate, "money", {"amount": "1", "currency": "DEM"}, "code_unknown"),
        (AgreementCreate, "money", {"amount": "1", "currency": "XTS"}, "code_unknown"),
        (AgreementCreate, "money", {"amount": "1"}, "missing"),
        (AgreementCreate, "signatures", [{"party": "PERSON"}], "missing"),
        (Signature, "party", "NEIGHBOUR", "code_unknown"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(
    model: type[BaseModel], field: str, value: object, fault: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        model.model_validate({**example(model), field: value})

    [error] = refusal.value.errors()
    assert (error["type"], error["loc"][0]) == (fault, field)


# Fails when money passes through a binary float.
@pytest.mark.parametrize("amount", ["0", "0.10", "450.00", "9999999999.99"])
def test_money_keeps_its_cents(amount: str) -> None:
    money = Money.model_validate({"amount": amount, "currency": "RSD"})

    told = MoneyRead(amount=Decimal(money.amount), currency=money.currency)
    assert told.model_dump(mode="json") == {"amount": amount, "currency": "RSD"}


def test_free_text_about_a_person_carries_its_data_class() -> None:
    for model, field in (
        (PhaseChange, "note"),
        (PlanSuspend, "note"),
        (PlanResume, "note"),
        (PlanClose, "note"),
        (PlanReopen, "note"),
        (PlanNoteRead, "note"),
        (AgreementCreate, "duties"),
        (AgreementRead, "duties"),
    ):
        schema = model.model_json_schema(mode="serialization")
        assert schema["properties"][field]["x-data-class"] == "P1"


# Fails when an answer gets a default: a forgotten field would look like an empty one. A field of a
# data group has one in place of being there; `GroupedRead.of` takes it from the row or raises.
@pytest.mark.parametrize("model", ANSWERS)
def test_answers_have_no_defaults(model: type[BaseModel]) -> None:
    assert all(
        field.is_required() or (issubclass(model, GroupedRead) and model.group_of(name) is not None)
        for name, field in model.model_fields.items()
    )


# The domain decides by codes; the lists are what the API, the database and the events carry.
@pytest.mark.parametrize(
    ("members", "name"), [(Phase, "plan_phases"), (Party, "agreement_parties")]
)
def test_the_domains_codes_are_in_the_lists(members: type[StrEnum], name: str) -> None:
    assert set(members) <= all_codes(name)


def test_phases_stand_in_the_lists_order() -> None:
    assert [item.code for item in codelist("plan_phases").items] == list(Phase)


def test_every_reason_fits_a_direction_and_every_direction_has_one() -> None:
    directions = [item.attributes["directions"] for item in codelist("phase_change_reasons").items]

    assert all(isinstance(fits, list) and set(fits) <= set(Direction) for fits in directions)
    assert {one for fits in directions if isinstance(fits, list) for one in fits} == set(Direction)


# The windows stand twice, as the programme's figures and as the policy that is computed with.
def test_the_policy_and_the_code_list_tell_the_same_months() -> None:
    ends = {
        item.code: item.attributes["month_to"] for item in codelist("reintegration_phases").items
    }

    assert {w.phase: w.last_month for w in PHASE_POLICIES[1].windows} == ends
