"""What comes of a package from another country, whole, foreign, damaged, early or late."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common import clock
from common.contracts.intake import CaseOwnershipSaid, CasePackageReleased
from common.contracts.referral import OwnershipHeard
from common.db.base import unit_of
from common.federation.keys import SealingKey
from common.federation.package import seal_package
from common.tables import DeadLetter, InboxAggregate
from common.worker import consumer_of
from intake import worker
from intake.commands.case import come_of_age
from intake.models import Case, CaseIdentity, CaseOrigin
from intake.queries.case import list_minors
from tests.conftest import fixed_id
from tests.intake.bodies import CASE, PERSON
from tests.intake.crossing import (
    GROUPS,
    REFERRAL,
    THERE,
    Crossing,
    Side,
    changed,
    crossed,
    known,
    received,
    step,
)
from tests.kit import ELSEWHERE, handlers_of, if_match
from tests.peers import Keeper, keeper

FACTS = {
    "v": 1,
    "sex": "FEMALE",
    "beneficiary_kind": "PRESUMED",
    "identification_status": "PRESUMED",
    "citizenships": ["AL"],
    "languages": ["sq"],
    "exploitation_types": ["FORCED_LABOUR"],
}


def sealed(document: dict[str, Any], *, to: Keeper | None = None, **info: Any) -> str:
    """Seal a document as the other country does, here to the newest key of XK."""
    key = SealingKey((to or keeper("XK")).packages[-1]).public
    told: dict[str, Any] = {"sender": "RS", "recipient": "XK", "referral_id": REFERRAL} | info
    return seal_package(document, to=key, **told)


async def accepted(side: Side, document: dict[str, Any], **fields: Any) -> None:
    await side.reach("ACCEPTED")
    assert await side.hear(received(sealed(document), **fields)) == ["applied"]


async def identity_of(side: Side, case_id: UUID) -> dict[str, Any]:
    shown = await side.worker.get(f"/v1/cases/{case_id}/identity?purpose=ASSISTANCE")
    assert shown.status_code == 200, shown.text
    found: dict[str, Any] = shown.json()
    return found


async def test_the_case_is_the_accepting_organisations_and_nobody_elses(
    crossing: Crossing,
) -> None:
    """Seeded: give the case to whoever reads first; forget the organisation of the event."""
    there = crossing.there
    await accepted(there, FACTS)
    case = await there.case()
    path = f"/v1/cases/{case.id}"
    stranger = there.kit.caller("SOCIAL_WORKER", ELSEWHERE)

    assert (await there.worker.get(path)).status_code == 200
    for hidden in ("", "/origin", "/identity?purpose=ASSISTANCE", "/consents"):
        assert (await stranger.get(f"{path}{hidden}")).status_code == 404
    # Nothing was told of who she is: the case is there without.
    assert (await there.worker.get(f"{path}/identity?purpose=ASSISTANCE")).status_code == 404
    assert (await there.worker.get(path)).json()["has_identity"] is False
    assert (await there.worker.get(f"{path}/origin")).json()["exploitation_types"] == [
        "FORCED_LABOUR"
    ]


async def test_a_case_opened_here_has_no_origin(small: Crossing) -> None:
    await known(small.here)

    assert (await small.here.worker.get(f"/v1/cases/{CASE}/origin")).status_code == 404


@pytest.mark.row("F39")
async def test_codes_of_another_country_hold_nothing_up(crossing: Crossing) -> None:
    """Seeded: read a code of the package into an enum; drop what is not known without a word."""
    there = crossing.there
    foreign = {
        "v": 7,
        "sex": "X_LOCAL",
        "beneficiary_kind": "SURVIVOR",
        "identification_status": "NRM_STAGE_2",
        "citizenships": ["RS", "QZ"],
        "languages": ["sq", "Serbian (Cyrillic)"],
        "exploitation_types": ["FORCED_LABOUR", "LOCAL_PROMET"],
        "added_in_v7": {"words": ["Милица"]},
        "identity": {
            "given_name": {"value": "Милица", "script": "Cyrs"},
            "documents": [{"kind": "LASTING_PASS", "number": "P1", "country": "QZ"}],
        },
    }
    await accepted(there, foreign, urgency="IMMEDIATE")
    case = await there.case()
    path = f"/v1/cases/{case.id}"

    shown = (await there.worker.get(path)).json()
    origin = (await there.worker.get(f"{path}/origin")).json()
    identity = await identity_of(there, case.id)

    assert {
        name: shown[name]
        for name in (
            "sex",
            "beneficiary_kind",
            "identification_status",
            "citizenships",
            "languages",
            "urgency",
        )
    } == {
        "sex": "UNKNOWN",
        "beneficiary_kind": "AT_RISK",
        "identification_status": "REPORTED",
        "citizenships": ["RS"],
        "languages": ["sq"],
        "urgency": "NORMAL",
    }
    assert {each["field"]: each["codes"] for each in origin["unmapped"]} == {
        "beneficiary_kind": ["SURVIVOR"],
        "citizenships": ["QZ"],
        "documents.country": ["QZ"],
        "documents.kind": ["LASTING_PASS"],
        "exploitation_types": ["LOCAL_PROMET"],
        "identification_status": ["NRM_STAGE_2"],
        "languages": ["FOREIGN"],  # no code at all: it may be a sentence, so it is not repeated
        "names.script": ["Cyrs"],
        "sex": ["X_LOCAL"],
        "urgency": ["IMMEDIATE"],
    }
    assert identity["given_name"] == {"value": "Милица", "script": "Zyyy"}
    assert identity["documents"] == [{"kind": "OTHER", "number": "P1", "country": "QZ"}]
    assert "Милица".encode() not in there.kit.stored_bytes()


async def test_a_second_package_replaces_what_the_first_one_told(crossing: Crossing) -> None:
    """Seeded: open a second case; keep the fields the second package does not have."""
    here, there = crossing.here, crossing.there
    await crossed(crossing)
    first = await there.case()
    url = f"/v1/cases/{CASE}/identity"
    shown = await here.worker.get(f"/v1/cases/{CASE}")
    later = {"given_name": {"value": "Милица"}, "birth_date": "1995-02-03"}
    assert (await here.worker.put(url, json=later, headers=if_match(shown))).is_success
    await step(here, "release")
    assert await crossing.carry_packages() == ["applied"]

    second = await there.case()
    identity = await identity_of(there, second.id)

    assert second.id == first.id
    assert second.version == first.version + 2  # the profile, and that there is an identity
    assert (identity["birth_date"], identity["family_name"]) == ("1995-02-03", None)
    assert identity["documents"] == []


async def test_a_package_that_comes_after_the_handover_changes_nothing(small: Crossing) -> None:
    """Seeded: replace the identity whoever owns the case."""
    here, there = small.here, small.there
    await crossed(small)
    await step(here, "release")
    await step(here, "give", epoch=1)
    await small.carry_words()
    before = await there.case()

    assert await small.carry_packages() == ["applied"]

    assert (await there.case()).version == before.version
    assert (await identity_of(there, before.id))["family_name"]["value"] == "Đorđević"


@pytest.mark.parametrize("fault", ["referral", "sender", "recipient", "bytes"])
async def test_what_does_not_open_is_buried_and_holds_nothing_up(
    small: Crossing, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Seeded: raise what the cipher raises; open a case without looking whether it opened."""
    there = small.there
    await there.reach("ACCEPTED")
    document = FACTS | {"identity": {"given_name": {"value": "Милица"}}}
    package = {
        "referral": lambda: sealed(document, referral_id=fixed_id(901)),
        "sender": lambda: sealed(document, sender="AL"),
        "recipient": lambda: sealed(document, recipient="AL"),
        "bytes": lambda: _damaged(sealed(document)),
    }[fault]()

    outcomes = await there.hear(received(package))

    assert outcomes == ["dead"]
    [buried] = await there.kit.rows(select(DeadLetter))
    assert buried.reason == "package.unreadable"
    assert await there.kit.rows(select(Case)) == []
    assert "Милица" not in caplog.text
    # The next one is taken: it may be the same data, sealed as they should be.
    assert await there.hear(received(sealed(document))) == ["applied"]
    assert (await there.case()).has_identity is True


