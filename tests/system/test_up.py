"""`prag up` from outside: a real process, its output, its ports, its end."""

import json
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid5

import httpx
import pytest

from common.clock import monotonic
from prag.issuer import organisation_id
from tests.system.processes import (
    PATIENCE,
    SERVICES,
    Country,
    free_ports,
    poll,
    prag,
    report_notice,
    running,
    token,
)

pytestmark = pytest.mark.system

MAX_RSS = 220 * 1024 * 1024
MAX_START_CPU_SECONDS = 5.0
MAX_END_SECONDS = 10.0


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    """A country that runs for all tests that leave it running."""
    with running(tmp_path_factory.mktemp("country") / "prag") as started:
        started.read_until(lambda line: line.startswith("curl"))
        yield started


def notice_id(number: int) -> str:
    named = uuid5(organisation_id("tests", "RS"), str(number))
    return str(UUID(bytes=named.bytes, version=4))


# --- what it says and does


def test_it_prints_ready_only_when_all_four_answer_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    with Country(tmp_path / "prag", "--empty") as country:
        country.wait_ready()

        answers = {s: httpx.get(country.url(s, "/readyz")).status_code for s in SERVICES}
        assert answers == dict.fromkeys(SERVICES, 200)
        assert country.lines == ["ready"]
        assert country.end(signal.SIGINT) == 0
        assert country.errors() == ""


@pytest.mark.row("X25")
def test_the_printed_first_call_works_as_it_stands(country: Country) -> None:
    assert shutil.which("curl"), "the first call is made with curl"
    call = next(line for line in country.lines if line.startswith("curl"))

    answer = subprocess.run(  # noqa: S602  pasted into a shell, as a person does
        f"{call} -w '\\n%{{http_code}}'", shell=True, capture_output=True, text=True, check=True
    )

    assert answer.stdout.splitlines()[-1] == "201", answer.stdout


def test_the_printed_links_lead_somewhere(country: Country) -> None:
    links = {url for line in country.lines for url in re.findall(r"http://127\S+", line)}
    pages = {url for url in links if "/v1/" not in url}

    assert {url.rpartition("/")[2] for url in pages} == {"", "docs", "dashboard"}
    for url in pages:
        assert httpx.get(url).status_code == 200, url


@pytest.mark.parametrize(
    ("service", "role"),
    [
        ("intake", "SOCIAL_WORKER"),
        ("referral", "SOCIAL_WORKER"),
        ("reintegration", "SOCIAL_WORKER"),
        ("analytics", "ANALYST"),
    ],
)
def test_a_token_is_accepted_by_every_service(country: Country, service: str, role: str) -> None:
    url = country.url(service, "/v1/changes")
    headers = {"Authorization": f"Bearer {token(country.home, role)}"}

    assert httpx.get(url, headers=headers).status_code == 200
    assert httpx.get(url).status_code == 401


def test_each_line_of_its_log_says_whose_it_is(country: Country) -> None:
    # Fails when what one of the four says, in its tasks or for a request, could be any other's.
    bearer = {"Authorization": f"Bearer {token(country.home, 'ANALYST')}"}

    assert httpx.get(country.url("referral", "/v1/referrals"), headers=bearer).status_code == 403

    lines = [*map(json.loads, (country.home / "logs" / "prag.log").read_text().splitlines())]
    said = {(line["event"], line.get("service"), line.get("process")) for line in lines}
    assert [each for each in said if None in each] == []
    started = {(f"{part}.started", s, part) for s in SERVICES for part in ("api", "worker")}
    assert started | {("request.denied", "referral", "api")} <= said


def test_it_answers_on_this_machine_only(country: Country) -> None:
    listening = {c.laddr for c in country.process.net_connections() if c.status == "LISTEN"}

    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port - country.port_base for address in listening} == {0, 1, 2, 3}


def test_it_does_not_say_what_it_is_made_of(country: Country) -> None:
    assert "server" not in httpx.get(country.url("intake", "/livez")).headers


