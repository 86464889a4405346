"""Analytics is built anew, as docs/operating.md says, while its audit trail stays (F75)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PostgresUrls
from tests.system.parts import Parts
from tests.system.processes import SERVICES, poll, prag
from tests.system.serving import write_settings
from tests.system.whole import is_at_rest
from tests.system.writing import Writer

pytestmark = [pytest.mark.system, pytest.mark.postgres]


@pytest.fixture
def country(tmp_path: Path, postgres_urls: PostgresUrls) -> Iterator[Parts]:
    parts = Parts(tmp_path, postgres_urls)
    try:
        yield parts
    finally:
        parts.close()


@pytest.mark.row("F75")
def test_analytics_is_built_anew_and_its_trail_is_confirmed(country: Parts) -> None:
    # Fails when what was told again is taken for seen, when the login of the services must be given
    # more rights for it, or when the chain begins anew with the facts.
    for service in SERVICES:
        assert country.migrate(service) == 0
    for service in ("intake", "analytics"):
        for part in ("api", "worker"):
            country.start(service, part)
    with Writer(country, changes=2) as writer:
        poll(lambda: len(writer.ids) > 3)
    poll(lambda: is_at_rest(country))
    facts = country.rows("analytics", "SELECT * FROM case_fact ORDER BY case_id, seq")
    assert len(facts) > 3
    file = str(write_settings(country))

    country.end_one("analytics", "worker")
    emptied = prag("run", file, "analytics.migrate", "--anew", home=country.home)
    assert (emptied.returncode, emptied.stderr) == (0, "")
    assert country.rows("analytics", "SELECT count(*) FROM case_fact") == [(0,)]
    country.start("analytics", "worker")
    replayed = prag("run", file, "intake.worker", "--replay", home=country.home)
    assert replayed.stdout.endswith("events sent again\n")

    poll(lambda: is_at_rest(country))
    assert country.rows("analytics", "SELECT * FROM case_fact ORDER BY case_id, seq") == facts
    poll(
        lambda: (
            country.rows("analytics", "SELECT count(*) FROM audit_entry")
            == country.rows("analytics", "SELECT count(*) FROM audit_link")
        )
    )
    assert country.end() == [0] * 4
    verified = prag("verify-audit", file, home=country.home)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert country.rows("analytics", "SELECT count(*) FROM dead_letter") == [(0,)]


@pytest.mark.row("F75")
def test_analytics_is_built_anew_beside_a_worker_that_goes_on(country: Parts) -> None:
    # Fails when what the worker has under way is kept, or when it is done with what it knew before:
    # a figure is then missed or counted twice for ever.
    for service in SERVICES:
        assert country.migrate(service) == 0
    for service in ("intake", "analytics"):
        for part in ("api", "worker"):
            country.start(service, part)
    file = str(write_settings(country))

    with Writer(country, changes=2) as writer:
        poll(lambda: len(country.rows("analytics", "SELECT * FROM case_fact")) > 3)
        emptied = prag("run", file, "analytics.migrate", "--anew", home=country.home)
        assert (emptied.returncode, emptied.stderr) == (0, "")
        more = len(writer.ids) + 3
        poll(lambda: len(writer.ids) > more)
    poll(lambda: "LostPartitionError" in country.log("analytics", "worker"))
    replayed = prag("run", file, "intake.worker", "--replay", home=country.home)
    assert replayed.stdout.endswith("events sent again\n")
    poll(lambda: is_at_rest(country))

    told = "SELECT CAST(subject AS text), seq FROM outbox_message WHERE topic = 'intake.case'"
    kept = country.rows("analytics", "SELECT CAST(case_id AS text), seq FROM case_fact")
    assert sorted(kept) == sorted(country.rows("intake", told))
    assert country.rows("analytics", "SELECT count(*) FROM dead_letter") == [(0,)]


def test_no_other_service_can_be_made_to_forget(country: Parts) -> None:
    # Fails when the option is taken where rows are the only copy, or an unknown one is passed over.
    file = str(write_settings(country))

    refused = prag("run", file, "intake.migrate", "--anew", home=country.home)

    assert refused.returncode == 2
    assert "unrecognized arguments: --anew" in refused.stderr
