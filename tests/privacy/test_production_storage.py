"""Nothing of a person on any disk of two countries and a hub on PostgreSQL and Kafka (T31).

People with canaries in every field go through the production processes and cross the border. Then the
bytes of every file that a server or a process wrote are searched for them in any form, and so are the
rows as the databases give them, for PostgreSQL stores what is long in a packed form. In each place a
canary of its own was planted beforehand: unless the scanner sees it there, its silence says nothing.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from psycopg import sql

from common.clock import new_id, utcnow
from prag.issuer import organisation_id
from prag.kafka import ADMIN
from tests import kafka
from tests.chaos.handover import Actor, Handover
from tests.chaos.oracle import is_quiet
from tests.chaos.world import World, running
from tests.kafka import Broker, make_topic
from tests.privacy.canaries import Person, Scanner, persons
from tests.system.parts import Parts
from tests.system.processes import PATIENCE, poll

pytestmark = [pytest.mark.system, pytest.mark.postgres, pytest.mark.kafka]

TOPIC = "planted"
Place = Callable[[], Iterator[bytes]]
"""Gives what lies there, a file or a row at a time."""
Plant = Callable[[str], None]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if lacking := kafka.missing():
        pytest.skip(f"no Kafka: {lacking}")
    with running(tmp_path_factory.mktemp("world")) as world:
        yield world


class Disks:
    """Every place where bytes come to rest, and how somebody careless would put a name there."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._root = world.sender.logins["intake"].root.replace("+asyncpg", "")
        with psycopg.connect(self._root) as connection:
            [(data,)] = connection.execute("SHOW data_directory")
        self.data = Path(data)
        # Else what was written first would be gone from the log by the time it is searched.
        self.run("ALTER SYSTEM SET wal_keep_size = '4GB'")
        self.run("SELECT pg_reload_conf()")
        self.places: dict[str, tuple[Plant, Place]] = {
            "tables": (self._plant_row, lambda: files(self.data, without=("pg_wal", "log"))),
            "write-ahead log": (self._plant_row, lambda: files(self.data / "pg_wal")),
            "PostgreSQL's words": (self._plant_word, lambda: files(self.data / "log")),
            "long rows": (self._plant_long_row, self._all_rows),
        }
        for name, broker in world.brokers.items():
            log = broker.home / "broker.log"
            self.places[f"{name}: segments"] = plant_record(broker), of_files(broker.data)
            self.places[f"{name}: the broker's words"] = append_to(log), of_files(log)
        for code, land in world.lands.items():
            for log in sorted(land.home.glob("*.log")):
                self.places[f"{code}: {log.stem}"] = append_to(log), of_files(log)
            self.places[f"{code}: files"] = append_to(land.home / "left.tmp"), of_files(land.home)

    def run(self, statement: str) -> None:
        with psycopg.connect(self._root, autocommit=True) as connection:
            connection.execute(statement.encode())

    def write_through(self) -> None:
        """Let PostgreSQL write what it has only in memory."""
        self.run("CHECKPOINT")

    def _plant_row(self, text: str) -> None:
        with psycopg.connect(self._root, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS planted (words text)")
            connection.execute("INSERT INTO planted VALUES (%s)", [f"She is {text}."])

    def _plant_long_row(self, text: str) -> None:
        self._plant_row(
            f"{'She was seen there. ' * 200}{text[:4]} and {text}. {'So it is. ' * 200}"
        )

    def _plant_word(self, text: str) -> None:
        with psycopg.connect(self._root, autocommit=True) as connection:
            literal = sql.Literal(f"she is {text}")
            connection.execute(sql.SQL("DO $$ BEGIN RAISE LOG {}; END $$").format(literal))

    def _all_rows(self) -> Iterator[bytes]:
        """Give every row of every table of every service, unpacked."""
        for land in self._world.lands.values():
            for login in land.logins.values():
                yield from rows_of(login.root.replace("+asyncpg", ""))


def rows_of(url: str) -> Iterator[bytes]:
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    with psycopg.connect(url) as connection:
        for (name,) in connection.execute(tables).fetchall():
            whole = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(name))
            with connection.cursor().copy(whole) as copying:
                yield b"".join(bytes(each) for each in copying)


