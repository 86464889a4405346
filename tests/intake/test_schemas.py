from datetime import date
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, ValidationError

import intake.schemas
from common.codelists import all_codes, codelist
from common.schema import ReadModel, ShortText, StrictModel
from intake.domain import age, case, consent, declaration, identification, marker, notice, roles
from intake.domain.names import Script
from intake.schemas.case import CaseCreate, CaseRead, CaseUpdate
from intake.schemas.consent import ConsentGrant
from intake.schemas.fields import P0
from intake.schemas.identification import IdentificationDecide
from intake.schemas.identity import Document, IdentityRead, IdentityWrite, Name
from intake.schemas.notice import BULK_LIMIT, NoticeBulk, NoticeBulkItem, NoticeCreate
from tests.contracts.data_classes import bodies, unclassified

BODIES = bodies(intake.schemas)
PARTS = (Name, Document, NoticeBulkItem)
WRITES = [body for body in BODIES.values() if issubclass(body, StrictModel) and body not in PARTS]


def examples_of(body: type[BaseModel]) -> list[dict[str, Any]]:
    examples = body.model_json_schema().get("examples", [])
    assert isinstance(examples, list)
    return examples


def faults_of(body: type[BaseModel], value: object) -> list[tuple[str, str]]:
    """Return (place, kind) of each fault."""
    try:
        body.model_validate(value)
    except ValidationError as error:
        return [("/".join(str(part) for part in e["loc"]), e["type"]) for e in error.errors()]
    return []


@pytest.mark.parametrize("body", WRITES, ids=lambda body: body.__name__)
def test_every_example_is_taken(body: type[BaseModel]) -> None:
    """Seeded: a code in an example that its list does not have; the documents would lie."""
    examples = examples_of(body)

    assert examples
    assert [faults_of(body, example) for example in examples] == [[] for _ in examples]


def test_examples_are_written_in_the_scripts_of_the_region() -> None:
    texts = str([examples_of(body) for body in WRITES]).lower()

    assert all(letter in texts for letter in "ëçćđ")
    assert all(letter in texts for letter in "ђѓљ")


@pytest.mark.parametrize("body", BODIES.values(), ids=lambda body: body.__name__)
def test_every_text_says_how_personal_it_is(body: type[BaseModel]) -> None:
    """Seeded: take P0 off `contact`, or P1 off a note."""
    assert unclassified(body) == []


class Careless(StrictModel):
    remark: ShortText


class Hidden(ReadModel):
    inside: list[Careless] | None


class Wrong(StrictModel):
    remark: Annotated[ShortText, Field(json_schema_extra={"x-data-class": "SECRET"})]


class Bare(ReadModel):
    name: str | None


class Stated(StrictModel):
    remark: Annotated[ShortText | None, P0] = None
    urgency: notice.Urgency
    opened_on: date


def test_the_data_class_lint_finds_a_seeded_text() -> None:
    assert all(unclassified(body) for body in (Careless, Hidden, Wrong, Bare))
    assert unclassified(Stated) == []


@pytest.mark.parametrize("body", WRITES, ids=lambda body: body.__name__)
@pytest.mark.parametrize("field", ["version", "organisation_id", "is_minor", "recorded_at", "zzz"])
def test_a_field_that_is_not_the_callers_is_refused(body: type[BaseModel], field: str) -> None:
    """Seeded: `extra="ignore"` (mass assignment)."""
    example = examples_of(body)[0]

    assert faults_of(body, example | {field: 1}) == [(field, "extra_forbidden")]


MIRRORS: list[tuple[type[StrEnum], str]] = [
    (identification.IdentificationStatus, "identification_status"),
    (case.BeneficiaryKind, "beneficiary_kinds"),
    (notice.Urgency, "urgency"),
    (notice.TriageDecision, "triage_decisions"),
    (marker.Marker, "population_markers"),
    (declaration.SpecialCategory, "special_categories"),
    (roles.ActorRole, "actor_roles"),
    (roles.DecidingAuthority, "deciding_authorities"),
]


@pytest.mark.parametrize(("enum", "name"), MIRRORS)
def test_an_enum_of_the_domain_has_the_codes_of_its_list(enum: type[StrEnum], name: str) -> None:
    """Seeded: add a role to the list only; nobody with it could be told what it may decide."""
    assert set(enum) == all_codes(name)


def test_the_bands_are_the_public_ones() -> None:
    assert set(age.AgeGroup) == all_codes("age_bands", scheme="PRAG_PUBLIC")


def test_urgencies_are_in_the_order_of_their_rank() -> None:
    ranked = sorted(codelist("urgency").items, key=lambda item: str(item.attributes["rank"]))

    assert [item.code for item in ranked] == list(notice.Urgency)


