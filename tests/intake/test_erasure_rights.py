"""Erasure on PostgreSQL as production has it: the application's own role, rows that know their readers."""

from pathlib import Path

import pytest
from sqlalchemy import select

from common.contracts.referral import CrossBorderChanged
from common.db.base import unit_of
from common.db.caller import SERVICE, Caller
from common.tables import SubjectKey
from common.unit import StaleError
from intake.models import Case, CaseIdentity
from tests.conftest import PostgresUrls
from tests.intake.crossing import REFERRAL, TODAY, received
from tests.intake.test_transfer_received import FACTS, sealed
from tests.kit import HOME, told
from tests.peers import keeper
from tests.postgres import asking, migrate, serving, set_up

pytestmark = pytest.mark.postgres

PERSON = {"identity": {"given_name": {"value": "Милица"}}}


async def test_the_service_erases_and_no_caller_can(
    postgres_urls: PostgresUrls, tmp_path: Path, november: None
) -> None:
    """Seeded: leave DELETE out of RIGHTS; the policy `erasers` out of the migration, or true."""
    logins = set_up(postgres_urls, tmp_path / "logins")["intake"]
    migrate("intake", logins)
    async with serving("intake", tmp_path, logins.application) as kit:
        keeper("RS").settle_in(kit.runtime)
        package = sealed(FACTS | PERSON, to=keeper("RS"), sender="XK", recipient="RS")
        fields = {"sender_country": "XK", "organisation_id": HOME}
        withdrawn = CrossBorderChanged(
            referral_id=REFERRAL,
            direction="RECEIVED",
            peer_country="XK",
            urgency="HIGH",
            status="CONSENT_WITHDRAWN",
            on=TODAY,
        )
        first, second = told("referral", REFERRAL, received(package, **fields), withdrawn)
        with asking(SERVICE):
            assert await kit.hear(first) == ["applied"]
            [case] = await kit.rows(select(Case))
        with asking(Caller(HOME, "all")):
            unit = unit_of(kit.runtime.database, source="/RS/intake", operation="test")
            await unit.shred(case.id)
            with pytest.raises(StaleError):
                await kit.runtime.database.write(unit)
        with asking(SERVICE):
            assert len(await kit.rows(select(SubjectKey))) == 1

            assert await kit.hear(second) == ["applied"]

            assert await kit.rows(select(SubjectKey)) == []
            assert await kit.rows(select(CaseIdentity)) == []
            [erased] = await kit.rows(select(Case))
        assert (erased.erased_on, erased.birth_date) == (TODAY, None)
