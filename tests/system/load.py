"""A day of a country in small: seven people at once take persons through the mechanism."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from common.clock import new_id
from common.here import Here
from prag.issuer import organisation_id
from tests.system.people import Done, Person, Site
from tests.system.processes import poll

SENDER, RECEIVER, AUTHORITY, MINISTRY = (
    organisation_id(name, "RS")
    for name in ("csr-beograd", "kuca-praga", "centar-za-zastitu", "ministarstvo")
)
SERVICE = uuid5(RECEIVER, "service")
HOT_CASE = UUID(bytes=uuid5(SENDER, "hot case").bytes, version=4)
WORKERS = 3
PERSONS = 2
"""How many persons each case worker helps, one after the other."""


def prepare(site: Site) -> None:
    """Register the two organisations, a service with places, and the case everybody works on."""
    contact = site.person("NATIONAL_CONTACT_POINT", MINISTRY, "jelena")
    for number, organisation in enumerate((SENDER, RECEIVER)):
        _register(contact, organisation, f"Prag {number}")
    contact.create(
        "referral",
        "/v1/services",
        {
            "id": str(SERVICE),
            "organisation_id": str(RECEIVER),
            "service_type": "SHELTER",
            "sexes": ["FEMALE"],
            "age_groups": ["25-34", "18-24"],
            "languages": ["sr-Latn"],
            "capacity": 200,
            "free_places": 200,
        },
        "directory.service_listed",
    )
    worker = site.person("SOCIAL_WORKER", SENDER, "ana")
    _open_case(worker, HOT_CASE)


def _register(contact: Person, organisation: UUID, name: str) -> int:
    body = {
        "id": str(organisation),
        "country": "RS",
        "name": name,
        "kind": "SHELTER",
        "sector": "CIVIL_SOCIETY",
        "languages": ["sr-Latn"],
    }
    event = "directory.organisation_registered"
    return contact.create("referral", "/v1/organisations", body, event)[1]


def _directory(site: Site) -> None:
    contact = site.person("NATIONAL_CONTACT_POINT", MINISTRY, "jelena")
    for number in range(6):
        organisation = new_id()
        version = _register(contact, organisation, f"Kuća {number}")
        contact.change(
            "referral",
            f"/v1/organisations/{organisation}",
            {"municipality": "70858"},
            (organisation, "directory.organisation_changed"),
            expected=version,
            method="PATCH",
        )


def _open_case(worker: Person, case: UUID) -> int:
    body = {
        "id": str(case),
        "beneficiary_kind": "PRESUMED",
        "sex": "FEMALE",
        "urgency": "HIGH",
        "legal_basis": "PUBLIC_TASK",
        "birth_date": "1997",
    }
    return worker.create("intake", "/v1/cases", body, "case.opened")[1]


def _consent(worker: Person, case: UUID, **terms: Any) -> tuple[UUID, int]:
    consent = new_id()
    given = {"given_by": "SELF", "language": "sr-Latn", "granted_on": _today(), **terms}
    version = worker.change(
        "intake",
        f"/v1/cases/{case}/consents",
        {"id": str(consent), **given},
        (case, "case.consent_granted"),
        part=("consent", consent),
    )
    assert version is not None
    return consent, version


def _share(worker: Person, case: UUID) -> tuple[UUID, int]:
    return _consent(
        worker,
        case,
        scope="SHARE_NATIONAL",
        recipient_organisation_id=str(RECEIVER),
        purposes=["ASSISTANCE"],
        data_groups=["IDENTITY"],
    )


def _withdraw(worker: Person, case: UUID, consent: UUID) -> None:
    worker.change(
        "intake",
        f"/v1/cases/{case}/consents/{consent}/withdraw",
        {},
        (case, "case.consent_withdrawn"),
        part=("consent_withdrawal", consent),
    )


def _hot_case(site: Site, number: int) -> None:
    """Two people change one case at the same time: by appending, and by If-Match."""
    worker = site.person("SOCIAL_WORKER", SENDER, f"ana{number}")
    assigned = 0
    for _ in range(5):
        consent, version = _share(worker, HOT_CASE)
        while version is not None:
            new = worker.change(
                "intake",
                f"/v1/cases/{HOT_CASE}/assign",
                {"worker": f"worker-{number}-{assigned}"},
                (HOT_CASE, "case.assigned"),
                expected=version,
            )
            if new is not None:
                assigned += 1
                break
            version = worker.get("intake", f"/v1/cases/{HOT_CASE}")["version"]
        _withdraw(worker, HOT_CASE, consent)


class CaseWork:
    """One case worker and those she works with, from the notice to what comes of the referral."""

    def __init__(self, site: Site, number: int, chance: random.Random) -> None:
        self._site = site
        self._chance = chance
        who = site.person
        self._hotline = who("FIRST_RESPONDER", organisation_id("hotline", "RS"), f"vesna{number}")
        self._worker = who("SOCIAL_WORKER", SENDER, f"worker{number}")
        self._officer = who("IDENTIFICATION_OFFICER", AUTHORITY, f"goran{number}")
        self._shelter = who("NGO_CASE_MANAGER", RECEIVER, f"mira{number}")
        self._ministry = who("NATIONAL_COORDINATOR", MINISTRY, f"dragan{number}")

    def help_persons(self) -> None:
        endings = [self._support, self._decline, self._ask_again, self._call_off, self._support]
        self._chance.shuffle(endings)
        for ending in endings[:PERSONS]:
            self._help(ending)

    def _help(self, ending: Callable[[UUID, UUID, UUID, int], None]) -> None:
        case = new_id()
        _open_case(self._worker, case)
        self._notices(case)
        _, version = _consent(self._worker, case, scope="DATA_RECORD")
        self._identify(case, version)
        consent, _ = _share(self._worker, case)
        referral, version = self._refer(case)
        ending(case, consent, referral, version)
        self._ministry.get("analytics", "/v1/indicators/persons-assisted")

    def _notices(self, case: UUID) -> None:
        """Report three persons, under ids the service chooses; one becomes a case of its own."""
        other = new_id()
        decisions: list[tuple[dict[str, str], list[tuple[UUID, str]]]] = [
            ({"decision": "LINK_CASE", "case_id": str(case)}, []),
            ({"decision": "REJECT", "reason": "OUTSIDE_MANDATE"}, []),
            (
                {"decision": "OPEN_CASE", "case_id": str(other), "legal_basis": "PUBLIC_TASK"},
                [(other, "case.opened")],
            ),
        ]
        for decision, more in decisions:
            body = {"source": "HOTLINE", "country": "RS", "urgency": "HIGH", "note": "Зове опет."}
            notice, version = self._hotline.create("intake", "/v1/notices", body, "notice.received")
            self._officer.change(
                "intake",
                f"/v1/notices/{notice}/triage",
                decision,
                (notice, "notice.triaged"),
                *more,
                expected=version,
            )

    def _identify(self, case: UUID, version: int) -> None:
        new = self._worker.change(
            "intake",
            f"/v1/cases/{case}/identity",
            {"given_name": {"value": "Ана"}, "birth_date": "1997-03-02"},
            (case, "case.identity_recorded"),
            expected=version,
            method="PUT",
            part=("case_identity", case),
        )
        decided = {
            "decided_by": "NON_POLICE_GOVERNMENTAL_ORGANIZATION",
            "legal_basis": "NATIONAL_SOP",
            "decided_on": _today(),
        }
        self._officer.change(
            "intake",
            f"/v1/cases/{case}/identification",
            {"status": "FORMAL_ASSESSMENT", **decided},
            (case, "case.identification_changed"),
            expected=new,
        )

    def _refer(self, case: UUID) -> tuple[UUID, int]:
        draft = {
            "id": str(new_id()),
            "case_id": str(case),
            "receiving_organisation_id": str(RECEIVER),
            "service_id": str(SERVICE),
            "urgency": "HIGH",
            "purpose": "ASSISTANCE",
            "data_groups": ["IDENTITY"],
            "note": "Долази вечерас.",
        }
        referral, version = self._worker.create(
            "referral",
            "/v1/referrals",
            draft,
            "referral.drafted",
            while_told="referral.case_unknown",
        )
        version = self._step(
            self._worker, referral, "submit", version, "submitted", while_told="consent.missing"
        )
        return referral, self._step(self._shelter, referral, "acknowledge", version, "acknowledged")

    def _step(
        self,
        person: Person,
        referral: UUID,
        verb: str,
        version: int,
        event: str,
        *also: tuple[UUID, str],
        reason: str | None = None,
        **more: Any,
    ) -> int:
        new = person.change(
            "referral",
            f"/v1/referrals/{referral}/{verb}",
            {"reason": reason} if reason else {} if verb == "resubmit" else None,
            (referral, f"referral.{event}"),
            *also,
            expected=version,
            **more,
        )
        assert new is not None, f"nobody else changes {referral}"
        return new

    def _support(self, case: UUID, consent: UUID, referral: UUID, version: int) -> None:
        """Take the person in; support begins, and its first phase ends early."""
        self._accept(referral, version)
        plan = uuid5(referral, "plan")
        poll(lambda: self._plan_of(case) is not None)
        self._site.done.append(Done("reintegration", "", ((plan, "plan.opened"),), 1))
        new = 1
        for verb, body in (
            ("start", {"entered_on": _today()}),
            ("phase", {"to_phase": "TRANSITION", "reason": "READY_EARLY"}),
        ):
            changed = self._shelter.change(
                "reintegration",
                f"/v1/plans/{plan}/{verb}",
                body,
                (plan, "plan.phase_changed"),
                expected=new,
            )
            assert changed is not None
            new = changed

    def _plan_of(self, case: UUID) -> dict[str, Any] | None:
        found = self._shelter.get("reintegration", f"/v1/plans?case_id={case}")["items"]
        return found[0] if found else None

    def _accept(self, referral: UUID, version: int) -> int:
        places = (SERVICE, "directory.service_changed")
        return self._step(self._shelter, referral, "accept", version, "accepted", places)

    def _decline(self, case: UUID, consent: UUID, referral: UUID, version: int) -> None:
        shut = (referral, "referral.closed_to_receiver")
        reason = "NO_CAPACITY"
        self._step(self._shelter, referral, "decline", version, "declined", shut, reason=reason)

    def _ask_again(self, case: UUID, consent: UUID, referral: UUID, version: int) -> None:
        version = self._step(
            self._shelter,
            referral,
            "return_for_info",
            version,
            "returned_for_info",
            reason="NEEDS_UNCLEAR",
        )
        version = self._step(self._worker, referral, "resubmit", version, "submitted")
        shut = (referral, "referral.closed_to_receiver")
        reason = "NEED_ENDED"
        self._step(self._worker, referral, "cancel", version, "cancelled", shut, reason=reason)

    def _call_off(self, case: UUID, consent: UUID, referral: UUID, version: int) -> None:
        """The person withdraws her consent: the service itself calls the referral off."""
        _withdraw(self._worker, case, consent)
        path = f"/v1/referrals/{referral}"
        poll(lambda: self._worker.get("referral", path)["status"] == "CANCELLED")
        told = ((referral, "referral.cancelled"), (referral, "referral.closed_to_receiver"))
        self._site.done.append(Done("referral", "", told, version + 2))


def run_load(site: Site, seed: int) -> None:
    """Do it all; return when everybody was answered."""
    acts: list[Callable[[], None]] = [
        *(
            CaseWork(site, number, random.Random(f"{seed} {number}")).help_persons  # noqa: S311
            for number in range(WORKERS)
        ),
        *(partial(_hot_case, site, number) for number in range(2)),
        partial(_directory, site),
    ]
    with ThreadPoolExecutor(len(acts)) as people:
        for outcome in [people.submit(act) for act in acts]:
            outcome.result()


def _today() -> str:
    return Here("RS", "Europe/Belgrade").today.isoformat()
