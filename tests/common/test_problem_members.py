"""The members of an error stand beside the fields every problem has, never in their place."""

from common.http.problem import Problem
from tests import house
from tests.common.problem_codes import Use, uses

RESERVED = set(Problem.model_fields) | {"request", "fields", "headers", "pointer"}
"""Fields of the body, and parameters of the function that draws it."""


def test_no_error_has_a_member_that_hides_a_field_of_the_problem() -> None:
    """Seeded: `raise ConflictError("notice.already_triaged", status=…)`; the answer is a 500."""
    found = [
        (use.place, sorted(hidden))
        for use in uses(house.sources("libs/", "services/", "deploy/"))
        if isinstance(use, Use) and (hidden := RESERVED & set(use.members or ()))
    ]

    assert found == []