def test_everything_it_writes_is_private_and_in_its_folder(country: Country) -> None:
    opened = {
        Path(file.path)
        for file in country.process.open_files()
        if "w" in file.mode or "+" in file.mode
    }

    assert opened
    assert all(path.is_relative_to(country.home) for path in opened)
    for path in [country.home, *country.home.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_it_stays_small_and_starts_quickly(country: Country, tmp_path: Path) -> None:
    """The time is that of the processor, so that a busy machine does not decide.

    `country` has run before: what Python compiles at its first import is no part of a start.
    """
    with running(tmp_path / "prag") as fresh:
        used = fresh.process.cpu_times()
        fresh.read_until(lambda line: line.startswith("curl"))
        assert httpx.get(fresh.url("intake", "/")).status_code == 200

        assert used.user + used.system <= MAX_START_CPU_SECONDS
        assert fresh.process.memory_info().rss <= MAX_RSS


def test_the_audit_trail_is_confirmed_while_it_runs(country: Country) -> None:
    ended = prag("verify-audit", home=country.home)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.fullmatch(r"\d+ entries verified", ended.stdout.splitlines()[0])


# --- how it ends


def test_sigterm_ends_it_in_time_with_exit_code_0_and_a_sealed_trail(tmp_path: Path) -> None:
    home = tmp_path / "prag"
    with running(home) as country:
        bearer = token(home)
        for n in range(20):
            assert report_notice(country, bearer, notice_id(n)).status_code == 201
        asked = monotonic()

        assert country.end() == 0
        assert monotonic() - asked <= MAX_END_SECONDS
        assert country.errors() == ""

    assert waiting_events(home) == 0
    with closing(sqlite3.connect(home / "data" / "intake.db")) as database:
        sealed, linked = (
            database.execute(query).fetchone()[0]
            for query in ("SELECT max(last_seq) FROM audit_head", "SELECT max(seq) FROM audit_link")
        )
    assert sealed == linked >= 20
    assert prag("verify-audit", home=home).returncode == 0


def waiting_events(home: Path) -> int:
    """Events of notices that are not on the bus. The last audit heads go out at the next start."""
    query = (
        "SELECT count(*) FROM outbox_message WHERE published_at IS NULL AND type LIKE '%notice%'"
    )
    with closing(sqlite3.connect(home / "data" / "intake.db")) as database:
        return int(database.execute(query).fetchone()[0])


def test_a_signal_during_the_start_ends_it_with_exit_code_0(tmp_path: Path) -> None:
    home = tmp_path / "prag"
    with Country(home, "--empty") as country:
        poll((home / "keys" / "issuer.pem").exists)

        assert country.end() == 0
        assert country.errors() == ""

    with running(home) as again:
        assert again.end() == 0


def test_a_request_under_way_is_answered_before_the_end(tmp_path: Path) -> None:
    home = tmp_path / "prag"
    body = b'{"source": "HOTLINE", "country": "RS", "urgency": "LOW"}'
    with running(home) as country:
        head = (
            f"POST /v1/notices HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token(home)}\r\n"
            f"Idempotency-Key: late\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", country.port_base), PATIENCE) as connection:
            connection.sendall(head.encode() + body[:10])
            poll(lambda: is_served(country))
            country.send(signal.SIGTERM)
            poll(lambda: not accepts(country.port_base))
            connection.sendall(body[10:])

            assert connection.recv(64).startswith(b"HTTP/1.1 201")
        assert country.wait() == 0


def is_served(country: Country) -> bool:
    """A later request was answered, so the earlier one has been taken up."""
    return httpx.get(country.url("intake", "/livez")).status_code == 200


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "prag"
    with running(home) as country:
        bearer = token(home)
        for n in range(10):
            assert report_notice(country, bearer, notice_id(n)).status_code == 201
        assert country.end(signal.SIGKILL) == -signal.SIGKILL

    assert prag("verify-audit", home=home).returncode == 0
    with running(home) as again:
        headers = {"Authorization": f"Bearer {token(home)}"}
        for n in range(10):
            path = f"/v1/notices/{notice_id(n)}"
            assert httpx.get(again.url("intake", path), headers=headers).status_code == 200
        poll(lambda: waiting_events(home) == 0)
        assert again.end() == 0
    assert prag("verify-audit", home=home).returncode == 0


