"""Make a cluster ready, a country's or the hub's: topics with their partitions, users, and what each user may do.

Run once by whoever operates the cluster, and again after a release or when a country comes or goes:
the cluster is brought to what is wanted, and what one of our users may do no longer is taken away. A
topic whose partitions are other than ours is refused, for they can never be changed without breaking
the order of its events; no topic is ever deleted.
"""

import asyncio
import secrets
import sys
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from common.bus.base import PARTITIONS, BusError, BusRefusedError
from common.bus.kafka import KafkaBus
from common.bus.kafka_login import KafkaLogin
from common.clock import Telling, monotonic
from common.federation.mail import reader_of
from prag.files import write_private
from prag.kafka_wanted import Rights, retention_of, rights, topic_settings
from prag.manifest import SERVICES, TIME_ZONES, TroubleError

ADMIN = "admin"
BROKER = "broker"
_SECONDS = 15.0
_UP_SECONDS = 60.0
"""What a broker that was started a moment ago may take to answer."""
_TRY_SECONDS = 0.5
_KNOWN_SECONDS = 60.0
"""What a broker may take to hear of its users and their rights."""
_OPTIONS = {
    "PRAG_KAFKA_CA_FILE": "--ca-file",
    "PRAG_KAFKA_BOOTSTRAP": "--bootstrap",
    "PRAG_KAFKA_USER and PRAG_KAFKA_PASSWORD_FILE": f"{ADMIN} and its password, kafka_{ADMIN} in --passwords,",
    "PRAG_KAFKA_PASSWORD_FILE": f"the password of {ADMIN}, kafka_{ADMIN} in --passwords,",
}
"""What the command calls the settings of a service."""

EVERY_RIGHT = AclBindingFilter(
    ResourceType.ANY,
    cast(str, None),  # any; it ships a type that says it must be given
    ResourcePatternType.ANY,
    cast(str, None),
    cast(str, None),
    AclOperation.ANY,
    AclPermissionType.ANY,
)
"""What finds each right of each user."""


def provision(
    bootstrap: str,
    passwords: Path,
    *,
    wanted: Mapping[str, Rights] | None = None,
    leaving: Collection[str] = (),
    ca_file: Path | None = None,
    replication: int = 1,
    patience: float = _UP_SECONDS,
) -> list[str]:
    """Bring the cluster to what this release needs; return what was made and what was taken away.

    `passwords` is a folder with a file for each user, `kafka_admin` and so on. A new user's is made
    there, with mode 0600, and deleted with the user. TroubleError where a service's is missing that
    the cluster knows: to make it anew would shut the service out. `wanted` are the users with their
    rights; those of a country's services, where it is not given. One that the cluster knows and that
    has no rights any more is ended only when it is named in `leaving`; else TroubleError, and nothing
    is changed: a country that was forgotten would be shut out at once. Whoever is not among them,
    someone's monitoring for example, keeps what they have. At the return each broker that is named
    lets them in: a service that starts now is not refused. While none answers that is said on standard
    error, and for `patience` seconds it is tried again.
    """
    is_country = wanted is None
    wanted = rights() if wanted is None else wanted
    password = _password(passwords, ADMIN)
    own = KafkaLogin(bootstrap, ADMIN, password_file(passwords, ADMIN), ca_file)
    asyncio.run(_reach(own, patience))
    client = admin(",".join(own.servers()), password, ca_file=ca_file)
    ended = {name for name, right in wanted.items() if right == Rights()}
    try:
        known = all_users(client)
        if is_country:
            _refuse_strange(known & set(wanted), passwords)
        _refuse_to_end(known & ended - set(leaving))
        done = _make_topics(client, wanted, replication)
        done += _make_users(client, set(wanted) - ended, passwords)
        done += _allow(client, wanted)
        done += _end_users(client, ended, passwords)
    except KafkaException as error:
        raise TroubleError(f"The cluster at {bootstrap} refuses: {_words(error)}") from None
    for server in own.servers():
        for name in set(wanted) - ended:
            login = KafkaLogin(server, name, password_file(passwords, name), ca_file)
            asyncio.run(_wait_until_known(login, wanted[name]))
    return done


