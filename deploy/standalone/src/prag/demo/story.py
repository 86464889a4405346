"""What happens in the story at home. Everybody in it is invented."""

import re
import shutil
import sqlite3
from pathlib import Path

from common.clock import new_id
from prag.demo.checks import expect, search
from prag.demo.country import Caller, Country, wait_for
from prag.demo.stage import Step, Story

GIRL = {
    "given_name": {"value": "Милица", "script": "Cyrl"},
    "family_name": {"value": "Ђорђевић", "script": "Cyrl"},
    "birth_date": "2010-05-14",
    "birth_place": "Врање",
    "address": "Улица липа 7, Врање",
    "phones": ["+381640000000"],
}
HINTS = ("Милица", "Ђорђевић", "2010-05-14", "Улица липа", "+381640000000", "плаче")
"""What must not stand in clear anywhere on the disk."""
PUBLIC = "Kuća Prag"
"""What does: the name of the shelter's organisation."""


def directory(story: Story) -> str:
    """The contact point registers who works in the mechanism, and a shelter with free places."""
    for name, title, kind, sector in (
        ("csr-beograd", "Градски центар за социјални рад", "CSW", "STATE"),
        ("kuca-praga", PUBLIC, "SHELTER", "CIVIL_SOCIETY"),
    ):
        story.contact.post(
            "referral",
            "/v1/organisations",
            {
                "id": str(story.country.organisation(name)),
                "country": story.country.code,
                "name": title,
                "kind": kind,
                "sector": sector,
                "languages": ["sr-Cyrl", "sr-Latn"],
            },
        )
    story.ids["service"] = str(new_id())
    story.contact.post(
        "referral",
        "/v1/services",
        {
            "id": story.ids["service"],
            "organisation_id": str(story.country.organisation("kuca-praga")),
            "service_type": "SHELTER",
            "sexes": ["FEMALE"],
            "age_groups": ["12-17", "18-24"],
            "languages": ["sr-Cyrl", "sr-Latn"],
            "capacity": 6,
            "free_places": 2,
        },
    )
    found = story.social.get(
        "referral", "/v1/services?sex=FEMALE&age_group=12-17&has_free_places=true"
    )
    expect(len(found["items"]) == 1, "the shelter is found for a girl of that age")
    return "a centre for social work and an organisation that runs a shelter; a search for a girl of 16 finds the shelter"


def notice(story: Story) -> str:
    """A hotline reports a girl. Three codes are enough; it adds a note."""
    body = {
        "source": "HOTLINE",
        "country": story.country.code,
        "urgency": "HIGH",
        "note": "Девојчица плаче, не зна где је.",
    }
    story.ids["notice"] = story.hotline.post("intake", "/v1/notices", body)["id"]
    return "the notice waits for triage"


def triage(story: Story) -> str:
    """The identifying authority opens a case for the centre for social work to carry."""
    story.figures["persons_assisted_before"] = story.persons_assisted()
    story.ids["case"] = str(new_id())
    story.social.post(
        "intake",
        "/v1/cases",
        {
            "id": story.ids["case"],
            "beneficiary_kind": "PRESUMED",
            "sex": "FEMALE",
            "urgency": "HIGH",
            "legal_basis": "CHILD_BEST_INTEREST",
            "birth_date": "2010",
        },
    )
    story.officer.post(
        "intake",
        f"{story.path('notice')}/triage",
        {"decision": "LINK_CASE", "case_id": story.ids["case"]},
        of=story.path("notice"),
    )
    case = story.social.get("intake", story.path("case"))
    expect(case["is_minor"] and case["age_group"] == "12-17", "born in 2010 she is a child")
    expect(case["services_open"], "services are open to a presumed victim")
    fate = story.hotline.get("intake", story.path("notice"))
    expect(fate["status"] != "AWAITING_TRIAGE", "the hotline sees that its notice was taken up")
    return "a case of a presumed victim, a child; services are open to her from now on"


def unseen(story: Story) -> str:
    """Another centre for social work asks for the case, and for one that does not exist."""
    real = _refusal(story.stranger, f"/v1/cases/{story.ids['case']}")
    absent = _refusal(story.stranger, f"/v1/cases/{new_id()}")
    expect(real == absent, "a refusal looks like absence")
    return "both answers are the same; nobody learns that she is here"


