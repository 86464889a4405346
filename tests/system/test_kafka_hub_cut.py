"""The wire between a country's courier and the hub's Kafka is cut, broken off, or forgets (T5).

The other country's wire is whole all the time. `--cut 300` is the silence of five minutes that is
promised (`make test-faults ARGS="-k longest --cut 300 -o faulthandler_timeout=1200"`); without it it lasts a minute.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import pytest

from common.clock import monotonic, new_id
from common.contracts.referral import CrossBorderChanged
from common.federation.mail import topic_to
from prag.issuer import LocalIssuer
from tests.chaos.handover import CROSSING, Handover, draft
from tests.chaos.oracle import find_faults, is_quiet
from tests.chaos.world import RECEIVER, SENDER, SERVICES, World, introduce
from tests.conftest import PostgresUrls
from tests.kafka import Broker, missing, read_log
from tests.system.parts import Parts
from tests.system.processes import PATIENCE, poll
from tests.system.proxy import Proxy, Way
from tests.system.writing import AtWork, away, first_and_others, write_down

pytestmark = [pytest.mark.system, pytest.mark.postgres, pytest.mark.kafka]

DRAINED_WITHIN = 120.0
FAULTS: dict[str, tuple[Callable[[Proxy], None], float | None]] = {
    "silent for 5 s": (lambda wire: wire.cut(), 5),
    "silent for 30 s": (lambda wire: wire.cut(), 30),
    "silent the longest": (lambda wire: wire.cut(), None),
    "answers lost for 30 s": (lambda wire: wire.cut(Way.ANSWERED), 30),
    "questions lost for 30 s": (lambda wire: wire.cut(Way.ASKED), 30),
    "broken off for 10 s": (lambda wire: wire.reset(), 10),
    "half-open": (lambda wire: wire.forget(), 5),
}
"""What happens, and for how long; None is for as long as --cut says."""


@dataclass
class Wire:
    """The hub's only door, and whose connections are struck there: one country's courier's."""

    hub: Broker
    proxy: Proxy
    struck: list[Parts]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub-cut")


@pytest.fixture(scope="module")
def wire(home: Path) -> Iterator[Wire]:
    if lacking := missing():
        pytest.skip(f"no Kafka: {lacking}")
    hub = Broker(home / "kafka-hub")
    struck: list[Parts] = []

    def is_struck(port: int) -> bool:
        return any(
            socket.laddr.port == port
            for land in struck
            for socket in land.process("referral", "worker").net_connections("tcp")
        )

    with Proxy(("127.0.0.1", hub.port), only=is_struck) as proxy:
        hub.wire = proxy.address
        hub.start()
        try:
            hub.provision(hub_of=(SENDER, RECEIVER))
            yield Wire(hub, proxy, struck)
        finally:
            hub.end()


@pytest.fixture(scope="module")
def world(home: Path, postgres_urls: PostgresUrls, wire: Wire) -> Iterator[World]:
    """Two countries on embedded logs of their own; the sender's courier is the one that is struck.

    They go through all the faults, one after another, and come to rest after each.
    """
    lands = {
        code: Parts(home / code, postgres_urls, country=code, services=SERVICES, hub=wire.hub)
        for code in (SENDER, RECEIVER)
    }
    try:
        introduce(home, lands)
        for land in lands.values():
            land.start_all()
        lands[SENDER].restart("referral", "worker")
        wire.struck.append(lands[SENDER])  # before the new process has come to connecting
        yield World(lands, {"hub": wire.hub})
    finally:
        for land in lands.values():
            land.close()


@dataclass
class Sender(AtWork):
    """Somebody who refers a person abroad again and again, and calls every second referral off.

    `said` is what was acknowledged of each referral, in its order.
    """

    handover: Handover
    statuses: list[int] = field(default_factory=list)
    said: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def work(self) -> None:
        worker, began = self.handover.worker, -1000.0
        base = worker.land.url("referral", "")
        with httpx.Client(base_url=base, timeout=PATIENCE) as http:
            for number in count():
                if self.rest(0.4):
                    return
                if monotonic() - began > 300:
                    began, issuer = monotonic(), LocalIssuer(worker.land.home)
                    token = issuer.token(worker.role, worker.organisation, "worker")
                    http.headers["Authorization"] = f"Bearer {token}"
                self._refer(http, is_called_off=number % 2 == 1)

    def _refer(self, http: httpx.Client, *, is_called_off: bool) -> None:
        referral = new_id()
        body = draft(referral, self.handover.case)
        body["data_groups"] = [*self.handover.groups]
        shown = self._ask(http, CROSSING, body)
        shown = self._ask(http, f"{CROSSING}/{referral}/submit", None, shown)
        self.said[str(referral)] = ("SUBMITTED",)
        if is_called_off:
            reason = {"reason": "NEED_ENDED"}
            self._ask(http, f"{CROSSING}/{referral}/cancel", reason, shown)
            self.said[str(referral)] = ("SUBMITTED", "CANCELLED")

    def _ask(
        self, http: httpx.Client, path: str, body: object, shown: httpx.Response | None = None
    ) -> httpx.Response:
        headers = {"Idempotency-Key": str(new_id())}
        if shown is not None:
            headers["If-Match"] = shown.headers["ETag"]
        answer = http.post(path, json=body, headers=headers)
        self.statuses.append(answer.status_code)
        return answer


