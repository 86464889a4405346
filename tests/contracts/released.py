"""What releases have told, kept as files; and a service that tells and hears as an older one does.

`releases/<number>/schemas.json` holds the form of each of its events, `events.jsonl` golden
events: the very bytes that its own code wrote; of its letters see tests.contracts.letters. Release 1 is what the four services told first,
release 2 what they tell now. `python -m tests.contracts.released 3` keeps this code's as release 3;
it refuses where an older release could not be understood any more. As long as no country has the
newest, its folder may be deleted and written again.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from common.bus import Bus, Record
from common.events import Event, canonical
from common.inbox import Handler, Handlers
from common.unit import Unit
from tests.common.things import BusAround
from tests.contracts import letters
from tests.contracts.payloads import story
from tests.contracts.snapshot import Schema, event_classes, incompatible, schema_of

RELEASES = Path(__file__).parent / "releases"

WHAT_TO_DO = (
    "events of this form lie in archives and are told by countries that have not updated yet: keep "
    "the type as it was released, add the next version (.v2) beside it, and handle both"
)


@dataclass(frozen=True)
class Release:
    """The contracts of one release."""

    number: int
    schemas: Mapping[str, Schema]
    golden: Sequence[bytes]
    """Events in their aggregates' order, each as it stood in the outbox."""

    @property
    def aggregates(self) -> list[list[bytes]]:
        """Return the golden events, each aggregate's together; it is there for the last of them."""
        told = groupby(self.golden, key=lambda raw: json.loads(raw)["subject"])
        return [[*events] for _, events in told]

    @property
    def types(self) -> set[str]:
        """Return of which types there is a golden event, after those that it rests on."""
        return {str(json.loads(events[-1])["type"]) for events in self.aggregates}

    # --- as its services heard

    def hearing(self, handlers: Handlers) -> Handlers:
        """Return the handlers without the types and the fields that this release did not know."""
        return {
            kind: partial(self._hear, handler)
            for kind, handler in handlers.items()
            if kind in self.schemas
        }

    async def _hear(self, handler: Handler, unit: Unit, event: Event) -> None:
        await handler(unit, event.model_copy(update={"data": self.known(event.type, event.data)}))

    def known(self, event_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return what this release reads of a payload; ValidationError where it would refuse it."""
        self._validators[event_type].validate(data)
        fields = self.schemas[event_type]["properties"]
        return {name: value for name, value in data.items() if name in fields}

    @cached_property
    def _validators(self) -> Mapping[str, Draft202012Validator]:
        return {kind: Draft202012Validator(dict(each)) for kind, each in self.schemas.items()}

    # --- as its services told

    def telling(self, raw: bytes) -> bytes:
        """Return an event of today as this release would have written it."""
        event = Event.from_bytes(raw)
        assert event.type in self.schemas, f"release {self.number} knew no {event.type}"
        older = event.model_copy(update={"data": self.known(event.type, event.data)})
        members = json.loads(older.to_bytes())
        # The envelope has grown too; without a checksum nothing stands before the data.
        written = json.loads(self.golden[0]).keys()
        if "checksum" in written:
            return older.to_bytes()
        return canonical({name: value for name, value in members.items() if name in written})


class Wire(BusAround):
    """The bus of a country, as a service of an older release writes to it."""

    def __init__(self, inner: Bus, release: Release) -> None:
        super().__init__(inner)
        self._release = release

    async def publish(self, records: Sequence[Record]) -> None:
        tell = self._release.telling
        await super().publish([Record(each.topic, each.key, tell(each.value)) for each in records])


def releases() -> list[Release]:
    """Return all releases, the oldest first."""
    return [_read(number) for number in sorted(int(path.name) for path in RELEASES.iterdir())]


def _read(number: int) -> Release:
    folder = RELEASES / str(number)
    schemas = json.loads((folder / "schemas.json").read_text(encoding="utf-8"))
    return Release(number, schemas, (folder / "events.jsonl").read_bytes().splitlines())


def departures(released: Mapping[str, Schema], now: Mapping[str, Schema]) -> list[str]:
    """Return in what `now` is not what was `released` with optional additions, a sentence each."""
    return [
        f"{kind} has changed ({'; '.join(faults)}); {WHAT_TO_DO}"
        for kind, schema in sorted(released.items())
        if (faults := incompatible(schema, now[kind]) if kind in now else ["it is gone"])
    ]


def schemas_now() -> dict[str, Schema]:
    return {kind: schema_of(event) for kind, event in event_classes().items()}


def write(number: int) -> int:
    """Keep the contracts of this code as a release; return 1 and say why where that may not be."""
    now = schemas_now()
    earlier = releases() if RELEASES.exists() else []
    faults = [fault for each in earlier for fault in departures(each.schemas, now)]
    forms = letters.forms_now()
    faults += [f for each in letters.releases() for f in letters.departures(each.forms, forms)]
    if any(each.number >= number for each in earlier):
        faults.append(f"there is a release {earlier[-1].number} already: what was told stays told")
    if faults:
        sys.stderr.write("\n".join(faults) + "\n")
        return 1
    folder = RELEASES / str(number)
    folder.mkdir(parents=True)
    text = json.dumps(now, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "schemas.json").write_text(text + "\n", encoding="utf-8")
    lines = [line for kind in sorted(now) for line in _golden(kind, now)]
    (folder / "events.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    letters.write_release(folder)
    return 0


def _golden(event_type: str, schemas: Mapping[str, Schema]) -> list[bytes]:
    """Return a whole event of this type and one with nulls, as the contract's class writes them."""
    kinds = event_classes()
    return [
        Event.of(
            kinds[event.type].model_validate(event.data),
            subject=event.subject,
            seq=event.seq,
            source=event.source,
        ).to_bytes()
        for form in ("whole", "with nulls")
        for event in story(event_type, form, schema_of=schemas.get)
    ]


if __name__ == "__main__":
    sys.exit(write(int(sys.argv[1])))
