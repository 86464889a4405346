"""The codes by which a person is counted and protected, and the event that tells of them."""

from typing import Any

from common.contracts.intake import CaseProfileChanged
from intake.domain.age import AgeFacts
from intake.models import Case

_PROFILE = ("beneficiary_kind", "sex", "age_group", "is_minor", "urgency")


def profile_changed(case: Case, **changes: Any) -> CaseProfileChanged:
    """Return the event with the whole profile of `case` as it is after `changes`."""
    profile = {name: changes.get(name, getattr(case, name)) for name in _PROFILE}
    return CaseProfileChanged(case_id=case.id, **profile)


def age_columns(facts: AgeFacts) -> dict[str, Any]:
    return {"is_minor": facts.is_minor, "age_group": facts.group, "age_basis": facts.basis}
