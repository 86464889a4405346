"""The members of an error stand beside the fields every problem has, never in their place."""

from common.http.members import MEMBERS
from common.http.problem import Problem
from tests.contracts.problems import describe_problems, raised

RESERVED = set(Problem.model_fields) | {"request", "fields", "headers", "pointer"}
"""Fields of the body, and parameters of the function that draws it."""


def test_no_error_has_a_member_that_hides_a_field_of_the_problem() -> None:
    """Seeded: `raise ConflictError("notice.already_triaged", status=…)`; the answer is a 500."""
    found = [
        (use.place, sorted(hidden))
        for use in raised()
        if (hidden := RESERVED & set(use.members or ()))
    ]

    assert found == []


def test_every_member_an_error_brings_along_is_described_and_none_beside() -> None:
    """Seeded: `raise ConflictError("plan.illegal_step", legal=[…], since=…)`; drop `legal=` everywhere."""
    problems = describe_problems().values()

    assert {member for problem in problems for member in problem["members"]} == set(MEMBERS)
    assert [use.place for use in raised() if use.members is None] == []


def test_the_published_description_names_the_members() -> None:
    """Seeded: leave `json_schema_extra` out of `Problem`."""
    properties = Problem.model_json_schema()["properties"]

    assert {name: properties[name] for name in MEMBERS} == MEMBERS
    assert all(member["description"].endswith(("`.", ".")) for member in MEMBERS.values())