def check_folder(passwords: Path, *, is_hub: bool) -> None:
    """TroubleError for the folder of a cluster of the other kind: what was made there would stay."""
    names = {path.name for path in passwords.glob("kafka_*")}
    of_hub = {password_file(passwords, reader_of(country)).name for country in TIME_ZONES}
    of_country = {password_file(passwords, service).name for service in SERVICES}
    if is_hub and names & of_country:
        raise TroubleError(
            f"{passwords} holds the passwords of a country's services, and --hub makes a hub of the "
            "cluster: name the folder users of the hub's secrets, or leave --hub out."
        )
    if not is_hub and names & of_hub:
        raise TroubleError(
            f"{passwords} holds the passwords of the countries of a hub: name those that are to be "
            "there after --hub, or the folder of a country's secrets."
        )


def password_file(passwords: Path, user: str) -> Path:
    """Return where a user's password lies in a folder of secrets."""
    return passwords / f"kafka_{user}"


def admin(bootstrap: str, password: str, *, ca_file: Path | None = None) -> AdminClient:
    """Return a client of the cluster as its administrator."""
    options: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_SSL" if ca_file else "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": ADMIN,
        "sasl.password": password,
        "socket.timeout.ms": int(_SECONDS * 1000),
        "log_level": 0,  # what matters is raised; its own lines name users and addresses
    }
    if ca_file is not None:
        options["ssl.ca.location"] = str(ca_file)
    return AdminClient(options)


async def _reach(login: KafkaLogin, patience: float) -> None:
    """Wait until a broker answers, and say so; TroubleError for a way to it that will not do.

    Nothing is sent to the cluster before: in the clear it might lead to another machine.
    """
    deadline, telling = monotonic() + patience, Telling()
    while True:
        asked = asyncio.create_task(KafkaBus(login).check(reads=(), writes=()))
        while not asked.done():  # to no machine at all a connection may be tried for long
            await asyncio.wait({asked}, timeout=_TRY_SECONDS)
            if telling.is_due():
                _say(f"waits for a broker at {login.bootstrap}")
        try:
            return await asked
        except BusRefusedError as error:
            raise TroubleError(_in_options(f"{error}.")) from None
        except BusError as error:
            if monotonic() > deadline:
                raise TroubleError(
                    f"No broker at {login.bootstrap} can be reached: {error}."
                ) from None
        await asyncio.sleep(_TRY_SECONDS)


def _in_options(words: str) -> str:
    """Say what a service says of its settings in the words of the command."""
    for setting, option in _OPTIONS.items():
        words = words.replace(setting, option)
    return words


def _say(words: str) -> None:
    print(f"prag: {words}", file=sys.stderr, flush=True)


async def _wait_until_known(login: KafkaLogin, right: Rights) -> None:
    """Wait until the broker has heard of the user, which it does some time after the cluster wrote it down."""
    deadline = monotonic() + _KNOWN_SECONDS
    bus = KafkaBus(login)
    while True:
        try:
            await bus.check(reads=right.reads, writes=right.writes)
        except BusError as error:
            if monotonic() > deadline:
                told = f"{login.bootstrap} does not let {login.user} in: {error}"
                raise TroubleError(told) from None
            await asyncio.sleep(0.1)
        else:
            return


def _make_topics(client: AdminClient, wanted: Mapping[str, Rights], replication: int) -> list[str]:
    topics = sorted({topic for right in wanted.values() for topic in (*right.writes, *right.reads)})
    there = client.list_topics(timeout=_SECONDS).topics
    for topic in topics:
        if topic in there and len(there[topic].partitions) != PARTITIONS:
            raise TroubleError(
                f"The topic {topic} has {len(there[topic].partitions)} partitions, not {PARTITIONS}. "
                "They cannot be changed: make a new cluster, or delete the topic while it is empty."
            )
    new = [topic for topic in topics if topic not in there]
    if new:
        settings = topic_settings(replication)
        made = [
            NewTopic(t, PARTITIONS, replication, config=settings | retention_of(t)) for t in new
        ]
        _wait(client.create_topics(made, request_timeout=_SECONDS).values())
    if old := [topic for topic in topics if topic in there]:
        # By the copies it has: with more demanded than there are, nothing could be written.
        copies = {topic: len(there[topic].partitions[0].replicas) for topic in old}
        changes = [
            _change(topic, topic_settings(copies[topic]) | retention_of(topic)) for topic in old
        ]
        _wait(client.incremental_alter_configs(changes).values())
    return [f"topic {topic}" for topic in new]


