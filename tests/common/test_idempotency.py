"""POSTs that are repeated: one effect, the same answer; and what keeps a change off a newer row."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from common import clock
from common.db import Database
from common.db.postgres import PostgresDatabase
from common.http import idempotency
from common.sealing import SubjectKeyRing
from common.tables import AuditEntry, IdempotencyAnswer, OutboxMessage
from common.unit import Unit
from tests.common.things import ORGANISATION, Around, Thing
from tests.common.tiny import OTHER_ROLE, ROLE, Tiny
from tests.conftest import MASTER

THINGS = "/v1/things"
BODY = {"label": "a thing", "text": "Ana Marković"}


def said(response: httpx.Response) -> tuple[int, bytes, str | None, str | None]:
    headers = response.headers
    return response.status_code, response.content, headers.get("etag"), headers.get("location")


async def effects(database: Database) -> tuple[int, int, int]:
    return (
        len(await database.fetch(select(Thing.id))),
        len(await database.fetch(select(OutboxMessage.id))),
        len(await database.fetch(select(AuditEntry.id).where(AuditEntry.action == "create"))),
    )


@pytest.mark.row("F80")
async def test_a_hundred_at_once_with_one_key_have_one_effect_and_one_answer(
    tiny: Tiny, database: Database
) -> None:
    # Fails when the key is looked up without waiting for the twin in flight.
    answers = await asyncio.gather(*(tiny.post(THINGS, BODY, key="k") for _ in range(100)))

    [answer] = {said(response) for response in answers}
    assert answer[0] == 201
    assert answer[3] == f"{THINGS}/{answers[0].json()['id']}"
    assert await effects(database) == (1, 1, 1)


@pytest.mark.postgres
async def test_two_instances_of_the_service_have_one_effect_between_them(
    postgres_only: PostgresDatabase, postgres_url: str, tmp_path: Path
) -> None:
    # Fails when the answer is upserted: each instance would write its own thing and keep its answer.
    other = PostgresDatabase(postgres_url, SubjectKeyRing(MASTER, "test"))
    instances = [Tiny(tmp_path, database) for database in (postgres_only, other)]

    answers = await asyncio.gather(
        *(instances[n % 2].post(THINGS, BODY, key=f"k{n // 2 % 5}") for n in range(40))
    )

    assert {response.status_code for response in answers} == {201}
    assert Counter(said(response) for response in answers).most_common() == [
        (answer, 8) for answer in dict.fromkeys(said(response) for response in answers)
    ]
    assert await effects(postgres_only) == (5, 5, 5)
    for instance in instances:
        await instance.close()
    await other.close()


async def test_a_command_that_meets_its_own_effect_gives_the_first_answer(
    database: Database, tmp_path: Path
) -> None:
    # Fails when a refusal ends the call: the twin in another process has made the change already.
    class Interrupted(Around):
        """Lets another process answer the same call between the look-up and the command's reads."""

        is_armed = False

        async def write(self, unit: Unit) -> None:
            if self.is_armed:
                self.is_armed = False
                answers.append(await elsewhere.post(path, key="k", headers={"If-Match": '"1"'}))
            await super().write(unit)

    answers: list[httpx.Response] = []
    between = Interrupted(database)
    here, elsewhere = Tiny(tmp_path, between), Tiny(tmp_path, database)
    path = f"{THINGS}/{await here.created()}/move"
    between.is_armed = True

    answers.append(await here.post(path, key="k", headers={"If-Match": '"1"'}))

    assert [response.status_code for response in answers] == [200, 200]
    assert said(answers[0]) == said(answers[1])
    [thing] = await database.fetch(select(Thing))
    assert thing.version == 2
    for instance in (here, elsewhere):
        await instance.close()


@pytest.mark.row("F80")
async def test_a_key_with_another_body_is_refused_and_one_is_needed(
    tiny: Tiny, database: Database
) -> None:
    # Fails when only the key is compared, or a POST without one is let through.
    assert (await tiny.post(THINGS, BODY, key="k")).status_code == 201

    other = await tiny.post(THINGS, BODY | {"weight": 2}, key="k")
    missing = await tiny.client.post(THINGS, json=BODY, headers=tiny.bearer())
    bad = await tiny.post(THINGS, BODY, key="a b")

    assert (other.status_code, other.json()["code"]) == (422, "idempotency.key_reused")
    assert (missing.status_code, missing.json()["code"]) == (400, "idempotency.key_missing")
    assert (bad.status_code, bad.json()["code"]) == (400, "idempotency.key_invalid")
    assert await effects(database) == (1, 1, 1)


