"""For whom the database is asked: what row-level security on PostgreSQL decides by.

Nobody unless it was said, and to nobody no row is shown that is somebody's. It is said per task, not per
call, so that no query can forget it: see common.http.introducing.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Reach = Literal["", "facts", "all", "service"]


@dataclass(frozen=True, slots=True)
class Caller:
    """An organisation, and how far it sees beyond what is its own or was referred to it.

    `facts`: its role reads the facts of every record in another operation, so that a refusal may
    say that the record is there. `all`: the present operation is open to every record. `service`:
    the service itself, in its worker.
    """

    organisation_id: UUID | None = None
    reach: Reach = ""

    @property
    def settings(self) -> tuple[str, str]:
        """Return the values of prag.organisation and prag.reach."""
        return "" if self.organisation_id is None else str(self.organisation_id), self.reach


NOBODY = Caller()
SERVICE = Caller(reach="service")

CALLER: ContextVar[Callable[[], Caller]] = ContextVar("caller", default=lambda: NOBODY)
"""Asked at each statement: who calls is found out in the middle of a request."""