def _change(topic: str, settings: Mapping[str, str]) -> ConfigResource:
    change = AlterConfigOpType.SET
    entries = [
        ConfigEntry(name, value, incremental_operation=change) for name, value in settings.items()
    ]
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)


def _refuse_strange(known: Iterable[str], passwords: Path) -> None:
    for name in sorted(known):
        if not password_file(passwords, name).exists():
            raise TroubleError(
                f"The cluster knows the user {name}, and {password_file(passwords, name)} is not "
                "there: is this the folder of its secrets? To give all whose file is missing a new "
                "password, run deploy/docker/secrets on it, then this again; nothing was changed."
            )


def _refuse_to_end(names: Collection[str]) -> None:
    if names:
        raise TroubleError(
            f"The cluster knows {', '.join(sorted(names))}, and no country named after --hub is theirs: "
            "their password and rights would be gone. Name those countries too or, if they leave, after "
            "--remove (in containers HUB_REMOVE); nothing was changed."
        )


def _make_users(client: AdminClient, names: Iterable[str], passwords: Path) -> list[str]:
    made = []
    for name in sorted(names):
        if not password_file(passwords, name).exists():
            new = secrets.token_urlsafe(32).encode()
            write_private(password_file(passwords, name), new)
            made.append(f"user {name}")
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)
    changes: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(name, scram, _password(passwords, name).encode())
        for name in names
    ]
    _wait(client.alter_user_scram_credentials(changes, request_timeout=_SECONDS).values())
    return made


def _end_users(client: AdminClient, names: Iterable[str], passwords: Path) -> list[str]:
    gone = sorted(all_users(client) & set(names))
    changes: list[UserScramCredentialAlteration] = [
        UserScramCredentialDeletion(name, ScramMechanism.SCRAM_SHA_512) for name in gone
    ]
    if changes:
        _wait(client.alter_user_scram_credentials(changes, request_timeout=_SECONDS).values())
    for name in names:
        password_file(passwords, name).unlink(missing_ok=True)  # who comes again gets another
    return [f"no user {name}" for name in gone]


def all_users(client: AdminClient) -> set[str]:
    """Return everybody who has a password on the cluster."""
    asked: Any = client.describe_user_scram_credentials(request_timeout=_SECONDS)
    return set(asked.result())


def _allow(client: AdminClient, wanted: Mapping[str, Rights]) -> list[str]:
    """Give each user its rights, and take away what it had besides."""
    entries: set[AclBinding] = set()
    for name, right in wanted.items():
        for topic in right.writes:
            entries |= _entries(name, ResourceType.TOPIC, topic, "WRITE", "DESCRIBE")
        for topic in right.reads:
            entries |= _entries(name, ResourceType.TOPIC, topic, "READ", "DESCRIBE")
        if right != Rights():
            entries |= _entries(name, ResourceType.GROUP, name, "READ")
    # Asked first: a cluster tells of what was just given only some time later.
    every = client.describe_acls(EVERY_RIGHT, request_timeout=_SECONDS).result()
    ours = {f"User:{name}" for name in wanted}
    excess = [entry for entry in every if entry.principal in ours and entry not in entries]
    _wait(client.create_acls([*entries], request_timeout=_SECONDS).values())
    if excess:
        _wait(client.delete_acls([*map(_exactly, excess)], request_timeout=_SECONDS).values())
    return [f"no {e.operation.name} of {e.name} for {e.principal[5:]}" for e in sorted(excess)]


def _exactly(entry: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        entry.restype,
        entry.name,
        entry.resource_pattern_type,
        entry.principal,
        entry.host,
        entry.operation,
        entry.permission_type,
    )


def _entries(user: str, kind: Any, name: str, *operations: str) -> set[AclBinding]:  # noqa: ANN401
    return {
        AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )
        for operation in operations
    }


def _password(passwords: Path, user: str) -> str:
    file = password_file(passwords, user)
    try:
        return file.read_text().strip()
    except OSError as error:
        raise TroubleError(f"{file} cannot be read: {error.strerror}.") from None


def _wait(futures: Iterable["Future[Any]"]) -> None:
    for future in futures:
        future.result()


def _words(error: KafkaException) -> str:
    found = error.args[0]
    return str(found.str() if hasattr(found, "str") else found)
