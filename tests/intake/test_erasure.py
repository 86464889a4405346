"""What came from another country is erased when the person does not come with it (F41, step 6)."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common.clock import utcnow
from common.columns import Sealed
from common.contracts.intake import CaseErased, CaseOwnershipSaid
from common.contracts.referral import OwnershipHeard
from common.db.base import unit_of
from common.sealing import SealError, SubjectKeyRing
from common.tables import OutboxMessage, SubjectKey
from intake.commands.erasure import erase_case
from intake.commands.sealing import open_identity
from intake.models import (
    Case,
    CaseIdentity,
    CaseMarker,
    CaseMarkerEnd,
    CaseOrigin,
    Declaration,
    IdentificationDecision,
)
from intake.queries.case import load_case
from tests.conftest import fixed_id
from tests.intake.bodies import CASE, decision, version
from tests.intake.crossing import (
    REFERRAL,
    THERE,
    TODAY,
    Crossing,
    Side,
    changed,
    code,
    crossed,
    received,
    step,
)
from tests.intake.test_canaries import found_in
from tests.intake.test_routes_declarations import agreed as agreeing
from tests.intake.test_routes_declarations import declared
from tests.intake.test_transfer_received import FACTS, sealed

ENDS = ["CANCELLED", "CONSENT_WITHDRAWN", "DECLINED", "EXPIRED", "FAILED"]


async def key_of(side: Side, case_id: UUID) -> Any:
    rows = await side.kit.rows(select(SubjectKey).where(SubjectKey.subject == case_id))
    return rows[0] if rows else None


@pytest.mark.row("F41")
@pytest.mark.parametrize("status", ENDS)
async def test_when_the_referral_ends_so_does_what_was_known_of_her(
    crossing: Crossing, status: str
) -> None:
    """Seeded: keep the key; null nothing; erase the sender's case too."""
    here, there = crossing.here, crossing.there
    await crossed(crossing, "IN_TRANSFER")
    case = await there.case()
    path = f"/v1/cases/{case.id}"
    for side in (here, there):
        await side.reach(status)

    gone = await there.case()
    shown = (await there.worker.get(path)).json()
    [told] = [e for e in await there.kit.events(case.id) if e.type == CaseErased.type]

    assert await key_of(there, case.id) is None
    assert await there.kit.rows(select(CaseIdentity)) == []
    assert (gone.birth_date, gone.note, gone.has_identity) == (None, None, False)
    assert (gone.citizenships, gone.languages, gone.erased_on) == ([], [], TODAY)
    assert (shown["status"], shown["erased_on"]) == ("CLOSED", "2026-11-22")
    assert (shown["sex"], shown["ownership"]) == ("FEMALE", {"holding": "NONE", "epoch": 0})
    assert (await there.worker.get(f"{path}/identity?purpose=ASSISTANCE")).status_code == 404
    assert (told.data["reason"], told.data["referral_id"]) == (status, str(REFERRAL))
    [origin] = await there.kit.rows(select(CaseOrigin))
    assert (origin.exploitation_types, origin.unmapped) == ([], {})
    # The feed keeps the last word alone, as for whoever keeps only the fact and the date.
    assert [e.type for e in await there.kit.feed(there.worker)] == [CaseErased.type]
    # In the country she is in nothing changes.
    assert (await key_of(here, CASE)) is not None
    assert (await here.case()).erased_on is None


