"""Row-level security: what a query that forgot its condition is still not given.

Reliability 8.4.1. Each case is tried with the application's own filter gone, as the application's role.
"""

import asyncio
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import select, true

from common.clock import utcnow
from common.db.base import unit_of
from common.db.caller import NOBODY, SERVICE, Caller
from common.db.postgres import PostgresDatabase, RefusedError
from common.tables import RelayLease, SubjectKey
from common.unit import StaleError, Unit
from intake.models import Case, CaseIdentity, KnownReferral, Notice
from intake.queries import case as cases
from intake.queries import notice as notices
from referral.models import KnownCase, Referral
from reintegration.models import KnownCase as PlanCase
from reintegration.models import Plan
from tests.common.things import watch
from tests.conftest import PostgresUrls, fixed_id
from tests.intake.bodies import CASE, SHELTER, identified, notice, opened, referred
from tests.kit import ELSEWHERE, HOME, Kit
from tests.postgres import Logins, asking, copy, migrate, serving, set_up

pytestmark = pytest.mark.postgres

NOTICE = UUID("30000000-0000-4000-8000-000000000001")
Intake = tuple[Path, Logins]
TABLES = (Case, CaseIdentity, Notice, SubjectKey)


@pytest.fixture(scope="module")
def migrated(
    postgres_urls: PostgresUrls, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Logins]:
    logins = set_up(postgres_urls, tmp_path_factory.mktemp("rows"))
    for service in ("intake", "referral", "reintegration"):
        migrate(service, logins[service])
    return logins


async def counts(kit: Kit, caller: Caller) -> tuple[int, ...]:
    """Return how many rows of each table a query without any condition finds."""
    with asking(caller):
        return tuple([len(await kit.rows(select(table))) for table in TABLES])


async def filled(kit: Kit) -> None:
    """One case with identity and note of HOME, and one notice with texts."""
    worker = kit.caller("SOCIAL_WORKER")
    await opened(worker, note="Скривена.")
    await identified(worker)
    told = await worker.post("/v1/notices", json=notice(id=str(NOTICE), note="Скривена."))
    assert told.status_code == 201, told.text


@pytest.fixture
def intake(tmp_path: Path, migrated: dict[str, Logins]) -> Intake:
    return tmp_path, copy(migrated["intake"])


async def test_without_its_filter_a_query_finds_what_the_callers_relations_open(
    intake: Intake,
) -> None:
    """Seeded: ENABLE left out for a table; `_SEES_ALL` for case_identity or subject_key; NOBODY not told."""
    home, login = intake
    async with serving("intake", home, login.application) as kit:
        await filled(kit)
        await referred(kit)

        assert await counts(kit, SERVICE) == (1, 1, 1, 2)
        assert await counts(kit, Caller(HOME)) == (1, 1, 1, 2)
        # On the connection that worked for HOME just now.
        assert await counts(kit, NOBODY) == (0, 0, 0, 0)
        assert await counts(kit, Caller(SHELTER)) == (1, 1, 0, 1)
        assert await counts(kit, Caller(ELSEWHERE)) == (0, 0, 0, 0)
        assert await counts(kit, Caller(ELSEWHERE, "facts")) == (1, 0, 1, 0)
        assert await counts(kit, Caller(ELSEWHERE, "all")) == (1, 0, 1, 2)


@pytest.mark.parametrize("change", ["pending", "withdrawn"])
async def test_a_receiver_finds_what_it_took_on_while_consent_lasts(
    change: str, intake: Intake
) -> None:
    """Seeded: a condition of `_REFERRED` left out."""
    home, login = intake
    async with serving("intake", home, login.application) as kit:
        await filled(kit)
        await referred(kit, status="ACKNOWLEDGED" if change == "pending" else "ACCEPTED")
        if change == "withdrawn":
            unit = unit_of(kit.runtime.database, source="/RS/intake", operation="test")
            unit.update(KnownReferral, {"case_id": CASE}, consent_withdrawn_on=utcnow().date())
            await kit.runtime.database.write(unit)

        assert await counts(kit, Caller(SHELTER)) == (0, 0, 0, 0)


