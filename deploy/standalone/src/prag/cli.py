"""The `prag` command."""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from common.settings import EX_CONFIG
from prag.cli_federation import add_federation
from prag.manifest import SERVICES, TIME_ZONES, TroubleError, country_of, read_manifest

# Each command loads what it needs: `prag token` must not wait for four services to be imported.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. What stands in the way is told in one sentence."""
    os.umask(0o077)
    # What no command knows is told by the command it was meant for, with that one's usage.
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        code = command(options)
        sys.stdout.flush()
    except TroubleError as error:
        print(f"prag: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the answer, `| head`, has enough; what is left is flushed at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print("prag: The disk is full. Free some space and start again.", file=sys.stderr)
    else:
        return code
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prag",
        description="One country's referral mechanism on one machine.",
        epilog="The data folder is PRAG_HOME, or .prag where the command is given.",
    )
    parser.add_argument("--version", action="version", version=f"prag {version('prag-standalone')}")
    parser.set_defaults(command=_help(parser), parser=parser)
    commands = parser.add_subparsers(metavar="COMMAND")

    up = commands.add_parser("up", help="start a country and stay in the foreground")
    up.add_argument(
        "--country", type=str.upper, choices=TIME_ZONES, help="default: the folder's, else RS"
    )
    up.add_argument("--empty", action="store_true", help="load no sample cases at the first start")
    up.add_argument("--port-base", type=_port, metavar="N", help="first of the four ports (8001)")
    up.add_argument(
        "--hub", type=Path, metavar="DIR", help="the folder of a hub on this machine (prag hub)"
    )
    up.set_defaults(command=_up, parser=up)

    serve = commands.add_parser(
        "serve", help="start the processes of production and keep them alive, without containers"
    )
    serve.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="their settings, as in deploy/country.ini",
    )
    serve.set_defaults(command=_serve, parser=serve)

    run = commands.add_parser(
        "run",
        help="run one process of production by itself, as: country.ini intake.worker --replay",
    )
    run.add_argument("file", type=Path, metavar="FILE", help="the settings of prag serve")
    run.add_argument(
        "process", metavar="PROCESS", help="SERVICE.api, SERVICE.worker, SERVICE.migrate"
    )
    run.add_argument("options", nargs=argparse.REMAINDER, metavar="OPTION", help="of the process")
    run.set_defaults(command=_run, parser=run)

    token = commands.add_parser("token", help="print one access token and nothing else")
    token.add_argument("--role", required=True, help="a code of the list actor_roles, in any case")
    token.add_argument(
        "--org",
        required=True,
        help="an organisation's id, or a name that stands for one; the sample cases know csr-<capital>, "
        "lipa, breza, identification-centre and ministry; hotline and ombudsman are outside them",
    )
    token.add_argument("--user", metavar="NAME", help="who the token is for (default: the role)")
    token.add_argument("--minutes", type=int, default=15, metavar="N", help="1 to 15 (15)")
    token.set_defaults(command=_token, parser=token)

    demo = commands.add_parser(
        "demo", help="tell the story of two countries and a hub, and check each step"
    )
    demo.set_defaults(command=_demo, parser=demo)

    verify = commands.add_parser("verify-audit", help="verify the audit trail of all four services")
    verify.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="of the country with these settings, those of prag serve; else of the data folder",
    )
    verify.set_defaults(command=_verify_audit, parser=verify)

    add_federation(commands)

    kafka = commands.add_parser("kafka", help="make a Kafka cluster ready: topics, users, rights")
    kafka.add_argument("--bootstrap", required=True, metavar="HOST:PORT", help="the brokers")
    kafka.add_argument(
        "--passwords",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder that deploy/docker/secrets made (of a hub: users in it), with kafka_admin and "
        "the other users' passwords; a country's that comes to a hub is made there",
    )
    kafka.add_argument(
        "--hub",
        metavar="CC,CC",
        help="the cluster is the hub of these countries and no others; their users are rs-referral "
        "and so on",
    )
    kafka.add_argument(
        "--remove",
        metavar="CC,CC",
        help="the countries that leave this hub: their users, passwords and rights are taken away",
    )
    kafka.add_argument("--ca-file", type=Path, help="PEM of who issued the brokers' certificates")
    kafka.add_argument("--replication", type=int, default=1, metavar="N", help="copies (1)")
    kafka.set_defaults(command=_kafka, parser=kafka)

    backup = commands.add_parser("backup", help="copy the country into FILE.tar.gz, its keys apart")
    backup.add_argument("file", type=Path, metavar="FILE")
    backup.set_defaults(command=_backup, parser=backup)
    return parser