def identity(story: Story) -> str:
    """Her name needs consent. Her guardian gives it, she agrees, and it is sealed."""
    refused = story.social.ask(
        "PUT", "intake", f"{story.path('case')}/identity", 403, body=GIRL, of=story.path("case")
    )
    expect(refused.json()["code"] == "identity.consent_missing", "no name without consent")
    story.consent(story.path("case"), scope="DATA_RECORD")
    story.social.put("intake", f"{story.path('case')}/identity", GIRL, of=story.path("case"))
    shown = story.social.get("intake", f"{story.path('case')}/identity?purpose=ASSISTANCE")
    expect(shown["family_name"]["value"] == "Ђорђевић", "her worker reads it back")
    return "refused without consent; with it, her name is sealed under a key of her own"


def disk(story: Story) -> str:
    """Somebody takes the disk and searches every file for her."""
    searched, control = search(story.country.files(), HINTS, control=PUBLIC)
    expect(control, "what is public does stand there, so the search can find")
    return f"{searched // 1024} KB of databases, bus and logs searched: the shelter's public name is there, of hers not a trace"


def identification(story: Story) -> str:
    """The authority identifies her formally; deception need not be shown, for she is a child."""
    for status, more in (
        ("FORMAL_ASSESSMENT", {}),
        ("IDENTIFIED", {"exploitation_types": ["FORCED_BEGGING"], "acts": ["ACT_TRANSPORTATION"]}),
    ):
        story.officer.post(
            "intake",
            f"{story.path('case')}/identification",
            {
                "status": status,
                "decided_by": "NON_POLICE_GOVERNMENTAL_ORGANIZATION",
                "legal_basis": "NATIONAL_SOP",
                "decided_on": story.today.isoformat(),
                **more,
            },
            of=story.path("case"),
        )
    case = story.social.get("intake", story.path("case"))
    expect(case["identification_status"] == "IDENTIFIED", "she is formally identified")
    expect(case["beneficiary_kind"] == "VICTIM", "and counted as a victim")
    return "identified, with the deciding authority and the legal basis on record"


def refused_referral(story: Story) -> str:
    """Her worker wants to refer her to the shelter, and may not yet."""
    story.ids["referral"] = str(new_id())
    draft = {
        "id": story.ids["referral"],
        "case_id": story.ids["case"],
        "receiving_organisation_id": str(story.country.organisation("kuca-praga")),
        "service_id": story.ids["service"],
        "urgency": "HIGH",
        "purpose": "ASSISTANCE",
        "data_groups": ["IDENTITY"],
        "note": "Долази вечерас, плаче за сестром.",
    }
    wait_for("the case at referral", lambda: story.social.post("referral", "/v1/referrals", draft))
    code = story.social.post(
        "referral", f"{story.path('referral')}/submit", of=story.path("referral"), expect=403
    )["code"]
    expect(code == "consent.missing", "no referral without consent")
    return "the shelter cannot be told of her: consent.missing"


def referral(story: Story) -> str:
    """Her guardian consents, for this shelter and this purpose; the referral goes its way."""
    story.consent(
        story.path("case"),
        scope="SHARE_NATIONAL",
        recipient_organisation_id=str(story.country.organisation("kuca-praga")),
        purposes=["ASSISTANCE"],
        data_groups=["IDENTITY"],
    )
    path = story.path("referral")
    wait_for(
        "the consent at referral", lambda: story.social.post("referral", f"{path}/submit", of=path)
    )
    preview = story.shelter.get("referral", path)
    expect("note" not in preview, "before it is acknowledged the shelter sees codes only")
    story.shelter.post("referral", f"{path}/acknowledge", of=path)
    expect(story.shelter.get("referral", path)["note"] is not None, "afterwards also the note")
    story.shelter.post("referral", f"{path}/accept", of=path)
    return "submitted, acknowledged, accepted"


def power_cut(story: Story) -> str:
    """The power fails. Everything that was answered must be there afterwards."""
    story.country.kill()
    seconds = story.country.start()
    status = story.social.get("referral", story.path("referral"))["status"]
    expect(status == "ACCEPTED", "the accepted referral survived")
    story.figures["seconds_to_ready_after_kill"] = round(seconds, 1)
    return f"killed, and ready again after {seconds:.1f} s; nothing was lost"


def plan(story: Story) -> str:
    """The accepted referral has opened a plan; the shelter starts it, and she is in crisis support."""
    opened = wait_for(
        "the plan",
        lambda: story.shelter.get("reintegration", f"/v1/plans?case_id={story.ids['case']}")[
            "items"
        ],
    )
    story.ids["plan"] = opened[0]["id"]
    path = story.path("plan")
    story.shelter.post(
        "reintegration", f"{path}/start", {"entered_on": story.today.isoformat()}, of=path
    )
    begun = story.shelter.get("reintegration", path)
    expect((begun["phase"], begun["month"]) == ("CRISIS", 1), "month 1 of crisis intervention")
    return f"phase CRISIS, month 1; the next phase is due on {begun['due_on']}"


