"""`prag serve`: what it takes from its file, what it starts again, and when it gives up."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import psycopg
import pytest
from psycopg import sql

from prag.manifest import SERVICES, TroubleError
from prag.process import listen
from prag.serve import PARTS, environment
from tests.conftest import PostgresUrls
from tests.house import ROOT
from tests.postgres import Logins
from tests.system.parts import Parts
from tests.system.processes import free_ports, poll, prag
from tests.system.serving import Served, write_settings

pytestmark = pytest.mark.system


@pytest.fixture
def parts(tmp_path: Path, postgres_urls: PostgresUrls) -> Iterator[Parts]:
    country = Parts(tmp_path, postgres_urls)
    yield country
    country.close()


@pytest.mark.postgres
def test_a_setting_that_can_never_work_ends_all_of_it_and_is_named(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when it goes on starting again what cannot start, or leaves the others running.
    right = parts.settings
    monkeypatch.setattr(
        parts,
        "settings",
        lambda service, part: (
            right(service, part)
            | ({"PRAG_TIME_ZONE": "nowhere"} if (service, part) == ("referral", "worker") else {})
        ),
    )

    with Served(parts) as country:
        assert country.wait() == 78

        assert "referral: PRAG_TIME_ZONE must be a zone" in country.said
        assert "prag: referral.worker will not start before a setting is mended" in country.said
        assert "nowhere" not in country.said
        assert country.running() == []


@pytest.mark.postgres
def test_a_port_that_another_program_has_is_told_before_anything_starts(parts: Parts) -> None:
    # Fails when "ready" is said of whoever answers there, or when the country is started in part.
    with listen("127.0.0.1", parts.port_base + 1, "a test", by="nothing"), Served(parts) as country:
        assert country.wait() == 78

        assert f"Port {parts.port_base + 1} (referral) is taken by another program" in country.said
        assert "PRAG_PORT_BASE in " in country.said
        assert "ready" not in country.said


@pytest.mark.postgres
def test_that_nobody_can_sign_in_is_said_beside_ready(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the operator hears "ready" and has to find out by the callers' 503; or when a line of
    # the one log they share, be it of a thread, does not say which of the eight processes says so.
    nowhere = f"http://127.0.0.1:{free_ports()}/realms/prag"
    right = parts.settings
    own = {"PRAG_OIDC_JWKS_FILE": "", "PRAG_OIDC_ISSUER": nowhere}
    monkeypatch.setattr(parts, "settings", lambda s, part: right(s, part) | own)

    with Served(parts).wait_ready() as country:
        for service in SERVICES:
            assert f"nobody can sign in at {service} yet" in country.said
        [line, *_] = [line for line in country.said.splitlines() if "issuer.keys_wait" in line]
        told = json.loads(line)
        assert (told["setting"], told["server"]) == ("PRAG_OIDC_ISSUER", nowhere)
        # "Ready" is said of those who answer; a worker may have said nothing yet.
        poll(lambda: whose(country.said) == {(s, part) for s in SERVICES for part in PARTS})


def whose(said: str) -> set[tuple[object, object]]:
    """Return which processes the lines of a log are of, as they say themselves."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return {(line.get("service"), line.get("process")) for line in lines}


@pytest.mark.postgres
def test_one_process_is_run_by_itself_with_the_settings_of_the_file(parts: Parts) -> None:
    # Fails when an operator has to build the environment of a process by hand.
    file = str(write_settings(parts))

    assert prag("run", file, "intake.migrate", home=parts.home).returncode == 0

    resumed = prag("run", file, "intake.worker", "--resume", home=parts.home)
    assert (resumed.returncode, resumed.stdout) == (0, "nothing had to be moved\n")
    replayed = prag("run", file, "intake.worker", "--replay", home=parts.home)
    assert (replayed.returncode, replayed.stdout) == (0, "0 events sent again\n")
    refused = prag("run", file, "intake.courier", home=parts.home)
    assert refused.returncode == 78
    assert "There is no process intake.courier" in refused.stderr