def _help(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    def show(_: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    return show


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65532:  # noqa: PLR2004  the highest four ports end at 65535
        raise argparse.ArgumentTypeError("the first of four ports lies between 1 and 65532")
    return port


def _home() -> Path:
    from prag.settings import read_settings  # noqa: PLC0415

    return read_settings().home


def _up(options: argparse.Namespace) -> int:
    from prag.settings import DEFAULT_COUNTRY, read_settings  # noqa: PLC0415
    from prag.up import up  # noqa: PLC0415

    settings = read_settings()
    country = options.country or settings.country or country_of(settings.home) or DEFAULT_COUNTRY
    port_base = options.port_base or settings.port_base
    hub = options.hub or settings.hub
    return up(settings.home, country, port_base, empty=options.empty, hub=hub)


def _token(options: argparse.Namespace) -> int:
    from prag.issuer import LocalIssuer, organisation_id, role_code  # noqa: PLC0415
    from prag.names import is_known, sample_names  # noqa: PLC0415

    home = _home()
    manifest = read_manifest(home)
    if manifest is None:
        raise TroubleError(f"{home} holds no instance yet. Start one first: prag up")
    try:
        role = role_code(options.role)
        user = options.user or role.lower().replace("_", "-")
        organisation = organisation_id(options.org, manifest.country)
        token = LocalIssuer(home).token(role, organisation, user, options.minutes)
    except (ValueError, PermissionError) as error:
        raise TroubleError(str(error)) from None
    if not is_known(options.org, manifest.country):
        print(
            f"prag: The name {options.org!r} stands for no organisation of the sample cases; "
            f"they know {', '.join(sample_names(manifest.country))}.",
            file=sys.stderr,
        )
    print(token)
    return 0


def _demo(_: argparse.Namespace) -> int:
    from prag.demo import run  # noqa: PLC0415

    return run(_home(), "RS")


def _verify_audit(options: argparse.Namespace) -> int:
    from prag.trails import Folder, Production  # noqa: PLC0415
    from prag.verify_audit import report  # noqa: PLC0415

    if options.file is None:
        return report(Folder(_home()))
    from prag.serve import environment  # noqa: PLC0415

    return report(Production({s: environment(options.file, s, "api") for s in SERVICES}))


def _serve(options: argparse.Namespace) -> int:
    from prag.serve import serve  # noqa: PLC0415

    return _or_setting(lambda: serve(options.file))


def _run(options: argparse.Namespace) -> int:
    from prag.serve import run  # noqa: PLC0415

    return _or_setting(lambda: run(options.file, options.process, options.options))


def _or_setting(act: Callable[[], int]) -> int:
    """Do `act`; what stands in its way is a setting, so that no supervisor tries it again."""
    try:
        return act()
    except TroubleError as error:
        print(f"prag: {error}", file=sys.stderr)
        return EX_CONFIG


def _kafka(options: argparse.Namespace) -> int:
    from common.federation.mail import reader_of  # noqa: PLC0415
    from prag.kafka import check_folder, provision  # noqa: PLC0415
    from prag.kafka_wanted import hub_rights  # noqa: PLC0415

    if options.remove and not options.hub:
        raise TroubleError("--remove takes countries from a hub: name those that stay after --hub.")
    stays, leaves = _countries(options.hub or ""), _countries(options.remove or "")
    if both := sorted({*stays} & {*leaves}):
        raise TroubleError(f"{', '.join(both)} cannot stay (--hub) and leave (--remove).")
    check_folder(options.passwords, is_hub=bool(options.hub))
    made = provision(
        options.bootstrap,
        options.passwords,
        wanted=hub_rights(stays) if options.hub else None,
        leaving=[*map(reader_of, leaves)],
        ca_file=options.ca_file,
        replication=options.replication,
    )
    print("\n".join([*made, "ready"]))
    return 0


def _countries(text: str) -> list[str]:
    found = [country.strip().upper() for country in text.split(",") if country.strip()]
    unknown = sorted(set(found) - TIME_ZONES.keys())
    if unknown:
        raise TroubleError(
            f"There is no country {unknown[0]} here; there are {', '.join(TIME_ZONES)}."
        )
    return found


def _backup(options: argparse.Namespace) -> int:
    from prag.backup import backup  # noqa: PLC0415

    archive, keys = backup(_home(), options.file)
    print(f"{archive}\n{keys}")
    print(
        "Keep the two in different places: whoever has both can read everything.", file=sys.stderr
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
