"""One invented case, told step by step as the people who carry it would enter it."""

from calendar import monthrange
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from common.settings import ServiceName
from prag.samples.caller import Actor, Answer, Call, Caller, SampleError
from prag.samples.directory import Cast

Known = Callable[[ServiceName, str, UUID, int], Awaitable[None]]
"""(service, topic, aggregate, version) → returns once that service has heard of that version."""

_SAMPLES = UUID("7d1f6b52-40c9-5f0b-8a3e-6c2b9d0e4a17")
_STALE = 412
_CHILD_UNTIL = 18
_PHASE_MONTHS = {"TRANSITION": 3, "REINTEGRATION": 12, "FOLLOW_UP": 36}
_TURNED_DOWN = {"REJECTED", "NOT_VICTIM", "DISCONTINUED"}
_ASSESSED = ("FORMAL_ASSESSMENT", "IDENTIFIED", "NOT_VICTIM")


class Story:
    """Tells one case; `began` is the instant the samples count their months back from."""

    def __init__(
        self, facts: dict[str, Any], cast: Cast, caller: Caller, known: Known, began: datetime
    ) -> None:
        self._facts = facts
        self._cast = cast
        self._caller = caller
        self._known = known
        self._began = began
        self._steps = 0
        self._worker = cast.worker(facts["office"])
        self._opened = months_before(began, facts["months"])
        self._moment = self._opened
        self._case_id = self._id("case")
        self._is_minor = age_at_least(facts["birth"], self._opened) < _CHILD_UNTIL

    async def tell(self) -> None:
        facts = self._facts
        version = await self._open()
        version = await self._write_identity(version)
        version = await self._mark(version)
        if facts.get("referral"):
            plan = await self._refer(version)
        else:
            plan = None
        await self._identify(version)
        for member in facts.get("family_members", ()):
            await self._tell_of_family(member)
        if plan is not None and facts.get("plan") is not None:
            await self._accompany(plan)

    # --- intake

    async def _open(self) -> int:
        facts = self._facts
        kind = facts.get("kind", "PRESUMED")
        notice_id = None
        if kind != "SECONDARY":
            notice_id = str(self._id("notice"))
            await self._post(
                "intake",
                "/v1/notices",
                {
                    "id": notice_id,
                    "source": facts["source"],
                    "country": self._cast.country,
                    "urgency": facts["urgency"],
                    "sex": facts["sex"],
                    "note": facts["note"],
                },
            )
        case = {
            "id": str(self._case_id),
            "beneficiary_kind": kind,
            "sex": facts["sex"],
            "urgency": facts["urgency"],
            "legal_basis": "PUBLIC_TASK",
            "birth_date": facts["birth"],
            "citizenships": facts["citizenships"],
            "languages": facts["languages"],
            "notice_id": notice_id,
            "primary_case_id": facts.get("primary_case_id"),
            "note": facts["note"],
        }
        opened = await self._post("intake", "/v1/cases", case)
        return opened.version

    async def _write_identity(self, version: int) -> int:
        facts = self._facts
        granted = await self._consent("DATA_RECORD")
        granted = await self._consent("ASSISTANCE")
        identity = {
            "given_name": {"value": facts["given"]},
            "family_name": {"value": facts["family"]},
            "other_names": [{"value": name} for name in facts.get("other", ())],
            "birth_date": facts["birth"],
        }
        path = f"/v1/cases/{self._case_id}"
        version = max(version, granted.version)
        put = Call("intake", "PUT", f"{path}/identity", identity, version=version)
        written = await self._send(put)
        worker = {"worker": self._worker.name}
        assigned = await self._post("intake", f"{path}/assign", worker, version=written.version)
        return assigned.version

    async def _mark(self, version: int) -> int:
        """Record how the person lives, as far as it is known at the opening."""
        for marker in self._facts.get("markers", ()):
            body = {"id": str(self._id(f"marker {marker}")), "marker": marker, "since": self._day}
            path = f"/v1/cases/{self._case_id}/markers"
            version = (await self._post("intake", path, body)).version
        return version

    async def _consent(self, scope: str, **terms: Any) -> Answer:
        guardian = {"guardian": "APPOINTED", "guardian_suspected": False, "assent": "GIVEN"}
        body = {
            "id": str(self._id(f"consent {scope}")),
            "scope": scope,
            "language": self._facts["languages"][-1],
            "given_by": "GUARDIAN" if self._is_minor else "SELF",
            **(guardian if self._is_minor else {}),
            "granted_on": self._day,
            **terms,
        }
        return await self._post("intake", f"/v1/cases/{self._case_id}/consents", body)

    async def _identify(self, version: int) -> None:
        """Take the steps that lead to the status the case has today."""
        wanted = self._facts["identification"]
        steps: list[str] = []
        if wanted in {"SCREENING", "REJECTED"}:
            steps = ["SCREENING", wanted] if wanted == "REJECTED" else ["SCREENING"]
        elif wanted in _ASSESSED:
            steps = [_ASSESSED[0], wanted] if wanted != _ASSESSED[0] else [wanted]
        elif wanted == "DISCONTINUED":
            steps = [wanted]
        before = self._moment
        for status in steps:
            self._wait(days=9)
            decided = await self._post(
                "intake",
                f"/v1/cases/{self._case_id}/identification",
                self._decision(status),
                self._cast.worker("centre"),
                version,
            )
            version = decided.version
        self._moment = before  # the formal decision goes on beside the help

    def _decision(self, status: str) -> dict[str, Any]:
        decision: dict[str, Any] = {
            "status": status,
            "decided_by": "NON_POLICE_GOVERNMENTAL_ORGANIZATION",
            "participants": ["POLICE_INVESTIGATOR", "SOCIAL_WORKER", "VICTIM_ADVOCATE"],
            "legal_basis": "NATIONAL_SOP",
            "decided_on": self._day,
        }
        if status == "IDENTIFIED":
            decision["exploitation_types"] = self._facts["exploitation"]
            decision["acts"] = ["ACT_RECRUITMENT", "ACT_HARBOURING"]
            decision["means"] = ["MEANS_DECEPTION", "MEANS_ABUSE_VULNERABILITY"]
        if status in _TURNED_DOWN:
            decision["note"] = self._facts["note"]
        return decision

    async def _tell_of_family(self, member: dict[str, Any]) -> None:
        """Tell of somebody who is helped beside the person: a case of their own, counted apart."""
        facts = {
            **self._facts,
            "other": (),
            "markers": (),
            **member,
            "kind": "SECONDARY",
            "urgency": "LOW",
            "identification": "REPORTED",
            "primary_case_id": str(self._case_id),
            "referral": "ACCEPTED",
            "plan": [],
            "family_members": (),
        }
        await Story(facts, self._cast, self._caller, self._known, self._began).tell()

    # --- referral

    async def _refer(self, version: int) -> UUID | None:
        """Refer the case; return the plan that opens with an accepted referral."""
        consent = await self._consent(
            "SHARE_NATIONAL",
            recipient_organisation_id=str(self._cast.organisation(self._facts["to"])),
            purposes=["ASSISTANCE"],
            data_groups=["IDENTITY", "CONTACT"],
        )
        version = max(version, consent.version)
        await self._known("referral", "intake.case", self._case_id, version)
        await self._known("reintegration", "intake.case", self._case_id, version)
        self._wait(days=2)
        referral_id = self._id("referral")
        try:
            await self._walk(referral_id)
        except SampleError as error:
            if error.code != "referral.illegal_step":
                raise
            # A start before this one was killed while the referral, years ago as it is, waited for
            # its answer; so it has expired. As in life, another is written.
            referral_id = self._id("second referral")
            await self._walk(referral_id)
        is_taken = self._facts["referral"] in {"ACCEPTED", "COMPLETED"}
        return uuid5(referral_id, "plan") if is_taken else None

    async def _walk(self, referral_id: UUID) -> None:
        """Write a referral and take it to the status it has today."""
        facts, to = self._facts, self._facts["to"]
        draft = {
            "id": str(referral_id),
            "case_id": str(self._case_id),
            "receiving_organisation_id": str(self._cast.organisation(to)),
            "service_id": str(self._cast.service(to)),
            "urgency": facts["urgency"],
            "purpose": "ASSISTANCE",
            "data_groups": ["IDENTITY", "CONTACT"],
            "languages": facts["languages"],
            "note": facts["note"],
        }
        answer = await self._post("referral", "/v1/referrals", draft)
        path = f"/v1/referrals/{referral_id}"
        for step in self._referral_steps(facts["referral"]):
            verb, _, reason = step.partition(":")
            body = {"reason": reason} if reason else None
            actor = self._worker if verb in {"submit", "cancel"} else self._cast.worker(to)
            self._wait(hours=2)
            answer = await self._post("referral", f"{path}/{verb}", body, actor, answer.version)
            if verb == "accept":
                await self._known("reintegration", "referral.referral", referral_id, answer.version)

    @staticmethod
    def _referral_steps(status: str) -> list[str]:
        received = ["submit", "acknowledge"]
        return {
            "DRAFT": [],
            "SUBMITTED": received[:1],
            "EXPIRED": received[:1],
            "ACKNOWLEDGED": received,
            "RETURNED_FOR_INFO": [*received, "return_for_info:NEEDS_UNCLEAR"],
            "DECLINED": [*received, "decline:NO_CAPACITY"],
            "CANCELLED": [*received, "cancel:PERSON_DECLINED"],
            "ACCEPTED": [*received, "accept"],
            "COMPLETED": [*received, "accept", "complete"],
        }[status]

    # --- reintegration

    async def _accompany(self, plan_id: UUID) -> None:
        path = f"/v1/plans/{plan_id}"
        actor = self._cast.worker(self._facts["to"])
        self._wait(days=1)
        entered = self._moment
        answer = await self._send(Call("reintegration", "GET", path), actor)
        start = {"entered_on": self._day}
        answer = await self._post("reintegration", f"{path}/start", start, actor, answer.version)
        for step in self._facts["plan"]:
            verb, body = self._plan_step(step, entered)
            if step == "REINTEGRATION":
                answer = await self._agree(path, actor)
            answer = await self._post("reintegration", f"{path}{verb}", body, actor, answer.version)

    def _plan_step(self, step: str, entered: datetime) -> tuple[str, dict[str, Any]]:
        """Move on to the day of a step; return its verb and body."""
        word, _, reason = step.partition(":")
        if word in _PHASE_MONTHS:
            self._moment = max(self._moment, months_before(entered, -_PHASE_MONTHS[word]))
            self._wait(days=1)
            return "/phase", {"to_phase": word}
        self._wait(days=70)
        if word == "BACK":
            phase, _, why = reason.partition(":")
            return "/phase", {"to_phase": phase, "reason": why, "note": self._facts["note"]}
        if word == "CLOSED":
            return "/close", {"reason": reason, "closed_on": self._day}
        if word == "REOPEN":
            return "/reopen", {"reason": reason, "note": self._facts["note"]}
        return "/suspend", {"note": self._facts["note"]}

    async def _agree(self, path: str, actor: Actor) -> Answer:
        signers = ["PERSON", "CASE_WORKER", *(["GUARDIAN"] if self._is_minor else [])]
        terms = {
            "parties": signers,
            "duties": self._facts["duties"],
            "review_on": (self._moment + timedelta(days=180)).date().isoformat(),
            "signatures": [{"party": party, "signed_on": self._day} for party in signers],
        }
        return await self._post("reintegration", f"{path}/agreements", terms, actor)

    # --- calls

    async def _post(
        self,
        service: ServiceName,
        path: str,
        body: dict[str, Any] | None,
        actor: Actor | None = None,
        version: int | None = None,
    ) -> Answer:
        return await self._send(Call(service, "POST", path, body, self._key(), version), actor)

    async def _send(self, call: Call, actor: Actor | None = None) -> Answer:
        """Make the call on the record as it stands at `call.version`, or now if it has gone on.

        It has when a start before this one was interrupted after the same step.
        """
        who = actor or self._worker
        self._wait(minutes=1)
        try:
            return await self._caller.call(who, self._moment, call)
        except SampleError as error:
            if error.status != _STALE:
                raise
        shown = await self._caller.call(who, self._moment, Call(call.service, "GET", call.record))
        return await self._caller.call(who, self._moment, replace(call, version=shown.version))

    def _key(self) -> str:
        self._steps += 1
        return f"sample-{self._facts['key']}-{self._steps}"

    @property
    def _day(self) -> str:
        return self._moment.date().isoformat()

    def _wait(self, **pause: float) -> None:
        """Let time pass, but not beyond the moment at which the samples were begun."""
        self._moment = min(self._moment + timedelta(**pause), self._began)

    def _id(self, what: str) -> UUID:
        """Return the id of a sample's record: the same at each start, of the form of a random one."""
        named = uuid5(_SAMPLES, f"{self._cast.country}|{self._facts['key']}|{what}")
        return UUID(bytes=named.bytes, version=4)


def months_before(moment: datetime, months: int) -> datetime:
    """Return the moment that many months earlier, at nine in the morning UTC; an hour ago for 0."""
    if months == 0:
        return moment - timedelta(hours=20)
    year, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return datetime(year, month + 1, day, 9, tzinfo=UTC)


def age_at_least(birth: str, on: datetime) -> int:
    """Return the least age a partial date of birth allows: in doubt somebody is a child."""
    year, month, day = (*(int(part) for part in birth.split("-")), 12, 31)[:3]
    last = monthrange(year, month)[1]
    return on.year - year - ((on.month, on.day) < (month, min(day, last)))