def test_rules_speak_of_codes_that_their_lists_have() -> None:
    assert all_codes("exploitation_types") >= identification.NO_PURPOSE
    assert all_codes("legal_bases") >= identification.FOR_CHILDREN_ONLY
    assert all_codes("countries") >= roles.DECIDERS.keys() | roles.CHILD_DECIDERS.keys()


def test_a_notice_needs_source_country_and_urgency_only() -> None:
    """Seeded: make any further field required (F2)."""
    assert faults_of(NoticeCreate, {"source": "SCHOOL", "country": "AL", "urgency": "HIGH"}) == []
    assert {place for place, _ in faults_of(NoticeCreate, {})} == {"source", "country", "urgency"}


@pytest.mark.parametrize("place", ["ATLANTIS", "80217", "vranje-2"])
def test_a_notice_with_an_unknown_place_is_taken(place: str) -> None:
    body = {"source": "SCHOOL", "country": "AL", "urgency": "HIGH", "place_code": place}

    assert faults_of(NoticeCreate, body) == []


NOTICE: dict[str, object] = {"source": "SCHOOL", "country": "AL", "urgency": "HIGH"}
CASE = examples_of(CaseCreate)[0]
DECISION = examples_of(IdentificationDecide)[1]
GRANT = examples_of(ConsentGrant)[0]

REFUSED: list[tuple[type[BaseModel], dict[str, object], dict[str, object], str, str]] = [
    (NoticeCreate, NOTICE, {"source": "school"}, "source", "code_unknown"),
    (NoticeCreate, NOTICE, {"country": "KS"}, "country", "code_unknown"),
    (NoticeCreate, NOTICE, {"urgency": "URGENT"}, "urgency", "enum"),
    (NoticeCreate, NOTICE, {"estimated_age": -1}, "estimated_age", "greater_than_equal"),
    (NoticeCreate, NOTICE, {"estimated_age": "15"}, "estimated_age", "int_type"),
    (
        NoticeCreate,
        NOTICE,
        {"occurred_at": "2025-11-20T09:15:00"},
        "occurred_at",
        "datetime_parsing",
    ),
    (
        NoticeCreate,
        NOTICE,
        {"occurred_at": "2999-01-01T00:00:00Z"},
        "occurred_at",
        "time_in_future",
    ),
    (NoticeCreate, NOTICE, {"note": "a\x00b"}, "note", "text_unsafe"),
    (NoticeCreate, NOTICE, {"note": "\ud800"}, "note", "string_unicode"),
    (NoticeCreate, NOTICE, {"place_text": "a\nb"}, "place_text", "text_unsafe"),
    (NoticeCreate, NOTICE, {"contact": "x" * 10_001}, "contact", "string_too_long"),
    (CaseCreate, CASE, {"id": "no"}, "id", "uuid_parsing"),
    (CaseCreate, CASE, {"country": "DE"}, "country", "code_unknown"),
    (CaseCreate, CASE, {"birth_date": "2009-02-29"}, "birth_date", "edtf_invalid"),
    (CaseCreate, CASE, {"birth_date": "200X"}, "birth_date", "edtf_invalid"),
    (CaseCreate, CASE, {"legal_basis": "NATIONAL_SOP"}, "legal_basis", "code_unknown"),
    (CaseCreate, CASE, {"languages": ["Serbian"]}, "languages/0", "string_pattern_mismatch"),
    (CaseCreate, CASE, {"citizenships": ["RS", "SRB"]}, "citizenships/1", "code_unknown"),
    (IdentificationDecide, DECISION, {"acts": ["MEANS_FRAUD"]}, "acts/0", "code_unknown"),
    (IdentificationDecide, DECISION, {"means": ["ACT_RECEIPT"]}, "means/0", "code_unknown"),
    (
        IdentificationDecide,
        DECISION,
        {"exploitation_types": ["MULTIPLE"]},
        "exploitation_types/0",
        "code_unknown",
    ),
    (IdentificationDecide, DECISION, {"decided_on": 0}, "decided_on", "date_type"),
    (
        IdentificationDecide,
        DECISION,
        {"decided_on": "2025-11-20T00:00:00Z"},
        "decided_on",
        "date_parsing",
    ),
    (ConsentGrant, GRANT, {"granted_on": "2025-02-30"}, "granted_on", "date_from_datetime_parsing"),
    (ConsentGrant, GRANT, {"interpreter_present": "yes"}, "interpreter_present", "bool_type"),
    (ConsentGrant, GRANT, {"data_groups": ["EVERYTHING"]}, "data_groups/0", "code_unknown"),
    (IdentityWrite, {}, {"phones": ["064 123"]}, "phones/0", "string_pattern_mismatch"),
    (IdentityWrite, {}, {"email": "ana"}, "email", "string_pattern_mismatch"),
    (IdentityWrite, {}, {"given_name": {"value": "a\u202eb"}}, "given_name/value", "text_unsafe"),
    (IdentityWrite, {}, {"given_name": {}}, "given_name/value", "missing"),
    (IdentityWrite, {}, {}, "", "missing"),
    (IdentityWrite, {}, {"phones": []}, "", "missing"),
]


