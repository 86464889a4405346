"""Every code a problem or one of its fields may carry, read off the source: docs/api/problem-codes.json."""

from typing import Any

import common.http.route  # noqa: F401  its error class too
from common import messages
from common.errors import ProblemError
from common.http.faults import FIELD_CODES, MEMBERS
from common.http.problem import HTTP_CODES
from tests import house
from tests.common.problem_codes import Use, uses

SOURCE = ("libs/", "services/", "deploy/")
OF_FIELDS = frozenset({*FIELD_CODES.values(), "body.missing", "field.type", "field.invalid"})


def codes() -> list[str]:
    """Return the keys of the catalogues that are codes; the others are titles and words of pages."""
    return sorted(k for k in messages.catalogue("en") if not k.startswith(("title.", "ui.")))


def describe_problems() -> dict[str, Any]:
    """Return code → statuses, sentence and members, and whether it stands in the `errors` of a problem."""
    found: dict[str, dict[str, Any]] = {
        code: {"status": set(), "members": set()} for code in codes()
    }
    status_of = _statuses(ProblemError)
    for use in raised():
        for code in use.keys(found):
            entry = found[code]
            status = use.status or status_of.get(use.error or "")
            entry["status"] |= {status} if status else set()
            entry["members"] |= use.members or set()
    for status, code in HTTP_CODES.items():
        found[code]["status"].add(status)
    for code in filter(_is_of_a_field, found):
        found[code]["members"] |= {*MEMBERS.get(code, ())}
        found[code]["status"] |= found["invalid"]["status"]
    return {
        code: {
            "detail": messages.catalogue("en")[code],
            "status": sorted(entry["status"]),
            "of_a_field": _is_of_a_field(code),
            "members": sorted(entry["members"]),
        }
        for code, entry in found.items()
    }


def _is_of_a_field(code: str) -> bool:
    return code in OF_FIELDS or code.startswith("field.")


def raised() -> list[Use]:
    return [use for use in uses(house.sources(*SOURCE)) if isinstance(use, Use)]


def _statuses(kind: type[ProblemError]) -> dict[str, int]:
    found: dict[str, int] = {}
    for below in kind.__subclasses__():
        found |= {below.__name__: int(below.status)} | _statuses(below)
    return found
