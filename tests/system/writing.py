"""Somebody who opens case after case, and notes how each call ended and how long it took."""

import threading
from dataclasses import dataclass, field
from types import TracebackType

import httpx

from common.clock import monotonic, new_id
from prag.issuer import LocalIssuer, organisation_id
from tests.system.parts import Parts
from tests.system.processes import PATIENCE, SERVICES


@dataclass
class Writer:
    """Writes from the entry of its context to the exit."""

    country: Parts
    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def __enter__(self) -> "Writer":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def slowest(self, first: int = 0, last: int | None = None) -> float:
        """Return the seconds of which 99 of 100 calls took no more."""
        found = sorted(self.seconds[first:last])
        return found[int(len(found) * 0.99)]

    def _write(self) -> None:
        issuer = LocalIssuer(self.country.home)
        centre = organisation_id("csr-beograd", "RS")
        base = self.country.port_base + SERVICES.index("intake")
        began, token = 0.0, ""
        with httpx.Client(base_url=f"http://127.0.0.1:{base}", timeout=PATIENCE) as http:
            while not self._stop.wait(0.02):
                if monotonic() - began > 300:
                    began, token = monotonic(), issuer.token("SOCIAL_WORKER", centre, "mila")
                case = str(new_id())
                sent = monotonic()
                answer = http.post(
                    "/v1/cases",
                    json={
                        "id": case,
                        "beneficiary_kind": "PRESUMED",
                        "sex": "FEMALE",
                        "urgency": "HIGH",
                        "legal_basis": "PUBLIC_TASK",
                        "birth_date": "1997",
                    },
                    headers={"Authorization": f"Bearer {token}", "Idempotency-Key": case},
                )
                self.seconds.append(monotonic() - sent)
                self.statuses.append(answer.status_code)
                self.ids.append(case)
