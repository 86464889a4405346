"""How referral comes to the state each of its operations needs."""

from datetime import date
from typing import Any
from uuid import UUID

from common.authz import Authorisation
from common.clock import new_id
from common.contracts.intake import CaseOpened, ConsentGranted
from tests.kit import HOME, told
from tests.surface.border import (
    accept_cross_border_referral,
    acknowledge_cross_border_referral,
    cancel_cross_border_referral,
    confirm_arrival,
    decline_cross_border_referral,
    depart,
    draft_cross_border_referral,
    fail_transfer,
    get_cross_border_referral,
    get_custody,
    list_cross_border_referrals,
    plan_transfer,
    resubmit_cross_border_referral,
    return_cross_border_referral,
    submit_cross_border_referral,
)
from tests.surface.operations import authorisation
from tests.surface.stage import (
    IDENTITIES,
    PARTNER,
    WHOLE_FEED,
    WHOLE_LIST,
    Answer,
    Judge,
    Ready,
    Relations,
    Stage,
    Who,
    related,
    version_of,
)

__all__ = [
    "accept_cross_border_referral",
    "acknowledge_cross_border_referral",
    "cancel_cross_border_referral",
    "confirm_arrival",
    "decline_cross_border_referral",
    "depart",
    "draft_cross_border_referral",
    "fail_transfer",
    "get_cross_border_referral",
    "get_custody",
    "list_cross_border_referrals",
    "plan_transfer",
    "resubmit_cross_border_referral",
    "return_cross_border_referral",
    "submit_cross_border_referral",
]

GROUPS = Authorisation.of_package("referral")
COORDINATOR = Who("NATIONAL_COORDINATOR")
SENDER = Who("SOCIAL_WORKER")
RECEIVER = Who.of("SHELTER_STAFF", "partner")

DIRECTORY: Relations = related(own="own", assigned="own")
DRAFT: Relations = related(own="own", assigned="own", all_too=False)
SENT: Relations = related(own="own", assigned="own", partner="referred")


async def register_organisation(_: Stage, body: Any) -> Ready:
    return Ready(COORDINATOR, body=body)


async def list_organisations(stage: Stage, _: Any) -> Ready:
    return Ready(
        COORDINATOR, relations=DIRECTORY, listed=await _organisation(stage, HOME), query=WHOLE_LIST
    )


async def get_organisation(stage: Stage, body: Any) -> Ready:
    path = {"organisation_id": await _organisation(stage, HOME)}
    return Ready(COORDINATOR, path=path, version=1, body=body, relations=DIRECTORY)


update_organisation = get_organisation


async def register_service(stage: Stage, body: Any) -> Ready:
    owner = await _organisation(stage, body["organisation_id"])
    relations = {
        identity: frozenset({"all", "own"} if str(organisation_id) == owner else {"all"})
        for identity, (organisation_id, _) in IDENTITIES.items()
    }
    return Ready(COORDINATOR, body=body, relations=relations, judge=_judge_directory)


async def find_services(stage: Stage, _: Any) -> Ready:
    return Ready(
        COORDINATOR, relations=DIRECTORY, listed=await _service(stage, HOME), query=WHOLE_LIST
    )


async def get_service(stage: Stage, _: Any) -> Ready:
    path = {"service_id": await _service(stage, HOME)}
    return Ready(COORDINATOR, path=path, relations=DIRECTORY)


async def update_service(stage: Stage, body: Any) -> Ready:
    path = {"service_id": await _service(stage, HOME)}
    return Ready(
        COORDINATOR,
        path=path,
        version=1,
        body=body,
        relations=DIRECTORY,
        judge=_judge_directory,
    )


async def draft_referral(stage: Stage, body: Any) -> Ready:
    case_id, receiver = body["case_id"], UUID(body["receiving_organisation_id"])
    if stage.is_new(case_id):
        await _case(stage, case_id, PARTNER)
        # PARTNER has the person in service, so it may refer her too.
        await _referral(stage, "submit", "acknowledge", "accept", case_id=case_id)
    await _organisation(stage, receiver)
    if body.get("service_id"):
        await _service(stage, receiver, body["service_id"])
    return Ready(SENDER, body=body, relations=SENT, judge=_judge_draft)


async def list_referrals(stage: Stage, _: Any) -> Ready:
    return Ready(SENDER, relations=SENT, listed=await _referral(stage, "submit"), query=WHOLE_LIST)


async def get_referral(stage: Stage, _: Any) -> Ready:
    return Ready(SENDER, path={"referral_id": await _referral(stage, "submit")}, relations=SENT)


async def submit_referral(stage: Stage, _: Any) -> Ready:
    path = {"referral_id": await _referral(stage)}
    return Ready(SENDER, path=path, version=1, relations=DRAFT, judge=_judge_side(DRAFT))


async def resubmit_referral(stage: Stage, body: Any) -> Ready:
    return await _step(stage, SENDER, body, "submit", "acknowledge", "return_for_info")


async def cancel_referral(stage: Stage, body: Any) -> Ready:
    # One whose receiver had come to know the case, of which it keeps what the feed's end tells.
    return await _step(stage, SENDER, body, "submit", "acknowledge")


async def acknowledge_referral(stage: Stage, _: Any) -> Ready:
    return await _step(stage, RECEIVER, None, "submit")


async def return_referral(stage: Stage, body: Any) -> Ready:
    return await _step(stage, RECEIVER, body, "submit", "acknowledge")


async def accept_referral(stage: Stage, _: Any) -> Ready:
    return await _step(stage, RECEIVER, None, "submit", "acknowledge")


