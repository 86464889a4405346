from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from common.contracts.types import SubjectId
from common.schema import Instant, ReadModel

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]


class AccessRead(ReadModel):
    """One act on a case or one look at it, as the audit trail has it."""

    at: Instant
    actor: SubjectId = Field(description="The worker's opaque id; `system` for the service itself.")
    client_id: SubjectId | None
    organisation_id: UUID | None
    role: str | None = Field(json_schema_extra={"x-codelist": "actor_roles"})
    action: Word = Field(description="`create`, `update`, `read`, …")
    operation: Word
    object_type: Word
    data_groups: tuple[str, ...] = Field(json_schema_extra={"x-codelist": "data_groups"})
    purpose: str | None = Field(json_schema_extra={"x-codelist": "purposes"})
    legal_basis: str | None = Field(json_schema_extra={"x-codelist": "legal_bases"})
    decision: Literal["allow", "deny"]
