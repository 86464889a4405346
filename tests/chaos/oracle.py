"""The judge: reads the four databases and says what of the promises is broken."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from common.federation.custody import CustodyError, SignedStatement, verify
from common.federation.peers import read_peers
from tests.chaos.handover import Handover
from tests.chaos.world import World
from tests.system.parts import Parts, is_drained

_REST = ("dead_letter", "inbox_pending")


def is_quiet(world: World) -> bool:
    """Tell whether every event was published and taken, and every letter was heard."""
    return all(
        is_drained(land)
        and land.rows(
            "referral", "SELECT count(*) FROM letter WHERE receipt_of = 0 AND heard_at IS NULL"
        )
        == [(0,)]
        for land in world.lands.values()
    )


def find_faults(world: World, done: Sequence[Handover]) -> list[str]:
    """Return every broken promise of a world that has come to rest."""
    faults = [*_left_over(world), *_out_of_order(world)]
    for handover in done:
        faults += _of_one(world, handover)
    return faults


def _left_over(world: World) -> Iterator[str]:
    for code, land in world.lands.items():
        for service in land.services:
            for table in _REST:
                [(count,)] = land.rows(service, f"SELECT count(*) FROM {table}")  # noqa: S608
                if count:
                    yield f"{code} {service}: {count} in {table}"
            [(parked,)] = land.rows(
                service, "SELECT count(*) FROM inbox_aggregate WHERE parked_at IS NOT NULL"
            )
            if parked:
                yield f"{code} {service}: {parked} aggregates are parked"


def _out_of_order(world: World) -> Iterator[str]:
    """Nothing lost, doubled or overtaken: 1, 2, 3 … in every outbox and in every inbox."""
    for code, land in world.lands.items():
        for service in land.services:
            for what in _gaps(land, service):
                yield f"{code} {service}: {what}"


def _gaps(land: Parts, service: str) -> Iterator[str]:
    told = land.rows(service, "SELECT subject, seq FROM outbox_message ORDER BY feed_position")
    taken = land.rows(service, "SELECT (topic, subject), seq FROM inbox_message ORDER BY 1, 2")
    for how, rows in (("told", told), ("taken", taken)):
        numbers: dict[object, list[int]] = defaultdict(list)
        for key, seq in rows:
            numbers[key].append(seq)
        for key, found in numbers.items():
            if found != [*range(1, len(found) + 1)]:
                yield f"{key} was {how} as {found}"
    positions = land.rows(service, "SELECT feed_position FROM outbox_message ORDER BY 1")
    if [p for (p,) in positions] != [*range(1, len(positions) + 1)]:
        yield "the feed has gaps or doubles"


def _of_one(world: World, handover: Handover) -> Iterator[str]:
    here, there = world.sender, world.receiver
    held = "SELECT f.holding, f.epoch FROM case_file f"
    found = here.rows("intake", f"{held} WHERE f.id = '{handover.case}'")
    joined = f"{held} JOIN case_origin o ON o.case_id = f.id"
    opened = there.rows("intake", f"{joined} WHERE o.referral_id = '{handover.referral}'")
    if found != [("NONE", 2)]:
        yield f"{handover.referral}: the sender stands at {found}"
    if opened != [("OWNER", 2)]:
        yield f"{handover.referral}: the receiver stands at {opened}"
    of_referral = f"WHERE id = '{handover.referral}'"
    for land in (here, there):
        query = f"SELECT status FROM cross_border_referral {of_referral}"  # noqa: S608  ours
        status = land.rows("referral", query)
        if status != [("HANDED_OVER",)]:
            yield f"{handover.referral}: in {land.country} it is {status}"
    yield from _custody(world, handover)


def _custody(world: World, handover: Handover) -> Iterator[str]:
    path = f"/v1/cross-border-referrals/{handover.referral}/custody"
    links = []
    for land, actor in ((world.sender, handover.worker), (world.receiver, handover.contact)):
        said = [
            SignedStatement.model_validate(each)
            for each in actor.get("referral", path)["statements"]
        ]
        try:
            links.append(verify(said, read_peers(land.place.peers).directory.signer))
        except CustodyError as error:
            yield f"{handover.referral}: in {land.country} the chain breaks: {error.reason}"
    if len(links) == 2 and links[0] != links[1]:
        yield f"{handover.referral}: the two chains differ: {links}"


def count_events(lands: dict[str, Parts]) -> int:
    total = Counter[str]()
    for code, land in lands.items():
        for service in land.services:
            [(count,)] = land.rows(service, "SELECT count(*) FROM outbox_message")
            total[code] += count
    return sum(total.values())
