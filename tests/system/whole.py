"""What must be so after a fault: everything acknowledged is there, whole, once, and in order."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.kafka import Broker, read_log
from tests.system.parts import Parts, is_drained
from tests.system.writing import Writer

_LEFT = {
    "dead letters": "SELECT count(*) FROM dead_letter",
    "early events": "SELECT count(*) FROM inbox_pending",
    "parked aggregates": "SELECT count(*) FROM inbox_aggregate WHERE parked_at IS NOT NULL",
}
_OPENED = "SELECT subject FROM outbox_message WHERE type = 'intake.case.opened.v1'"
_ENTERED = (
    "SELECT subject FROM audit_entry WHERE operation = 'create_case' AND decision = 'allow' "
    "AND action <> 'repeat'"
)
_CHANGED = (
    "SELECT f.id, f.version, count(*), max(o.seq) FROM case_file f "
    "JOIN outbox_message o ON o.subject = f.id GROUP BY f.id, f.version"
)


def is_at_rest(country: Parts) -> bool:
    """Tell whether every event of a case was published and analytics has it."""
    told = country.rows("intake", "SELECT count(*) FROM outbox_message WHERE topic = 'intake.case'")
    taken = "SELECT count(*) FROM inbox_message WHERE topic = 'intake.case'"
    return is_drained(country) and told == country.rows("analytics", taken)


def assert_whole(country: Parts, writers: Iterable[Writer]) -> None:
    """No case lost that was acknowledged, none half there, and analytics took all in their order."""
    cases = [case for (case,) in country.rows("intake", "SELECT id FROM case_file")]
    acknowledged = {case for writer in writers for case in writer.ids}
    assert acknowledged <= {str(case) for case in cases}

    each = Counter(cases)
    for query in (_OPENED, _ENTERED, "SELECT subject FROM subject_key"):
        assert Counter(of for (of,) in country.rows("intake", query)) == each, query
    answers = country.rows("intake", "SELECT count(*) FROM idempotency_answer")
    assert answers == [(len(cases),)]

    versions = {}
    for case, version, count, last in country.rows("intake", _CHANGED):
        assert version == count == last
        versions[case] = version
    positions = country.rows("intake", "SELECT feed_position FROM outbox_message ORDER BY 1")
    assert [p for (p,) in positions] == [*range(1, len(positions) + 1)]
    assert taken_in_order(country) == versions

    for service in country.services:
        left = {what: country.rows(service, query) for what, query in _LEFT.items()}
        assert left == {what: [(0,)] for what in _LEFT}, service


def taken_in_order(country: Parts) -> dict[object, int]:
    """Return how many events of each case analytics applied; each came right after the one before."""
    query = (
        "SELECT subject, seq FROM inbox_message WHERE topic = 'intake.case' "
        "AND outcome = 'applied' ORDER BY received_at"
    )
    taken = defaultdict[object, list[int]](list)
    for case, seq in country.rows("analytics", query):
        taken[case].append(seq)
    assert [found for found in taken.values() if found != [*range(1, len(found) + 1)]] == []
    return {case: len(found) for case, found in taken.items()}


def told_in_order(broker: Broker) -> int:
    """Return how many events of cases lie on the bus more than once; each came first in its turn."""
    last, again = Counter[str](), 0
    for value in read_log(broker, "intake.case"):
        event = json.loads(value)
        case, seq = event["subject"], event["seq"]
        if seq <= last[case]:
            again += 1
        else:
            assert seq == last[case] + 1
            last[case] = seq
    return again