async def test_what_was_sealed_opens_no_more_with_anything_this_service_still_has(
    small: Crossing,
) -> None:
    """Without the row of its key nothing opens, in a process that knew it as in a new one.

    What somebody copied before does, with the old row and the master key: so do backups, until they
    are gone. Not shown here: the sealed package itself stays in the archives it travelled through.

    Seeded: let the key stay in the ring under its id; delete the columns but not the key.
    """
    there = small.there
    await crossed(small, "IN_TRANSFER")
    case, key = await there.case(), await key_of(there, (await there.case()).id)
    database = there.kit.runtime.database
    [copied] = await there.kit.rows(select(CaseIdentity))
    assert await unit_of(database, source="", operation="test").box(case.id) is not None
    assert key.wrapped in there.kit.stored_bytes()
    assert copied.given_name.box in there.kit.stored_bytes()
    await there.reach("CONSENT_WITHDRAWN")

    unit = unit_of(database, source="", operation="test")
    assert await unit.box(case.id) is None
    with pytest.raises(SealError):  # the ring remembers no key that it would give for any words
        database.keys.unwrap(key.id, b"\0" * len(key.wrapped))
    remade = unit_of(database, source="", operation="test")
    other = await remade.new_box(case.id)
    with pytest.raises(SealError):
        open_identity(other, copied, ["given_name"])
    # The canary does not stand in clear in any file, nor does the wrapped key, freed pages included.
    stored = there.kit.stored_bytes()
    assert found_in(stored) == []
    assert key.wrapped not in stored
    assert copied.given_name.box not in stored
    # With a copy of the row from before, as a backup has one, the copied column opens: honest limit.
    restored = SubjectKeyRing(there.kit.runtime.master, "intake").unwrap(key.id, key.wrapped)
    assert open_identity(restored, copied, ["given_name"])["given_name"]["value"] == "Милица"


async def test_codes_that_nobody_here_knows_go_as_well(small: Crossing) -> None:
    # Fails when they stay: of a local code only the country that made it knows what it tells of her.
    there = small.there
    await there.reach("ACCEPTED")
    assert await there.hear(received(sealed(FACTS | {"sex": "X_LOCAL"}))) == ["applied"]
    [before] = await there.kit.rows(select(CaseOrigin))
    assert before.unmapped != {}

    await there.reach("CONSENT_WITHDRAWN")

    [origin] = await there.kit.rows(select(CaseOrigin))
    assert (origin.exploitation_types, origin.unmapped) == ([], {})


async def test_whoever_took_the_case_over_keeps_it(crossing: Crossing) -> None:
    """After HANDED_OVER a withdrawal in the other country changes nothing here.

    Seeded: erase whatever the ownership.
    """
    here, there = crossing.here, crossing.there
    await crossed(crossing)
    await step(here, "give", epoch=1)
    await crossing.carry_words()

    await there.reach("CONSENT_WITHDRAWN")

    case = await there.case()
    assert (case.erased_on, await key_of(there, case.id) is None) == (None, False)


async def test_an_offer_that_comes_after_the_erasure_is_refused(crossing: Crossing) -> None:
    """The withdrawal and the handover cross each other on the way: she is the giver's again.

    Seeded: take what was erased; pass the offer over, and nobody ever edits the case again.
    """
    here, there = crossing.here, crossing.there
    await crossed(crossing)
    await step(here, "give", epoch=1)
    await there.reach("CONSENT_WITHDRAWN")

    await crossing.carry_words()

    assert await crossing.holdings() == (("OWNER", 3), ("NONE", 0))
    assert (await there.case()).refused == 2


async def test_what_was_erased_is_refused_whatever_is_told_of_its_referral_later(
    crossing: Crossing,
) -> None:
    # Fails when only the referral's present status is asked: one whose register was put back from a
    # backup of before its end would let this country take a case of which nothing is left.
    here, there = crossing.here, crossing.there
    await crossed(crossing)
    await step(here, "give", epoch=1)
    await there.reach("CONSENT_WITHDRAWN")
    await there.reach("ACCEPTED")

    await crossing.carry_words()

    assert await crossing.holdings() == (("OWNER", 3), ("NONE", 0))


async def test_an_erased_case_takes_no_package_and_no_change(small: Crossing) -> None:
    there = small.there
    await crossed(small, "IN_TRANSFER")
    await there.reach("CANCELLED")
    await there.reach("ACCEPTED")  # no country says so; if it did, it would open nothing again
    before = await there.case()

    assert await there.hear(received(sealed(FACTS))) == ["applied"]

    assert (await there.case()).version == before.version
    edited = await there.worker.patch(
        f"/v1/cases/{before.id}",
        json={"urgency": "LOW"},
        headers={"If-Match": f'"{before.version}"'},
    )
    assert code(edited) == (409, "ownership.not_here")


