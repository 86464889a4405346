"""The verifier of the audit trail against every way of tampering with one."""
# ruff: noqa: S603, S608  the statements and programs of this file are its own

import hashlib
import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from prag import verify_audit
from prag.trails import CHAIN, Folder
from prag.verify_audit import GENESIS, canonical, main, verify
from prag.witnesses import BrokenError
from tests.system.tampering import mutate
from tests.system.trail import SERVICES, make_trail

ENTRIES = 24
HEADS = (5, 11, 12, 20, 24)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trail") / "prag"
    make_trail(home, ENTRIES, heads=HEADS)
    return home


@pytest.fixture
def home(pristine: Path) -> Iterator[Path]:
    """The trail, put back as it was after the test has done its worst."""
    files = {path: path.read_bytes() for path in pristine.rglob("*") if path.is_file()}
    yield pristine
    for path, content in files.items():
        path.write_bytes(content)


def tamper(home: Path, *statements: str, service: str = "intake") -> None:
    with closing(sqlite3.connect(home / "data" / f"{service}.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def judge(home: Path) -> int:
    place = Folder(home)
    return verify(place, "intake", place.keys()["intake"])


def test_a_true_trail_is_confirmed_with_the_number_of_its_entries(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(home)]) == 0

    out = capsys.readouterr().out
    assert out.splitlines()[0] == f"{ENTRIES} entries verified"


@pytest.mark.parametrize(
    ("statement", "says", "at"),
    [
        ("UPDATE audit_entry SET actor = 'eve' WHERE id = 7", "entry 7 ", 7),
        ("UPDATE audit_entry SET at = '2025-03-30 01:05:00.000001' WHERE id = 7", "entry 7 ", 7),
        ("UPDATE audit_entry SET subject = upper(subject) WHERE id = 9", "entry 9 ", 9),
        ("UPDATE audit_entry SET object_ids = '[ ]' WHERE id = 8", "entry 8 ", 8),
        ("UPDATE audit_entry SET purpose = NULL WHERE id = 1", "entry 1 ", 1),
        ("DELETE FROM audit_entry WHERE id = 13", "entry 13 .* deleted", 13),
        ("DELETE FROM audit_link WHERE seq = 13", "position 13 .* missing", 13),
        ("DELETE FROM audit_link WHERE seq > 20", "end was cut off.* 24 entries, 20", 21),
        ("DELETE FROM audit_head WHERE last_seq = 24", "position 24 .* is gone", 24),
        ("DELETE FROM audit_head WHERE last_seq = 11", "position 11 .* is gone", 11),
        ("UPDATE audit_head SET hash = zeroblob(32) WHERE last_seq = 12", "forged", 12),
        ("UPDATE audit_head SET signature = zeroblob(64) WHERE last_seq = 20", "forged", 20),
    ],
)
@pytest.mark.row("F65")
def test_each_kind_of_tampering_is_found_at_its_place(
    home: Path, statement: str, says: str, at: int
) -> None:
    tamper(home, statement)

    with pytest.raises(BrokenError, match=says) as found:
        judge(home)

    assert found.value.seq == at


def test_two_entries_that_changed_places_are_found(home: Path) -> None:
    tamper(
        home,
        "UPDATE audit_entry SET id = 900 WHERE id = 6",
        "UPDATE audit_entry SET id = 6 WHERE id = 9",
        "UPDATE audit_entry SET id = 9 WHERE id = 900",
    )

    with pytest.raises(BrokenError, match=r"entry 6 .* moved"):
        judge(home)


def test_an_entry_that_was_slipped_in_is_found(home: Path) -> None:
    columns = (
        "at, actor, action, operation, object_type, object_ids, data_groups, decision, trace_id"
    )
    tamper(
        home,
        f"INSERT INTO audit_entry (id, {columns}) SELECT 900, {columns} FROM audit_entry WHERE id = 3",
    )

    with pytest.raises(BrokenError, match="entry 900 was left out"):
        judge(home)


def test_an_entry_slipped_in_before_others_is_found_however_young_it_looks(
    home: Path,
) -> None:
    # Fails when only the times are compared: whoever slips one in writes its time too.
    columns = "actor, action, operation, object_type, object_ids, data_groups, decision, trace_id"
    tamper(
        home,
        f"INSERT INTO audit_entry (id, at, {columns}) "
        f"SELECT 0, '2030-01-01 00:00:00.000000', {columns} FROM audit_entry WHERE id = 3",
    )

    with pytest.raises(BrokenError, match="entry 0 was left out"):
        judge(home)


def test_entries_that_wait_for_their_worker_are_no_trouble(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Fails when whoever verifies a country without its worker is told that its trail was changed.
    columns = "actor, action, operation, object_type, object_ids, data_groups, decision, trace_id"
    tamper(
        home,
        *(
            f"INSERT INTO audit_entry (id, at, {columns}) "
            f"SELECT {id_}, '2030-01-01 00:{id_ - 900}0:00.000000', {columns} FROM audit_entry WHERE id = 3"
            for id_ in (901, 902)
        ),
    )

    assert main([str(home)]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == f"{ENTRIES} entries verified"
    assert last.endswith("when it runs: intake 2 since 2030-01-01 00:10")


@pytest.mark.parametrize("remaining", ["siblings", "anchors"])
def test_a_trail_cut_off_with_its_heads_contradicts_any_one_witness(
    home: Path, remaining: str
) -> None:
    tamper(
        home,
        "DELETE FROM audit_link WHERE seq > 12",
        "DELETE FROM audit_entry WHERE id > 12",
        "DELETE FROM audit_head WHERE last_seq > 12",
    )
    if remaining == "siblings":
        (home / "audit" / "intake.jsonl").unlink()
    else:
        for sibling in SERVICES[1:]:
            tamper(home, "DELETE FROM known_audit_head", service=sibling)

    with pytest.raises(BrokenError, match="12 are left"):
        judge(home)


def test_a_chain_written_anew_after_an_edit_contradicts_its_heads(home: Path) -> None:
    """Whoever can write the database can link it again, but cannot sign and not reach the siblings."""
    rewrite(home, "UPDATE audit_entry SET actor = 'eve' WHERE id = 7")

    with pytest.raises(BrokenError, match=r"entry 11 is not the one that .* vouches for") as found:
        judge(home)

    assert found.value.seq == 11


def test_everything_wiped_is_found(home: Path) -> None:
    tamper(home, *(f"DELETE FROM {table}" for table in ("audit_link", "audit_entry", "audit_head")))

    with pytest.raises(BrokenError, match="0 are left"):
        judge(home)


def test_a_changed_anchor_is_found(home: Path) -> None:
    path = home / "audit" / "intake.jsonl"
    lines = path.read_text().splitlines()
    anchor = json.loads(lines[2])
    lines[2] = json.dumps({**anchor, "head": anchor["head"][::-1]})
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(BrokenError, match=r"line 3 of intake\.jsonl is forged"):
        judge(home)


def test_an_anchor_half_written_by_a_killed_process_is_no_trouble(home: Path) -> None:
    path = home / "audit" / "intake.jsonl"
    path.write_bytes(path.read_bytes() + b'{"service": "inta')

    assert judge(home) == ENTRIES


@pytest.mark.parametrize(
    "case",
    ["/holds no head", "345/begins later", "145/lost .* 11 ", "25/lost .* 12 ", "2345/", "1/"],
)
def test_an_anchor_file_may_lack_its_end_and_single_heads_only(home: Path, case: str) -> None:
    lines, _, says = case.partition("/")
    path = home / "audit" / "intake.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[int(number) - 1] for number in lines))

    with pytest.raises(BrokenError, match=f"{path} {says}") if says else nullcontext():
        assert judge(home) == ENTRIES


def test_a_forged_head_at_a_sibling_is_found(home: Path) -> None:
    tamper(
        home,
        "UPDATE known_audit_head SET hash = randomblob(32) WHERE last_seq = 5",
        service="analytics",
    )

    with pytest.raises(BrokenError, match="kept by analytics is forged"):
        judge(home)


def test_the_first_broken_entry_is_the_one_that_is_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(
        home,
        "UPDATE audit_entry SET decision = 'allow', actor = 'eve' WHERE id IN (4, 16)",
        "UPDATE audit_head SET hash = zeroblob(32) WHERE last_seq = 12",
    )

    assert main([str(home)]) == 1

    assert capsys.readouterr().out.startswith(
        "intake: entry 4 (position 4 of the chain) was changed"
    )


@pytest.mark.slow
@pytest.mark.row("F65")
def test_a_thousand_random_mutations_are_all_found(home: Path) -> None:
    assert missed(home, 1000) == []


def test_a_verifier_that_trusts_the_stored_links_would_miss_some(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seeded mistake with which the thousand mutations fail."""
    monkeypatch.setattr(verify_audit, "_fault", lambda *_: None)

    assert missed(home, 60) != []


def test_a_folder_without_an_instance_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1

    assert "no data folder" in capsys.readouterr().err


def test_a_database_that_cannot_be_read_is_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "data" / "referral.db").write_bytes(b"no database at all" * 300)

    assert main([str(home)]) == 1

    assert "referral.db cannot be read" in capsys.readouterr().err


def test_a_database_left_in_the_middle_of_a_commit_is_verified_after_its_rollback(
    home: Path,
) -> None:
    path = home / "data" / "intake.db"
    writer = f"""
import os, signal, sqlite3
database = sqlite3.connect({str(path)!r}, isolation_level=None)
database.execute("PRAGMA cache_size=2")
database.execute("BEGIN IMMEDIATE")
database.execute("UPDATE audit_entry SET actor = 'eve' || actor")
database.execute("CREATE TABLE big (x)")
database.executemany("INSERT INTO big VALUES (?)", [("x" * 900,)] * 900)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", writer], check=False)
    assert path.with_name("intake.db-journal").stat().st_size > 0

    assert judge(home) == ENTRIES


def test_the_verifier_shares_no_code_with_the_writer() -> None:
    script = "import prag.verify_audit, sys; print(*{'common', 'intake'} & sys.modules.keys())"

    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == ""


# --- ways to tamper


def missed(home: Path, count: int) -> list[str]:
    """Try mutations one by one, each on the true trail; return those the verifier did not find."""
    path = home / "data" / "intake.db"
    content = path.read_bytes()
    dice = random.Random(20250330)  # noqa: S311  repeatable, not secret
    found: list[str] = []
    made = 0
    while made < count:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA synchronous=OFF")
            try:
                mutation = mutate(database, dice)
                database.commit()
            except sqlite3.IntegrityError:
                continue  # the database itself refused it
        made += 1
        try:
            judge(home)
            found.append(mutation)
        except BrokenError:
            pass
        path.write_bytes(content)
    return found


def rewrite(home: Path, statement: str) -> None:
    """Change entries and link the whole chain anew, as somebody with the database's rights would."""
    with closing(sqlite3.connect(home / "data" / "intake.db")) as database:
        database.execute(statement)
        previous = GENESIS
        for seq, _, _, *columns in database.execute(CHAIN, (0, 1000)).fetchall():
            previous = hashlib.sha256(b"\x00" + previous + canonical(columns)).digest()
            database.execute("UPDATE audit_link SET hash = ? WHERE seq = ?", (previous, seq))
        database.commit()
