"""The code lists: whole, labelled, true to the standards they name, and enforced where used."""

import json
import re
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from common import clock, codelists
from common.codelists import all_codes, code_of, codelist, codes, crosswalk, label, names
from common.messages import LANGUAGES

REFERENCE = {
    "ctdc_columns",
    "htcds_fields",
    "ics_tip",
    "id_formats",
    "ilo_indicators",
    "places_xk",
    "published_figures",
    "transliteration",
}
"""Lists of other standards and published data: labels as they are published, if at all."""

FOR_PEOPLE = sorted(set(names()) - REFERENCE)
NOT_IN_EVENTS = REFERENCE | {"age_bands", "languages"}

Urgency = Annotated[str, code_of("urgency")]


class Body(BaseModel):
    urgency: Urgency
    country: Annotated[str, code_of("iso_countries")]


def field_values(field: str) -> set[str]:
    [found] = [item for item in codelist("htcds_fields").items if item.code == field]
    values = found.attributes["values"]
    assert isinstance(values, list)
    return {value["code"] for value in values if isinstance(value, dict)}  # type: ignore[misc]


# --- the lists


@pytest.mark.parametrize("name", names())
def test_a_list_is_named_as_its_file_and_has_each_code_once(name: str) -> None:
    found = codelist(name)
    seen = [item.code for item in found.items]

    assert found.codelist == name
    assert re.fullmatch(r"\d+\.\d+\.\d+", found.version)
    assert seen
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("name", names())
def test_a_file_holds_what_the_model_declares_and_nothing_else(name: str) -> None:
    """Seeded: a misspelt key, which would otherwise be dropped without a word."""
    raw = json.loads(files(codelists).joinpath(f"{name}.json").read_bytes())

    assert set(raw) == set(codelists.CodeList.model_fields)
    assert all(set(item) == set(codelists.CodeItem.model_fields) for item in raw["items"])


@pytest.mark.parametrize("name", FOR_PEOPLE)
def test_a_list_people_see_has_every_label_in_every_language(name: str) -> None:
    """Seeded: take the Bulgarian label of SHELTER out of service_types."""
    lacking = {
        (item.code, language)
        for item in codelist(name).items
        for language in LANGUAGES
        if not item.labels.get(language, "").strip()
    }

    assert lacking == set()


@pytest.mark.parametrize("language", ["sr-Cyrl", "mk", "bg"])
def test_a_cyrillic_label_is_written_in_cyrillic(language: str) -> None:
    latin = {
        (name, item.code)
        for name in FOR_PEOPLE
        for item in codelist(name).items
        if not re.search(r"[\u0400-\u04ff]", item.labels[language])
    }

    assert latin == set()


@pytest.mark.parametrize("name", sorted(set(FOR_PEOPLE) - {"iso_countries"}))
def test_both_serbian_scripts_of_a_label_say_the_same(name: str) -> None:
    [table] = [i for i in codelist("transliteration").items if i.code == "sr-Cyrl_sr-Latn"]
    letters = table.attributes["map"]
    assert isinstance(letters, dict)
    latin = {ord(c.lower()): str(to).lower() for c, to in letters.items()}

    differing = [
        item.labels["sr-Latn"]
        for item in codelist(name).items
        if item.labels["sr-Cyrl"].lower().translate(latin) != item.labels["sr-Latn"].lower()
    ]

    assert differing == []


@pytest.mark.parametrize("name", sorted(set(names()) - NOT_IN_EVENTS))
def test_a_code_fits_into_an_event(name: str) -> None:
    unfit = [c for c in all_codes(name) if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,39}", c)]

    assert unfit == []


@pytest.mark.parametrize(
    ("name", "scheme", "field"),
    [
        ("exploitation_types", "htcds", "vic_TypeOfExploitation"),
        ("means_of_control", "htcds_picklist", "vic_MethodsOfControl"),
        ("sex_gender", "htcds_gender", "prs_Gender"),
        ("deciding_authorities", "htcds", "vic_TraffickingStatusDecisionMakingOrg"),
        ("case_statuses", "htcds", "cas_Status"),
        ("identification_status", "htcds", "vic_TraffickingStatus"),
        ("relationship_to_recruiter", "htcds", "vic_RelationshipToTrafficker"),
    ],
)
def test_a_list_reaches_every_code_of_its_htcds_picklist(
    name: str, scheme: str, field: str
) -> None:
    """Seeded: spell NonSpecifiedUnknown differently in sex_gender."""
    reached = {crosswalk(name, code, scheme) for code in all_codes(name)} - {None}

    assert reached == field_values(field)


@pytest.mark.parametrize(
    ("name", "scheme", "field"),
    [
        ("closure_reasons", "htcds", "cas_Status"),
        ("service_types", "htcds_plan", "spl_Type"),
        ("organisation_kinds", "htcds_organisation_type", "org_Type"),
    ],
)
def test_a_list_names_only_codes_its_htcds_picklist_has(name: str, scheme: str, field: str) -> None:
    reached = {crosswalk(name, code, scheme) for code in all_codes(name)} - {None}

    assert reached
    assert reached <= field_values(field)


@pytest.mark.parametrize("name", ["exploitation_types", "means_of_control"])
def test_a_list_names_only_columns_that_ctdc_has(name: str) -> None:
    columns = all_codes("ctdc_columns")
    reached = [crosswalk(name, code, "ctdc_2024") for code in all_codes(name)]

    assert {c for found in reached if found for c in found.split("+")} <= columns


