"""What a role may do, as data: operation × role → the relations to a record that open it.

Each service keeps its table in `authz.json`. An operation without a row stops the service at its
start; a role without an entry is refused. Relations: `own` the organisation's records, `assigned`
the worker's own cases, `referred` cases referred to the organisation, `shared` by consent, `all`
every record of the country. PUBLIC rows need no token.

`feed.json` names for each kind of event of a service the operation by which the same fact is read,
and the data groups it tells of: the change feed shows an event to whom that reading is open, and to
nobody else. Where a reading shows less under some relations, `relations` names those under which it
shows all that the event tells. An event without a row is shown to nobody.

A service whose records hold more than one group of personal data says in `data_groups.json` which
of them each role may know: role × codes of data_groups. A role without an entry knows none.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import Any, NoReturn

from common.codelists import all_codes, codes
from common.errors import ForbiddenError, NotFoundError

PUBLIC = "PUBLIC"
RELATIONS = frozenset({"own", "assigned", "referred", "shared", "all"})
Table = dict[str, dict[str, list[str]] | str]


class Authorisation:
    """One service's table; checked whole when it is loaded."""

    def __init__(
        self,
        table: Table,
        groups: Mapping[str, Sequence[str]] | None = None,
        feed: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        roles = codes("actor_roles")
        self._feed = feed or {}
        self._groups = {role: frozenset(found) for role, found in (groups or {}).items()}
        if not set(self._groups) <= roles or not all(
            found <= all_codes("data_groups") for found in self._groups.values()
        ):
            raise ValueError("data_groups.json names an unknown role or data group")
        self._public = frozenset(name for name, row in table.items() if row == PUBLIC)
        self._rows: dict[str, MappingProxyType[str, frozenset[str]]] = {}
        for operation, row in table.items():
            if isinstance(row, str):
                continue
            if not set(row) <= roles or not all(
                set(relations) <= RELATIONS for relations in row.values()
            ):
                raise ValueError(f"authz row {operation} names an unknown role or relation")
            self._rows[operation] = MappingProxyType(
                {role: frozenset(found) for role, found in row.items()}
            )

        if any(entry["read"] not in self._rows for entry in self._feed.values()):
            raise ValueError("feed.json names an unknown operation")

    @classmethod
    def of_package(cls, package: str) -> "Authorisation":
        def content(name: str) -> Any:  # noqa: ANN401
            return json.loads(files(package).joinpath(name).read_text())

        has_groups = files(package).joinpath("data_groups.json").is_file()
        groups = content("data_groups.json") if has_groups else None
        return cls(content("authz.json"), groups, content("feed.json"))

    @property
    def operations(self) -> frozenset[str]:
        return self._public | frozenset(self._rows)

    @property
    def told(self) -> frozenset[str]:
        """The kinds of events that have a row."""
        return frozenset(self._feed)

    def is_public(self, operation: str) -> bool:
        return operation in self._public

    def relations(self, operation: str, role: str) -> frozenset[str]:
        """Return the relations under which `role` may do `operation`; ForbiddenError if none.

        The refusal depends on the role alone, so it tells nothing about any record; it names the
        roles that may, as the description of the operation does.
        """
        found = self.granted(operation, role)
        if not found:
            raise ForbiddenError("forbidden", entitled=list(self.entitled(operation)))
        return found

    def entitled(self, operation: str) -> dict[str, list[str]]:
        """Return who may do `operation`: role → relations, both sorted; nobody for a PUBLIC one."""
        row: Mapping[str, frozenset[str]] = self._rows.get(operation, {})
        return {role: sorted(row[role]) for role in sorted(row) if row[role]}

    def granted(self, operation: str, role: str) -> frozenset[str]:
        """Return the relations under which `role` may do `operation`; none if it may not."""
        return self._rows[operation].get(role, frozenset())

    def readings(self, role: str) -> dict[frozenset[str], list[str]]:
        """Return which kinds of events `role` may read, by the relations that open them."""
        found: dict[frozenset[str], list[str]] = {}
        for kind, entry in self._feed.items():
            if self.data_groups(role) >= {*entry.get("data_groups", ())}:
                whole = self.granted(entry["read"], role) & {*entry.get("relations", RELATIONS)}
                found.setdefault(whole, []).append(kind)
        found.pop(frozenset(), None)
        return found

    def data_groups(self, role: str) -> frozenset[str]:
        """Return the groups of personal data `role` may know; none if the table names none."""
        return self._groups.get(role, frozenset())


def refuse_step(*, may_read: bool) -> NoReturn:
    """Refuse a step whose relation to the record the caller does not have.

    Who may read the record is told that the step is another's: ForbiddenError `step.not_yours`.
    Nobody else is told that it exists: NotFoundError.
    """
    if may_read:
        raise ForbiddenError("step.not_yours")
    raise NotFoundError
