"""The commands of a country among others: `prag peer`, `hub`, `verify-custody` and `rejoin`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prag.manifest import TIME_ZONES, Layout, TroubleError

if TYPE_CHECKING:
    from common.federation.peers import Descriptor
    from prag.peer import Place


def add_federation(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    hub = commands.add_parser("hub", help="run a hub for the countries of this machine")
    hub.add_argument("folder", type=Path, metavar="DIR")
    hub.set_defaults(command=_hub, parser=hub)

    verify = commands.add_parser("verify-custody", help="verify the chain of custody of a referral")
    verify.add_argument(
        "file", type=Path, metavar="FILE", help="what GET …/custody answered, on either side"
    )
    verify.add_argument(
        "--secrets",
        type=Path,
        metavar="DIR",
        help="of a country on PostgreSQL, whose keys are in DIR/peers; else the data folder is used",
    )
    verify.set_defaults(command=_verify_custody, parser=verify)

    rejoin = commands.add_parser(
        "rejoin", help="go on after a backup was put back although a peer has not answered"
    )
    rejoin.add_argument(
        "--alone",
        action="store_true",
        required=True,
        help="you have asked the peers in person that they own none of this country's cases since",
    )
    rejoin.set_defaults(command=_rejoin, parser=rejoin)

    peer = commands.add_parser("peer", help="keys for other countries, and who they are")
    peer.add_argument(
        "--secrets",
        type=Path,
        metavar="DIR",
        help="of a country on PostgreSQL, with PRAG_COUNTRY set; else the data folder is used",
    )
    acts = peer.add_subparsers(metavar="ACT", required=True)
    for name, act, text in (
        ("init", _init, "make this country's root and its first keys"),
        ("rotate", _rotate, "publish new keys; give the new descriptor to every peer"),
        ("revoke", _revoke, "end keys that fell into other hands, and issue new ones at once"),
    ):
        made = acts.add_parser(name, help=text)
        made.add_argument(
            "--root",
            type=Path,
            required=True,
            metavar="FILE",
            help="on a medium that is taken away",
        )
        made.set_defaults(command=act, parser=made)
    restored = acts.add_parser(
        "restore",
        help="after an older backup of the keys was put back: take this country's descriptor from a peer",
    )
    restored.add_argument(
        "file", type=Path, metavar="FILE", help="what prag peer show CC prints at the peer"
    )
    restored.add_argument("--root", type=Path, required=True, metavar="FILE", help="as of rotate")
    restored.set_defaults(command=_restore, parser=restored)
    show = acts.add_parser("show", help="print this country's descriptor, to be given to others")
    show.add_argument(
        "country",
        type=str.upper,
        nargs="?",
        metavar="CC",
        help="what is held of this peer instead, for it to restore",
    )
    show.set_defaults(command=_show, parser=show)
    listed = acts.add_parser("list", help="who this country exchanges with, and until when")
    listed.set_defaults(command=_list, parser=listed)
    added = acts.add_parser("add", help="take a country's descriptor in, or its newer one")
    added.add_argument("file", type=Path, metavar="FILE")
    added.add_argument("--fingerprint", help="what the country said in person that it is")
    added.set_defaults(command=_add, parser=added)
    removed = acts.add_parser("remove", help="exchange no more with a country")
    removed.add_argument("country", type=str.upper, metavar="CC")
    removed.set_defaults(command=_remove, parser=removed)


def _home() -> Path:
    from prag.settings import read_settings  # noqa: PLC0415

    return read_settings().home


def _place(options: argparse.Namespace) -> "Place":
    from prag.peer import place_of, place_of_secrets  # noqa: PLC0415
    from prag.settings import read_settings  # noqa: PLC0415

    settings = read_settings()
    if options.secrets is None:
        return place_of(settings.home)
    if settings.country not in TIME_ZONES:
        raise TroubleError("PRAG_COUNTRY must say whose secrets these are, as RS.")
    return place_of_secrets(options.secrets, settings.country)


def _hub(options: argparse.Namespace) -> int:
    from prag.hub import run_hub  # noqa: PLC0415

    return run_hub(options.folder)


def _verify_custody(options: argparse.Namespace) -> int:
    from prag.verify_custody import report  # noqa: PLC0415

    folder = options.secrets / "peers" if options.secrets else Layout(_home()).peers
    return report(folder, options.file)


def _rejoin(_: argparse.Namespace) -> int:
    from prag.rejoin import rejoin_alone  # noqa: PLC0415

    countries = rejoin_alone(_home())
    print(f"Without: {', '.join(countries)}" if countries else "Nobody is waited for.")
    return 0


def _init(options: argparse.Namespace) -> int:
    from prag import peer  # noqa: PLC0415

    _tell(peer.init(_place(options), options.root))
    print(
        f"The root is in {options.root}. Take it away from this machine, and keep a second copy: "
        "without it no new key can be made.",
        file=sys.stderr,
    )
    return 0


def _rotate(options: argparse.Namespace) -> int:
    from prag import peer  # noqa: PLC0415

    _tell(peer.rotate(_place(options), options.root))
    print(
        "Give the new descriptor to every peer: prag peer show",
        file=sys.stderr,
    )
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from prag import peer  # noqa: PLC0415

    _tell(peer.revoke(_place(options), options.root))
    print("Bring the new descriptor to every peer today: prag peer show", file=sys.stderr)
    return 0


def _restore(options: argparse.Namespace) -> int:
    from prag import peer  # noqa: PLC0415
    from prag.peer_restore import restore  # noqa: PLC0415

    place = _place(options)
    lost = restore(place, options.file, options.root)
    _tell(peer.own_descriptor(place))
    for each in lost:
        print(
            f"lost: {each.use} {each.kid}, used from {each.not_before:%Y-%m-%d} "
            f"until {each.not_after:%Y-%m-%d}"
        )
    if lost:
        print(
            "What is sealed to a lost key cannot be opened, and the services start with none that is "
            "in use. Run prag peer revoke at once, and bring the new descriptor to every peer today.",
            file=sys.stderr,
        )
    return 0


def _show(options: argparse.Namespace) -> int:
    from prag import peer  # noqa: PLC0415

    place, country = _place(options), options.country
    is_own = country in {None, place.country}
    descriptor = peer.own_descriptor(place) if is_own else peer.peer_descriptor(place, country)
    print(descriptor.to_bytes().decode())
    print(f"fingerprint {descriptor.fingerprint}", file=sys.stderr)
    return 0


def _list(options: argparse.Namespace) -> int:
    from prag import peer  # noqa: PLC0415

    known = peer.list_peers(_place(options))
    for each in known:
        print(f"{each.country}  until {peer.ends(each):%Y-%m-%d}  {each.fingerprint}")
    if not known:
        print("no peers yet: prag peer add FILE, of a country's descriptor", file=sys.stderr)
    return 0


def _add(options: argparse.Namespace) -> int:
    from prag import peer  # noqa: PLC0415

    _tell(peer.add(_place(options), options.file, options.fingerprint))
    return 0


def _remove(options: argparse.Namespace) -> int:
    from prag import peer  # noqa: PLC0415

    peer.remove(_place(options), options.country)
    print(f"{options.country} is no peer any more; what is under way with it waits.")
    return 0


def _tell(descriptor: "Descriptor") -> None:
    from prag.peer import ends  # noqa: PLC0415

    print(
        f"{descriptor.country}  until {ends(descriptor):%Y-%m-%d}  "
        f"fingerprint {descriptor.fingerprint}"
    )