async def test_a_key_answered_by_a_process_that_is_gone_gives_its_answer(
    tiny: Tiny, database: Database, tmp_path: Path
) -> None:
    # Fails when only keys this process remembers are looked up, or only once the command succeeds.
    made = await tiny.post(THINGS, BODY, key="k")
    path = f"{THINGS}/{made.json()['id']}/move"
    moved = await tiny.post(path, key="m", headers={"If-Match": '"1"'})
    restarted = Tiny(tmp_path, database)

    again = await restarted.post(THINGS, BODY, key="k")
    stale = await restarted.post(path, key="m", headers={"If-Match": '"1"'})
    other = await restarted.post(THINGS, {"label": ""}, key="k")

    assert said(again) == said(made)
    assert said(stale) == said(moved)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency.key_reused")
    assert await effects(database) == (1, 2, 1)
    await restarted.close()


async def test_two_bodies_at_once_under_one_key_have_one_effect(
    tiny: Tiny, database: Database
) -> None:
    # Fails when the twin in flight is waited for without comparing what was sent.
    answers = await asyncio.gather(
        *(tiny.post(THINGS, BODY | {"weight": n % 2}, key="k") for n in range(10))
    )

    assert Counter(r.status_code for r in answers) == {201: 5, 422: 5}
    assert await effects(database) == (1, 1, 1)


async def test_a_key_belongs_to_its_caller_and_path(tiny: Tiny, database: Database) -> None:
    # Fails when one caller is given another's answer: each part of who it is counts by itself.
    token, here = tiny.issuer.token, ORGANISATION
    callers = [
        token(ROLE, here, "worker-7"),
        token(ROLE, here, "worker-8"),
        token(ROLE, clock.new_id(), "worker-7"),
        token(OTHER_ROLE, here, "worker-7"),
        token(ROLE, here, "worker-7", client_id="another-tool"),
    ]

    answers = [
        await tiny.post(THINGS, BODY, key="k", headers={"Authorization": f"Bearer {caller}"})
        for caller in callers
    ]
    changed = await tiny.post(f"{THINGS}?validate_only=false", BODY, key="k")

    assert [answer.status_code for answer in answers] == [201] * 5
    assert len({answer.json()["id"] for answer in answers}) == 5
    assert changed.status_code == 422
    assert await effects(database) == (5, 5, 5)


async def test_an_answer_is_kept_sealed_for_a_day(tiny: Tiny, database: Database) -> None:
    # Fails when the answer lies in the clear, or an old one stands in the way of a new.
    first = await tiny.post(THINGS, BODY, key="k")
    [kept] = await database.fetch(select(IdempotencyAnswer))
    assert b"Ana" not in kept.answer.box
    assert first.json()["id"].encode() not in kept.answer.box
    now = clock.utcnow()

    clock.set_source(lambda: now + timedelta(hours=23))
    assert (await tiny.post(THINGS, BODY, key="k")).status_code == 409
    assert await effects(database) == (1, 1, 1)
    clock.set_source(lambda: now + timedelta(hours=25))
    again = await tiny.post(THINGS, BODY, key="k")

    assert again.status_code == 201
    assert again.json()["id"] != first.json()["id"]
    assert await effects(database) == (2, 2, 2)
    assert len(await database.fetch(select(IdempotencyAnswer))) == 1


async def test_a_refused_call_keeps_no_answer(tiny: Tiny, database: Database) -> None:
    # Fails when a mistake is remembered: the caller could not mend it under the same key.
    refused = await tiny.post(THINGS, {"label": ""}, key="k")
    mended = await tiny.post(THINGS, BODY, key="k")

    assert (refused.status_code, mended.status_code) == (422, 201)
    assert await effects(database) == (1, 1, 1)


@pytest.mark.row("F80")
async def test_a_twin_that_never_ends_is_not_waited_for(
    tiny_sqlite: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the wait has no end.
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.01)
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Stuck(Around):
        async def write(self, unit: Unit) -> None:
            reached.set()
            await go_on.wait()
            await super().write(unit)

    stuck = Tiny(tiny_sqlite.issuer.jwks_file.parent.parent, Stuck(tiny_sqlite.runtime.database))
    first = asyncio.create_task(stuck.post(THINGS, BODY, key="k"))
    await reached.wait()

    twin = await stuck.post(THINGS, BODY, key="k")

    assert (twin.status_code, twin.json()["code"]) == (409, "idempotency.in_flight")
    go_on.set()
    assert (await first).status_code == 201
    await stuck.close()


