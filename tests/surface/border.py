"""How referral comes to the states of a referral to another country, or from one."""

from datetime import date
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import select

from common.bus import Delivery
from common.clock import new_id
from common.contracts.intake import CaseOpened, ConsentGranted
from common.events import topic_of
from common.federation.custody import GENESIS, SignedStatement, Statement, digest_of
from common.federation.envelope import Letter
from common.federation.keys import SigningKey
from common.federation.mail import event_of
from common.inbox import Inbox
from referral.models import CrossBorderReferral
from referral.worker import letters_of
from tests.kit import HOME, told
from tests.peers import keeper
from tests.surface.stage import (
    PARTNER,
    WHOLE_LIST,
    Answer,
    Ready,
    Relations,
    Stage,
    Who,
    related,
    version_of,
)

CONTACT = Who("NATIONAL_CONTACT_POINT")
COORDINATOR = Who("NATIONAL_COORDINATOR")
SENDER = Who("SOCIAL_WORKER")
TAKER = Who.of("SOCIAL_WORKER", "partner")
URL = "/v1/cross-border-referrals"

DRAFT: Relations = related(own="own", assigned="own", all_too=False)
SENT: Relations = related(own="own", assigned="own")
RECEIVED: Relations = related(partner="referred")
OFFER: dict[str, Any] = {
    "age_group": "25-34",
    "sex": "FEMALE",
    "needs": ["SHELTER"],
    "languages": ["sq"],
    "urgency": "HIGH",
}
REASON = {"reason": "OTHER"}
_OFFSETS = count()


async def draft_cross_border_referral(stage: Stage, body: Any) -> Ready:
    _settle(stage)
    if stage.is_new(body["case_id"]):
        await _case(stage, body["case_id"])
    return Ready(SENDER, body=body, relations=DRAFT, judge=_judge_draft)


async def list_cross_border_referrals(stage: Stage, _: Any) -> Ready:
    listed = await _sent(stage)
    return Ready(SENDER, relations=SENT, listed=listed, query=WHOLE_LIST)


async def get_cross_border_referral(stage: Stage, _: Any) -> Ready:
    return Ready(SENDER, path={"referral_id": await _sent(stage)}, relations=SENT)


get_custody = get_cross_border_referral


async def submit_cross_border_referral(stage: Stage, _: Any) -> Ready:
    path = {"referral_id": await _drafted(stage)}
    return Ready(SENDER, path=path, version=1, relations=DRAFT)


async def resubmit_cross_border_referral(stage: Stage, body: Any) -> Ready:
    referral_id = await _sent(stage)
    await _letter(stage, referral_id, "acknowledged", {})
    await _letter(stage, referral_id, "returned", {"reason": "NEEDS_UNCLEAR"})
    return _of_sender(referral_id, body, 4)


async def cancel_cross_border_referral(stage: Stage, body: Any) -> Ready:
    return _of_sender(await _sent(stage), body, 2)


async def plan_transfer(stage: Stage, body: Any) -> Ready:
    return _of_sender(await _accepted(stage), body, 4)


async def depart(stage: Stage, _: Any) -> Ready:
    return _of_sender(await _planned(stage), None, 5)


async def fail_transfer(stage: Stage, body: Any) -> Ready:
    referral_id = await _planned(stage)
    await stage.do("POST", f"{URL}/{referral_id}/depart", SENDER, version=5)
    return _of_sender(referral_id, body, 6)


async def acknowledge_cross_border_referral(stage: Stage, _: Any) -> Ready:
    return _of_receiver(await _received(stage), None, 1)


async def return_cross_border_referral(stage: Stage, body: Any) -> Ready:
    return _of_receiver(await _received(stage, acknowledged=True), body, 2)


async def decline_cross_border_referral(stage: Stage, body: Any) -> Ready:
    return _of_receiver(await _received(stage, acknowledged=True), body, 2)


async def accept_cross_border_referral(stage: Stage, body: Any) -> Ready:
    await _organisation(stage, UUID(body["organisation_id"]))
    return _of_receiver(await _received(stage, acknowledged=True), body, 2)


async def confirm_arrival(stage: Stage, _: Any) -> Ready:
    referral_id = await _received(stage, acknowledged=True)
    await _organisation(stage, PARTNER)
    body = {"organisation_id": str(PARTNER)}
    await stage.do("POST", f"{URL}/{referral_id}/accept", CONTACT, body, 2)
    opened = _opened(new_id(), PARTNER, UUID(referral_id))
    await stage.hear(told("intake", opened.case_id, opened))
    await _letter(stage, referral_id, "transfer_planned", {"planned_on": "2026-12-02"})
    await _letter(stage, referral_id, "departed", {})
    return Ready(TAKER, path={"referral_id": referral_id}, version=6, relations=RECEIVED)


def _of_sender(referral_id: str, body: Any, version: int) -> Ready:
    path = {"referral_id": referral_id}
    return Ready(SENDER, path=path, body=body, version=version, relations=SENT)


def _of_receiver(referral_id: str, body: Any, version: int) -> Ready:
    path = {"referral_id": referral_id}
    return Ready(CONTACT, path=path, body=body, version=version, relations=related())


