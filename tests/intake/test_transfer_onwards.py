"""A case that goes on to a third country, or back: no former owner has a say any more (F38, C1)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common.contracts.intake import CaseOwnershipSaid, CasePackageReleased
from common.contracts.referral import OwnershipHeard
from common.tables import DeadLetter
from intake.domain.ownership import ABSURD
from intake.models import Case
from tests.conftest import fixed_id
from tests.intake.bodies import CASE, consent
from tests.intake.crossing import (
    GROUPS,
    Crossing,
    Side,
    changed,
    code,
    crossed,
    heard,
    received,
    sharing_abroad,
    step,
)
from tests.kit import HOME, if_match

ONWARD = fixed_id(910)
WORDS = ("GIVEN", "RECALLED", "TAKEN", "REFUSED")


def said(side: Side, word: str, epoch: int) -> OwnershipHeard:
    return OwnershipHeard(
        referral_id=side.referral_id, organisation_id=fixed_id(0), word=word, epoch=epoch
    )


async def went_on(small: Crossing, *, under: int = 2) -> tuple[Side, UUID]:
    """Let RS give the case to XK under an epoch, and XK give it on by a referral of its own."""
    there = small.there
    await crossed(small)
    assert (await step(small.here, "give", epoch=1)).status_code == 200
    assert await there.hear(said(there, "GIVEN", under)) == ["applied"]
    case_id = (await there.case()).id
    onward = replace(there, referral_id=ONWARD, heard=0, carried=set())
    await onward.hear(
        changed(
            "ARRIVED",
            "SENT",
            referral_id=ONWARD,
            case_id=case_id,
            peer_country="RS",
            recipient_organisation_id=HOME,
        )
    )
    url = f"/v1/cases/{case_id}/consents"
    agreed = sharing_abroad(
        recipient_organisation_id=str(HOME), recipient_countries=["RS"], data_groups=list(GROUPS)
    )
    for body in (consent(), agreed):
        granted = await there.worker.post(url, json=body)
        assert granted.status_code == 201, granted.text
    for verb, more in (("release", {}), ("give", {"epoch": under})):
        taken: Any = await step(onward, verb, case_id, referral_id=str(ONWARD), **more)
        assert taken.status_code == 200, taken.text
    return onward, case_id


async def view(side: Side, case_id: UUID) -> tuple[str, int]:
    [row] = await side.kit.rows(select(Case).where(Case.id == case_id))
    return str(row.holding), row.epoch


async def edits(side: Side, case_id: UUID) -> tuple[int, str]:
    url = f"/v1/cases/{case_id}"
    shown = await side.worker.get(url)
    return code(await side.worker.patch(url, json={"urgency": "CRISIS"}, headers=if_match(shown)))


async def told_by(side: Side) -> Sequence[tuple[str, int]]:
    found = [e for e in await side.kit.events() if e.type == CaseOwnershipSaid.type]
    return [(e.data["word"], e.data["epoch"]) for e in found]


@pytest.mark.row("F36", "F38", "C1")
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("epoch", [2, 3, 9])
async def test_a_former_owner_cannot_take_the_case_out_of_anothers_hands(
    small: Crossing, word: str, epoch: int
) -> None:
    """Seeded: hear an offer under the referral by which the case came once, after it went on."""
    there = small.there
    onward, case_id = await went_on(small)
    before = await told_by(there)

    assert await there.hear(said(there, word, epoch)) == ["applied"]
    on_its_way = await view(there, case_id)
    await onward.hear(said(onward, "TAKEN", 3))
    assert await there.hear(said(there, word, epoch)) == ["applied"]

    assert on_its_way == ("GIVING", 3)
    assert await view(there, case_id) == ("NONE", 3)
    assert await edits(there, case_id) == (409, "ownership.not_here")
    assert await told_by(there) == before == [("TAKEN", 2), ("GIVEN", 3)]


@pytest.mark.row("F38", "C1")
async def test_a_former_owner_cannot_leave_the_case_without_an_editor(small: Crossing) -> None:
    """Seeded: let a RECALLED of the first referral end the giving by the second."""
    there = small.there
    onward, case_id = await went_on(small)

    assert await there.hear(said(there, "RECALLED", 9)) == ["applied"]
    await onward.hear(said(onward, "REFUSED", 3))

    assert await view(there, case_id) == ("OWNER", 4)
    assert (await edits(there, case_id))[0] == 200
    # And what was refused does not open the old referral again.
    assert await there.hear(said(there, "GIVEN", 9)) == ["applied"]
    assert await view(there, case_id) == ("OWNER", 4)


@pytest.mark.row("F36", "F38")
async def test_a_case_comes_back_as_one_of_its_own(small: Crossing) -> None:
    """A -> B -> A. Seeded: close a case to the words of every referral but the first."""
    here, there = small.here, small.there
    onward, case_id = await went_on(small)
    await here.hear(said(here, "TAKEN", 2))
    back = replace(here, referral_id=ONWARD, heard=0, carried=set())
    [released] = await onward.said(CasePackageReleased)
    came = {"referral_id": ONWARD, "sender_country": "XK", "organisation_id": HOME}
    assert await back.hear(
        changed("ARRIVED", "RECEIVED", referral_id=ONWARD, peer_country="XK", organisation_id=HOME),
        received(released.data["package"], **came),
    ) == ["applied", "applied"]
    *_, offer = await onward.said(CaseOwnershipSaid)
    assert await back.hear(heard(offer)) == ["applied"]
    *_, answer = [e for e in await here.kit.events() if e.type == CaseOwnershipSaid.type]
    assert await onward.hear(heard(answer)) == ["applied"]

    [again] = [row for row in await here.kit.rows(select(Case)) if row.id != CASE]
    assert (await view(here, CASE), await view(there, case_id)) == (("NONE", 2), ("NONE", 3))
    assert await view(here, again.id) == ("OWNER", 3)
    assert (await edits(here, CASE))[1] == "ownership.not_here"
    assert (await edits(here, again.id))[0] == 200


@pytest.mark.row("F38")
async def test_an_epoch_no_honest_country_names_is_buried(small: Crossing) -> None:
    """Seeded: bound what is given, and not what is heard: a case that can never be given on."""
    there = small.there
    await crossed(small)
    fair = said(there, "GIVEN", 2)

    assert await there.hear(fair.model_copy(update={"epoch": 2_000_000})) == ["dead"]

    [buried] = await there.kit.rows(select(DeadLetter))
    assert buried.reason == "payload_invalid"
    assert await view(there, (await there.case()).id) == ("NONE", 0)
    assert await there.hear(fair) == ["applied"]
    assert await view(there, (await there.case()).id) == ("OWNER", 2)


@pytest.mark.row("F38")
async def test_a_case_that_came_under_the_last_epoch_can_be_given_on(small: Crossing) -> None:
    """Seeded: count on from whatever the peer named."""
    onward, case_id = await went_on(small, under=2 * ABSURD)

    assert await view(onward, case_id) == ("GIVING", 2)
    await onward.hear(said(onward, "REFUSED", 2))
    assert await view(onward, case_id) == ("OWNER", 3)