def files(folder: Path, *, without: Collection[str] = ()) -> Iterator[bytes]:
    """Give every file below a folder, or the one it is; none below these of its parts."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        try:
            if path.is_file() and path.relative_to(folder).parts[:1] not in {(n,) for n in without}:
                yield path.read_bytes()
        except FileNotFoundError:  # the server has thrown it away since
            continue


def of_files(folder: Path) -> Place:
    return lambda: files(folder)


def append_to(log: Path) -> Plant:
    def append(text: str) -> None:
        with log.open("a") as lines:
            lines.write(f'{{"event": "case.told", "name": "{text}"}}\n')

    return append


def plant_record(broker: Broker) -> Plant:
    def plant(text: str) -> None:
        make_topic(broker, TOPIC)
        producer = Producer(
            {
                "bootstrap.servers": broker.address,
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": ADMIN,
                "sasl.password": broker.password_file(ADMIN).read_text(),
            }
        )
        producer.produce(TOPIC, f'{{"data": {{"name": "{text}"}}}}'.encode())
        assert producer.flush(PATIENCE) == 0

    return plant


# --- people


def sent_about(world: World, made: Iterator[Person]) -> Sequence[Person]:
    """Let made-up people pass through every operation that takes a text; return them."""
    people = [*islice(made, 8)]
    crossing, noticed, bulk, told, drawn, declared, referred, changed = people
    handover = Handover(world, identity=identity_of(crossing), groups=("IDENTITY", "CONTACT"))
    worker = handover.worker
    try:
        handover.prepare()
        handover.run()
        notice = {"country": "RS", "source": "HOTLINE", "urgency": "NORMAL"}
        worker.do("POST", "intake", "/v1/notices", notice | place_and_words(noticed))
        items = [{"client_reference": "a-1", "notice": notice | place_and_words(bulk)}]
        [taken] = worker.do("POST", "intake", "/v1/notices/bulk", {"items": items})["items"]
        assert taken["status"] == 201
        case = write_case(worker, told, drawn)
        declaration = {
            "id": str(new_id()),
            "category": "ETHNICITY_ROMA",
            "own_words": declared.story.replace("\n", "; ")[:200],
            "purposes": ["ASSISTANCE"],
            "self_declared": True,
        }
        worker.do("POST", "intake", f"{case}/declarations", declaration, of=case)
        worker.do("PATCH", "intake", case, {"note": changed.story}, of=case)
        assert worker.get("intake", f"{case}/identity?purpose=ASSISTANCE")["phones"] == [
            drawn.phone
        ]
        refer(world.sender, worker, case, referred)
    finally:
        handover.close()
    return people


def identity_of(person: Person) -> dict[str, object]:
    return {
        "given_name": {"value": person.name},
        "family_name": {"value": person.surname},
        "birth_date": person.birth_date,
        "birth_place": person.place_code,
        "address": person.address,
        "phones": [person.phone],
        "email": person.email,
        "documents": [{"kind": "PASSPORT", "number": person.document, "country": "XK"}],
    }


def place_and_words(person: Person) -> dict[str, str]:
    return {
        "place_code": person.place_code,
        "place_text": person.address,
        "note": person.story,
        "contact": person.phone,
    }


def write_case(worker: Actor, told: Person, drawn: Person) -> str:
    """Open a case with a birth date and a note, and write down who she is; return its path."""
    case = str(new_id())
    body = {
        "id": case,
        "beneficiary_kind": "PRESUMED",
        "sex": "FEMALE",
        "urgency": "HIGH",
        "legal_basis": "PUBLIC_TASK",
        "birth_date": told.birth_date,
        "note": told.story,
    }
    path = f"/v1/cases/{case}"
    worker.do("POST", "intake", "/v1/cases", body)
    consent = {
        "scope": "DATA_RECORD",
        "given_by": "SELF",
        "language": "sq",
        "granted_on": utcnow().date().isoformat(),
        "purposes": ["ASSISTANCE"],
        "data_groups": ["IDENTITY"],
    }
    worker.do("POST", "intake", f"{path}/consents", consent)
    worker.do("PUT", "intake", f"{path}/identity", identity_of(drawn), of=path)
    return path


def refer(land: Parts, worker: Actor, case: str, person: Person) -> None:
    """Draft a referral inside the country with a note about her."""
    shelter = str(organisation_id("sigurna-kuca", land.country))
    coordinator = Actor(land, "NATIONAL_COORDINATOR", organisation_id("ministarstvo", land.country))
    body = {
        "id": shelter,
        "country": land.country,
        "name": "Oaza",
        "kind": "SHELTER",
        "sector": "CIVIL_SOCIETY",
        "languages": ["sr-Latn"],
    }
    coordinator.do("POST", "referral", "/v1/organisations", body)
    coordinator.close()
    referral = {
        "id": str(new_id()),
        "case_id": case.rpartition("/")[2],
        "receiving_organisation_id": shelter,
        "service_type": "SHELTER",
        "urgency": "HIGH",
        "purpose": "ASSISTANCE",
        "data_groups": ["IDENTITY"],
        "note": person.story,
    }
    worker.do("POST", "referral", "/v1/referrals", referral)


@pytest.mark.row("F17", "F37", "F90")
def test_no_disk_of_two_countries_and_a_hub_has_a_trace_of_a_person(world: World) -> None:
    """Seeded: a note in a String column; a name in an event; a logged body; a package left unsealed."""
    made = persons(31)
    disks = Disks(world)
    planted = {place: next(made).surname for place in disks.places}
    for place, (plant, _) in disks.places.items():
        plant(planted[place])

    people = sent_about(world, made)
    poll(lambda: is_quiet(world), patience=120)
    disks.write_through()

    canaries = [trait for person in people for trait in person.traits]
    scanner = Scanner([*canaries, *planted.values()])
    found = {
        place: {canary for content in look() for canary in scanner.found_in(content)}
        for place, (_, look) in disks.places.items()
    }
    assert len(set(canaries)) == len(canaries)
    # Where it was planted it is seen; and nowhere is anything seen that was not planted.
    assert {place for place, name in planted.items() if name not in found[place]} == set()
    assert {canary for each in found.values() for canary in each} <= set(planted.values())