@pytest.mark.parametrize(("body", "good", "bad", "place", "kind"), REFUSED)
def test_what_cannot_be_is_refused_at_its_place(
    *,
    body: type[BaseModel],
    good: dict[str, object],
    bad: dict[str, object],
    place: str,
    kind: str,
) -> None:
    assert faults_of(body, good | bad) == [(place, kind)]


def test_a_bulk_holds_one_to_five_hundred_notices() -> None:
    item = {"client_reference": "a", "notice": NOTICE}

    assert faults_of(NoticeBulk, {"items": [item] * BULK_LIMIT}) == []
    assert faults_of(NoticeBulk, {"items": []}) == [("items", "too_short")]
    assert faults_of(NoticeBulk, {"items": [item] * (BULK_LIMIT + 1)}) == [("items", "too_long")]


@pytest.mark.parametrize(
    "field", ["beneficiary_kind", "sex", "urgency", "legal_basis", "languages"]
)
def test_a_patch_leaves_out_what_stays_and_cannot_null_what_must_be(field: str) -> None:
    """Seeded: drop NotNull; `{"sex": null}` would be read as "leave it" or end as a 500."""
    assert CaseUpdate.model_validate({"note": None}).model_fields_set == {"note"}
    assert faults_of(CaseUpdate, {field: None}) == [(field, "string_type")]
    schema = CaseUpdate.model_json_schema()["properties"][field]
    assert "anyOf" not in schema
    assert "default" not in schema


def test_repeated_codes_count_once_and_keep_their_order() -> None:
    created = CaseCreate.model_validate(CASE | {"languages": ["sq", "sr-Latn", "sq"]})

    assert created.languages == ("sq", "sr-Latn")


@pytest.mark.parametrize(
    ("value", "script"),
    [
        ("Đorđević", Script.LATN),
        ("Hoxhë-Çeliku", Script.LATN),
        ("Ђорђевић", Script.CYRL),
        ("Ѓоргиевски", Script.CYRL),
        ("Παπαδόπουλος", Script.GREK),
        ("أحمد", Script.ARAB),
        ("Петровић (ex Petrov)", Script.CYRL),
        ("???", Script.ZYYY),
    ],
)
def test_a_name_knows_its_script(value: str, script: Script) -> None:
    assert Name.model_validate({"value": value}).script is script
    assert Name.model_validate({"value": value, "script": "Latn"}).script is Script.LATN


def test_identity_is_read_back_as_it_was_written() -> None:
    """Seeded: leave a field out of IdentityRead."""
    for example in examples_of(IdentityWrite):
        written = IdentityWrite.model_validate(example).model_dump(mode="json")
        around = {
            "case_id": UUID(int=1),
            "data_groups": ["CONTACT", "IDENTITY"],
            "recorded_at": "2025-11-20T10:00:00Z",
        }
        read = IdentityRead.model_validate(written | around)
        assert read.model_dump(mode="json", exclude=set(around)) == written


def test_the_facts_of_a_case_have_no_room_for_identity() -> None:
    """Seeded: add `birth_date` or `note` to CaseRead (F18)."""
    schema = CaseRead.model_json_schema(mode="serialization")
    classes = {str(part.get("x-data-class", "P2")) for part in schema["properties"].values()}

    assert classes == {"P2"}
    assert schema["properties"].keys() >= {"age_group", "is_minor", "services_open", "version"}


def test_the_examples_keep_the_rules_too() -> None:
    """Seeded: an example that the API would refuse with 422 once it reaches the domain."""
    today = date(2030, 1, 1)
    for body in (CaseCreate.model_validate(example) for example in examples_of(CaseCreate)):
        case.identification_at_opening(body.beneficiary_kind)
        case.check_primary(body.beneficiary_kind, has_primary=body.primary_case_id is not None)
    for example in examples_of(ConsentGrant):
        grant = ConsentGrant.model_validate(example).model_dump(
            exclude={"id", "form_version", "language", "interpreter_present", "witness_present"}
        )
        for codes in ("recipient_kinds", "recipient_countries", "purposes", "data_groups"):
            grant[codes] = frozenset(grant[codes])
        is_minor = grant["given_by"] == "GUARDIAN"
        consent.check_grant(
            consent.Grant(**grant), is_minor=is_minor, own_country="XK", today=today
        )
