"""What of a case's consents its receiver reads in the change feed: never more than by GET."""

from datetime import date
from uuid import UUID

from common.contracts.referral import EVENT_BY_STATUS
from tests.conftest import fixed_id
from tests.intake.bodies import CASE, SHELTER, consent, opened, referred, sharing
from tests.kit import HOME, Kit
from tests.kit import told as tell

URL = f"/v1/cases/{CASE}/consents"


async def told(kit: Kit, role: str = "SHELTER_STAFF", organisation_id: UUID = SHELTER) -> list[str]:
    events = await kit.feed(kit.caller(role, organisation_id, "staff-1"))
    return [event.type.split(".")[2] for event in events]


async def hear(kit: Kit, status: str, seq: int) -> None:
    """Let the service hear of the next step of the referral."""
    step = EVENT_BY_STATUS[status](
        referral_id=fixed_id(5),
        case_id=CASE,
        sending_organisation_id=fixed_id(6),
        receiving_organisation_id=SHELTER,
        service_type="SHELTER",
        urgency="NORMAL",
        status=status,
        on=date(2026, 11, 22),
    )
    assert await kit.hear(*tell("referral", fixed_id(5), step, first_seq=seq)) == ["applied"]


async def test_a_receiver_is_told_of_consents_that_name_it_while_it_has_the_case(kit: Kit) -> None:
    """Seeded: tell it from the grant on, before it knows the case; tell it of every consent."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await caller.post(URL, json=sharing())
    await referred(kit, status="ACKNOWLEDGED")
    await caller.post(URL, json=sharing())
    early = await told(kit)
    await hear(kit, "ACCEPTED", 4)
    await caller.post(URL, json=consent())
    granted = await caller.post(URL, json=sharing())

    during = await told(kit)
    await caller.post(f"{granted.headers['Location']}/withdraw", json={})

    assert (early, during) == ([], ["consent_granted"])
    assert await told(kit) == ["consent_granted", "consent_withdrawn"]
    assert await told(kit, "VICTIM_ADVOCATE") == []  # may read no consents by GET either


async def test_whoever_lost_the_case_keeps_of_a_consent_that_it_was_withdrawn(kit: Kit) -> None:
    """Seeded: leave what was agreed to in the feed of who may not read it any more."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await referred(kit)
    granted = await caller.post(URL, json=sharing())
    await caller.post(f"{granted.headers['Location']}/withdraw", json={})
    await hear(kit, "CANCELLED", 5)

    gone = await kit.caller("SHELTER_STAFF", SHELTER, "staff-1").get(URL)

    assert gone.status_code == 404
    assert await told(kit) == ["consent_withdrawn"]
    # Its owner keeps all of it.
    assert await told(kit, "SOCIAL_WORKER", HOME) == [
        "opened",
        "consent_granted",
        "consent_withdrawn",
    ]