@pytest.mark.row("F88")
@pytest.mark.parametrize("fault", first_and_others(FAULTS))
def test_a_cut_from_the_hub_costs_no_request_and_each_letter_is_taken_once_in_order(
    world: World, wire: Wire, fault: str, pytestconfig: pytest.Config
) -> None:
    """Seeded: ask the hub in a request; leave the order of the letters to the database."""
    break_it, seconds = FAULTS[fault]
    before = on_the_way(world), on_the_hub(wire)
    first = Handover(world)
    first.offer()
    with Sender(first) as sender:
        poll(lambda: len(taken(world.receiver).keys() & sender.said.keys()) > 10)
        break_it(wire.proxy)
        began = len(sender.said)
        away(pytestconfig.getoption("--cut") if seconds is None else seconds)
        while_cut = [*sender.said][began:-1]
        poll(lambda: are_told(world.sender, while_cut))
        wire.proxy.heal()
        healed, gone = monotonic(), len(sender.said)
        poll(lambda: len(sender.said) > gone + 10)
    until = healed + DRAINED_WITHIN
    poll(lambda: is_quiet(world) or monotonic() > until, patience=2 * DRAINED_WITHIN)
    drained = monotonic() - healed
    first.close()

    assert set(sender.statuses) == {200, 201}
    assert [*find_faults(world, []), *unheard(world)] == []
    assert is_quiet(world)
    found = taken(world.receiver)
    assert {each: found.get(each) for each in sender.said} == sender.said
    for land in world.lands.values():
        assert all(land.is_running(service, "worker") for service in SERVICES)
    letters, records = on_the_way(world) - before[0], on_the_hub(wire) - before[1]
    write_down(
        f"hub {fault}: {len(sender.statuses)} calls, 0 failed, {len(while_cut)} referrals while it "
        f"lasted, drained {drained:.1f} s after the wire was whole, {letters} letters in {records} "
        "records"
    )


def unheard(world: World) -> list[str]:
    """Return the letters that the other country has not said to have heard, and since when."""
    query = (
        "SELECT kind, number, written_at, sent_at, times_sent FROM letter "
        "WHERE receipt_of = 0 AND heard_at IS NULL ORDER BY written_at"
    )
    return [
        f"{code}: {kind} {number} of {written}, sent {sent}, {times} times"
        for code, land in world.lands.items()
        for kind, number, written, sent, times in land.rows("referral", query)
    ]


def on_the_way(world: World) -> int:
    """Return how many letters the sender has written, receipts among them."""
    [(count,)] = world.sender.rows("referral", "SELECT count(*) FROM letter")
    return int(count)


def on_the_hub(wire: Wire) -> int:
    """Return how many records the hub holds for the receiver: repeats and rolls among them."""
    return len(read_log(wire.hub, topic_to(RECEIVER)))


def are_told(country: Parts, referrals: list[str]) -> bool:
    """Tell whether the country's own services were told of these referrals to another one."""
    waiting = "SELECT DISTINCT subject FROM outbox_message WHERE published_at IS NULL"
    return {str(subject) for (subject,) in country.rows("referral", waiting)}.isdisjoint(referrals)


def taken(country: Parts) -> dict[str, tuple[str, ...]]:
    """Return which statuses a country's services were told of each referral, in their order."""
    query = "SELECT type, payload FROM outbox_message ORDER BY id"
    found = defaultdict[str, tuple[str, ...]](tuple)
    for kind, payload in country.rows("referral", query):
        if kind == CrossBorderChanged.type:
            event = json.loads(payload)
            found[event["subject"]] += (event["data"]["status"],)
    return dict(found)
