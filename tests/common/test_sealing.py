"""Sealed fields open in their own place, under their own key, and nowhere else (F1, F2)."""

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from common import sealing
from common.clock import new_id
from common.columns import Sealed
from common.db import Database, open_database
from common.db.sqlite import SqliteDatabase
from common.sealing import MasterKey, SealError, ServiceBox, SubjectBox, SubjectKeyRing
from common.tables import SubjectKey
from tests.common.things import ORGANISATION, Thing, ThingMade, make, new_unit
from tests.conftest import MASTER, fixed_id

NAME = "Ana Marković Ђорђевић"
ROW, KEY = fixed_id(1), fixed_id(2)


def ring(master: MasterKey = MASTER, service: str = "test") -> SubjectKeyRing:
    return SubjectKeyRing(master, service)


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=300), data=st.data())
def test_what_is_sealed_opens_in_its_place_and_not_when_a_bit_has_changed(
    text: str, data: st.DataObject
) -> None:
    # Fails when the cipher is not authenticated, or the nonce is left out of the box.
    _, box = ring().create(KEY)
    sealed = box.seal(text, table="thing", row=ROW, column="note")
    at = data.draw(st.integers(0, len(sealed.box) * 8 - 1))
    changed = bytearray(sealed.box)
    changed[at // 8] ^= 1 << at % 8

    assert box.open(sealed, table="thing", row=ROW, column="note") == text
    with pytest.raises(SealError):
        box.open(Sealed(bytes(changed)), table="thing", row=ROW, column="note")


@pytest.mark.parametrize("length", [0, 1, 7, 11, 12, 27])
def test_a_box_that_was_cut_short_does_not_open(length: int) -> None:
    # Fails when a short nonce raises something a caller does not expect.
    _, box = ring().create(KEY)
    sealed = box.seal("", table="thing", row=ROW, column="note")

    with pytest.raises(SealError):
        box.open(Sealed(sealed.box[:length]), table="thing", row=ROW, column="note")


@pytest.mark.parametrize(
    ("table", "row", "column"),
    [("other", ROW, "note"), ("thing", fixed_id(9), "note"), ("thing", ROW, "name")],
)
def test_a_box_moved_to_another_place_does_not_open(table: str, row: UUID, column: str) -> None:
    # Fails when one of them is missing from the associated data (F1).
    _, box = ring().create(KEY)
    sealed = box.seal(NAME, table="thing", row=ROW, column="note")

    with pytest.raises(SealError):
        box.open(sealed, table=table, row=row, column=column)


def test_a_box_moved_to_another_subject_does_not_open_even_under_the_same_bytes_of_key() -> None:
    # Fails when the key's id is missing from the associated data: a copied key row would open it.
    secret = bytes(range(32))
    sealed = SubjectBox(KEY, secret).seal(NAME, table="thing", row=ROW, column="note")

    with pytest.raises(SealError):
        SubjectBox(fixed_id(3), secret).open(sealed, table="thing", row=ROW, column="note")


def test_equal_texts_look_different_and_nothing_of_them_shows() -> None:
    # Fails when the nonce repeats or repr shows the content.
    _, box = ring().create(KEY)
    boxes = [box.seal(NAME, table="thing", row=ROW, column="note") for _ in range(1000)]

    assert len({sealed.box for sealed in boxes}) == 1000
    assert len({sealed.box[:12] for sealed in boxes}) == 1000
    assert {repr(sealed) for sealed in boxes} == {str(boxes[0])} == {"Sealed(…)"}
    assert NAME.encode() not in boxes[0].box
    assert "Ana" not in f"{box!r} {vars(box)!r}"


def test_the_wrong_master_key_or_service_unwraps_nothing() -> None:
    # Fails when the wrapping key does not depend on them, or the error is a library's own.
    wrapped, _ = ring().create(KEY)
    other = MasterKey(bytes(32))

    for wrong in (ring(other), ring(service="intake")):
        with pytest.raises(SealError):
            wrong.unwrap(KEY, wrapped)
    with pytest.raises(SealError):
        ring().unwrap(KEY, wrapped[:-3])


def test_an_open_key_is_forgotten_after_a_minute_or_when_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Fails when a key in use is kept for ever, or an unused one until the cache is full.
    now = [1000.0]
    monkeypatch.setattr(sealing, "monotonic", lambda: now[0])
    keys = ring()
    wrapped = {n: keys.create(fixed_id(n))[0] for n in range(3)}
    first = keys.unwrap(fixed_id(0), wrapped[0])
    assert keys.unwrap(fixed_id(0), b"not looked at") is first

    now[0] += 61
    assert keys.unwrap(fixed_id(0), wrapped[0]) is not first
    assert set(keys._open) == {fixed_id(0)}
    keys.forget(fixed_id(0))
    with pytest.raises(SealError):
        keys.unwrap(fixed_id(0), b"now looked at")


def test_the_cache_of_open_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # Fails when every key ever used stays in memory.
    monkeypatch.setattr(sealing, "_CACHE_SIZE", 10)
    keys = ring()
    for _ in range(50):
        keys.create(new_id())

    assert len(keys._open) == 10


def test_keys_for_different_uses_have_nothing_in_common() -> None:
    # Fails when the label is left out of the derivation.
    labels = [
        "intake/wrap",
        "referral/wrap",
        "intake/box",
        "intake/mac",
        "tag/name",
        "intake/audit",
    ]

    assert len({MASTER.derive(label) for label in labels}) == len(labels)
    assert MASTER.derive("tag/name") == MasterKey(bytes(range(32))).derive("tag/name")


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_a_master_key_of_the_wrong_length_is_refused(secret: bytes) -> None:
    # Fails when a truncated key file is accepted.
    with pytest.raises(ValueError, match="32 bytes"):
        MasterKey(secret)


def test_a_master_key_others_may_read_is_refused(tmp_path: Path) -> None:
    # Fails when the file's mode is not looked at.
    path = tmp_path / "master.key"
    path.write_bytes(bytes(32))
    path.chmod(0o640)
    with pytest.raises(PermissionError):
        MasterKey.from_file(path)
    path.chmod(0o600)
    assert MasterKey.from_file(path).derive("x") == MasterKey(bytes(32)).derive("x")


def test_a_service_box_opens_in_its_place_and_service_only() -> None:
    # Fails when stored answers or dead letters can be exchanged for one another.
    box = ServiceBox(MASTER, "test")
    sealed = box.seal(b"value", place=b"a")

    assert box.open(sealed, place=b"a") == b"value"
    for opener, place in ((box, b"b"), (ServiceBox(MASTER, "intake"), b"a")):
        with pytest.raises(SealError):
            opener.open(sealed, place=place)
    with pytest.raises(SealError):
        box.open(Sealed(b"short"), place=b"a")
    assert box.digest(b"ab", b"c") != box.digest(b"a", b"bc")


# --- in the database


async def noted(database: Database, thing_id: UUID, text: str) -> None:
    unit = new_unit(database)
    make(unit, thing_id)
    box = await unit.new_box(thing_id)
    note = box.seal(text, table="thing", row=thing_id, column="note")
    unit.update(Thing, {"id": thing_id}, expect=1, note=note)
    await database.write(unit)


async def note_of(database: Database, thing_id: UUID) -> str | None:
    unit = new_unit(database)
    thing = await unit.find(select(Thing).where(Thing.id == thing_id))
    box = await unit.box(thing_id)
    if box is None or thing is None or thing.note is None:
        return None
    return box.open(thing.note, table="thing", row=thing_id, column="note")


async def test_a_ciphertext_moved_to_another_row_does_not_open(database: Database) -> None:
    # Fails when rows share a key and the row is not bound (F1), here by a writer inside the database.
    await noted(database, fixed_id(1), NAME)
    await noted(database, fixed_id(2), "other")
    [row] = await database.fetch(select(Thing.note).where(Thing.id == fixed_id(1)))
    unit = new_unit(database)
    unit.update(Thing, {"id": fixed_id(2)}, expect=1, note=row.note)
    await database.write(unit)

    assert await note_of(database, fixed_id(1)) == NAME
    with pytest.raises(SealError):
        await note_of(database, fixed_id(2))


@pytest.mark.parametrize("plain", [NAME, NAME.encode(), 7])
async def test_a_clear_text_is_refused_by_a_sealed_column_and_does_not_show(
    database: Database, plain: object
) -> None:
    # Fails when the column takes what is not Sealed (F2), or the error repeats it.
    unit = new_unit(database)
    event = ThingMade(thing_id=fixed_id(1), organisation_id=ORGANISATION)
    unit.create(
        Thing, event, id=fixed_id(1), organisation_id=ORGANISATION, status="NEW", note=plain
    )

    with pytest.raises((StatementError, TypeError)) as caught:
        await database.write(unit)

    assert "Marković" not in f"{caught.value} {caught.value!r}"
    assert await database.fetch(select(Thing)) == []


@pytest.mark.parametrize("where", ["same process", "another process"])
async def test_an_erased_key_leaves_nothing_to_open(
    database: Database, database_url: str, where: str
) -> None:
    # Fails when a cached key outlives the row: what was erased would still be read.
    await noted(database, fixed_id(1), NAME)
    await noted(database, fixed_id(2), "stays")
    reader = database if where == "same process" else open_database(database_url, ring())
    assert await note_of(reader, fixed_id(1)) == NAME

    unit = new_unit(database)
    unit.remove(SubjectKey, subject=fixed_id(1))
    await database.write(unit)

    assert await note_of(reader, fixed_id(1)) is None
    assert await note_of(reader, fixed_id(2)) == "stays"
    if reader is not database:
        await reader.close()


async def test_a_subject_has_one_key(database: Database) -> None:
    # Fails when a second key is made for a subject: half of its fields would open.
    await noted(database, fixed_id(1), NAME)
    unit = new_unit(database)
    await unit.new_box(fixed_id(1))

    with pytest.raises(Exception, match="subject_key"):
        await database.write(unit)


async def test_a_clear_name_is_nowhere_in_the_file(sqlite_only: SqliteDatabase) -> None:
    # F3. Fails when a name reaches a column, an event or an audit entry in the clear.
    await noted(sqlite_only, fixed_id(1), NAME)

    content = _content(sqlite_only.path)

    assert fixed_id(1).hex.encode() in content
    for part in NAME.split():
        assert part.encode() not in content


def _content(path: Path) -> bytes:
    return b"".join(part.read_bytes() for part in path.parent.glob(f"{path.name}*"))
