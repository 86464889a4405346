"""A case goes to another country: released, given, taken; and whatever keeps it from going."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from common.contracts.intake import CaseOpened, CaseOwnershipSaid, CasePackageReleased
from intake.models import CaseOrigin, PackageRelease
from tests.conftest import fixed_id
from tests.intake.bodies import CASE, PERSON, consent
from tests.intake.crossing import (
    GROUPS,
    REFERRAL,
    THERE,
    Crossing,
    agreed,
    changed,
    code,
    crossed,
    known,
    step,
)
from tests.intake.test_canaries import found_in
from tests.kit import ELSEWHERE, if_match
from tests.peers import keeper


@pytest.mark.row("F36", "F38", "C1")
async def test_a_case_goes_over_and_is_edited_on_one_side_at_each_moment(
    crossing: Crossing,
) -> None:
    """Seeded: let the giver edit until it is answered; open the received case as OWNER."""
    here, there = crossing.here, crossing.there
    await crossed(crossing)
    case = await there.case()
    moments = []

    async def editors() -> list[str]:
        found = []
        for name, side, id_ in (("here", here, CASE), ("there", there, case.id)):
            shown = await side.worker.get(f"/v1/cases/{id_}")
            edited = await side.worker.patch(
                f"/v1/cases/{id_}", json={"urgency": "HIGH"}, headers=if_match(shown)
            )
            assert code(edited) in {(200, ""), (409, "ownership.not_here")}
            found += [name] if edited.is_success else []
        return found

    moments.append(await editors())
    given = await step(here, "give", epoch=1)
    moments.append(await editors())
    await crossing.carry_words()
    moments.append(await editors())

    assert given.json()["ownership"] == {"holding": "GIVING", "epoch": 2}
    assert moments == [["here"], [], ["there"]]
    assert await crossing.holdings() == (("NONE", 2), ("OWNER", 2))
    words = [
        [e.data["word"] for e in await side.kit.events() if e.type == CaseOwnershipSaid.type]
        for side in (here, there)
    ]
    assert words == [["GIVEN"], ["TAKEN"]]
    shown = await here.worker.get(f"/v1/cases/{CASE}")
    assert shown.json()["ownership"] == {"holding": "NONE", "epoch": 2}


@pytest.mark.row("F37")
async def test_what_arrives_is_who_she_is_and_nothing_else_of_her_is_on_the_way(
    crossing: Crossing,
) -> None:
    """Seeded: put the document into the event unsealed; leave out the identity; send the note."""
    here, there = crossing.here, crossing.there
    await crossed(crossing)
    case = await there.case()
    path = f"/v1/cases/{case.id}"

    identity = (await there.worker.get(f"{path}/identity?purpose=ASSISTANCE")).json()
    shown = (await there.worker.get(path)).json()
    origin = (await there.worker.get(f"{path}/origin")).json()

    theirs = (await here.worker.get(f"/v1/cases/{CASE}/identity?purpose=ASSISTANCE")).json()
    assert [identity[name] for name in PERSON] == [theirs[name] for name in PERSON]
    assert (shown["sex"], shown["languages"], shown["citizenships"]) == (
        "FEMALE",
        ["sr-Cyrl"],
        ["RS"],
    )
    assert shown["organisation_id"] == str(THERE)
    assert shown["ownership"] == {"holding": "NONE", "epoch": 0}
    assert origin["referral_id"] == str(REFERRAL)
    assert origin["unmapped"] == []
    [told] = [e for e in await there.kit.events() if e.type == CaseOpened.type]
    assert (told.data["referral_id"], told.data["country"]) == (str(REFERRAL), "XK")
    for side in (here, there):
        assert [e.type for e in await side.kit.events() if found_in(e.to_bytes())] == []
        assert found_in(repr(await side.kit.audit()).encode()) == []
        assert found_in(side.kit.stored_bytes()) == []


async def test_the_release_is_kept_and_in_the_trail_before_anything_leaves(
    crossing: Crossing,
) -> None:
    """Seeded: drop `_enter`."""
    await crossed(crossing)

    [kept] = await crossing.here.kit.rows(select(PackageRelease))
    [entry] = await crossing.here.kit.audit(object_type="package_release")

    assert (kept.case_id, kept.referral_id, kept.recipient_country) == (CASE, REFERRAL, "XK")
    assert entry.object_ids == [str(kept.id), str(REFERRAL)]
    assert (entry.subject, entry.purpose, entry.legal_basis) == (CASE, "ASSISTANCE", "CONSENT")
    assert entry.data_groups == sorted(GROUPS)


@pytest.mark.parametrize(
    ("status", "may_go"),
    [
        *((status, True) for status in ("ACCEPTED", "TRANSFER_PLANNED", "IN_TRANSFER", "ARRIVED")),
        *(
            (status, False)
            for status in ("DRAFT", "SUBMITTED", "ACKNOWLEDGED", "RETURNED_FOR_INFO", "DECLINED")
        ),
        *(
            (status, False)
            for status in ("CANCELLED", "EXPIRED", "CONSENT_WITHDRAWN", "FAILED", "HANDED_OVER")
        ),
    ],
)
async def test_nothing_leaves_before_the_acceptance_or_after_the_end(
    *, small: Crossing, status: str, may_go: bool
) -> None:
    """Written from domain.md section 4. Seeded: release at ACKNOWLEDGED."""
    await known(small.here)
    await agreed(small.here)
    await small.here.reach(status)

    answer = await step(small.here, "release")

    assert code(answer) == ((200, "") if may_go else (409, "transfer.not_open"))
    assert len(await small.here.said(CasePackageReleased)) == int(may_go)


@pytest.mark.parametrize(
    "other",
    [
        {"recipient_organisation_id": str(fixed_id(77))},
        {"recipient_countries": ["AL"]},
        {"purposes": ["LEGAL_PROCEEDINGS"]},
        {"data_groups": ["IDENTITY"]},
        {"granted_on": "2026-01-02", "expires_on": "2026-11-21"},
        {"recipient_organisation_id": None, "recipient_kinds": ["NGO"]},
    ],
)
async def test_a_consent_that_names_something_else_opens_nothing(
    small: Crossing, other: dict[str, Any]
) -> None:
    """F10. Seeded: leave any of the limits out of the disclosure."""
    await known(small.here)
    await agreed(small.here, **other)
    await small.here.reach("ACCEPTED")

    answer = await step(small.here, "release")

    assert code(answer) == (403, "consent.missing")
    assert await small.here.said(CasePackageReleased) == []
    assert await small.here.kit.rows(select(PackageRelease)) == []


async def test_a_consent_for_all_of_the_recipients_kind_opens_what_it_names(
    small: Crossing,
) -> None:
    await known(small.here)
    await agreed(small.here, recipient_organisation_id=None, recipient_kinds=["SHELTER"])
    await small.here.reach("ACCEPTED")

    assert (await step(small.here, "release")).status_code == 200


async def test_after_a_withdrawal_nothing_more_leaves(small: Crossing) -> None:
    await known(small.here)
    granted = await agreed(small.here)
    await small.here.reach("ACCEPTED")
    assert (await step(small.here, "release")).status_code == 200
    await small.here.worker.post(f"{granted.headers['Location']}/withdraw", json={})

    assert code(await step(small.here, "release")) == (403, "consent.missing")


async def test_only_the_consented_groups_leave(small: Crossing) -> None:
    """Seeded: open all fields of an identity whatever the groups."""
    await known(small.here)
    await agreed(small.here, data_groups=["IDENTITY"])
    for side in (small.here, small.there):
        await side.reach("ACCEPTED", data_groups=("IDENTITY",))
    assert (await step(small.here, "release")).status_code == 200
    assert await small.carry_packages(data_groups=("IDENTITY",)) == ["applied"]
    case = await small.there.case()

    url = f"/v1/cases/{case.id}/identity?purpose=ASSISTANCE"
    identity = (await small.there.worker.get(url)).json()

    assert identity["given_name"]["value"] == "Милица"
    assert [identity[name] for name in ("address", "phones", "email")] == [None, [], None]


async def test_the_largest_identity_that_can_be_written_down_goes_over_whole(
    small: Crossing,
) -> None:
    """Seeded: a longer address in IdentityWrite; the release would be a 500."""
    letter = "𐌰"  # four bytes
    name = {"value": letter * 200}
    paper = {"kind": "BIRTH_CERTIFICATE", "number": letter * 40, "country": "XK"}
    largest: dict[str, Any] = {
        "given_name": name,
        "family_name": name,
        "other_names": [name] * 20,
        "birth_date": "1985-05-06%/1990-12-31%",
        "birth_place": letter * 200,
        "address": letter * 10_000,
        "phones": ["+" + "3" * 15] * 10,
        "email": "a" * 242 + "@example.org",
        "documents": [paper] * 20,
    }
    await known(small.here)
    await agreed(small.here)
    shown = await small.here.worker.get(f"/v1/cases/{CASE}")
    url = f"/v1/cases/{CASE}/identity"
    written = await small.here.worker.put(url, json=largest, headers=if_match(shown))
    assert written.status_code == 200, written.text
    for side in (small.here, small.there):
        await side.reach("ACCEPTED")

    assert (await step(small.here, "release")).status_code == 200
    assert await small.carry_packages() == ["applied"]

    path = f"/v1/cases/{(await small.there.case()).id}/identity?purpose=ASSISTANCE"
    identity = (await small.there.worker.get(path)).json()
    assert [identity["address"], identity["documents"]] == [letter * 10_000, [paper] * 20]


async def test_a_country_nobody_exchanges_with_is_sent_nothing(small: Crossing) -> None:
    await known(small.here)
    await agreed(small.here, recipient_countries=["AL"])
    await small.here.reach("ACCEPTED", peer_country="AL")

    assert code(await step(small.here, "release")) == (409, "peer.unknown")


async def test_a_country_without_a_valid_key_is_sent_nothing(small: Crossing) -> None:
    await known(small.here)
    await agreed(small.here)
    await small.here.reach("ACCEPTED")
    folder = small.here.kit.runtime.settings.peers_folder
    assert folder is not None
    bare = keeper("XK").descriptor.model_copy(update={"entries": ()})
    (folder / "XK.json").write_bytes(bare.to_bytes())

    assert code(await step(small.here, "release")) == (409, "peer.no_key")


@pytest.mark.parametrize("verb", ["release", "give", "recall"])
async def test_a_referral_of_another_case_or_of_nobody_is_unknown(
    small: Crossing, verb: str
) -> None:
    """Seeded: take any referral that is known."""
    await known(small.here)
    await agreed(small.here)
    more: dict[str, Any] = {"epoch": 1} if verb == "give" else {}
    absent = await step(small.here, verb, **more)
    await small.here.reach("ACCEPTED", case_id=fixed_id(44))
    foreign = await step(small.here, verb, **more)
    await small.here.hear(changed("ACCEPTED", "RECEIVED", case_id=CASE))
    received = await step(small.here, verb, **more)

    assert {code(each) for each in (absent, foreign, received)} == {(422, "reference.unknown")}


async def test_a_case_is_given_under_its_epoch_after_arrival_and_release(small: Crossing) -> None:
    """F38. Seeded: give without the epoch; before ARRIVED; with nothing to take."""
    await known(small.here)
    await agreed(small.here)
    await small.here.reach("ARRIVED")
    unreleased = await step(small.here, "give", epoch=1)
    await step(small.here, "release")
    stale = await step(small.here, "give", epoch=2)
    await small.here.reach("IN_TRANSFER")
    early = await step(small.here, "give", epoch=1)
    await small.here.reach("ARRIVED")
    nothing_to_recall = await step(small.here, "recall")
    given = await step(small.here, "give", epoch=1)
    again = await step(small.here, "give", epoch=2)

    assert [code(each) for each in (unreleased, stale, early)] == [
        (409, "package.not_released"),
        (409, "ownership.stale_epoch"),
        (409, "transfer.not_arrived"),
    ]
    assert code(nothing_to_recall) == (409, "ownership.not_given")
    assert given.status_code == 200
    assert code(again) == (409, "ownership.not_here")


@pytest.mark.parametrize("verb", ["release", "give", "recall"])
async def test_who_may_not_edit_the_case_lets_nothing_go(small: Crossing, verb: str) -> None:
    await crossed(small)
    body = {"referral_id": str(REFERRAL)} | ({"epoch": 1} if verb == "give" else {})
    kit, url = small.here.kit, f"/v1/cases/{CASE}/{verb}"
    headers = {"If-Match": '"9"'}
    stranger = kit.caller("SOCIAL_WORKER", ELSEWHERE)
    shelter = kit.caller("SHELTER_STAFF")

    assert (await stranger.post(url, json=body, headers=headers)).status_code == 404
    assert (await shelter.post(url, json=body, headers=headers)).status_code == 403


async def test_a_recall_is_answered_with_whatever_is_so(crossing: Crossing) -> None:
    """C1. Seeded: take the case back with the recall itself."""
    here, there = crossing.here, crossing.there
    await crossed(crossing)
    await step(here, "give", epoch=1)
    await crossing.here.said(CaseOwnershipSaid)  # the offer is lost
    recalled = await step(here, "recall")
    waiting = await crossing.holdings()
    await crossing.carry_words()
    refused = await crossing.holdings()
    await step(here, "give", epoch=3)
    await crossing.carry_words()
    too_late = await step(here, "recall")

    assert recalled.json()["ownership"] == {"holding": "GIVING", "epoch": 2}
    assert waiting == (("GIVING", 2), ("NONE", 0))
    assert refused == (("OWNER", 3), ("NONE", 0))
    assert await crossing.holdings() == (("NONE", 4), ("OWNER", 4))
    assert code(too_late) == (409, "ownership.not_given")
    [origin] = await there.kit.rows(select(CaseOrigin))
    assert origin.referral_id == REFERRAL


async def test_no_edit_that_races_the_handover_comes_after_it(crossing: Crossing) -> None:
    """F38. Seeded: hand the change of the case over without its version."""
    here = crossing.here
    await crossed(crossing)

    async def grant() -> int:
        answer = await here.worker.post(f"/v1/cases/{CASE}/consents", json=consent("INTERVIEW"))
        return answer.status_code

    async def give() -> int:
        for _ in range(50):
            answer = await step(here, "give", epoch=1)
            if answer.status_code != 412:
                return answer.status_code
        raise AssertionError("never given")

    granted = await asyncio.gather(
        *(grant() for _ in range(8)), give(), *(grant() for _ in range(8))
    )

    assert granted[8] == 200
    assert set(granted) <= {200, 201, 409}
    events = await here.kit.events(CASE)
    [given] = [event.seq for event in events if event.type == CaseOwnershipSaid.type]
    assert max(event.seq for event in events) == given