def _damaged(package: str) -> str:
    middle = len(package) // 2
    return package[:middle] + ("A" if package[middle] != "A" else "B") + package[middle + 1 :]


async def test_what_was_sealed_to_the_key_before_opens_after_its_replacement(
    small: Crossing,
) -> None:
    kosovo = Keeper("XK")
    kosovo.new_package_key()
    early = sealed(FACTS, to=kosovo)
    kosovo.new_package_key()
    kosovo.settle_in(small.there.kit.runtime, keeper("RS"))
    await small.there.reach("ACCEPTED")

    assert await small.there.hear(received(early)) == ["applied"]
    assert await small.there.hear(received(sealed(FACTS, to=kosovo))) == ["applied"]


@pytest.mark.parametrize("fault", ["no file", "an older file"])
async def test_a_package_whose_key_is_not_at_hand_waits_for_it(small: Crossing, fault: str) -> None:
    """Its sender hears that it came, and then holds its words no more. Seeded: refuse it."""
    there = small.there
    kosovo = Keeper("XK")
    kosovo.new_package_key()
    kosovo.settle_in(there.kit.runtime, keeper("RS"))
    await there.reach("ACCEPTED")
    file = there.kit.runtime.settings.own_keys_file
    assert file is not None
    older = file.read_bytes()
    kosovo.new_package_key()
    kosovo.settle_in(there.kit.runtime, keeper("RS"))
    newer = file.read_bytes()
    file.unlink()
    if fault == "an older file":
        file.write_bytes(older)

    assert await there.hear(received(sealed(FACTS, to=kosovo))) == ["parked"]

    assert await there.hear(changed("ARRIVED", "RECEIVED")) == ["pending"]
    [waits] = await there.kit.rows(select(InboxAggregate).where(InboxAggregate.subject == REFERRAL))
    assert waits.parked_reason == "package.key_missing"
    assert await there.kit.rows(select(DeadLetter)) == []
    assert await there.kit.rows(select(Case)) == []
    # Once the file is what it must be, the next start takes it and all that followed it.
    file.unlink(missing_ok=True)
    file.write_bytes(newer)
    consumer = consumer_of(there.kit.runtime, handlers_of(there.kit.runtime))
    await consumer.retry_all_parked()
    assert (await there.case()).citizenships == ["AL"]
    [rest] = await there.kit.rows(select(InboxAggregate).where(InboxAggregate.subject == REFERRAL))
    assert (rest.parked_at, rest.last_seq) == (None, 3)


