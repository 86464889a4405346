"""The second half of the story: a girl who was found in one country goes home to another.

Two countries and a hub, each a process of its own. Everybody in it is invented.
"""

import json
from pathlib import Path
from typing import Any

from common.clock import new_id
from common.federation.mail import topic_to
from prag.demo.checks import expect, search
from prag.demo.country import Caller, Country, wait_for
from prag.demo.stage import CROSSING, Step, Story

GIRL = {
    "given_name": {"value": "Arta", "script": "Latn"},
    "family_name": {"value": "Hoxhaj", "script": "Latn"},
    "birth_date": "2009-11-03",
    "birth_place": "Gjakovë",
    "address": "Rruga e Lisave 3, Gjakovë",
    "phones": ["+38344000000"],
}
HINTS = ("Arta", "Hoxhaj", "2009-11-03", "Gjakov", "Rruga e Lisave", "+38344000000")


def neighbours(story: Story) -> str:
    """Another country starts. Each makes its keys, and takes the other in by what was said in person."""
    abroad = story.abroad
    seconds = abroad.country.start()
    said: dict[str, str] = {}
    for country in (story.country, abroad.country):
        descriptor, said[country.code] = country.make_keys()
        country.home.with_name(f"{country.code}.json").write_text(descriptor)
    for country, other in ((story.country, abroad.country), (abroad.country, story.country)):
        file = str(country.home.with_name(f"{other.code}.json"))
        refused, why = country.run("peer", "add", file)
        expect(refused == 1, "a descriptor alone is not enough")
        expect("in person" in why, "and it says what is")
        taken, _ = country.run("peer", "add", file, "--fingerprint", said[other.code])
        expect(taken == 0, "with the fingerprint it is taken")
    return (
        f"ready after {seconds:.1f} s; {abroad.country.code} is "
        f"{said[abroad.country.code]}; the hub between them has no key at all"
    )


def found(story: Story) -> str:
    """Her worker meets a girl from over there. Her guardian agrees, and her name is sealed."""
    abroad = story.abroad
    story.ids["crossing_case"] = str(new_id())
    case = abroad.case
    story.social.post(
        "intake",
        "/v1/cases",
        {
            "id": story.ids["crossing_case"],
            "beneficiary_kind": "PRESUMED",
            "sex": "FEMALE",
            "urgency": "HIGH",
            "legal_basis": "CHILD_BEST_INTEREST",
            "birth_date": GIRL["birth_date"],
            "languages": ["sq"],
            "citizenships": ["XK"],
        },
    )
    story.consent(case, scope="DATA_RECORD", language="sq")
    story.social.put("intake", f"{case}/identity", GIRL, of=case)
    return "a case of a presumed victim, a child who wants to go home"


def unready(story: Story) -> str:
    """Her worker wants to ask the other country, and may not yet."""
    abroad = story.abroad
    story.ids["crossing"] = str(new_id())
    draft = {
        "id": story.ids["crossing"],
        "case_id": story.ids["crossing_case"],
        "peer_country": abroad.country.code,
        "requested_kind": "CSW",
        "needs": ["SHELTER", "EDUCATION"],
        "languages": ["sq"],
        "urgency": "HIGH",
        "purpose": "RETURN",
        "data_groups": ["IDENTITY", "CONTACT"],
        "trm_stage": "SOP4",
    }
    path = abroad.referral
    wait_for("the case at referral", lambda: story.social.post("referral", CROSSING, draft))
    refused = story.social.post("referral", f"{path}/submit", of=path, expect=409)
    lacking = ", ".join(refused["lacking"])
    story.social.post("referral", f"{path}/cancel", {"reason": "SENT_BY_MISTAKE"}, of=path)
    story.ids["crossing"] = draft["id"] = str(new_id())
    today = story.today.isoformat()
    prepared = {
        "risk_assessed_on": today,
        "needs_assessed_on": today,
        "guardian_appointed_on": today,
        "transfer_basis": "EXPLICIT_CONSENT",
    }
    story.social.post("referral", CROSSING, draft | prepared)
    path = abroad.referral
    refused = story.social.post("referral", f"{path}/submit", of=path, expect=403)
    expect(refused["code"] == "consent.missing", "nobody is asked without her consent")
    return f"refused: {lacking}; with these, still {refused['code']}"


