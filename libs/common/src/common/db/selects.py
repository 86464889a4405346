"""SQLAlchemy's selects as PostgreSQL's text, and its rows as SQLAlchemy's.

SQLAlchemy compiles a statement and says what becomes of a value, as always. That it also executes,
through its greenlets and cursors, costs three times what asyncpg itself takes for a row by its key.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

from common.db.base import Parameters
from common.db.connections import Raw
from common.unit import AnySelect

_KEPT = 500
"""Compiled statements, which SQLAlchemy keeps by what they look like, not by their values."""


class Selects:
    def __init__(self, dialect: Dialect) -> None:
        """`dialect` is asyncpg's."""
        self._dialect = dialect
        self._compiled: Any = LRUCache(_KEPT)
        self._shapes: WeakKeyDictionary[SQLCompiler, SimpleResultMetaData] = WeakKeyDictionary()

    async def fetch(
        self, connection: Raw, statement: AnySelect, parameters: Parameters
    ) -> Sequence[Any]:
        """Return all rows of `statement`, of the types its columns are declared with."""
        compiled, text, values = self._prepared(statement, dict(parameters or ()))
        rows = await connection.fetch(text, *values)
        return IteratorResult(self._shape_of(compiled, rows[0]), iter(rows)).all() if rows else []

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
        return (
            compiled,
            text,
            [
                processors[name](values[name]) if name in processors else values[name]
                for name in order
            ],
        )

    def _shape_of(self, compiled: SQLCompiler, row: Mapping[str, Any]) -> SimpleResultMetaData:
        """Return the columns of a statement's rows and what makes their values of PostgreSQL's."""
        shape = self._shapes.get(compiled)
        if shape is None:
            columns = compiled._result_columns  # noqa: SLF001
            shape = self._shapes[compiled] = SimpleResultMetaData(
                # What was written by hand is named by the server.
                [each.keyname or name for each, name in zip(columns, row.keys(), strict=True)],
                _processors=[
                    column.type.dialect_impl(self._dialect).result_processor(self._dialect, None)
                    for column in columns
                ],
            )
        return shape