async def test_it_is_erased_once_and_told_once(small: Crossing) -> None:
    there = small.there
    await crossed(small, "IN_TRANSFER")
    await there.reach("CANCELLED")
    await there.reach("CANCELLED")

    assert [e.type for e in await there.kit.events()].count(CaseErased.type) == 1


async def test_a_referral_that_ends_before_anything_came_erases_nothing(
    crossing: Crossing,
) -> None:
    await crossing.there.reach("CONSENT_WITHDRAWN")

    assert await crossing.there.kit.rows(select(Case)) == []
    offer = OwnershipHeard(referral_id=REFERRAL, organisation_id=THERE, word="TAKEN", epoch=2)
    assert await crossing.there.hear(offer) == ["applied"]
    assert await crossing.there.said(CaseOwnershipSaid) == []


async def test_everything_a_case_can_hold_is_erased_with_it(crossing: Crossing) -> None:
    """Of a whole case of our own: markers, declarations, notes. Seeded: forget one of the tables."""
    side = crossing.here
    await crossed(crossing, "IN_TRANSFER")
    caller, kit = side.worker, side.kit
    path = f"/v1/cases/{CASE}"
    await agreeing(caller)
    await declared(caller)
    for marker, until in (("LONE_PARENT", None), ("UNDOCUMENTED", "2026-02-01")):
        body = {"id": str(fixed_id(len(marker))), "marker": marker, "since": "2026-01-01"}
        more = {"until": until} if until else {}
        assert (await caller.post(f"{path}/markers", json=body | more)).status_code == 201
    note = {"note": "Тајна белешка"}
    await caller.patch(path, json=note, headers=await version(caller))
    decided = decision("SCREENING") | note
    desk = kit.caller("IDENTIFICATION_OFFICER")
    answer = await desk.post(f"{path}/identification", json=decided, headers=await version(caller))
    assert answer.is_success, answer.text
    unit = unit_of(kit.runtime.database, source="/RS/intake", operation="test")
    case = await load_case(unit, CASE)
    assert case is not None

    await erase_case(unit, case, reason="CONSENT_WITHDRAWN", on=TODAY)
    await kit.runtime.database.write(unit)

    for model in (CaseIdentity, CaseMarker, CaseMarkerEnd, Declaration):
        assert await kit.rows(select(model)) == [], model
    [step_] = await kit.rows(select(IdentificationDecision))
    assert (step_.note, str(step_.status)) == (None, "SCREENING")
    assert await key_of(side, CASE) is None
    assert _sealed_columns(await side.case()) == []
    [entry] = await kit.audit(action="erase")
    assert (entry.object_ids, entry.subject, entry.actor) == ([str(CASE)], CASE, "system")
    readers = await kit.rows(select(OutboxMessage).where(OutboxMessage.subject == CASE))
    assert [row.type for row in readers if row.organisation_id] == [CaseErased.type]
    history = (await caller.get(f"{path}/identification")).json()["items"]
    assert [each["note"] for each in history] == [None]


def _sealed_columns(row: Any) -> list[str]:
    return [
        name
        for name in (c.key for c in Case.__table__.columns)
        if isinstance(getattr(row, name), Sealed)
    ]


async def test_a_case_that_was_handed_on_is_not_erased_by_the_first_referrals_end(
    small: Crossing,
) -> None:
    """Seeded: ask whether it is OWNER here now, and not whether it ever was."""
    here, there = small.here, small.there
    await crossed(small)
    await step(here, "give", epoch=1)
    await small.carry_words()
    unit = unit_of(there.kit.runtime.database, source="/XK/intake", operation="test")
    unit.update(Case, {}, holding="NONE", epoch=3, updated_at=utcnow())
    await there.kit.runtime.database.write(unit)

    assert await there.hear(changed("FAILED", "RECEIVED")) == ["applied"]

    assert (await there.case()).erased_on is None
