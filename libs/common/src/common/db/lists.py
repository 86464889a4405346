"""Any number of ids as one parameter: for IN of a list, SQLAlchemy writes a text for each length."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Dialect, Select, Text, bindparam, column, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


def ids_in(name: str) -> Select[int]:
    """Return the ids that parameter `name` holds as rows, for IN."""
    each = _Each(bindparam(name, type_=_Ids())).table_valued(column("value", BigInteger))
    return select(each.alias("value").c.value)


class _Ids(TypeDecorator[Sequence[int]]):
    """An array, or its JSON where there are none."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind = ARRAY(BigInteger) if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> Any:  # noqa: ANN401
        return value if dialect.name == "postgresql" else json.dumps(value)


class _Each(FunctionElement[Any]):
    inherit_cache = True


@compiles(_Each)
def _of_json(element: _Each, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(_Each, "postgresql")
def _of_array(element: _Each, compiler: SQLCompiler, **kw: Any) -> str:
    return f"unnest({compiler.process(element.clauses, **kw)})"