def test_urgency_is_ranked_from_low_to_crisis() -> None:
    items = sorted(codelist("urgency").items, key=lambda item: str(item.attributes["rank"]))

    assert [item.code for item in items] == ["LOW", "NORMAL", "HIGH", "CRISIS"]


def test_the_phases_cover_thirty_six_months_without_a_gap() -> None:
    months = [
        (item.code, item.attributes["month_from"], item.attributes["month_to"])
        for item in codelist("reintegration_phases").items
    ]

    assert months == [("CRISIS", 0, 3), ("TRANSITION", 4, 12), ("REINTEGRATION", 13, 36)]
    assert {phase for phase, _, _ in months} < codes("plan_phases")


def test_only_identified_and_presumed_victims_count_as_assisted() -> None:
    assert codes("beneficiary_kinds", counts_as_assisted=True) == {"VICTIM", "PRESUMED"}


# --- choosing codes


@pytest.mark.parametrize(
    ("day", "valid"),
    [
        (date(1985, 6, 1), {"YU"}),
        (date(2003, 7, 22), {"YU"}),
        (date(2003, 7, 23), {"CS"}),
        (date(2006, 9, 25), {"CS"}),
        (date(2006, 9, 26), {"RS", "ME"}),
    ],
)
def test_a_code_is_valid_from_its_first_to_its_last_day(day: date, valid: set[str]) -> None:
    assert codes("iso_countries", on=day) & {"YU", "CS", "RS", "ME"} == valid


def test_without_a_day_the_codes_of_today_are_meant() -> None:
    clock.set_source(lambda: datetime(2004, 1, 1, tzinfo=UTC))

    assert "CS" in codes("iso_countries")
    clock.set_source(None)
    assert "CS" not in codes("iso_countries")
    assert "CS" in all_codes("iso_countries")


def test_codes_are_narrowed_by_what_the_list_says_of_them() -> None:
    assert codes("sex_gender", sex=True) == {"FEMALE", "MALE", "UNKNOWN"}
    assert codes("legal_bases", uses="DISCLOSURE") < codes("legal_bases", uses="IDENTIFICATION")
    assert len(codes("ics_tip", kind="act")) == 5


def test_narrowing_by_something_no_code_has_is_a_mistake_of_ours() -> None:
    with pytest.raises(LookupError):
        codes("ics_tip", kinds="act")


@pytest.mark.parametrize("name", ["no_such_list", "../codelists/urgency", "urgency.json", ""])
def test_a_list_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(LookupError):
        codelist(name)
    with pytest.raises(LookupError):
        code_of(name)


# --- labels and crosswalks


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("sq", "Strehëz"),
        ("sr-Cyrl", "Сигурна кућа"),
        ("sr", "Sigurna kuća"),
        ("hr-HR", "Sigurna kuća"),
        ("bg", "Приют / кризисен център"),
        ("pt-BR", "Shelter / safe house"),
    ],
)
def test_a_label_is_in_the_language_or_its_nearest(language: str, expected: str) -> None:
    assert label("service_types", "SHELTER", language) == expected


def test_a_label_the_language_lacks_is_taken_from_the_nearest_that_has_one() -> None:
    assert label("places_xk", "PEJE", "bs") == "Peć"
    assert label("ilo_indicators", "DR_WAGES", "mk").startswith("Deceived")
    assert label("ctdc_columns", "gender", "mk") == "gender"


def test_a_crosswalk_gives_the_code_as_published_or_none() -> None:
    assert crosswalk("relationship_to_recruiter", "STRANGER", "htcds") == "Unaquainted"
    assert crosswalk("means_of_control", "RESTRICTS_MOVEMENT", "htcds_picklist") is None
    assert crosswalk("countries", "XK", "ctdc") == "SRB"


def test_an_unknown_code_or_scheme_is_a_mistake_of_ours() -> None:
    with pytest.raises(LookupError):
        crosswalk("countries", "RS", "htcds")
    with pytest.raises(LookupError):
        crosswalk("countries", "ZZ", "alpha3")
    with pytest.raises(LookupError):
        label("countries", "ZZ", "en")


# --- the type


def test_a_field_takes_only_codes_of_its_list() -> None:
    assert Body(urgency="CRISIS", country="RS").urgency == "CRISIS"


@pytest.mark.parametrize("value", ["crisis", "CRISIS ", "", "Ana Anić"])
def test_another_value_is_refused_without_repeating_it(value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Body(urgency=value, country="RS")

    [error] = refused.value.errors(include_input=False, include_url=False)
    assert (error["type"], error["ctx"]) == ("code_unknown", {"codelist": "urgency"})
    assert not value or value not in error["msg"]


def test_a_code_out_of_use_is_refused_where_something_new_is_written() -> None:
    with pytest.raises(ValidationError):
        Body(urgency="LOW", country="YU")


def test_a_code_out_of_use_is_taken_where_the_past_is_told() -> None:
    country = TypeAdapter(Annotated[str, code_of("iso_countries", ever=True)])

    assert country.validate_python("YU") == "YU"


def test_the_schema_lists_a_short_list_in_its_order_and_names_a_long_one() -> None:
    properties: dict[str, Any] = Body.model_json_schema()["properties"]

    assert properties["urgency"]["enum"] == ["LOW", "NORMAL", "HIGH", "CRISIS"]
    assert properties["urgency"]["x-codelist"] == "urgency"
    assert "enum" not in properties["country"]
    assert properties["country"]["x-codelist"] == "iso_countries"


def test_the_schema_of_a_narrowed_field_lists_only_its_codes() -> None:
    act = TypeAdapter(Annotated[str, code_of("ics_tip", kind="act")])

    assert all(code.startswith("ACT_") for code in act.json_schema()["enum"])
