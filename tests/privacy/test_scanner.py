"""The scanner finds a canary in each place and in each form; else its silence would say nothing."""

import base64
import hashlib
import io
import json
import sqlite3
import unicodedata
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter, generate_latest
from starlette.requests import Request

from common import logs
from common.bus import LocalBus, Record
from common.clock import new_id
from common.events import Event
from common.http.problem import render
from tests.privacy.canaries import ALPHABETS, Person, Scanner, persons

SIX: list[Person] = [person for person, _ in zip(persons(1), ALPHABETS, strict=False)]
CANARIES = [trait for person in SIX for trait in person.traits]
SCANNER = Scanner(CANARIES)


def test_no_two_canaries_are_alike() -> None:
    many = [
        trait for person, _ in zip(persons(1), range(60), strict=False) for trait in person.traits
    ]

    assert len(set(many)) == len(many) == 480


@pytest.mark.parametrize("canary", CANARIES, ids=range(len(CANARIES)))
def test_a_canary_is_found_whatever_it_was_made_into(canary: str) -> None:
    """Seeded: leave any one spelling or encoding out of `canaries`."""
    raw = canary.encode()
    forms = {
        "as it is": raw,
        "upper case": canary.upper().encode(),
        "lower case": canary.lower().encode(),
        "taken apart": unicodedata.normalize("NFD", canary).encode(),
        "backwards": canary[::-1].encode(),
        "UTF-16": canary.encode("utf-16"),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "base64": base64.b64encode(raw),
        "base64 inside": base64.b64encode(b"Name: " + raw + b", seen"),
        "base64 a byte on": base64.urlsafe_b64encode(b"Names: " + raw + b"."),
        "base64 two bytes on": base64.b64encode(b"A name: " + raw + b"!!"),
        "in a URL": quote(canary).encode(),
        "in JSON": json.dumps({"name": canary}).encode(),
        "in JSON of a JSON": json.dumps({"value": json.dumps({"a": 1, "name": canary})}).encode(),
        "in HTML": canary.encode("ascii", "xmlcharrefreplace"),
        "hashed": hashlib.sha256(raw).digest(),
        "hash": hashlib.sha1(raw, usedforsecurity=False).hexdigest().encode(),
        "repr": ascii(canary).encode(),
    }

    missed = [form for form, found in forms.items() if not SCANNER.found_in(b"\0ab" + found + b"z")]

    assert missed == []


def test_a_name_is_found_in_the_other_script() -> None:
    """Seeded: leave transliteration out."""
    scanner = Scanner(["Љубомир Џекић", "Žarko Njegošević", "Ѓорги Ќосев", "Gjergj Hoxhë"])

    for written in (
        "Ljubomir Džekić",
        "LJUBOMIR DŽEKIĆ",
        "Ljubomir Dzekic",
        "Жарко Његошевић",
        "zarko njegosevic",
        "Gjorgi Kjosev",
        "gjergj hoxhe",
    ):
        assert scanner.found_in(f"<{written}>".encode()), written


def test_a_birth_date_is_found_in_other_orders() -> None:
    scanner = Scanner(["1931-04-27"])

    for written in ("1931-04-27", "19310427", "27.04.1931", "27/04/1931", "04/27/1931"):
        assert scanner.found_in(f"born {written}".encode()), written


def test_what_is_no_canary_is_not_found() -> None:
    assert (
        SCANNER.found_in(b"".join(bytes([a, b]) for a in range(256) for b in range(256))) == set()
    )


# --- places


def _event(canary: str, _: Path) -> bytes:
    data = {"case_id": str(new_id()), "reason": canary}
    event = Event(
        source="/RS/intake", type="intake.case.told.v1", subject=new_id(), seq=1, data=data
    )
    return event.to_bytes()


def _log_line(canary: str, _: Path) -> bytes:
    stream, before = io.StringIO(), structlog.get_config()
    try:
        structlog.configure(
            processors=[logs.keep_declared, structlog.processors.JSONRenderer()],
            logger_factory=structlog.WriteLoggerFactory(file=stream),
        )
        structlog.get_logger("x").warning("case.told", subject=canary)
    finally:
        structlog.configure(**before)
    return stream.getvalue().encode()


def _metric(canary: str, _: Path) -> bytes:
    registry = CollectorRegistry()
    Counter("prag_told", "Told", ["who"], registry=registry).labels(canary).inc()
    return generate_latest(registry)


def _error_body(canary: str, _: Path) -> bytes:
    request = Request({"type": "http", "headers": [], "state": {}})
    return bytes(render(request, 422, "invalid", value=canary).body)


def _url(canary: str, _: Path) -> bytes:
    return f"http://prag/v1/cases?name={quote(canary)}".encode()


def _column(canary: str, folder: Path) -> bytes:
    with sqlite3.connect(folder / "x.db") as database:
        database.execute("CREATE TABLE note (id INTEGER, text TEXT)")
        database.execute("INSERT INTO note VALUES (1, ?)", [f"She is {canary}."])
    database.close()
    return (folder / "x.db").read_bytes()


def _free_page(canary: str, folder: Path) -> bytes:
    """A row that was deleted without overwriting: the file still has it."""
    with sqlite3.connect(folder / "x.db") as database:
        database.execute("PRAGMA secure_delete=OFF")
        database.execute("CREATE TABLE note (text TEXT)")
        database.execute("INSERT INTO note VALUES (?)", [canary])
        database.execute("DELETE FROM note")
    database.close()
    with sqlite3.connect(folder / "x.db") as database:
        assert database.execute("SELECT count(*) FROM note").fetchone() == (0,)
    database.close()
    return (folder / "x.db").read_bytes()


PLACES: dict[str, Callable[[str, Path], bytes]] = {
    "event": _event,
    "log line": _log_line,
    "metric": _metric,
    "error body": _error_body,
    "URL": _url,
    "column": _column,
    "free page": _free_page,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("person", SIX, ids=list(ALPHABETS))
def test_a_planted_canary_is_found(place: str, person: Person, tmp_path: Path) -> None:
    """Seeded: look at the wrong file, or at text instead of bytes."""
    assert person.name in SCANNER.found_in(PLACES[place](person.name, tmp_path))


async def test_a_planted_canary_is_found_in_the_bus_file(tmp_path: Path) -> None:
    bus = LocalBus(tmp_path / "bus.db")
    await bus.publish([Record("intake.case", "key", _event(SIX[0].name, tmp_path))])
    await bus.close()

    assert SIX[0].name in SCANNER.found_in((tmp_path / "bus.db").read_bytes())