def offer(story: Story) -> str:
    """Her guardian consents, she agrees, and the offer goes: an age, needs, languages; no name."""
    abroad = story.abroad
    story.consent(
        abroad.case,
        scope="SHARE_CROSS_BORDER",
        language="sq",
        recipient_kinds=["CSW"],
        recipient_countries=[abroad.country.code],
        purposes=["RETURN"],
        data_groups=["IDENTITY", "CONTACT"],
        risk_information_given=True,
    )
    path = abroad.referral
    wait_for(
        "the consent at referral", lambda: story.social.post("referral", f"{path}/submit", of=path)
    )
    header = wait_for("the offer there", lambda: abroad.contact.get("referral", path))
    expect(header["age_group"] == "12-17", "there they see that she is a child")
    expect(not header["needs"] and header["sex"] is None, "and not yet what she needs")
    shown = abroad.contact.post("referral", f"{path}/acknowledge", of=path)
    expect(shown["needs"] == ["SHELTER", "EDUCATION"], "acknowledged, it shows what she needs")
    expect(shown["case_id"] is None, "and not who she is")
    return f"there they read: {shown['sex']}, {shown['age_group']}, {' and '.join(shown['needs'])}, in {shown['languages'][0]}"


def accepted(story: Story) -> str:
    """Over there the contact point names who takes her in: the centre for social work of her town."""
    abroad = story.abroad
    centre = str(abroad.country.organisation("qps-gjakove"))
    abroad.contact.post(
        "referral",
        "/v1/organisations",
        {
            "id": centre,
            "country": abroad.country.code,
            "name": "Qendra për Punë Sociale",
            "kind": "CSW",
            "sector": "STATE",
            "languages": ["sq"],
        },
    )
    answer = {"organisation_id": centre}
    abroad.contact.post("referral", f"{abroad.referral}/accept", answer, of=abroad.referral)
    wait_for("the acceptance", lambda: abroad.status_here() == "ACCEPTED")
    return "accepted there, and known here"


def released(story: Story) -> str:
    """Now her name may go, sealed from register to register; there they read it and may not change it."""
    abroad = story.abroad
    told = {"referral_id": story.ids["crossing"]}
    wait_for(
        "the acceptance at intake",
        lambda: story.social.post("intake", f"{abroad.case}/release", told, of=abroad.case),
    )
    found_there = wait_for(
        "her case there", lambda: abroad.social.get("referral", abroad.referral)["case_id"]
    )
    story.ids["case_abroad"] = found_there
    read = abroad.social.get("intake", f"{abroad.case_there}/identity?purpose=ASSISTANCE")
    expect(read["family_name"]["value"] == "Hoxhaj", "her worker there reads her name")
    change = {"urgency": "CRISIS"}
    refused = abroad.social.ask(
        "PATCH", "intake", abroad.case_there, 409, body=change, of=abroad.case_there
    )
    code = refused.json()["code"]
    expect(code == "ownership.not_here", "only one country may write")
    return f"there her worker reads her name; to change anything is refused: {code}"


def hub_disk(story: Story) -> str:
    """Somebody takes the hub's disk and searches it for her."""
    abroad = story.abroad
    topic = topic_to(abroad.country.code)
    size, has_letters = search(abroad.hub.files(), HINTS, control=topic)
    expect(has_letters, "letters to her country lie there, so the search can find")
    size_there, _ = search(abroad.country.files(), HINTS)
    size_here, _ = search(story.country.files(), HINTS)
    return (
        f"{size // 1024} KB at the hub, {(size_here + size_there) // 1024} KB in the two countries: "
        "not a trace of her in clear"
    )


