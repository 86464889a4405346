"""The wire between a country's processes and PostgreSQL is cut, broken off, or forgets (T5).

For `--cut` see test_kafka_hub_cut.py.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from common.clock import monotonic
from tests.conftest import PostgresUrls
from tests.kafka import Broker
from tests.system.parts import Parts
from tests.system.processes import poll
from tests.system.proxy import Proxy, Way, before_postgres, through
from tests.system.whole import assert_whole, is_at_rest
from tests.system.writing import Writer, away, first_and_others, write_down

pytestmark = [pytest.mark.system, pytest.mark.postgres, pytest.mark.kafka]

SERVICES = ("intake", "analytics")
WRITERS = 12
"""More than an API has connections, so that some wait for room."""
TOLD_WITHIN, BACK_WITHIN, GENEROUS = 5.0, 10.0, 3
"""What is promised, in seconds, and how much longer a busy machine may take."""

FAULTS: dict[str, tuple[Callable[[Proxy], None], float | None]] = {
    "silent": (lambda wire: wire.cut(), 10),
    "silent the longest": (lambda wire: wire.cut(), None),
    "answers lost": (lambda wire: wire.cut(Way.ANSWERED), 10),
    "broken off": (lambda wire: wire.reset(), 10),
    "half-open": (lambda wire: wire.forget(), 10),
}
"""What happens, and for how many seconds; None is for as long as --cut says."""


@pytest.fixture
def wire(postgres: str) -> Iterator[Proxy]:
    with before_postgres(postgres) as proxy:
        yield proxy


@pytest.fixture
def country(
    tmp_path: Path, postgres_urls: PostgresUrls, cluster: Broker, wire: Proxy
) -> Iterator[Parts]:
    parts = Parts(tmp_path, postgres_urls, cluster, services=SERVICES)
    for service, login in parts.logins.items():
        parts.logins[service] = replace(login, application=through(wire, login.application))
    yield parts
    parts.close()


@pytest.mark.row("C13")
@pytest.mark.parametrize("fault", first_and_others(FAULTS))
def test_a_cut_from_postgresql_is_told_in_time_and_leaves_nothing_half_done(
    country: Parts, wire: Proxy, fault: str, pytestconfig: pytest.Config
) -> None:
    """Seeded: no limit on a statement (nobody is ever answered); none on the wait for room."""
    break_it, seconds = FAULTS[fault]
    country.start_all()
    with ExitStack() as stack:
        writers = [stack.enter_context(Writer(country, changes=2)) for _ in range(WRITERS)]
        poll(lambda: all(len(writer.ids) > 5 for writer in writers))
        cut = monotonic()
        break_it(wire)
        away(pytestconfig.getoption("--cut") if seconds is None else seconds)
        wire.heal()
        healed = monotonic()
        before = [len(writer.ids) for writer in writers]
        poll(lambda: all(len(w.ids) > n + 5 for w, n in zip(writers, before, strict=True)))
    poll(lambda: is_at_rest(country), patience=120)
    drained = monotonic() - healed

    refused = [call for writer in writers for call in writer.refused]
    longest = max(call.seconds for call in refused)
    assert longest < TOLD_WITHIN * GENEROUS
    back = max(
        min(call.ended for call in writer.calls if call.began > healed and call.status == 201)
        for writer in writers
    )
    assert back - healed < BACK_WITHIN * GENEROUS
    assert drained < BACK_WITHIN * GENEROUS
    assert_whole(country, writers)
    write_down(
        f"PostgreSQL {fault} for {healed - cut:.0f} s, {WRITERS} writers: "
        f"{sum(len(writer.calls) for writer in writers)} calls, {len(refused)} told 503, the longest after {longest:.1f} s; all write again "
        f"{back - healed:.1f} s after the wire was whole, drained after {drained:.1f} s"
    )
    assert country.end() == [0] * 2 * len(SERVICES)


@pytest.mark.faults
def test_a_slow_wire_costs_time_and_no_answer(country: Parts, wire: Proxy) -> None:
    # Fails when what is slow is taken for what is gone: 200 ms there and back are a bad line, no cut.
    country.start_all()
    wire.slow_down(0.1)
    with Writer(country, changes=2) as writer:
        poll(lambda: len(writer.ids) > 5)
    poll(lambda: is_at_rest(country))

    assert set(writer.statuses) == {200, 201}
    assert_whole(country, [writer])
