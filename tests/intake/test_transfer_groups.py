"""What leaves with a case is what the consented data groups open, and nothing beside them (F10, F37)."""

from typing import Any

import pytest
from sqlalchemy import select

from common.contracts.intake import CasePackageReleased
from common.federation.keys import SealingKey
from common.federation.package import open_package
from intake.domain.age import ADULT_AT, AgeGroup, age_group, estimate_of, from_estimate, is_minor
from intake.models import CaseOrigin, PackageRelease
from tests.intake.crossing import (
    REFERRAL,
    TODAY,
    Crossing,
    Side,
    agreed,
    known,
    received,
    step,
)
from tests.peers import keeper

ESTIMATE = {"birth_date": None, "estimated_age": 31, "estimated_age_margin": 2}
OFFERED = {"v", "sex", "age_group"}
IDENTITY = {"citizenships", "languages", "estimated_age", "estimated_age_margin", "estimated_on"}
EXPLOITATION = {"beneficiary_kind", "identification_status", "exploitation_types"}
NAMES = {"given_name", "family_name", "other_names", "birth_date", "birth_place", "documents"}
REACH = {"address", "phones", "email"}


async def released(small: Crossing, *groups: str) -> dict[str, Any]:
    """Release a case with a whole identity to these groups; return the opened document."""
    here = small.here
    await known(here, **ESTIMATE)
    await agreed(here, data_groups=list(groups))
    for side in (here, small.there):
        await side.reach("ACCEPTED", data_groups=groups)
    answer = await step(here, "release")
    assert answer.status_code == 200, answer.text
    [event] = await here.said(CasePackageReleased)
    key = SealingKey(keeper("XK").packages[-1])
    document = open_package(
        event.data["package"],
        keys={key.public.kid: key},
        sender="RS",
        recipient="XK",
        referral_id=REFERRAL,
    )
    taken = received(event.data["package"], data_groups=groups)
    assert await small.there.hear(taken) == ["applied"]
    return dict(document)


def shown(document: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the names of what a document tells, of the case and of the identity."""
    told = {name for name, value in document.items() if value not in (None, [], ())}
    identity = document.get("identity") or {}
    return told - {"identity"}, {name for name, value in identity.items() if value}


async def entered(side: Side) -> list[str]:
    [entry] = await side.kit.audit(object_type="package_release")
    [kept] = await side.kit.rows(select(PackageRelease))
    assert kept.data_groups == entry.data_groups
    found: list[str] = entry.data_groups
    return found


@pytest.mark.row("F10", "F37")
@pytest.mark.parametrize(
    ("groups", "facts", "identity", "left"),
    [
        (["SUPPORT"], set(), set(), []),
        (["CONTACT"], set(), REACH, ["CONTACT"]),
        (["IDENTITY"], IDENTITY, NAMES, ["IDENTITY"]),
        (["EXPLOITATION", "SUPPORT"], EXPLOITATION, set(), ["EXPLOITATION"]),
        (["CONTACT", "IDENTITY"], IDENTITY, NAMES | REACH, ["CONTACT", "IDENTITY"]),
    ],
)
async def test_only_what_the_consented_groups_open_leaves(
    *, small: Crossing, groups: list[str], facts: set[str], identity: set[str], left: list[str]
) -> None:
    """Seeded: send what every reader of the case may know; enter what was agreed, not what left."""
    document = await released(small, *groups)

    told, who = shown(document)
    assert OFFERED <= told <= OFFERED | facts
    assert (who, await entered(small.here)) == (identity, left)
    if "exploitation_types" in facts:  # none is named before the identification
        facts = facts - {"exploitation_types"}
    assert told == OFFERED | facts


@pytest.mark.row("F39")
async def test_the_other_country_copes_with_what_is_absent(small: Crossing) -> None:
    """Seeded: require a status; take nobody's age for a child's although the band was told."""
    document = await released(small, "SUPPORT")
    there = small.there
    case = await there.case()
    read = (await there.worker.get(f"/v1/cases/{case.id}")).json()
    [origin] = await there.kit.rows(select(CaseOrigin))

    assert document["age_group"] == "25-34"
    assert (read["sex"], read["age_group"], read["is_minor"]) == ("FEMALE", "25-34", False)
    assert (read["beneficiary_kind"], read["identification_status"]) == ("AT_RISK", "REPORTED")
    assert (read["citizenships"], read["languages"], read["has_identity"]) == ([], [], False)
    assert origin.unmapped == {}


@pytest.mark.parametrize("group", [group for group in AgeGroup if group is not AgeGroup.UNKNOWN])
def test_the_estimate_of_a_band_gives_the_band(group: AgeGroup) -> None:
    """A child's rules hold for whom they held there, and for nobody else."""
    estimate = estimate_of(group)
    assert estimate is not None
    years, margin = estimate
    birth = from_estimate(years, margin=margin, on=TODAY)

    assert age_group(birth, on=TODAY) is group
    assert is_minor(birth, on=TODAY) is (int(group.rstrip("+").split("-")[0]) < ADULT_AT)


def test_an_unknown_band_is_no_estimate() -> None:
    assert estimate_of(AgeGroup.UNKNOWN) is None
