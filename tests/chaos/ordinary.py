"""The ordinary work beside the crossings: in each country cases are opened and changed (load W, light)."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from common.clock import new_id
from prag.issuer import organisation_id
from tests.chaos.handover import Actor, case_body
from tests.system.parts import Parts

_PAUSE_SECONDS = 1.0
_OFFICES = {"RS": "csr-beograd", "XK": "qps-prishtine"}
URGENCY = "LOW"
"""What every case is changed to."""


@dataclass
class Ordinary:
    """One worker of a country. `opened` and `changed` are the cases for which there was an answer."""

    land: Parts
    opened: list[UUID] = field(default_factory=list)
    changed: list[UUID] = field(default_factory=list)

    def run(self, over: threading.Event) -> None:
        """Open a case and change it, again and again, asking until there is an answer."""
        office = organisation_id(_OFFICES[self.land.country], self.land.country)
        worker = Actor(self.land, "SOCIAL_WORKER", office)
        try:
            while not over.is_set():
                id_ = new_id()
                case = f"/v1/cases/{id_}"
                worker.do("POST", "intake", "/v1/cases", case_body(id_))
                self.opened.append(id_)
                worker.do("PATCH", "intake", case, {"urgency": URGENCY}, of=case)
                self.changed.append(id_)
                over.wait(_PAUSE_SECONDS)
        finally:
            worker.close()

    def faults(self) -> Iterator[str]:
        """Say what of the answers does not hold, or is not known to the other service as it is."""
        query = "SELECT {}, urgency, version FROM {}"
        mine = self.land.rows("intake", query.format("id", "case_file"))
        theirs = self.land.rows("referral", query.format("case_id", "known_case"))
        told = dict(
            self.land.rows(
                "intake",
                "SELECT subject, max(seq) FROM outbox_message "
                "WHERE topic = 'intake.case' GROUP BY subject",
            )
        )
        found = {id_: (urgency, version) for id_, urgency, version in mine}
        known = {id_: (urgency, version) for id_, urgency, version in theirs}
        country = self.land.country
        for id_ in self.opened:
            if id_ not in found:
                yield f"{country} {id_}: it was opened, and is not there"
            elif id_ in self.changed and found[id_][0] != URGENCY:
                yield f"{country} {id_}: it was changed, and is as before"
            elif found[id_] != known.get(id_) or found[id_][1] != told.get(id_):
                yield (
                    f"{country} {id_}: intake has {found[id_]}, told {told.get(id_)}, "
                    f"referral took {known.get(id_)}"
                )