@pytest.mark.postgres
def test_what_is_refused_later_stops_nobody_else_and_comes_back(parts: Parts) -> None:
    # Fails when one process that lost a right ends the country, or is given up.
    login = parts.logins["referral"]
    role = sql.Identifier(login.role)
    with Served(parts).wait_ready() as country:
        as_root(login, sql.SQL("ALTER ROLE {} BYPASSRLS").format(role))
        died = country.find("referral", "api")
        assert died is not None

        died.kill()

        poll(lambda: "prag: referral.api ended with 78; it is started again" in country.said)
        assert country.find("intake", "api") is not None
        as_root(login, sql.SQL("ALTER ROLE {} NOBYPASSRLS").format(role))
        poll(lambda: parts.is_ready("referral"))
        assert country.end() == 0


def as_root(login: Logins, statement: sql.Composed) -> None:
    with psycopg.connect(login.root.replace("+asyncpg", ""), autocommit=True) as root:
        root.execute(statement)


@pytest.mark.postgres
def test_whoever_kills_it_has_ended_the_country(parts: Parts) -> None:
    # Fails when processes stay behind, which the next start would run beside its own.
    with Served(parts).wait_ready() as country:
        kept = country.running()
        assert len(kept) == 8

        country.kill_all()

        poll(lambda: not any(map(psutil.Process.is_running, kept)))


def test_the_file_that_is_shipped_is_one_that_every_process_can_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Fails when a setting is added and deploy/country.ini does not know it.
    for service in SERVICES:
        for part in PARTS:
            with monkeypatch.context() as own:
                for name, value in environment(
                    ROOT / "deploy" / "country.ini", service, part
                ).items():
                    own.setenv(name, value)
                settings = import_module(f"{service}.settings").Settings()
            assert settings.database_url == (
                f"postgresql+asyncpg://prag_{service}@postgres/prag_{service}"
            )


def test_what_is_for_a_hub_holds_once_it_is_uncommented_as_the_file_says(tmp_path: Path) -> None:
    # Fails when a line that explains begins like one of settings: the file is refused as a whole.
    shipped = ROOT / "deploy" / "country.ini"
    file = Path(shutil.copy(shipped, tmp_path))
    [command] = [line for line in shipped.read_text().splitlines() if line.startswith("# sed ")]
    subprocess.run(shlex.split(command.removeprefix("# ")), cwd=tmp_path, check=True)  # noqa: S603

    found = environment(file, "referral", "worker")
    assert found["PRAG_HUB_USER"] == "rs-referral"
    assert found["PRAG_PEERS_FOLDER"] == "/etc/prag/secrets/peers"
    assert "PRAG_HUB_USER" not in environment(file, "intake", "worker")


def test_a_section_goes_before_one_that_stands_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRAG_HOST", "10.0.0.1")
    monkeypatch.setenv("LANG", "sr")
    file = tmp_path / "country.ini"
    file.write_text(
        "[country]\nPRAG_COUNTRY=RS\nPGUSER=prag_{service}\n[migrate]\nPGUSER=prag_{service}_owner\n"
        "[referral.worker]\nPRAG_HUB_USER=rs-referral\n"
    )

    found = environment(file, "referral", "worker")
    assert found["PGUSER"] == "prag_referral"
    assert found["PRAG_HUB_USER"] == "rs-referral"
    assert found["LANG"] == "sr"
    assert "PRAG_HOST" not in found
    assert environment(file, "intake", "migrate")["PGUSER"] == "prag_intake_owner"
    assert "PRAG_HUB_USER" not in environment(file, "referral", "api")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PRAG_COUNTRY=RS", "line 1: not NAME=value in a section"),
        ("[country]\nsecret words", "line 2: not NAME=value in a section"),
        ("[country]\nA=1\nA=2", "line 3: this stands there twice"),
        ("[country]\n[country]", "line 2: this stands there twice"),
        ("[courier]", "no process of the kind [courier]"),
        ("[intake]\nPRAG_TIMEZONE=secret", "no setting PRAG_TIMEZONE; it stands in [intake]"),
        # With it a process dies by itself, at a point that a test names.
        ("[country]\nPRAG_TEST_CRASH=secret", "no setting PRAG_TEST_CRASH; it stands in [country]"),
        (None, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line_and_not_repeated(
    tmp_path: Path, text: str | None, words: str
) -> None:
    file = tmp_path / "country.ini"
    if text is not None:
        file.write_text(text)

    with pytest.raises(TroubleError) as told:
        environment(file, "intake", "api")

    assert words in str(told.value)
    assert "secret" not in str(told.value)
    # No supervisor is to try again what has to be mended first.
    assert prag("serve", str(file), home=tmp_path).returncode == 78
