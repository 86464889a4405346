"""Values with which a service can never work are told by the name of their setting and the form it wants."""

import pytest

from common.settings import EX_CONFIG, ServiceSettings, read_settings

SET = {
    "PRAG_COUNTRY": "RS",
    "PRAG_DATABASE_URL": "postgresql+asyncpg://prag@postgres/prag",
    "PRAG_BUS_URL": "local:///var/lib/prag/bus.db",
    "PRAG_OIDC_ISSUER": "https://login.example",
    "PRAG_OIDC_AUDIENCE": "prag",
    "PRAG_MASTER_KEY_FILE": "/etc/prag/master.key",
}
DATABASE = "must be postgresql+asyncpg://user@host:port/database or sqlite:////absolute/path"


def put(monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    for name, value in (SET | more).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PRAG_DATABASE_URL", "secret", DATABASE),
        ("PRAG_DATABASE_URL", "", DATABASE),
        (
            "PRAG_DATABASE_URL",
            "postgresql://prag@postgres/prag",
            DATABASE,
        ),
        (
            "PRAG_DATABASE_URL",
            "postgresql+psycopg://prag@postgres/prag",
            DATABASE,
        ),
        (
            "PRAG_DATABASE_URL",
            "mysql://prag@mysql/prag",
            DATABASE,
        ),
        (
            "PRAG_DATABASE_URL",
            "postgresql+asyncpg://prag@postgres:99999/prag",
            DATABASE,
        ),
        (
            "PRAG_DATABASE_URL",
            "postgresql+asyncpg://prag@postgres:0/prag",
            DATABASE,
        ),
        (
            "PRAG_DATABASE_URL",
            "postgresql+asyncpg://prag@postgres:x/prag",
            DATABASE,
        ),
        ("PRAG_DATABASE_URL", "sqlite:///secret.db", DATABASE),
        ("PRAG_DATABASE_URL", "sqlite://", DATABASE),
        ("PRAG_BUS_URL", "redis://secret", "must be local:///absolute/path"),
        ("PRAG_BUS_URL", "local://secret", "must be local:///absolute/path"),
        ("PRAG_HUB_URL", "redis://secret", "must be local:///absolute/path"),
        ("PRAG_MAX_BODY_BYTES", "0", "must be 1 or more bytes"),
        ("PRAG_MAX_BODY_BYTES", "-1", "must be 1 or more bytes"),
    ],
)
def test_what_can_never_work_is_named_with_its_form_and_not_repeated(
    name: str,
    value: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Fails when the process starts with it, waits for ever, or ends with a stack that holds a password.
    put(monkeypatch, **{name: value})

    with pytest.raises(SystemExit) as ended:
        read_settings(ServiceSettings)

    assert ended.value.code == EX_CONFIG
    assert capsys.readouterr().err == f"{name} {words}\n"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://postgres/prag",
        "postgresql+asyncpg://prag@[::1]:65535/prag",
        "postgresql+asyncpg:///prag?host=/run/postgresql",
        "postgresql+asyncpg://prag@/prag?host=one:5432&host=two:5432",
        "sqlite:////var/lib/prag/intake.db",
    ],
)
def test_what_an_engine_opens_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Fails when a country that worked is refused after an update.
    put(monkeypatch, PRAG_DATABASE_URL=url)

    assert read_settings(ServiceSettings).database_url == url