def journey(story: Story) -> str:
    """Her return is planned with her. She is on her way when the power fails over there."""
    abroad = story.abroad
    plan: dict[str, Any] = {
        "precondition": "WISH_TO_RETURN",
        "has_informed_decision": False,
        "took_part_in_planning": True,
        "has_travel_documents": True,
        "planned_on": story.today.isoformat(),
    }
    path = abroad.referral
    refused = story.social.post("referral", f"{path}/plan-transfer", plan, of=path, expect=422)
    expect(refused["code"] == "cross_border.not_safe", "nobody is returned against her will")
    plan["has_informed_decision"] = True
    story.social.post("referral", f"{path}/plan-transfer", plan, of=path)
    abroad.country.kill()
    story.social.post("referral", f"{path}/depart", of=path)
    abroad.country.start()
    wait_for("her departure there", lambda: abroad.status_there() == "IN_TRANSFER")
    abroad.social.post("referral", f"{path}/confirm-arrival", of=path)
    wait_for("her arrival here", lambda: abroad.status_here() == "ARRIVED")
    return "refused without her own decision; with it she travelled, and has arrived"


def handover(story: Story) -> str:
    """Her worker hands the case over: at every moment one country at most may write in it."""
    abroad = story.abroad
    told = {"referral_id": story.ids["crossing"], "epoch": 9}
    wait_for(
        "the arrival at intake",
        lambda: (
            story.social.post("intake", f"{abroad.case}/give", told, of=abroad.case, expect=409)[
                "code"
            ]
            == "ownership.stale_epoch"
        ),
    )
    story.social.post("intake", f"{abroad.case}/give", told | {"epoch": 1}, of=abroad.case)
    change = {"urgency": "NORMAL"}
    refused = story.social.ask("PATCH", "intake", abroad.case, 409, body=change, of=abroad.case)
    expect(refused.json()["code"] == "ownership.not_here", "from then on nobody writes here")
    wait_for("the handover", lambda: abroad.status_here() == "HANDED_OVER")
    abroad.social.ask("PATCH", "intake", abroad.case_there, 200, body=change, of=abroad.case_there)
    plans = wait_for(
        "the plan there",
        lambda: abroad.social.get("reintegration", f"/v1/plans?case_id={story.ids['case_abroad']}")[
            "items"
        ],
    )
    return (
        f"handed over; there they write in it now, and a reintegration plan is {plans[0]['phase']}"
    )


def custody(story: Story) -> str:
    """Months later somebody asks who said what when. Both countries can show it, and neither can change it."""
    abroad = story.abroad
    sides = ((story.social, story.country), (abroad.contact, abroad.country))
    said = [_verified(story, *side)[0] for side in sides]
    expect(said[0] == said[1], "both sides show the same chain")
    _, file = _verified(story, *sides[1])
    chain = json.loads(file.read_text())
    chain["statements"][0]["statement"]["kind"] = "declined"
    file.write_text(json.dumps(chain))
    code, found_out = abroad.country.run("verify-custody", str(file))
    expect(code == 1, "a changed word is found")
    story.figures["custody"] = said[0]
    return (
        f"statements: {said[0]}, the same on both sides; with one word changed: {found_out.strip()}"
    )


def _verified(story: Story, caller: Caller, country: Country) -> tuple[str, Path]:
    """Return what `prag verify-custody` says of the chain of one side, and the file it read."""
    path = f"{story.abroad.referral}/custody"
    chain = wait_for("the chain", lambda: _settled(caller.get("referral", path)))
    file = country.home.with_name(f"custody-{country.code}.json")
    file.write_text(json.dumps(chain))
    code, said = country.run("verify-custody", str(file))
    expect(code == 0, f"the chain of custody holds in {country.code}")
    return said.strip(), file


def _settled(chain: dict[str, Any]) -> dict[str, Any] | None:
    """Return the chain once the newest statement of each side was heard by the other."""
    said = [signed["statement"] for signed in chain["statements"]]
    newest: dict[str, int] = {}
    heard: dict[str, int] = {}
    for each in said:
        newest[each["author"]] = max(newest.get(each["author"], 0), each["number"])
        heard[each["peer"]] = max(heard.get(each["peer"], 0), each["heard"])
    return chain if newest and newest == heard else None


STEPS: tuple[Step, ...] = (
    neighbours, found, unready, offer, accepted, released, hub_disk, journey, handover, custody,
)  # fmt: skip
