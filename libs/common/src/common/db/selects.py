"""SQLAlchemy's selects as PostgreSQL's text, and its rows as named tuples of SQLAlchemy's values.

SQLAlchemy compiles a statement and says what becomes of a value, as always. That it also executes,
through its greenlets and cursors, costs three times what asyncpg itself takes for a row by its key.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

from common.db.base import Parameters
from common.db.connections import Raw
from common.unit import AnySelect

_MOST = 500
"""Compiled statements, which SQLAlchemy keeps by what they look like, not by their values."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A statement with bind parameters as it is asked: its text, and the order of its values."""

    compiled: SQLCompiler
    text: str
    fixed: dict[str, Any]
    """The values that the statement itself holds."""
    given: frozenset[str]
    """The names that the caller gives values for."""
    order: list[tuple[str, Callable[[Any], Any] | None]]


class Selects:
    def __init__(self, dialect: Dialect) -> None:
        """`dialect` is asyncpg's."""
        self._dialect = dialect
        self._compiled: Any = LRUCache(_MOST)
        self._kept: WeakKeyDictionary[AnySelect, _Kept] = WeakKeyDictionary()
        self._makers: WeakKeyDictionary[SQLCompiler, Callable[[Any], Any]] = WeakKeyDictionary()

    async def fetch(
        self, connection: Raw, statement: AnySelect, parameters: Parameters
    ) -> Sequence[Any]:
        """Return all rows of `statement`, of the types its columns are declared with."""
        kept = self._kept.get(statement) if parameters else None
        if kept is not None and parameters is not None and parameters.keys() == kept.given:
            compiled, text = kept.compiled, kept.text
            given = {**kept.fixed, **parameters}
            values = [
                convert(given[name]) if convert else given[name] for name, convert in kept.order
            ]
        else:
            compiled, text, values = self._prepared(statement, dict(parameters or ()))
        rows = await connection.fetch(text, *values)
        return list(map(self._maker_of(compiled, rows[0]), rows)) if rows else []

    def _prepared(
        self, statement: AnySelect, given: dict[str, Any]
    ) -> tuple[SQLCompiler, str, list[Any]]:
        # The steps of sqlalchemy.engine.Connection.execute up to the cursor.
        found, extracted, collected, _ = statement._compile_w_cache(  # noqa: SLF001
            self._dialect, compiled_cache=self._compiled, column_keys=sorted(given)
        )
        compiled = cast(SQLCompiler, found)
        values = compiled.construct_params(
            given, extracted_parameters=extracted, escape_names=False, _collected_params=collected
        )
        text, order = compiled.string, cast(list[str], compiled.positiontup)
        processors = cast(dict[str, Callable[[Any], Any]], compiled._bind_processors)  # noqa: SLF001
        if compiled.literal_execute_params or compiled.post_compile_params:
            # A list of IN, whose length is known only now.
            expanded = compiled._process_parameters_for_postcompile(values)  # noqa: SLF001
            text, order = expanded.statement, cast(list[str], expanded.positiontup)
            values = {**values, **expanded.additional_parameters}
            processors = {**processors, **cast(dict[str, Any], expanded.processors)}
        elif given:
            fixed = {name: value for name, value in values.items() if name not in given}
            steps = [(name, processors.get(name)) for name in order]
            self._kept[statement] = _Kept(compiled, text, fixed, frozenset(given), steps)
        return (
            compiled,
            text,
            [
                processors[name](values[name]) if name in processors else values[name]
                for name in order
            ],
        )

    def _maker_of(self, compiled: SQLCompiler, row: Mapping[str, Any]) -> Callable[[Any], Any]:
        """Return what makes a row of PostgreSQL's: its columns and what becomes of their values."""
        maker = self._makers.get(compiled)
        if maker is None:
            columns = compiled._result_columns  # noqa: SLF001
            # What was written by hand is named by the server.
            names = [each.keyname or name for each, name in zip(columns, row.keys(), strict=True)]
            processors = [
                column.type.dialect_impl(self._dialect).result_processor(self._dialect, None)
                for column in columns
            ]
            maker = self._makers[compiled] = _maker(names, processors)
        return maker


def _maker(
    names: Sequence[str], processors: Sequence[Callable[[Any], Any] | None]
) -> Callable[[Any], Any]:
    # To read an attribute of SQLAlchemy's own row costs thirty times as much.
    make = cast(Any, namedtuple("Row", names, rename=True))._make
    steps = [(place, process) for place, process in enumerate(processors) if process]

    def make_row(values: Iterable[Any]) -> Any:  # noqa: ANN401
        found = list(values)
        for place, process in steps:
            found[place] = process(found[place])
        return make(found)

    return make_row