async def test_a_command_that_lost_its_filter_is_denied(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutants themselves; the last lines show that without the policies they give all away."""
    home, login = intake
    monkeypatch.setattr(cases, "_relation", lambda case, principal: "own")
    monkeypatch.setattr(cases, "_visible", lambda principal: true())
    monkeypatch.setattr(notices, "_visible", lambda principal: true())
    paths = (
        f"/v1/cases/{CASE}",
        f"/v1/cases/{CASE}/note",
        f"/v1/cases/{CASE}/identity?purpose=ASSISTANCE",
        f"/v1/notices/{NOTICE}",
    )
    async with serving("intake", home, login.application) as kit:
        await filled(kit)
        stranger = kit.caller("SOCIAL_WORKER", ELSEWHERE)

        async def statuses() -> list[int]:
            return [(await stranger.get(path)).status_code for path in paths]

        async def listed() -> list[int]:
            answers = [await stranger.get(f"/v1/{name}") for name in ("cases", "notices")]
            return [len(answer.json()["items"]) for answer in answers]

        assert await statuses() == [404] * 4
        assert await listed() == [0, 0]

        with psycopg.connect(login.owner.replace("+asyncpg", ""), autocommit=True) as owner:
            for table in ("case_file", "case_identity", "notice", "subject_key"):
                statement = f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"
                owner.execute(statement.encode())
        assert await statuses() == [200] * 4
        assert await listed() == [1, 1]


async def test_what_is_not_seen_is_not_written(intake: Intake) -> None:
    """Seeded: WITH CHECK (true) on case_identity; USING left to SELECT."""
    home, login = intake
    async with serving("intake", home, login.application) as kit:
        await filled(kit)
        [found] = await kit.rows(select(Case))

        def unit() -> Unit:
            return unit_of(kit.runtime.database, source="/RS/intake", operation="test")

        with asking(Caller(ELSEWHERE)):
            change = unit()
            change.update(Case, {"id": CASE, "version": found.version}, expect=1, country="ME")
            with pytest.raises(StaleError):
                await kit.runtime.database.write(change)
            put = unit()
            put.put(CaseIdentity, case_id=CASE, recorded_at=utcnow())
            with pytest.raises(RefusedError, match="42501") as refusal:
                await kit.runtime.database.write(put)
            assert "row-level security" in str(refusal.value.__context__)


async def test_a_connection_asks_for_nobody_but_its_caller(intake: Intake) -> None:
    """Seeded: the caller noted before it was told, or before the transaction committed."""
    home, login = intake
    async with serving("intake", home, login.application) as kit:
        await filled(kit)
        database = kit.runtime.database

        async def ask(number: int) -> bool:
            organisation, expected = ((HOME, 1), (ELSEWHERE, 0), (fixed_id(9), 0))[number % 3]
            with asking(Caller(organisation)):
                if number % 7 == 0:
                    inside = -1
                    with suppress(ZeroDivisionError):
                        async with database.batch() as batch:
                            inside = len(await batch.fetch(select(Case)))
                            assert 1 / 0, "undone"
                    return inside == expected
                return len(await database.fetch(select(Case))) == expected

        results = await asyncio.gather(*(ask(number) for number in range(300)))

        assert all(results)


async def test_a_call_cut_off_leaves_no_caller_behind(intake: Intake) -> None:
    """Seeded: the note kept while the connection is told anew."""
    home, login = intake
    async with serving("intake", home, login.application) as kit:
        await filled(kit)
        database = kit.runtime.database

        async def ask(organisation: UUID) -> int:
            with asking(Caller(organisation)):
                return len(await database.fetch(select(Case)))

        assert await ask(HOME) == 1
        assert isinstance(database, PostgresDatabase)
        is_cutting = [True]

        def cut(statement: str) -> None:
            if "set_config" in statement and is_cutting.pop():
                raise LookupError

        watch(database, cut)
        with pytest.raises(LookupError):
            await ask(ELSEWHERE)
        is_cutting += [False, False]

        assert [await ask(HOME), await ask(ELSEWHERE)] == [1, 0]


async def test_naming_the_caller_costs_a_round_trip_only_when_it_changes(intake: Intake) -> None:
    """Seeded: the note never made."""
    home, login = intake
    async with serving("intake", home, login.application) as kit:
        database = kit.runtime.database
        told: list[str] = []
        assert isinstance(database, PostgresDatabase)
        with asking(NOBODY):
            await database.fetch(select(RelayLease.id))
        watch(database, told.append)
        for caller in (SERVICE, SERVICE, Caller(HOME), Caller(HOME), Caller(ELSEWHERE)):
            with asking(caller):
                await database.fetch(select(RelayLease.id))

        assert [("set_config" in statement) for statement in told] == [
            *(True, False, False),
            *(True, False, False),
            *(True, False),
        ]


# --- the keys of the other services


def row(model: type[Any], **values: Any) -> dict[str, Any]:
    """Return values for every column that must have one."""
    kinds = {UUID: fixed_id(1), int: 1, bool: False, list: [], date: utcnow().date()}
    blank = {
        column.key: kinds.get(column.type.python_type, "X")
        for column in model.__table__.columns
        if not column.nullable and column.default is None
    }
    return blank | values


async def holders(kit: Kit, *rows: tuple[type[Any], dict[str, Any]]) -> set[UUID]:
    """Return who finds the key of the case once these rows are there."""
    unit = unit_of(kit.runtime.database, source="/RS/test", operation="test")
    if await unit.box(CASE) is None:
        await unit.new_box(CASE)
    for model, values in rows:
        unit.add(model, **row(model, **values))
    await kit.runtime.database.write(unit)
    found = set()
    for organisation in (HOME, SHELTER, ELSEWHERE):
        with asking(Caller(organisation, "all")):
            if await kit.rows(select(SubjectKey)):
                found.add(organisation)
    return found


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"status": "DRAFT", "submitted_at": None}, {HOME}),
        ({"status": "SUBMITTED"}, {HOME, SHELTER}),
        ({"status": "COMPLETED"}, {HOME, SHELTER}),
        ({"status": "DECLINED"}, {HOME}),
        ({"status": "ACCEPTED", "consent_withdrawn_on": date(2026, 11, 1)}, {HOME}),
    ],
)
async def test_a_referrals_texts_open_to_its_sides(
    told: dict[str, Any], expected: set[UUID], tmp_path: Path, migrated: dict[str, Logins]
) -> None:
    """Seeded: a condition of the policy left out."""
    sides = {"sending_organisation_id": HOME, "receiving_organisation_id": SHELTER}
    referral = {"case_id": CASE, "submitted_at": utcnow(), "urgency": "NORMAL"} | sides | told
    async with serving("referral", tmp_path, copy(migrated["referral"]).application) as kit:
        assert await holders(kit) == set()
        assert await holders(kit, (Referral, referral)) == expected
        owned = {"case_id": CASE, "organisation_id": ELSEWHERE}
        assert await holders(kit, (KnownCase, owned)) == expected | {ELSEWHERE}


@pytest.mark.parametrize(
    ("withdrawn", "expected"), [(None, {SHELTER}), (date(2026, 11, 1), set[UUID]())]
)
async def test_a_plans_texts_open_to_its_organisation(
    withdrawn: date | None, expected: set[UUID], tmp_path: Path, migrated: dict[str, Logins]
) -> None:
    """Seeded: a condition of the policy left out."""
    plan = {"case_id": CASE, "organisation_id": SHELTER, "phase": "CRISIS"}
    async with serving(
        "reintegration", tmp_path, copy(migrated["reintegration"]).application
    ) as kit:
        assert await holders(kit) == set()
        owner = (PlanCase, {"case_id": CASE, "organisation_id": HOME})
        carried = (Plan, plan | {"consent_withdrawn_on": withdrawn})
        assert await holders(kit, owner, carried) == expected