def test_a_part_that_dies_ends_all_and_is_named(tmp_path: Path) -> None:
    home = tmp_path / "prag"
    with running(home) as country:
        # Through SQLite itself: what is written past it lasts only until its next commit.
        with closing(sqlite3.connect(home / "data" / "referral.db", timeout=PATIENCE)) as data:
            data.execute("PRAGMA writable_schema = ON")
            damage = "UPDATE sqlite_master SET sql = 'damaged' WHERE name = 'audit_entry'"
            assert data.execute(damage).rowcount == 1
            data.execute("PRAGMA schema_version = 99999")
            data.commit()

        assert country.wait() == 1
        assert "referral-worker died" in country.errors()


# --- what is refused


def test_a_second_start_on_the_same_folder_is_refused_and_the_first_runs_on(
    country: Country,
) -> None:
    ended = prag("up", "--empty", "--port-base", str(free_ports()), home=country.home)

    assert ended.returncode == 1
    assert f"already runs on {country.home} (process {country.process.pid})" in ended.stderr
    assert "ready" not in ended.stdout
    assert httpx.get(country.url("intake", "/readyz")).status_code == 200


@pytest.mark.parametrize("offset", [0, 3])
def test_a_taken_port_is_named_at_once_and_nothing_is_made(tmp_path: Path, offset: int) -> None:
    base = free_ports()
    with socket.create_server(("127.0.0.1", base + offset)):
        ended = prag("up", "--empty", "--port-base", str(base), home=tmp_path / "prag")

    assert ended.returncode == 1
    assert f"Port {base + offset} ({SERVICES[offset]}) is taken" in ended.stderr
    assert [path.name for path in (tmp_path / "prag").iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("environment", "says"),
    [({"PRAG_PORT_BASE": "70000"}, "PRAG_PORT_BASE"), ({"PRAG_COUNTRY": "QQ"}, "no country QQ")],
)
def test_a_wrong_variable_is_named(tmp_path: Path, environment: dict[str, str], says: str) -> None:
    ended = prag("up", home=tmp_path / "prag", **environment)

    assert ended.returncode == 1
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_folder_of_another_country_is_refused_with_a_way_out(
    country: Country, tmp_path: Path
) -> None:
    manifest = shutil.copytree(country.home, tmp_path / "prag") / "instance.json"
    assert '"RS"' in manifest.read_text()

    ended = prag("up", "--country", "MK", "--port-base", str(free_ports()), home=manifest.parent)

    assert ended.returncode == 1
    assert "belongs to RS, not to MK" in ended.stderr


# --- the other commands


def test_token_prints_one_token_and_nothing_else(country: Country) -> None:
    ended = prag(
        "token",
        "--role",
        "dpo",
        "--org",
        "ombudsman",
        "--user",
        "mira",
        "--minutes",
        "1",
        home=country.home,
    )

    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", ended.stdout)
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--role", "queen", "--org", "x"), "roles are ANALYST, "),
        (("--role", "DPO", "--org", "x", "--minutes", "60"), "1 to 15 minutes"),
        (("--role", "DPO", "--org", "x", "--user", "Ана Ј."), "named by"),
    ],
)
def test_a_token_nobody_would_accept_is_not_printed(
    country: Country, arguments: tuple[str, ...], says: str
) -> None:
    ended = prag("token", *arguments, home=country.home)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert says in ended.stderr


@pytest.mark.parametrize(
    "command", [("token", "--role", "DPO", "--org", "x"), ("backup", "b"), ("verify-audit",)]
)
def test_a_command_without_an_instance_says_what_to_do(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    ended = prag(*command, home=tmp_path / "prag")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "no data folder of Prag" in ended.stderr or "prag up" in ended.stderr
    assert not (tmp_path / "prag").exists()