@pytest.mark.parametrize("end", ["revoked", "long over"])
async def test_a_package_whose_key_is_gone_for_good_is_not_waited_for(
    small: Crossing, end: str
) -> None:
    """Else the next one, sealed to a key that is held, would wait behind it. Seeded: always wait."""
    there = small.there
    kosovo = Keeper("XK")
    key = kosovo.new_package_key(since=clock.utcnow() - timedelta(days=121))
    lost = sealed(FACTS, to=kosovo)
    if end == "revoked":
        key = kosovo.new_package_key()
        lost = sealed(FACTS, to=kosovo)
        kosovo.revoke(key)
    kosovo.packages.clear()
    kosovo.new_package_key()
    kosovo.settle_in(there.kit.runtime, keeper("RS"))
    await there.reach("ACCEPTED")

    assert await there.hear(received(lost)) == ["dead"]
    assert await there.hear(received(sealed(FACTS, to=kosovo))) == ["applied"]


async def test_data_that_come_after_the_end_are_not_opened(crossing: Crossing) -> None:
    """Seeded: open a case whatever the referral is at; it would be erased by nothing any more."""
    there = crossing.there
    await there.reach("CONSENT_WITHDRAWN")

    assert await there.hear(received(sealed(FACTS))) == ["applied"]

    assert await there.kit.rows(select(Case)) == []


