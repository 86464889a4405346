"""The compose files really run: a country and a hub in containers, which are killed one by one."""

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import cast

import pytest

from common.federation.envelope import Letter
from tests.chaos.handover import Handover
from tests.chaos.world import World
from tests.compose import images, machine
from tests.compose.abroad import ABROAD, HOME
from tests.compose.containers import PARTS, PATIENCE, UID, Containers
from tests.compose.images import timed
from tests.system.load import prepare, run_load
from tests.system.parts import Parts, is_drained
from tests.system.people import Done, Site
from tests.system.processes import SERVICES, poll

EXCHANGED = {
    "intake-worker": {"own.peer"},
    "referral-worker": {"own.peer", "hub_password", "hub_ca.pem"},
}
"""What a country that exchanges gives to whom."""

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """A country in containers, ready; whatever comes, nothing of it is left afterwards."""
    if lacking := machine.missing():
        pytest.skip(f"no containers: {lacking}")
    with timed("all images"):
        made = images.build()
    containers = Containers(tmp_path_factory.mktemp("compose"), made)
    containers.down()  # of a run that was cut off
    try:
        with timed("all containers up and ready"):
            containers.up()
        yield containers
    finally:
        containers.keep_logs()
        with timed("taken down"):
            containers.down()
        assert containers.left() == ""


@pytest.fixture
def patient_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """On two processors a killed broker may take longer to come back than people would wait."""
    for module in ("people", "load"):
        monkeypatch.setattr(f"tests.system.{module}.poll", partial(poll, patience=PATIENCE))


@pytest.mark.usefixtures("patient_people")
def test_a_country_of_containers_loses_and_doubles_nothing_when_each_is_killed(
    country: Containers,
) -> None:
    # Fails when a container keeps anything that its volumes or the other containers rely on.
    parts = cast("Parts", country)  # it answers `rows` like one
    with closing(Site(country.home, country.port_base)) as site:
        site.is_up()
        prepare(site)
        with (
            timed("a load of cases while all but PostgreSQL are killed"),
            ThreadPoolExecutor(1) as one,
        ):
            load = one.submit(run_load, site, 7)
            for name in PARTS:
                if name != "postgres":
                    country.kill(name)
                    site.is_up()
            load.result()
        poll(lambda: is_drained(parts), patience=PATIENCE)
        assert _stored(country) == _told(site.done)

        with timed("PostgreSQL killed, and ready again"):
            country.kill("postgres")
            country.wait_ready()
        assert _stored(country) == _told(site.done)

        with timed("another load"):
            run_load(site, 8)
            poll(lambda: is_drained(parts), patience=PATIENCE)

    assert _stored(country) == _told(site.done)
    entered = "SELECT count(*) AS n FROM plan WHERE entered_on IS NOT NULL"
    [(plans,)] = country.rows("reintegration", entered)
    assert plans > 0
    facts = "SELECT count(DISTINCT plan_id) AS n FROM plan_fact WHERE entered_on IS NOT NULL"
    assert country.rows("analytics", facts) == [(plans,)]


@pytest.mark.parametrize("name", PARTS)
def test_a_container_is_not_root_has_no_capability_and_cannot_write_to_its_image(
    country: Containers, name: str
) -> None:
    process = country.of(name).proc
    lines = (line.split(":", 1) for line in (process / "status").read_text().splitlines())
    status = {key: value.split() for key, value in lines}
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    root = next(fields[5] for fields in mounts if fields[4] == "/")

    assert status["Uid"] == [str(UID)] * 4
    assert {status[f"Cap{kind}"][0] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == ["1"]
    assert status["Seccomp"] == ["2"]
    assert "ro" in root.split(",")


@pytest.mark.parametrize("name", PARTS)
def test_no_password_stands_in_an_environment(country: Containers, name: str) -> None:
    environment = (country.of(name).proc / "environ").read_text()

    assert [each for each in country.passwords() if each in environment] == []


def test_a_service_sees_its_own_secrets_only(country: Containers) -> None:
    for service in SERVICES:
        for part in ("api", "worker"):
            folder = country.of(f"{service}-{part}").proc / "root/run/secrets"
            seen = {file.name: file.read_bytes() for file in folder.iterdir()}

            more = EXCHANGED.get(f"{service}-{part}", set())
            assert set(seen) == {"ca.pem", "database", "jwks.json", "kafka", "master.key"} | more
            assert seen["database"] == (country.secrets / f"prag_{service}").read_bytes()
            assert seen["kafka"] == (country.secrets / f"kafka_{service}").read_bytes()


def test_only_the_apis_and_the_hub_are_published_and_only_where_told(country: Containers) -> None:
    for name in PARTS:
        # The hub as it was told in HUB_LISTEN.
        is_published = name.endswith("-api") or name == "hub"
        assert country.published(name) == ({"127.0.0.1"} if is_published else set())


def test_the_image_knows_whether_it_is_well(country: Containers) -> None:
    # The workers have no address to ask; they are well while they run.
    assert all(country.is_healthy(f"{service}-api") for service in SERVICES)
    assert country.is_healthy("intake-worker")


def test_the_database_speaks_to_no_service_in_the_clear(country: Containers) -> None:
    for service in SERVICES:
        query = """SELECT DISTINCT ssl.version AS v FROM pg_stat_ssl ssl JOIN pg_stat_activity USING (pid)
                   WHERE client_addr IS NOT NULL AND datname = current_database()"""
        assert country.rows(service, query) == [("TLSv1.3",)]


@pytest.mark.row("F36")
def test_a_letter_reaches_another_country_and_the_hub_can_read_none_of_it(
    country: Containers,
) -> None:
    # Fails when the exchange's compose file leaves out anything that sealing and sending take.
    crossing = Handover(World({HOME: cast("Parts", country), ABROAD: cast("Parts", country)}, {}))
    crossing.offer()
    crossing.close()

    def offers() -> list[tuple[bytes, Letter]]:
        lines = country.run_in(
            "referral-worker", *country.abroad.reading(ABROAD, of=ABROAD)
        ).split()
        opened = [(base64.b64decode(line), country.abroad.open(line)) for line in lines]
        # Before any offer goes a roll, by which the other country learns where this one stands.
        return [(raw, it) for raw, it in opened if it and it.said.statement.kind == "offer"]

    poll(lambda: offers() != [])
    [(raw, letter)] = offers()
    assert letter.said.statement.referral_id == crossing.referral
    log = country.of("hub").proc / "root/var/lib/kafka/data/prag/log"
    kept = b"".join(file.read_bytes() for file in log.rglob("*.log"))
    assert raw in kept
    assert str(crossing.referral).encode() not in kept
    assert b"SHELTER" not in kept


def test_a_country_reads_nobody_elses_letters_at_the_hub(country: Containers) -> None:
    with pytest.raises(AssertionError, match="BusRefusedError"):
        country.run_in("referral-worker", *country.abroad.reading(HOME, of=ABROAD))


def _told(done: Sequence[Done]) -> Counter[tuple[str, str]]:
    """Return the events that tell of what was answered with success."""
    return Counter((str(subject), event) for each in done for subject, event in each.told)


def _stored(country: Containers) -> Counter[tuple[str, str]]:
    """Return the events there are; a head of the audit chain may be sealed at any time."""
    found: Counter[tuple[str, str]] = Counter()
    for service in SERVICES:
        for subject, type_ in country.rows(service, "SELECT subject, type FROM outbox_message"):
            if not type_.endswith("audit.head_sealed.v1"):
                found[subject, type_.removeprefix(f"{service}.").removesuffix(".v1")] += 1
    return found