async def test_validate_only_changes_nothing_and_needs_no_key(
    tiny: Tiny, database: Database
) -> None:
    # Fails when the check is written, or answers as if it were.
    good = await tiny.client.post(f"{THINGS}?validate_only=true", json=BODY, headers=tiny.bearer())
    bad = await tiny.client.post(f"{THINGS}?validate_only=true", json={}, headers=tiny.bearer())

    assert (good.status_code, good.json()) == (200, {"valid": True})
    assert bad.status_code == 422
    assert await effects(database) == (0, 0, 0)


# --- preconditions


@pytest.mark.row("F81")
async def test_a_change_needs_the_version_that_was_read(tiny: Tiny, database: Database) -> None:
    # Fails when If-Match is optional, is not compared, or a malformed one counts as a match.
    thing_id = await tiny.created()
    path = f"{THINGS}/{thing_id}/move"
    assert (await tiny.get(f"{THINGS}/{thing_id}")).headers["etag"] == '"1"'

    missing = await tiny.post(path)
    assert (missing.status_code, missing.json()["code"]) == (428, "precondition.required")
    for etag in ('"2"', '"0"', '"' + "9" * 18 + '"'):
        stale = await tiny.post(path, headers={"If-Match": etag})
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition.failed"), etag
    for etag in ("1", "*", 'W/"1"', '"1", "2"', "", '"-1"', '"' + "9" * 40 + '"', "banana"):
        odd = await tiny.post(path, headers={"If-Match": etag})
        assert (odd.status_code, odd.json()["code"]) == (400, "header.invalid"), etag
        assert (odd.json()["parameter"], odd.json()["form"]) == ("If-Match", '"<version>"')
        assert '"<version>"' in odd.json()["detail"]
    moved = await tiny.post(path, headers={"If-Match": '"1"'})
    assert (moved.status_code, moved.headers["etag"]) == (200, '"2"')
    assert (await tiny.post(path, headers={"If-Match": '"1"'})).status_code == 412

    [thing] = await database.fetch(select(Thing))
    assert thing.version == 2


async def test_of_ten_changes_of_one_version_one_is_made(tiny: Tiny, database: Database) -> None:
    # Fails when the version is only checked when the row is read: two would be made on one version.
    # The thing is read twice, once to compare its version and once to move it.
    path = f"{THINGS}/{await tiny.created()}/move"

    answers = await asyncio.gather(
        *(tiny.post(path, headers={"If-Match": '"1"'}) for _ in range(10))
    )

    assert Counter(response.status_code for response in answers) == {200: 1, 412: 9}
    assert len(await database.fetch(select(OutboxMessage.id))) == 2


async def test_an_answer_is_repeated_for_minutes_and_each_time_written_down(
    tiny: Tiny, database: Database
) -> None:
    """Seeded: repeat it for the whole day; repeat it without an entry; leave the role out of the key."""
    first = await tiny.post(THINGS, BODY, key="k")
    thing_id = first.json()["id"]
    soon = await tiny.post(THINGS, BODY, key="k")
    later = utcnow_of(first) + idempotency.REPEATED + timedelta(seconds=2)
    clock.set_source(lambda: later)

    late = await tiny.post(THINGS, BODY, key="k")

    assert said(soon) == said(first)
    assert (late.status_code, late.json()["code"]) == (409, "idempotency.already_done")
    assert thing_id not in late.text
    assert await effects(database) == (1, 1, 1)
    repeats = await database.fetch(select(AuditEntry).where(AuditEntry.action == "repeat"))
    assert [(e.operation, e.object_ids) for e in repeats] == [("create_thing", [thing_id])]


async def test_a_check_of_a_record_is_written_down(tiny: Tiny, database: Database) -> None:
    # Fails when somebody may try values on a record, as often as they like, unseen.
    thing_id = await tiny.created()
    headers = {"If-Match": '"1"'}

    answer = await tiny.post(f"{THINGS}/{thing_id}/move?validate_only=true", headers=headers)

    assert answer.json() == {"valid": True}
    checks = await database.fetch(select(AuditEntry).where(AuditEntry.action == "check"))
    assert [(e.operation, e.object_ids) for e in checks] == [("move_thing", [thing_id])]


def utcnow_of(response: httpx.Response) -> datetime:
    return datetime.fromisoformat(response.json()["recorded_at"])
