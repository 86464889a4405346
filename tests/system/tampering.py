"""Ways of changing a trail of which none may go unseen."""
# ruff: noqa: S608  the statements of this file are its own

import random
import sqlite3
from typing import Any

WAYS = ("edit", "edit", "edit", "delete", "insert", "swap")


def mutate(database: sqlite3.Connection, dice: random.Random) -> str:
    """Do one thing to one of the trail's tables and say what it was."""
    tables = {
        "audit_entry": "id at actor client_id organisation_id role action operation object_type "
        "object_ids subject data_groups purpose legal_basis decision trace_id",
        "audit_link": "seq entry_id hash",
        "audit_head": "last_seq hash signature version",
    }
    table = dice.choice([*tables])
    columns = tables[table].split()
    rowids = [row[0] for row in database.execute(f"SELECT rowid FROM {table}")]
    rowid = dice.choice(rowids)
    way = dice.choice(WAYS)
    if way == "delete":
        database.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))
        return f"{way} {table} {rowid}"
    if way == "swap":
        return _swap(database, table, columns, *dice.sample(rowids, 2))
    if way == "insert":
        return _insert(database, table, rowid, max(rowids) + dice.randint(1, 9))
    column = dice.choice(columns)
    read = f"SELECT {column}, typeof({column}) FROM {table} WHERE rowid = ?"
    ((value, kind),) = database.execute(read, (rowid,)).fetchall()
    write = f"UPDATE {table} SET {column} = {_cast(kind)} WHERE rowid = ?"
    database.execute(write, (_flip(value, kind, dice), rowid))
    return f"{way} {table}.{column} {rowid}"


def _cast(kind: str) -> str:
    return "CAST(? AS TEXT)" if kind == "text" else "?"


def _flip(value: Any, kind: str, dice: random.Random) -> object:
    """Change one byte of a value as it is stored."""
    if kind == "null":
        return "x"
    if kind == "integer":
        return value ^ (1 << dice.randrange(8))
    raw = bytearray(value if kind == "blob" else value.encode())
    if not raw:
        return b"x"
    raw[dice.randrange(len(raw))] ^= dice.randrange(1, 256)
    return bytes(raw)


def _swap(
    database: sqlite3.Connection, table: str, columns: list[str], one: int, other: int
) -> str:
    rest = ", ".join(columns[1:])
    read = f"SELECT {rest} FROM {table} WHERE rowid = ?"
    contents = [database.execute(read, (rowid,)).fetchone() for rowid in (one, other)]
    if contents[0] == contents[1]:
        raise sqlite3.IntegrityError("nothing would change")
    assignments = ", ".join(f"{column} = ?" for column in columns[1:])
    if table == "audit_link":
        database.execute("UPDATE audit_link SET entry_id = -1 WHERE seq = ?", (one,))
    for rowid, content in ((other, contents[0]), (one, contents[1])):
        database.execute(f"UPDATE {table} SET {assignments} WHERE rowid = ?", (*content, rowid))
    return f"swap {table} {one} {other}"


def _insert(database: sqlite3.Connection, table: str, like: int, key: int) -> str:
    cursor = database.execute(f"SELECT * FROM {table} WHERE rowid = ?", (like,))
    names = [each[0] for each in cursor.description]
    row = dict(zip(names, cursor.fetchone(), strict=True))
    row[names[0]] = key
    if table == "audit_link":
        row["entry_id"] = -key
    marks = ", ".join("?" for _ in names)
    database.execute(f"INSERT INTO {table} VALUES ({marks})", tuple(row.values()))
    return f"insert {table} {key} like {like}"