async def decline_referral(stage: Stage, body: Any) -> Ready:
    if body.get("suggested_service_id"):
        await _service(stage, HOME, body["suggested_service_id"])
    return await _step(stage, RECEIVER, body, "submit", "acknowledge")


async def complete_referral(stage: Stage, _: Any) -> Ready:
    return await _step(stage, RECEIVER, None, "submit", "acknowledge", "accept")


async def get_referral_rules(_: Stage, __: Any) -> Ready:
    return Ready(SENDER)


async def list_changes(stage: Stage, _: Any) -> Ready:
    referral_id = await _referral(stage, "submit")
    await stage.publish()
    # Its receiver finds the preview in its list, and hears no more before it has acknowledged it.
    relations = related(own="own", assigned="own")
    row = authorisation("referral")["get_referral"]
    assert isinstance(row, dict)
    return Ready(
        SENDER,
        relations=relations,
        listed=referral_id,
        listed_by="subject",
        # A national role reads of a referral less than its events tell, as does one which may not
        # know whose case it is.
        readers=frozenset(
            role
            for role, opening in row.items()
            if {*opening} - {"all"} and "IDENTITY" in GROUPS.data_groups(role)
        ),
        query=WHOLE_FEED,
    )


# --- what they are made of


async def _organisation(stage: Stage, organisation_id: UUID | str) -> str:
    body = {
        "id": str(organisation_id),
        "name": "Sigurna kuća Oaza",
        "kind": "SHELTER",
        "sector": "CIVIL_SOCIETY",
        "country": "RS",
        "languages": ["sr-Latn"],
    }
    if stage.is_new(organisation_id):
        await stage.do("POST", "/v1/organisations", COORDINATOR, body)
    return str(organisation_id)


async def _service(
    stage: Stage, organisation_id: UUID, service_id: str = "00000000-0000-4000-8000-0000000000d1"
) -> str:
    """Return a service for women of any age, with free places."""
    body = {
        "id": service_id,
        "organisation_id": await _organisation(stage, organisation_id),
        "service_type": "SHELTER",
        "sexes": ["FEMALE"],
        "age_groups": ["12-17", "18-24", "25-34", "35+"],
        "languages": ["sq", "sr-Latn"],
        "capacity": 12,
        "free_places": 9,
    }
    if stage.is_new(service_id):
        await stage.do("POST", "/v1/services", COORDINATOR, body)
    return service_id


async def _case(stage: Stage, case_id: str, receiver: UUID) -> None:
    """Let the service hear of a case of HOME whose person agrees that the receiver knows all."""
    opened = CaseOpened(
        case_id=UUID(case_id),
        organisation_id=HOME,
        country="RS",
        beneficiary_kind="PRESUMED",
        identification_status="PRESUMED",
        sex="FEMALE",
        age_group="25-34",
        is_minor=False,
        urgency="HIGH",
        legal_basis="CONSENT",
        opened_on=date(2026, 3, 1),
    )
    consent = ConsentGranted(
        case_id=UUID(case_id),
        consent_id=new_id(),
        scope="SHARE_NATIONAL",
        recipient_organisation_id=receiver,
        recipient_countries=(),
        purposes=("ASSISTANCE", "PROTECTION"),
        data_groups=("IDENTITY", "CONTACT", "HEALTH"),
        given_by="SELF",
        granted_on=date(2026, 3, 1),
    )
    await stage.hear(told("intake", UUID(case_id), opened, consent))


async def _referral(stage: Stage, *steps: str, case_id: str | None = None) -> str:
    """Return a referral from HOME to PARTNER that has taken these steps."""
    if case_id is None:
        case_id = str(new_id())
        await _case(stage, case_id, PARTNER)
    referral_id = str(new_id())
    draft = {
        "id": referral_id,
        "case_id": case_id,
        "receiving_organisation_id": await _organisation(stage, PARTNER),
        "service_type": "SHELTER",
        "urgency": "NORMAL",
        "purpose": "ASSISTANCE",
        "data_groups": ["IDENTITY"],
        "note": "Comes with her sister.",
    }
    at = await stage.do("POST", "/v1/referrals", SENDER, draft)
    for step in steps:
        who = SENDER if step == "submit" else RECEIVER
        body = {"reason": "NEEDS_UNCLEAR"} if step == "return_for_info" else None
        path = f"/v1/referrals/{referral_id}/{step}"
        at = await stage.do("POST", path, who, body, version_of(at))
    return referral_id


async def _step(stage: Stage, by: Who, body: Any, *steps: str) -> Ready:
    path = {"referral_id": await _referral(stage, *steps)}
    version = len(steps) + 1  # one for the draft
    return Ready(by, path=path, version=version, body=body, relations=SENT, judge=_judge_side(SENT))


def _judge_directory(_role: str, _identity: str, is_open: bool) -> Answer | None:  # noqa: FBT001
    """Everybody may read the directory, so a refusal to write hides nothing."""
    return None if is_open else (403, "forbidden")


def _judge_draft(_role: str, _identity: str, is_open: bool) -> Answer | None:  # noqa: FBT001
    """A case that is not yours and one that nobody has told of are the same."""
    return None if is_open else (409, "referral.case_unknown")


def _judge_side(relations: Relations) -> Judge:
    """Who may read the referral but not take this step is told that it is the other side's."""
    readers = authorisation("referral")["get_referral"]
    assert isinstance(readers, dict)

    def judge(role: str, identity: str, is_open: bool) -> Answer | None:  # noqa: FBT001
        sides = relations[identity] & {"own", "referred"}
        knows = sides & set(readers.get(role, []))
        return (403, "referral.other_side") if knows and not is_open else None

    return judge