def _judge_draft(_role: str, _identity: str, is_open: bool) -> Answer | None:  # noqa: FBT001
    """A case that is not yours and one that nobody has told of are the same."""
    return None if is_open else (409, "referral.case_unknown")


# --- what they are made of


def _settle(stage: Stage) -> None:
    keeper("RS").settle_in(stage.kit.runtime, keeper("XK"))


async def _drafted(stage: Stage) -> str:
    _settle(stage)
    case_id, referral_id = str(new_id()), str(new_id())
    await _case(stage, case_id)
    draft = {
        "id": referral_id,
        "case_id": case_id,
        "peer_country": "XK",
        "requested_kind": "SHELTER",
        "needs": ["SHELTER"],
        "languages": ["sq"],
        "urgency": "NORMAL",
        "purpose": "ASSISTANCE",
        "data_groups": ["IDENTITY"],
        "transfer_basis": "EXPLICIT_CONSENT",
        "risk_assessed_on": "2026-11-10",
        "needs_assessed_on": "2026-11-12",
    }
    await stage.do("POST", URL, SENDER, draft)
    return referral_id


async def _sent(stage: Stage) -> str:
    referral_id = await _drafted(stage)
    await stage.do("POST", f"{URL}/{referral_id}/submit", SENDER, version=1)
    return referral_id


async def _accepted(stage: Stage) -> str:
    referral_id = await _sent(stage)
    await _letter(stage, referral_id, "acknowledged", {})
    taken = {"organisation_id": str(PARTNER), "recipient_kind": "SHELTER"}
    await _letter(stage, referral_id, "accepted", taken)
    return referral_id


async def _planned(stage: Stage) -> str:
    referral_id = await _accepted(stage)
    plan = {
        "precondition": "WISH_TO_RETURN",
        "has_informed_decision": True,
        "took_part_in_planning": True,
        "has_travel_documents": True,
        "planned_on": "2026-12-02",
    }
    await stage.do("POST", f"{URL}/{referral_id}/plan-transfer", SENDER, plan, 4)
    return referral_id


async def _received(stage: Stage, *, acknowledged: bool = False) -> str:
    _settle(stage)
    referral_id = str(new_id())
    await _letter(stage, referral_id, "offer", OFFER)
    if acknowledged:
        at = await stage.do("POST", f"{URL}/{referral_id}/acknowledge", CONTACT, version=1)
        assert version_of(at) == 2
    return referral_id


async def _letter(stage: Stage, referral_id: str, kind: str, body: dict[str, Any]) -> None:
    """Let a letter from XK come, as it is once it was opened."""
    runtime = stage.kit.runtime
    id_ = UUID(referral_id)
    statement = select(CrossBorderReferral).where(CrossBorderReferral.id == id_)
    rows = await stage.kit.rows(statement)
    said = Statement(
        referral_id=id_,
        author="XK",
        peer="RS",
        number=rows[0].heard + 1 if rows else 1,
        kind=kind,
        digest=digest_of(body),
        previous=rows[0].heard_hash if rows else GENESIS,
    )
    signed = SignedStatement.of(said, SigningKey(SigningKey.generate()))
    event = event_of(Letter.of(signed, body))
    inbox = Inbox(
        runtime.database,
        letters_of(runtime),
        service=runtime.name,
        box=runtime.box,
        source=runtime.source,
    )
    delivery = Delivery(topic_of(event.type), 0, next(_OFFSETS), event.to_bytes())
    assert await inbox.accept(delivery) == "applied"


async def _organisation(stage: Stage, organisation_id: UUID) -> None:
    if stage.is_new(organisation_id):
        body = {
            "id": str(organisation_id),
            "name": "Sigurna kuća Oaza",
            "kind": "SHELTER",
            "sector": "CIVIL_SOCIETY",
            "country": "RS",
            "languages": ["sr-Latn"],
        }
        await stage.do("POST", "/v1/organisations", COORDINATOR, body)


async def _case(stage: Stage, case_id: str) -> None:
    """Let the service hear of a case of HOME whose person agrees to go to a shelter of XK."""
    opened = _opened(UUID(case_id), HOME)
    consent = ConsentGranted(
        case_id=UUID(case_id),
        consent_id=new_id(),
        scope="SHARE_CROSS_BORDER",
        recipient_kinds=("SHELTER",),
        recipient_countries=("XK",),
        purposes=("ASSISTANCE",),
        data_groups=("IDENTITY", "HEALTH"),
        given_by="SELF",
        granted_on=date(2026, 3, 1),
    )
    await stage.hear(told("intake", UUID(case_id), opened, consent))


def _opened(case_id: UUID, owner: UUID, referral_id: UUID | None = None) -> CaseOpened:
    return CaseOpened(
        case_id=case_id,
        organisation_id=owner,
        country="RS",
        beneficiary_kind="PRESUMED",
        identification_status="PRESUMED",
        sex="FEMALE",
        age_group="25-34",
        is_minor=False,
        urgency="HIGH",
        legal_basis="CONSENT",
        referral_id=referral_id,
        opened_on=date(2026, 3, 1),
    )
