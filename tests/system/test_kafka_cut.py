"""The wire between a country's processes and Kafka is cut, broken off, or forgets (T5).

For `--cut` see test_kafka_hub_cut.py.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.clock import monotonic
from tests.conftest import PostgresUrls
from tests.kafka import Broker, missing
from tests.system.parts import Parts
from tests.system.processes import poll
from tests.system.proxy import Proxy, Way
from tests.system.whole import assert_whole, is_at_rest, taken_in_order, told_in_order
from tests.system.writing import Writer, away, first_and_others, write_down

pytestmark = [pytest.mark.system, pytest.mark.postgres, pytest.mark.kafka]

DRAINED_WITHIN = 120.0
FAULTS: dict[str, tuple[Callable[[Proxy], None], float | None]] = {
    "silent for 5 s": (lambda wire: wire.cut(), 5),
    "silent for 30 s": (lambda wire: wire.cut(), 30),
    "silent the longest": (lambda wire: wire.cut(), None),
    "acknowledgements lost for 30 s": (lambda wire: wire.cut(Way.ANSWERED), 30),
    "broken off for 10 s": (lambda wire: wire.reset(), 10),
    "half-open": (lambda wire: wire.forget(), 5),
}
"""What happens, and for how long; None is for as long as --cut says."""


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    if lacking := missing():
        pytest.skip(f"no Kafka: {lacking}")
    return Broker(tmp_path / "kafka")


@pytest.fixture
def wire(broker: Broker) -> Iterator[Proxy]:
    """The only way by which anybody finds the broker: it names no other address."""
    with Proxy(("127.0.0.1", broker.port)) as proxy:
        broker.wire = proxy.address
        broker.start()
        try:
            broker.provision()
            yield proxy
        finally:
            broker.end()


@pytest.fixture
def country(
    tmp_path: Path, postgres_urls: PostgresUrls, broker: Broker, wire: Proxy
) -> Iterator[Parts]:
    parts = Parts(tmp_path, postgres_urls, broker, services=("intake", "analytics"))
    yield parts
    parts.close()


@pytest.mark.row("F74")
@pytest.mark.parametrize("fault", first_and_others(FAULTS))
def test_a_cut_from_kafka_costs_no_request_and_everything_drains_in_order(
    country: Parts, broker: Broker, wire: Proxy, fault: str, pytestconfig: pytest.Config
) -> None:
    """Seeded: publish in the request; send the rows of a failed batch in another order."""
    break_it, seconds = FAULTS[fault]
    country.start_all()
    with Writer(country, changes=3) as writer:
        poll(lambda: len(taken_in_order(country)) > 30)
        calm = len(writer.calls)
        break_it(wire)
        away(pytestconfig.getoption("--cut") if seconds is None else seconds)
        wire.heal()
        healed, gone = monotonic(), len(writer.calls)
        poll(lambda: len(writer.calls) > gone + 100)
    poll(lambda: is_at_rest(country), patience=DRAINED_WITHIN)
    drained = monotonic() - healed

    assert set(writer.statuses) == {200, 201}
    assert_whole(country, [writer])
    again = told_in_order(broker)
    write_down(
        f"Kafka {fault}: {len(writer.calls)} calls, 0 failed, p99 "
        f"{writer.slowest(0, calm) * 1000:.0f} ms before, "
        f"{writer.slowest(calm, gone) * 1000:.0f} ms while cut, drained {drained:.1f} s after the "
        f"wire was whole, {again} events sent twice"
    )
    assert country.end() == [0] * 4
