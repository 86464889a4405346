"""Who is in the directory of the samples: offices, an association, a shelter; all invented."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from common.codelists import all_codes, label
from prag.issuer import organisation_id
from prag.names import CAPITALS, office
from prag.samples.caller import Actor, Call, Caller

_LANGUAGE = {
    "AL": "sq",
    "BA": "bs",
    "BG": "bg",
    "ME": "sr-Latn",
    "MK": "mk",
    "RO": "ro",
    "RS": "sr-Latn",
    "XK": "sq",
}
_SPOKEN = ["sq", "sr-Latn", "sr-Cyrl", "bs", "cnr", "mk", "ro", "bg", "rom", "hu", "en"]
_AGES = ["0-11", "12-17", "18-24", "25-34", "35+", "UNKNOWN"]


class Cast:
    """The organisations of one country's samples and the people who act for them."""

    def __init__(self, country: str) -> None:
        self.country = country
        self.names = {
            "csr": office(country),
            "lipa": "lipa",
            "breza": "breza",
            "centre": "identification-centre",
        }

    def organisation(self, key: str) -> UUID:
        return organisation_id(self.names[key], self.country)

    def service(self, key: str) -> UUID:
        return uuid5(self.organisation(key), "service")

    def worker(self, key: str) -> Actor:
        """Return the person who carries cases in an organisation."""
        name, role = {
            "csr": ("ana", "SOCIAL_WORKER"),
            "lipa": ("milan", "NGO_CASE_MANAGER"),
            "breza": ("vesna", "NGO_CASE_MANAGER"),
            "centre": ("nada", "IDENTIFICATION_OFFICER"),
        }[key]
        return Actor(name, role, self.organisation(key))

    @property
    def coordinator(self) -> Actor:
        ministry = organisation_id("ministry", self.country)
        return Actor("coordinator", "NATIONAL_COORDINATOR", ministry)

    async def enter(self, caller: Caller, moment: datetime) -> None:
        """Enter all of them into the directory."""
        for path, bodies in (
            ("/v1/organisations", self._organisations()),
            ("/v1/services", self._services()),
        ):
            for body in bodies:
                key = f"sample-{body['id']}"
                call = Call("referral", "POST", path, body, key)
                await caller.call(self.coordinator, moment, call)

    def _organisations(self) -> Sequence[dict[str, Any]]:
        capital = CAPITALS[self.country].capitalize()
        kinds = {
            "csr": ("CSW", "STATE", capital),
            "centre": ("MINISTRY_SOCIAL", "STATE", capital),
            "lipa": ("NGO", "CIVIL_SOCIETY", "„Lipa“"),
            "breza": ("SHELTER", "CIVIL_SOCIETY", "„Breza“"),
        }
        return [
            {
                "id": str(self.organisation(key)),
                "country": self.country,
                "name": f"{label('organisation_kinds', kind, _LANGUAGE[self.country])} {name}",
                "kind": kind,
                "sector": sector,
                "languages": _SPOKEN,
                "roles": [self.worker(key).role],
            }
            for key, (kind, sector, name) in kinds.items()
        ]

    def _services(self) -> Sequence[dict[str, Any]]:
        offers: dict[str, dict[str, Any]] = {
            "csr": {"service_type": "SOCIAL_BENEFITS"},
            "lipa": {"service_type": "COUNSELLING_INFORMATION"},
            "breza": {"service_type": "SHELTER", "capacity": 24, "free_places": 24},
        }
        return [
            {
                "id": str(self.service(key)),
                "organisation_id": str(self.organisation(key)),
                "sexes": sorted(all_codes("sex_gender")),
                "age_groups": _AGES,
                "languages": _SPOKEN,
                **offer,
            }
            for key, offer in offers.items()
        ]
