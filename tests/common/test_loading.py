"""An api starts without what it does not use: each part would cost megabytes and a tenth of a second."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from common.db.head import head_of, newest
from prag.files import write_private
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer
from tests.house import SERVICES

_START = """
import json, sys
from importlib import import_module
from common.db.head import head_of
from common.runtime import open_runtime
from common.settings import read_settings

name = sys.argv[1]
import_module(f"{name}.api")
import common.db.checks
head_of(name)
runtime = open_runtime(name, read_settings(import_module(f"{name}.settings").Settings))
import_module(f"{name}.app").create_app(runtime)
print(json.dumps(sorted(sys.modules)))
"""
"""What `serve_forever` does before it asks the database and takes requests."""


@pytest.mark.parametrize("service", SERVICES)
def test_an_api_loads_no_migrations_no_client_and_no_bus(service: str, tmp_path: Path) -> None:
    """Seeded: `import httpx` at the top of issuer.py; open_bus makes a KafkaBus; head_of of Alembic."""
    issuer = LocalIssuer(tmp_path)
    write_private(tmp_path / "keys" / "master.key", os.urandom(32))
    password = tmp_path / "password"
    write_private(password, b"secret")
    outcome = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _START, service],
        env={
            "PRAG_COUNTRY": "RS",
            "PRAG_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/none",
            "PRAG_KAFKA_BOOTSTRAP": "127.0.0.1:9",
            "PRAG_KAFKA_USER": service,
            "PRAG_KAFKA_PASSWORD_FILE": str(password),
            "PRAG_OIDC_ISSUER": ISSUER,
            "PRAG_OIDC_AUDIENCE": AUDIENCE,
            "PRAG_OIDC_JWKS_FILE": str(issuer.jwks_file),
            "PRAG_MASTER_KEY_FILE": str(tmp_path / "keys" / "master.key"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert outcome.returncode == 0, outcome.stderr
    loaded = {name.partition(".")[0] for name in json.loads(outcome.stdout)}
    assert {"asyncpg", "fastapi", service} <= loaded
    assert not loaded & {"aiokafka", "alembic", "mako", "httpx", "psycopg"}


@pytest.mark.parametrize("service", SERVICES)
def test_the_head_told_is_alembics(service: str) -> None:
    """Seeded: the newest by name; `down_revision` not read."""
    folder: Path = import_module(f"{service}.migrate").MIGRATIONS

    assert head_of(service) == ScriptDirectory(str(folder)).get_current_head()


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ['revision = "1"\ndown_revision = None', 'revision = "2"\ndown_revision = None'],
        ['revision = "1"\ndown_revision = None', 'revision = "2"\ndown_revision = ("1", "0")'],
        ['revision = "1"\ndown_revision = None', 'revision = "1"\ndown_revision = None'],
        ['revision = None\ndown_revision = "1"'],
        ['revision = "1"\n# down_revision = None'],
    ],
    ids=["none", "two", "merge", "twin", "nameless", "unsaid"],
)
def test_a_head_that_cannot_be_told_is_not_guessed(texts: list[str], tmp_path: Path) -> None:
    """Seeded: a file that cannot be read is passed over; max() of the heads."""
    (tmp_path / "versions").mkdir()
    for number, text in enumerate(texts):
        (tmp_path / "versions" / f"{number}.py").write_text(f"{text}\n")

    with pytest.raises(ValueError, match="revision"):
        newest(tmp_path)


def test_the_head_is_the_one_on_which_no_other_builds(tmp_path: Path) -> None:
    """Seeded: the newest by the file's name."""
    (tmp_path / "versions").mkdir()
    for name, line in {
        "a": "'3'\ndown_revision: str | None = '7'",
        "b": '"7"\ndown_revision = None',
    }.items():
        (tmp_path / "versions" / f"{name}.py").write_text(f"revision = {line}\n")

    assert newest(tmp_path) == "3"
