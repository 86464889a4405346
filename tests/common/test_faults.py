"""A refused field says what would be taken: the form, the choices, the list, the known names."""

from datetime import date
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ValidationError

from common.codelists import code_of
from common.http.faults import field_problem, field_problems
from common.schema import Instant


class Inner(BaseModel):
    at: Instant
    on: date
    urgency: Annotated[str, code_of("urgency")]
    kind: Literal["A", "B"]


class Outer(BaseModel):
    items: list[Inner] | None = None
    one: Inner | None = None


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("at", "2026-01-31", {"code": "field.time_form"}),
        ("at", "2026-01-31T10:00:00", {"code": "field.time_form"}),
        ("on", "31.1.2026", {"code": "field.date_form"}),
        ("urgency", "SOON", {"code": "field.code_unknown", "codelist": "urgency"}),
        ("kind", "C", {"code": "field.choice", "choices": ["A", "B"]}),
    ],
)
def test_a_wrong_value_says_the_form_the_list_or_the_choices(
    field: str, value: str, told: dict[str, object]
) -> None:
    """Seeded: take `datetime_parsing` for a wrong type; pass the error's context over."""
    good = {"at": "2026-01-31T10:00:00Z", "on": "2026-01-31", "urgency": "HIGH", "kind": "A"}
    with pytest.raises(ValidationError) as refusal:
        Inner.model_validate({**good, field: value})
    [fault] = refusal.value.errors()

    place = {"location": "body", "pointer": f"/{field}"}
    assert field_problem({**fault, "loc": ("body", *fault["loc"])}) == place | told


@pytest.mark.parametrize("steps", [("items", 3), ("one",)])
def test_the_known_fields_are_those_of_the_object_around_the_unknown_one(
    steps: tuple[str | int, ...],
) -> None:
    """Seeded: name the fields of the whole body."""
    body = SimpleNamespace(field_info=SimpleNamespace(annotation=Outer))
    fault = {"type": "extra_forbidden", "loc": ("body", *steps, "colour")}

    [problem] = field_problems([fault], body)

    assert problem["known"] == ["at", "on", "urgency", "kind"]
