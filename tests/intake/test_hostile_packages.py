"""One true package among all that can be made of it: one case, and nobody hears of the rest (T35)."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from common.contracts.referral import PackageReceived
from common.events import Event
from common.federation.keys import SealingKey
from common.federation.package import seal_package
from common.tables import DeadLetter
from intake.models import Case
from tests.conftest import fixed_id
from tests.intake.crossing import REFERRAL, Crossing, received
from tests.kit import told
from tests.peers import Keeper, keeper

DOCUMENT = {"v": 1, "sex": "FEMALE", "identity": {"given_name": {"value": "Милица"}}}
OTHER = fixed_id(902)


def sealed(keeper: Keeper, **info: object) -> str:
    key = SealingKey(keeper.packages[-1]).public
    told: dict[str, object] = {"sender": "RS", "recipient": "XK", "referral_id": REFERRAL} | info
    return seal_package(DOCUMENT, to=key, **told)  # type: ignore[arg-type]


def hostile(whole: str) -> Iterator[str]:
    """Yield what whoever carries it, or was sent another, can make of it; never too short for one."""
    kid, _, words = whole.partition(".")
    middle = len(whole) // 2
    for place in range(len(kid) + 1, len(whole), 97):
        yield whole[:place] + ("A" if whole[place] != "A" else "B") + whole[place + 1 :]
    yield f"{kid}.{words[:-4]}"
    yield f"{kid}.{words}AAAA"
    yield whole[:middle] + whole[middle + 4 :] + "AAAA"
    stranger = Keeper("XK")
    stranger.new_package_key()
    yield f"{kid}.{sealed(stranger).partition('.')[2]}"  # to a key that is not ours
    kosovo = keeper("XK")
    yield sealed(kosovo, referral_id=OTHER)
    yield sealed(kosovo, sender="AL")  # passed on by a country that it was sent to
    yield sealed(kosovo, recipient="AL")


def events_of(packages: list[str]) -> list[Event]:
    return told("referral", REFERRAL, *map(received, packages), first_seq=2)


async def test_of_all_that_is_made_of_a_package_only_the_package_opens_a_case(
    small: Crossing, caplog: pytest.LogCaptureFixture
) -> None:
    """Seeded: seal without the referral, the sender or the recipient; open with any key we have."""
    there = small.there
    await there.reach("ACCEPTED")
    whole = sealed(keeper("XK"))
    forged = list(hostile(whole))
    before = len(await there.kit.events())

    events = events_of([*forged, whole])
    outcomes = await there.kit.hear(*events)

    assert outcomes == ["dead"] * len(forged) + ["applied"]
    buried = await there.kit.rows(select(DeadLetter))
    assert {row.reason for row in buried} == {"package.unreadable"}
    assert len(buried) == len(forged) > 70
    assert len(await there.kit.rows(select(Case))) == 1
    # What is told is of the one case: neither its sender nor its referral hears of the others.
    [case] = await there.kit.rows(select(Case))
    new = (await there.kit.events())[before:]
    assert {event.subject for event in new} == {case.id}
    assert "Милица" not in caplog.text


async def test_a_package_told_a_hundred_times_opens_one_case(small: Crossing) -> None:
    # Fails when a case is opened for each time its package comes.
    there = small.there
    await there.reach("ACCEPTED")
    [event] = events_of([sealed(keeper("XK"))])

    outcomes = await there.kit.hear(*[event] * 100)

    assert outcomes == ["applied", *["duplicate"] * 99]
    assert len(await there.kit.rows(select(Case))) == 1
    assert [e.type for e in await there.kit.events()].count("intake.case.opened.v1") == 1
    assert PackageReceived.type == event.type