def phases(story: Story) -> str:
    """She settles in early. The last phase needs an agreement that she, her guardian and the shelter sign."""
    path = story.path("plan")
    story.shelter.post(
        "reintegration",
        f"{path}/phase",
        {"to_phase": "TRANSITION", "reason": _reason(story)},
        of=path,
    )
    last = {"to_phase": "REINTEGRATION", "reason": _reason(story)}
    refused = story.shelter.post("reintegration", f"{path}/phase", last, of=path, expect=409)
    expect(refused["code"] == "plan.agreement_required", "no third phase without an agreement")
    today = story.today.isoformat()
    story.shelter.post(
        "reintegration",
        f"{path}/agreements",
        {
            "parties": ["PERSON", "CASE_WORKER", "GUARDIAN"],
            "duties": "Иде у школу; ми плаћамо превоз.",
            "review_on": story.today.replace(year=story.today.year + 1, day=1).isoformat(),
            "signatures": [
                {"party": party, "signed_on": today}
                for party in ("PERSON", "CASE_WORKER", "GUARDIAN")
            ],
        },
        of=path,
        expect=201,
    )
    story.shelter.post("reintegration", f"{path}/phase", last, of=path)
    return "transition with a reason; reintegration refused, then allowed with a signed agreement"


def figure(story: Story) -> str:
    """The ministry looks at its figure."""
    before = story.figures["persons_assisted_before"]
    after = wait_for(
        "the figure",
        lambda: story.persons_assisted() if story.persons_assisted() > before else None,
    )
    shown = story.ministry.get("analytics", "/v1/indicators/persons-assisted")
    cell = next(c for c in shown["cells"] if c["year"] == story.today.year)
    expect((cell["sex"], cell["age_group"]) == ("FEMALE", "CHILD"), "counted as a girl, this year")
    story.figures["persons_assisted_after"] = after
    return f"persons assisted: {before} → {after} (formula {shown['formula_version']}), a girl, in {cell['year']}"


def who_looked(story: Story) -> str:
    """She asks who looked at her file."""
    log = story.officer_for_data.get("intake", f"{story.path('case')}/access-log?limit=200")[
        "items"
    ]
    reads = [
        entry for entry in log if entry["action"] == "read" and "IDENTITY" in entry["data_groups"]
    ]
    expect(bool(reads), "the look at her name is on record")
    story.figures["access_entries"] = len(log)
    often = "once" if len(reads) == 1 else f"{len(reads)} times"
    return f"{len(log)} entries; her name was read {often}, by {reads[0]['actor']}, for {reads[0]['purpose']}"


def trail(story: Story) -> str:
    """The country ends its day; the audit trail is verified, then one byte of a copy is changed."""
    expect(story.country.stop() == 0, "it ends with exit code 0")
    code, said = story.country.run("verify-audit")
    expect(code == 0, "the chain is whole")
    story.figures["audit_entries"] = int(said.split()[0])
    copy = Country(story.country.home.with_name("tampered"), story.country.code)
    shutil.rmtree(copy.home, ignore_errors=True)
    shutil.copytree(story.country.home, copy.home)
    _change_one_entry(copy.home)
    code, found = copy.run("verify-audit")
    expect(code == 1, "a changed entry is found")
    return f"{said.splitlines()[0]}; in the copy: {found.splitlines()[0]}"


HOME: tuple[Step, ...] = (
    directory, notice, triage, unseen, identity, disk, identification, refused_referral, referral, power_cut,
    plan, phases, figure, who_looked,
)  # fmt: skip
"""The first half, in one country."""

END: tuple[Step, ...] = (disk, trail)


def _reason(story: Story) -> str:
    reasons = story.shelter.get("reintegration", "/v1/codelists/phase_change_reasons")["items"]
    return str(reasons[0]["code"])


def _refusal(caller: Caller, path: str) -> tuple[int, str]:
    answer = caller.ask("GET", "intake", path, 404)
    return answer.status_code, re.sub(r'"trace_id":"[^"]*"', "", answer.text)


def _change_one_entry(home: Path) -> None:
    """Change who did it in one entry, as a database administrator could."""
    [database] = home.rglob("intake.db")
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE audit_entry SET actor = 'nobody' WHERE id = (SELECT min(id) + 3 FROM audit_entry)"
        )
