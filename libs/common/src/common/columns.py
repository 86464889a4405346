"""Column types that behave the same on both engines and hold no secret by mistake; and defaults."""

import enum
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, DateTime, Dialect, Enum, LargeBinary, MetaData, String, Table, Uuid
from sqlalchemy.types import TypeDecorator

NAMING_CONVENTION = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC timestamp; SQLite stores no offset, so one is put back on load."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class Sealed:
    """Ciphertext of one field of one row: key id and AES-256-GCM box. Its repr shows nothing."""

    __slots__ = ("box",)

    def __init__(self, box: bytes) -> None:
        self.box = box

    def __repr__(self) -> str:
        return "Sealed(…)"


class SealedColumn(TypeDecorator[Sealed]):
    """Bytes only: a plain str or bytes is refused, so no name reaches a column unsealed."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Sealed | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        if value is None:
            return None
        if not isinstance(value, Sealed):
            raise TypeError("a sealed column takes a Sealed value")
        return value.box

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> Sealed | None:  # noqa: ARG002
        return None if value is None else Sealed(bytes(value))


# Enums are stored by value in VARCHAR, so that adding a state never needs ALTER TYPE.
COLUMN_TYPES: dict[Any, Any] = {
    datetime: UtcDateTime(),
    enum.Enum: Enum(
        enum.Enum, native_enum=False, length=40, values_callable=lambda e: [m.value for m in e]
    ),
    Sealed: SealedColumn(),
    UUID: Uuid(),
    str: String(200),
    list[str]: JSON(),
    dict[str, Any]: JSON(),
}


def new_metadata() -> MetaData:
    return MetaData(naming_convention=NAMING_CONVENTION)


def with_defaults(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    """Return a row's values with those of the columns that are not named."""
    fixed, made = _defaults(table)
    full = {**fixed, **values}
    for key, make in made:
        if key not in values:
            full[key] = make(None)
    return full


@cache
def _defaults(table: Table) -> tuple[dict[str, Any], list[tuple[str, Callable[[Any], Any]]]]:
    """Return what a column holds that is not named, for all columns but those the database counts.

    First what is the same for each row, then what is made anew for each.
    """
    fixed: dict[str, Any] = {}
    made: list[tuple[str, Callable[[Any], Any]]] = []
    for column in table.columns:
        default: Any = column.default
        if column is table.autoincrement_column:
            continue
        if default is not None and default.is_callable:
            made.append((column.key, default.arg))
        else:
            fixed[column.key] = None if default is None else default.arg
    return fixed, made
