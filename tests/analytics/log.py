"""What the other services have told, as tests need it: numbers for ids, days for times."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from analytics.consumers import HANDLERS
from analytics.models import Base
from common import clock
from common.bus import Delivery
from common.consumer import Consumer
from common.contracts.intake import (
    CaseIdentificationChanged,
    CaseIdentityRecorded,
    CaseMarkerEnded,
    CaseMarkerRecorded,
    CaseOpened,
    CaseProfileChanged,
)
from common.contracts.referral import EVENT_BY_STATUS
from common.contracts.reintegration import PlanOpened, PlanPhaseChanged
from common.events import Event, EventData, topic_of
from common.runtime import Runtime

ORGANISATION = UUID("00000000-0000-4000-8000-00000000000a")
CENTRE = UUID("00000000-0000-4000-8000-00000000000c")


def case_id(number: int) -> UUID:
    return UUID(int=0xCA5E_0000 + number)


def plan_id(number: int) -> UUID:
    return UUID(int=0x91A_0000 + number)


def referral_id(number: int) -> UUID:
    return UUID(int=0x4EF_0000 + number)


def noon(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00+00:00").astimezone(UTC)


def today_is(day: str) -> None:
    now = noon(day)
    clock.set_source(lambda: now)


class Log:
    """Events in the order told; those of each aggregate are numbered from 1."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._seqs: Counter[UUID] = Counter()

    def tell(self, service: str, subject: UUID, payload: EventData, on: str) -> Event:
        """Write an event down as if it had happened at noon of a day."""
        self._seqs[subject] += 1
        event = Event.of(
            payload, subject=subject, seq=self._seqs[subject], source=f"/RS/{service}"
        ).model_copy(update={"time": noon(on)})
        self.events.append(event)
        return event

    def case(
        self,
        number: int,
        on: str,
        *,
        kind: str = "VICTIM",
        sex: str = "FEMALE",
        age_group: str = "25-34",
    ) -> None:
        opened = CaseOpened(
            case_id=case_id(number),
            organisation_id=CENTRE,
            country="RS",
            beneficiary_kind=kind,
            identification_status="PRESUMED",
            sex=sex,
            age_group=age_group,
            is_minor=age_group in {"0-11", "12-17"},
            urgency="NORMAL",
            legal_basis="LAW",
            opened_on=date.fromisoformat(on),
        )
        self.tell("intake", case_id(number), opened, on)

    def profile(self, number: int, on: str, *, kind: str, sex: str, age_group: str) -> None:
        changed = CaseProfileChanged(
            case_id=case_id(number),
            beneficiary_kind=kind,
            sex=sex,
            age_group=age_group,
            is_minor=age_group in {"0-11", "12-17"},
            urgency="NORMAL",
        )
        self.tell("intake", case_id(number), changed, on)

    def identity(self, number: int, on: str, *, age_group: str, sex: str | None = None) -> None:
        recorded = CaseIdentityRecorded(
            case_id=case_id(number), sex=sex, age_group=age_group, is_minor=False
        )
        self.tell("intake", case_id(number), recorded, on)

    def identified(self, number: int, on: str) -> None:
        decided = CaseIdentificationChanged(
            case_id=case_id(number),
            status="IDENTIFIED",
            previous_status="FORMAL_ASSESSMENT",
            decided_by="POLICE",
            legal_basis="LAW",
            decided_on=date.fromisoformat(on),
            rule_version="identification.2026-1",
            exploitation_types=("FORCED_LABOUR",),
        )
        self.tell("intake", case_id(number), decided, on)

    def marker(self, number: int, on: str, code: str, *, of: int, since: str | None = None) -> None:
        """A marker, known by its number, is recorded of a case."""
        recorded = CaseMarkerRecorded(
            case_id=case_id(of),
            marker_id=UUID(int=number),
            marker=code,
            since=date.fromisoformat(since or on),
        )
        self.tell("intake", case_id(of), recorded, on)

    def marker_end(self, number: int, on: str, code: str, *, of: int, until: str) -> None:
        ended = CaseMarkerEnded(
            case_id=case_id(of),
            marker_id=UUID(int=number),
            marker=code,
            until=date.fromisoformat(until),
        )
        self.tell("intake", case_id(of), ended, on)

    def plan(self, number: int, of: int, on: str) -> None:
        opened = PlanOpened(
            plan_id=plan_id(number),
            case_id=case_id(of),
            referral_id=referral_id(number),
            organisation_id=ORGANISATION,
            country="RS",
            opened_on=date.fromisoformat(on),
        )
        self.tell("reintegration", plan_id(number), opened, on)

    def phase(self, number: int, of: int, to_phase: str, on: str, *, entered_on: str) -> None:
        changed = PlanPhaseChanged(
            plan_id=plan_id(number),
            case_id=case_id(of),
            from_phase="PLANNED" if to_phase == "CRISIS" else "CRISIS",
            to_phase=to_phase,
            direction="FORWARD",
            entered_on=date.fromisoformat(entered_on),
            changed_on=date.fromisoformat(on),
            month=1,
        )
        self.tell("reintegration", plan_id(number), changed, on)

    def start(self, number: int, of: int, on: str) -> None:
        """A plan is opened and started on the same day."""
        self.plan(number, of, on)
        self.phase(number, of, "CRISIS", on, entered_on=on)

    def about_plan(self, payload: type[EventData], number: int, on: str, **data: Any) -> None:
        told = payload.model_validate(
            {"plan_id": plan_id(number), "case_id": case_id(number), **data}
        )
        self.tell("reintegration", plan_id(number), told, on)

    def referral(self, number: int, of: int, *steps: tuple[str, str]) -> None:
        """A referral takes these steps, each a status and a day."""
        previous = None
        for status, on in steps:
            told = EVENT_BY_STATUS[status](
                referral_id=referral_id(number),
                case_id=case_id(of),
                sending_organisation_id=CENTRE,
                receiving_organisation_id=ORGANISATION,
                service_type="SHELTER",
                urgency="HIGH",
                status=status,
                previous_status=previous,
                on=date.fromisoformat(on),
            )
            self.tell("referral", referral_id(number), told, on)
            previous = status


def deliveries(events: Iterable[Event]) -> list[Delivery]:
    """Return the events as the bus would bring them: an offset within each topic."""
    ends: Counter[str] = Counter()
    found = []
    for event in events:
        topic = topic_of(event.type)
        found.append(Delivery(topic, 0, ends[topic], event.to_bytes()))
        ends[topic] += 1
    return found


async def consume(runtime: Runtime, events: Iterable[Event]) -> None:
    """Let the service take events from the bus, many in one transaction, as its worker does."""
    consumer = Consumer(runtime.database, HANDLERS, service=runtime.name, box=runtime.box)
    await consumer.accept_all(deliveries(events))


async def dump(runtime: Runtime) -> dict[str, list[dict[str, Any]]]:
    """Return all facts in a form that can be compared, whatever the order of their arrival."""
    found = {}
    for table in Base.metadata.sorted_tables:
        rows = await runtime.database.fetch(select(table).order_by(*table.primary_key))
        names = table.columns.keys()
        found[table.name] = [
            {name: str(value) for name, value in zip(names, row, strict=True)} for row in rows
        ]
    return found
