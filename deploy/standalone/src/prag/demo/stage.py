"""Who and what is in the story as it goes on, at home and abroad. Everybody in it is invented."""

from collections.abc import Callable
from datetime import date
from typing import Any

from common.here import Here
from prag.demo.country import Country, Hub
from prag.manifest import TIME_ZONES

CROSSING = "/v1/cross-border-referrals"
Step = Callable[["Story"], str]


class Story:
    """The people and records of the story as it goes on; each step returns what it showed."""

    abroad: "Abroad"
    """The other country, of the second half of the story."""

    def __init__(self, country: Country) -> None:
        self.country = country
        self.today: date = Here(country.code, TIME_ZONES[country.code]).today
        self.ids: dict[str, str] = {}
        self.figures: dict[str, Any] = {}
        who = country.caller
        self.hotline = who("FIRST_RESPONDER", "hotline", "vesna")
        self.social = who("SOCIAL_WORKER", "csr-beograd", "ana")
        self.officer = who("IDENTIFICATION_OFFICER", "centar-za-zastitu", "goran")
        self.shelter = who("NGO_CASE_MANAGER", "kuca-praga", "mira")
        self.stranger = who("SOCIAL_WORKER", "csr-nis", "petar")
        self.contact = who("NATIONAL_CONTACT_POINT", "ministarstvo", "jelena")
        self.ministry = who("NATIONAL_COORDINATOR", "ministarstvo", "dragan")
        self.officer_for_data = who("DPO", "ministarstvo", "ivana")

    def path(self, record: str) -> str:
        """Return the path of a record of the story: `case`, `referral`, `plan`, `notice`."""
        return f"/v1/{record}s/{self.ids[record]}"

    def consent(self, case: str, *, language: str = "sr-Cyrl", **terms: Any) -> None:
        """Record that the child's guardian consents, and that she agrees."""
        given = {
            "given_by": "GUARDIAN",
            "guardian": "APPOINTED",
            "guardian_suspected": False,
            "assent": "GIVEN",
            "language": language,
            "granted_on": self.today.isoformat(),
        }
        self.social.post("intake", f"{case}/consents", given | terms)

    def persons_assisted(self) -> int:
        total: int = self.ministry.get("analytics", "/v1/indicators/persons-assisted")["total"]
        return total


class Abroad:
    """The neighbouring country, the hub between the two, and who acts there."""

    def __init__(self, story: Story, country: Country, hub: Hub) -> None:
        self.country = country
        self.hub = hub
        self.contact = country.caller("NATIONAL_CONTACT_POINT", "ministria", "besa")
        self.social = country.caller("SOCIAL_WORKER", "qps-gjakove", "drita")
        self.story = story

    @property
    def referral(self) -> str:
        return f"{CROSSING}/{self.story.ids['crossing']}"

    @property
    def case(self) -> str:
        return f"/v1/cases/{self.story.ids['crossing_case']}"

    @property
    def case_there(self) -> str:
        return f"/v1/cases/{self.story.ids['case_abroad']}"

    def status_here(self) -> str:
        return str(self.story.social.get("referral", self.referral)["status"])

    def status_there(self) -> str:
        return str(self.contact.get("referral", self.referral)["status"])
