"""The indicator as the API tells it."""

import json
from datetime import UTC, date, datetime
from uuid import UUID

from analytics.domain import (
    PERSONS_ASSISTED,
    AgeGroup,
    BeneficiaryKind,
    DataCut,
    Marked,
    PlanStart,
    count_persons,
)
from analytics.schemas import IndicatorRead
from common.codelists import all_codes, codes

CUT = DataCut(as_of=datetime(2026, 6, 1, 8, tzinfo=UTC), facts=58)
STARTS = [
    PlanStart(
        UUID(int=1),
        "VICTIM",
        "FEMALE",
        "12-17",
        date(2024, 5, 1),
        (Marked("STREET_CHILD", None), Marked("STATELESS", date(2024, 4, 30))),
    ),
    PlanStart(UUID(int=2), "PRESUMED", "MALE", "25-34", date(2025, 5, 1)),
    PlanStart(UUID(int=3), "VICTIM", "FEMALE", "UNKNOWN", date(2025, 5, 1)),
    PlanStart(UUID(int=4), "SECONDARY", "FEMALE", "35+", date(2025, 5, 1)),
]


# Fails when a part of the figure is dropped or told under another name on its way out.
def test_a_figure_is_told_whole() -> None:
    figure = count_persons(PERSONS_ASSISTED, STARTS, CUT)

    told = json.loads(IndicatorRead.of(figure).model_dump_json())

    assert told == {
        "formula": "persons_assisted",
        "formula_version": 1,
        "query_hash": figure.query_hash,
        "data_cut": {"as_of": "2026-06-01T08:00:00Z", "facts": 58},
        "total": 3,
        "totals": {
            "year": {"2024": 1, "2025": 2},
            "sex": {"FEMALE": 2, "MALE": 1},
            "age_group": {"ADULT": 1, "CHILD": 1, "UNKNOWN": 1},
        },
        "shares": [
            {
                "year": 2024,
                "male": {"part": 0, "whole": 1, "percent": "0.0"},
                "child": {"part": 1, "whole": 1, "percent": "100.0"},
            },
            {
                "year": 2025,
                "male": {"part": 1, "whole": 2, "percent": "50.0"},
                "child": {"part": 0, "whole": 2, "percent": "0.0"},
            },
        ],
        "cells": [
            {"year": 2024, "sex": "FEMALE", "age_group": "CHILD", "value": 1},
            {"year": 2025, "sex": "FEMALE", "age_group": "UNKNOWN", "value": 1},
            {"year": 2025, "sex": "MALE", "age_group": "ADULT", "value": 1},
        ],
        "by_marker": [{"year": 2024, "marker": "STREET_CHILD", "value": 1}],
    }


def test_nobody_assisted_is_told_as_zero() -> None:
    told = IndicatorRead.of(count_persons(PERSONS_ASSISTED, [], CUT))

    assert (told.total, told.cells, told.shares) == (0, [], [])


def test_an_indicator_is_an_aggregate_and_has_no_defaults() -> None:
    assert IndicatorRead.model_json_schema(mode="serialization")["x-data-class"] == "P3"
    assert all(field.is_required() for field in IndicatorRead.model_fields.values())


def test_the_domains_codes_are_those_of_the_lists() -> None:
    assert set(BeneficiaryKind) == all_codes("beneficiary_kinds")
    assert set(AgeGroup) == all_codes("age_bands", scheme="EU/UNODC") | {"UNKNOWN"}
    assert codes("beneficiary_kinds", counts_as_assisted=True) == PERSONS_ASSISTED.kinds
