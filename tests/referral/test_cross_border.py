"""The way of a person from one country to another, on the real parts of both (F36, F37)."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from common.contracts.referral import CrossBorderChanged, OwnershipHeard, PackageReceived
from common.federation.custody import verify
from common.federation.mail import topic_to
from referral.schemas.letters import Offer
from tests.federation.countries import directory_of
from tests.kit import ELSEWHERE, HOME
from tests.referral.crossing import REFUGE, URL, Crossing, a_package, open_crossing, plan, released
from tests.referral.story import NOW, TODAY, Case, now_is, opened


@pytest.fixture
async def crossing(tmp_path: Path) -> AsyncIterator[Crossing]:
    now_is(NOW)
    async with open_crossing(tmp_path) as both_open:
        yield both_open


async def both(crossing: Crossing, referral_id: UUID) -> tuple[str | None, str | None]:
    return await crossing.s.status(referral_id), await crossing.r.status(referral_id)


@pytest.mark.row("F36")
async def test_a_person_goes_the_whole_way_and_ends_in_one_country(crossing: Crossing) -> None:
    case, _ = await crossing.ready()

    referral_id = await crossing.handed_over(case)

    assert await both(crossing, referral_id) == ("HANDED_OVER", "HANDED_OVER")
    assert (await crossing.s.dead(), await crossing.r.dead()) == ([], [])
    told = await crossing.s.told(referral_id, CrossBorderChanged)
    steps = ["DRAFT", "SUBMITTED", "ACKNOWLEDGED", "ACCEPTED", "ACCEPTED"]
    journey = ["TRANSFER_PLANNED", "IN_TRANSFER", "ARRIVED", "HANDED_OVER"]
    assert [each.status for each in told] == [*steps, *journey]
    accepted = told[3]
    assert accepted.recipient_organisation_id == REFUGE
    assert (accepted.recipient_kind, accepted.purpose) == ("SHELTER", "ASSISTANCE")
    assert accepted.data_groups == ("IDENTITY", "HEALTH")
    heard_here = await crossing.s.told(referral_id, OwnershipHeard)
    heard_there = await crossing.r.told(referral_id, OwnershipHeard)
    assert [(h.word, h.epoch, h.organisation_id) for h in heard_here] == [("TAKEN", 2, HOME)]
    assert [(h.word, h.epoch, h.organisation_id) for h in heard_there] == [("GIVEN", 2, REFUGE)]
    [came] = await crossing.r.told(referral_id, PackageReceived)
    assert came.package == a_package()
    assert (came.sender_country, came.organisation_id) == ("RS", REFUGE)
    assert (came.purpose, came.data_groups) == ("ASSISTANCE", ("IDENTITY", "HEALTH"))
    theirs = await crossing.r.row(referral_id)
    assert (theirs.case_id, theirs.arrived_on) == (crossing.cases[referral_id].id, TODAY)


@pytest.mark.row("F41")
async def test_both_chains_of_custody_hold_at_the_end(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.handed_over(case)

    here = await crossing.s.custody(referral_id)
    there = await crossing.r.custody(referral_id)

    directory = directory_of(crossing.s.land, crossing.r.land)
    links = {"RS": 5, "XK": 4}
    assert verify(here, directory.signer) == links
    assert verify(there, directory.signer) == links
    assert all(letter.heard_at for letter in await crossing.s.letters(referral_id))
    assert all(letter.heard_at for letter in await crossing.r.letters(referral_id))


@pytest.mark.row("F37")
def test_an_offer_has_five_members_and_no_room_for_more() -> None:
    schema = Offer.model_json_schema()

    assert set(schema["properties"]) == {"age_group", "sex", "needs", "languages", "urgency"}
    assert set(schema["required"]) == set(schema["properties"])
    # What somebody would say besides is neither written nor kept of what was read.
    five = {"age_group": "35+", "sex": "MALE", "needs": ["SHELTER"], "languages": []}
    said = Offer.model_validate({**five, "urgency": "LOW", "name": "Ana"})
    assert said.model_dump().keys() == schema["properties"].keys()


@pytest.mark.row("F37")
async def test_before_it_acknowledges_the_receiver_sees_a_header(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.sent(case)

    read = await crossing.r.see(referral_id)
    listed = (await crossing.r.caller("NATIONAL_COORDINATOR").get(URL)).json()["items"]

    header = {
        "peer_country": "RS",
        "urgency": "HIGH",
        "age_group": "25-34",
        "direction": "RECEIVED",
    }
    assert header.items() <= read.items()
    assert listed == [read]
    shown = {name for name, value in read.items() if value not in (None, [])}
    state = {"id", "version", "status", "submitted_at", "respond_by"}
    assert shown == {*header, *state}

    await crossing.r.do(referral_id, "acknowledge")

    offer = {"sex": "FEMALE", "languages": ["sq"], "needs": ["SHELTER", "COUNSELLING_INFORMATION"]}
    assert offer.items() <= (await crossing.r.see(referral_id)).items()


@pytest.mark.row("F37")
async def test_no_word_of_the_sender_s_preparation_leaves_the_country(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)

    theirs = await crossing.r.row(referral_id)

    for name in ("case_id", "purpose", "trm_stage", "transfer_basis", "risk_assessed_on"):
        assert getattr(theirs, name) is None, name
    assert (theirs.data_groups, theirs.consent_ids) == ([], [])
    assert str(case.id).encode() not in crossing.r.kit.stored_bytes()


async def test_the_hub_reads_no_word_of_it(crossing: Crossing) -> None:
    # Fails when a letter is published unsealed, or its referral's facts are put in the envelope.
    case, _ = await crossing.ready()

    referral_id = await crossing.packaged(case)

    log = crossing.log.read_bytes()
    for word in ("25-34", "FEMALE", "SHELTER", "COUNSELLING", "offer", "accepted", str(case.id)):
        assert word.encode() not in log, word
    assert a_package().encode() not in log
    assert str(referral_id).encode() not in log
    with closing(sqlite3.connect(crossing.log)) as hub:
        keys = 'SELECT key FROM record WHERE topic = ? ORDER BY "offset"'
        first, *others = [key for (key,) in hub.execute(keys, (topic_to(crossing.r.code),))]
    assert first in others  # by which a referral's letters keep their order


async def test_only_those_on_its_sides_and_who_oversees_see_it(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    draft_id = await crossing.drafted(case)
    s, r = crossing.s, crossing.r

    for hidden in (
        s.caller("SOCIAL_WORKER", ELSEWHERE),
        s.caller("NATIONAL_CONTACT_POINT", ELSEWHERE),
    ):
        assert (await hidden.get(f"{URL}/{draft_id}")).status_code == 404
        assert (await hidden.get(URL)).json()["items"] == []

    referral_id = await crossing.packaged(case)

    assert (await s.see(referral_id))["case_id"] is None
    assert (await s.see(referral_id))["risk_assessed_on"] is None
    assert (await s.see(referral_id))["needs"] == ["SHELTER", "COUNSELLING_INFORMATION"]
    own = await s.see(referral_id, s.caller("SOCIAL_WORKER", HOME))
    assert (own["case_id"], own["risk_assessed_on"]) == (str(case.id), "2026-04-20")
    taking = await r.see(referral_id, r.caller("SHELTER_STAFF", REFUGE))
    assert taking["case_id"] == str(crossing.cases[referral_id].id)
    assert (await r.see(referral_id))["case_id"] is None
    other = r.caller("SHELTER_STAFF", ELSEWHERE)
    assert (await other.get(f"{URL}/{referral_id}")).status_code == 404
    by_case = await r.caller("SHELTER_STAFF", REFUGE).get(
        URL, params={"case_id": taking["case_id"]}
    )
    assert [item["id"] for item in by_case.json()["items"]] == [str(referral_id)]


async def test_steps_belong_to_their_country_and_their_side(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.sent(case)
    s, r = crossing.s, crossing.r

    others = await s.step(referral_id, "acknowledge")
    early = await r.step(referral_id, "accept", {"organisation_id": str(REFUGE)})
    mine = await r.step(referral_id, "cancel", {"reason": "OTHER"})
    again = await s.step(referral_id, "submit")
    soon = await s.step(referral_id, "plan-transfer", plan())

    assert (others.status_code, others.json()["code"]) == (403, "cross_border.other_country")
    assert (early.status_code, early.json()["code"]) == (409, "referral.illegal_step")
    assert early.json()["legal"] == ["acknowledge"]
    assert mine.status_code == 404  # a sender's worker of that country has no part in it
    assert (again.status_code, again.json()["code"]) == (409, "referral.illegal_step")
    assert (soon.status_code, soon.json()["code"]) == (409, "referral.illegal_step")


async def test_only_an_organisation_of_the_country_takes_the_person_in(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)

    answer = await crossing.r.step(referral_id, "accept", {"organisation_id": str(ELSEWHERE)})

    assert (answer.status_code, answer.json()["code"]) == (422, "referral.organisation_unknown")
    assert await crossing.r.status(referral_id) == "ACKNOWLEDGED"


async def test_a_returned_referral_is_sent_again_with_what_changed(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    await crossing.r.do(referral_id, "return", {"reason": "NEEDS_UNCLEAR"})
    await crossing.post()
    assert (await crossing.s.see(referral_id))["reason"] == "NEEDS_UNCLEAR"

    await crossing.s.do(referral_id, "resubmit", {"needs": ["LEGAL_AID"], "urgency": "CRISIS"})
    await crossing.post()

    assert await both(crossing, referral_id) == ("SUBMITTED", "SUBMITTED")
    theirs = await crossing.r.row(referral_id)
    assert (theirs.needs, theirs.urgency) == (["LEGAL_AID"], "CRISIS")
    await crossing.r.do(referral_id, "acknowledge")
    await crossing.post()
    assert await both(crossing, referral_id) == ("ACKNOWLEDGED", "ACKNOWLEDGED")


async def test_nothing_is_released_to_a_referral_that_was_called_off(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.accepted(case)
    await crossing.s.do(referral_id, "cancel", {"reason": "PERSON_DECLINED"})

    await case.tell(crossing.s.kit, released(case, referral_id))
    await crossing.post()

    kinds = [letter.kind for letter in await crossing.s.letters(referral_id)]
    assert kinds == ["offer", "cancelled"]
    assert await both(crossing, referral_id) == ("CLOSED", "CANCELLED")


async def test_what_is_released_of_another_case_does_not_leave_by_this_referral(
    crossing: Crossing,
) -> None:
    # Fails when the referral that a package names is not asked whose it is: another person's data go
    # abroad, and under a consent that is not hers.
    case, _ = await crossing.ready()
    referral_id = await crossing.accepted(case)
    other = Case()
    await other.tell(crossing.s.kit, opened(other.id, country=crossing.s.code))

    await other.tell(crossing.s.kit, released(other, referral_id))
    await crossing.post()

    assert [letter.kind for letter in await crossing.s.letters(referral_id)] == ["offer"]
    assert (await crossing.s.row(referral_id)).packaged_at is None


async def test_every_step_is_in_the_audit_trail_and_so_is_what_left(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.accepted(case)

    written = await crossing.s.kit.audit(object_type="cross_border_referral")
    sent = await crossing.s.kit.audit(action="send")

    steps = [entry.operation for entry in written if entry.action in {"create", "update"}]
    assert steps[:2] == ["draft_cross_border_referral", "submit_cross_border_referral"]
    assert all(str(referral_id) in entry.object_ids for entry in written if entry.action != "list")
    assert [(entry.subject, entry.purpose) for entry in sent] == [(case.id, "ASSISTANCE")]