async def test_an_offer_of_a_case_that_is_not_here_waits_and_is_not_lost(
    small: Crossing,
) -> None:
    """The bus keeps the order within a referral: this is a fault, and somebody has to look at it.

    Seeded: pass over what cannot be answered; the giver waits for ever.
    """
    there = small.there
    await there.reach("ARRIVED")
    offer = OwnershipHeard(referral_id=REFERRAL, organisation_id=THERE, word="GIVEN", epoch=2)

    assert await there.hear(offer) == ["parked"]

    [parked] = await there.kit.rows(
        select(InboxAggregate).where(InboxAggregate.subject == REFERRAL)
    )
    assert parked.parked_reason == "CaseMissingError"


async def test_only_the_country_a_case_was_given_to_answers_for_it(small: Crossing) -> None:
    """F38. Seeded: hear an answer under whatever referral; two countries would own the case."""
    here = small.here
    await crossed(small)
    await step(here, "give", epoch=1)
    other = Side(here.kit, "SENT", fixed_id(902))
    await other.hear(changed("ARRIVED", "SENT", referral_id=other.referral_id, peer_country="AL"))
    foreign = {"referral_id": other.referral_id, "organisation_id": THERE, "epoch": 2}
    for word in ("TAKEN", "REFUSED", "GIVEN", "RECALLED"):
        assert await other.hear(OwnershipHeard(word=word, **foreign)) == ["applied"]
    own = {"referral_id": REFERRAL, "organisation_id": THERE, "epoch": 2}
    for word in ("GIVEN", "RECALLED", "LATER_WORD"):  # no word of a receiver's, or of this release
        assert await here.hear(OwnershipHeard(word=word, **own)) == ["applied"]

    assert (await small.holdings())[0] == ("GIVING", 2)
    assert [e.data["word"] for e in await here.said(CaseOwnershipSaid)] == ["GIVEN"]


async def test_a_word_that_comes_twice_is_answered_alike(small: Crossing) -> None:
    here, there = small.here, small.there
    await crossed(small)
    await step(here, "give", epoch=1)
    offer = OwnershipHeard(referral_id=REFERRAL, organisation_id=THERE, word="GIVEN", epoch=2)
    await there.hear(offer, offer)

    said = await there.said(CaseOwnershipSaid)

    assert [(e.data["word"], e.data["epoch"]) for e in said] == [("TAKEN", 2), ("TAKEN", 2)]


async def test_a_child_abroad_comes_of_age_where_her_case_is_edited(small: Crossing) -> None:
    """Seeded: sweep every case; the one who does not own it would edit it by the clock."""
    there = small.there
    born = {"identity": {"given_name": {"value": "Милица"}, "birth_date": "2008-11-24"}}
    await accepted(there, FACTS | born)
    case = await there.case()
    assert (case.is_minor, await list_minors(there.kit.runtime.database)) == (True, [])

    clock.set_source(lambda: datetime(2026, 11, 25, 12, tzinfo=UTC))
    await worker.sweep(there.kit.runtime)

    database = there.kit.runtime.database
    meanwhile = unit_of(database, source="/XK/intake", operation="come_of_age")
    await come_of_age(meanwhile, case.id, here=there.kit.runtime.settings.here)
    assert meanwhile.steps == []
    assert (await there.case()).version == case.version
    offer = OwnershipHeard(referral_id=REFERRAL, organisation_id=THERE, word="GIVEN", epoch=2)
    await there.hear(offer)
    await worker.sweep(there.kit.runtime)
    assert (await there.case()).is_minor is False


async def test_the_columns_of_what_came_are_sealed_under_its_own_key(small: Crossing) -> None:
    await crossed(small)

    [identity] = await small.there.kit.rows(select(CaseIdentity))
    [origin] = await small.there.kit.rows(select(CaseOrigin))

    assert all(getattr(identity, name) is not None for name in PERSON)
    assert (sorted(origin.data_groups), origin.sender_country) == (sorted(GROUPS), "RS")
    assert await small.here.said(CasePackageReleased) == []
