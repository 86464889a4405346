"""How intake comes to the states in which a case goes abroad, or has come from there."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from common.clock import new_id
from common.contracts.referral import CrossBorderChanged, PackageReceived
from common.federation.keys import SealingKey
from common.federation.package import seal_package
from tests.conftest import fixed_id
from tests.kit import HOME, told
from tests.peers import keeper
from tests.surface import casework as made
from tests.surface.casework import WORKER
from tests.surface.stage import Ready, Stage, related

ABROAD = fixed_id(31)


async def release_case(stage: Stage, body: Any) -> Ready:
    """The case as it may go abroad: accepted there, with the person's consent."""
    case = await made.case(stage)
    keeper("RS").settle_in(stage.kit.runtime, keeper("XK"))
    await made.consent(
        stage,
        case,
        "SHARE_CROSS_BORDER",
        recipient_organisation_id=str(ABROAD),
        recipient_countries=["XK"],
        purposes=["ASSISTANCE"],
        data_groups=["IDENTITY"],
        risk_information_given=True,
    )
    referral_id = _fresh(stage, body)
    await _abroad(stage, case, referral_id)
    return await made.changing(stage, case, body | {"referral_id": str(referral_id)})


async def give_case(stage: Stage, body: Any) -> Ready:
    ready = await release_case(stage, body)
    await stage.do(
        "POST",
        f"/v1/cases/{ready.path['case_id']}/release",
        WORKER,
        {"referral_id": ready.body["referral_id"]},
        ready.version,
    )
    return await made.changing(stage, ready.path, ready.body)


async def recall_case(stage: Stage, body: Any) -> Ready:
    ready = await give_case(stage, body)
    path = f"/v1/cases/{ready.path['case_id']}/give"
    await stage.do("POST", path, WORKER, {**ready.body, "epoch": 1}, ready.version)
    return await made.changing(stage, ready.path, ready.body)


async def get_origin(stage: Stage, _: Any) -> Ready:
    """A case that came from another country to HOME, where nobody has taken it over yet."""
    keeper("RS").settle_in(stage.kit.runtime, keeper("XK"))
    referral_id = new_id()
    to = SealingKey(keeper("RS").packages[-1]).public
    told_of = {"sex": "FEMALE", "beneficiary_kind": "PRESUMED", "identification_status": "PRESUMED"}
    package = PackageReceived(
        referral_id=referral_id,
        sender_country="XK",
        organisation_id=HOME,
        purpose="ASSISTANCE",
        data_groups=("IDENTITY",),
        urgency="HIGH",
        package=seal_package(told_of, to=to, sender="XK", recipient="RS", referral_id=referral_id),
    )
    await stage.hear(told("referral", referral_id, package))
    events = await stage.kit.events()
    [case_id] = [e.subject for e in events if e.data.get("referral_id") == str(referral_id)]
    return Ready(
        WORKER, path={"case_id": str(case_id)}, relations=related(own="own", assigned="own")
    )


def _fresh(stage: Stage, body: Any) -> UUID:
    """Return the referral of the example, or a new one where that is taken."""
    referral_id = UUID(body["referral_id"])
    return referral_id if stage.is_new(referral_id) else new_id()


async def _abroad(stage: Stage, case: Mapping[str, str], referral_id: UUID) -> None:
    """Let the person of the case have arrived in the other country."""
    arrived = CrossBorderChanged(
        referral_id=referral_id,
        direction="SENT",
        peer_country="XK",
        case_id=UUID(case["case_id"]),
        organisation_id=HOME,
        recipient_organisation_id=ABROAD,
        recipient_kind="SHELTER",
        purpose="ASSISTANCE",
        data_groups=("IDENTITY",),
        urgency="HIGH",
        status="ARRIVED",
        on=date(2025, 11, 21),
    )
    await stage.hear(told("referral", referral_id, arrived))
