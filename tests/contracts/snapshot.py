"""What each published event looks like, kept as a file; and what may be published at all.

`python -m tests.contracts.snapshot` writes the snapshots of new event types and of those with
optional additions. It refuses any other change: that is a new version (`….v2`) beside the old one.
As long as a type has never been released, delete its snapshot and run the command again.
"""

import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import common.contracts
from common.events import EventData

SNAPSHOTS = Path(__file__).parent / "snapshots"

Schema: TypeAlias = Mapping[str, Any]

EVENT_TYPE = re.compile(r"[a-z]+\.[a-z]+\.[a-z]+(_[a-z]+)*\.v[1-9][0-9]*")

FORMATS = frozenset({"uuid", "date", "date-time"})

LONGEST = 64

HEX = re.compile(r"\^\[0-9a-f\]\{([0-9]+)\}\$")
"""A hash or signature of fixed length: the only string that may be longer than LONGEST."""

SEALED = r"^[0-9a-f]{32}\.[A-Za-z0-9+/]+={0,2}$"
"""A sealed package: the id of a key and never less than what 4 KiB come to when sealed."""

SHORTEST_SEALED = 5000

FREE_TEXTS = (
    "Ana Petrović",
    "Милица Јовановић",
    "Rruga e Dëshmorëve 12, Prizren",
    "ana@example.org",
    "She was seen at the bus station.\nTwo men waited.",
)
"""A pattern that lets one of these through is no pattern."""

PERSONAL = frozenset(
    {"name", "surname", "birth", "born", "address", "street", "phone", "email"}
    | {"note", "text", "comment", "document", "latitude", "longitude", "place"}
)
"""Words of a property name that promise what no event may carry. A yes or no may (`has_…`)."""


def event_classes() -> dict[str, type[EventData]]:
    """Return every event of common.contracts by its type, found by walking the package."""
    modules = [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(common.contracts.__path__, "common.contracts.")
    ]
    found: dict[str, type[EventData]] = {}
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, EventData) and hasattr(value, "type"):
                known = found.setdefault(value.type, value)
                if known is not value:
                    raise AssertionError(f"{value.type} is the type of two classes")
    return found


def schema_of(event: type[EventData]) -> dict[str, Any]:
    """Return the JSON Schema without titles and descriptions: words may change, the form may not."""
    return without_words(event.model_json_schema())


def without_words(schema: Schema) -> dict[str, Any]:
    stripped = _without_words(schema)
    assert isinstance(stripped, dict)
    return stripped


def _without_words(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_words(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        # Under `properties` the keys are names, and a property may be called `title`.
        key: {name: _without_words(sub) for name, sub in value.items()}
        if key in {"properties", "$defs"}
        else _without_words(value)
        for key, value in node.items()
        if key not in {"title", "description"}
    }


def path_of(event_type: str) -> Path:
    return SNAPSHOTS / f"{event_type}.json"


def load(event_type: str) -> dict[str, Any] | None:
    path = path_of(event_type)
    if not path.exists():
        return None
    snapshot = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(snapshot, dict)
    return snapshot


def incompatible(old: Schema, new: Schema) -> list[str]:
    """Return what keeps `new` from being the same version as `old`; only optional additions may.

    An addition must be optional because archived events lack it; a property may not become
    optional because consumers of the older form count on it.
    """
    before, after = old.get("properties", {}), new.get("properties", {})
    needed_before, needed_after = set(old.get("required", [])), set(new.get("required", []))
    faults = [f"{name}: removed" for name in before if name not in after]
    for name, schema in after.items():
        if name not in before:
            if name in needed_after:
                faults.append(f"{name}: added, but not optional")
        elif schema != before[name]:
            faults.append(f"{name}: changed")
        elif (name in needed_before) != (name in needed_after):
            faults.append(f"{name}: required has changed")
    kept = {name: new.get("$defs", {}).get(name) for name in old.get("$defs", {})}
    if kept != old.get("$defs", {}):
        faults.append("$defs: changed")
    return faults


def free_texts(schema: Schema) -> list[str]:
    """Return the places of a schema where a name, an address or a note would fit."""
    faults = list(_faults("", schema, schema.get("$defs", {})))
    if schema.get("additionalProperties") is False:
        faults.append("refuses unknown fields: a consumer must read newer events")
    return faults


def _faults(place: str, node: Any, defs: Schema) -> Iterator[str]:
    if not isinstance(node, dict) or not (node.keys() - {"default", "title", "description"}):
        yield f"{place}: anything fits"
        return
    if "$ref" in node:
        yield from _faults(place, defs[node["$ref"].removeprefix("#/$defs/")], defs)
    for part in (*node.get("anyOf", []), *node.get("allOf", []), *node.get("prefixItems", [])):
        yield from _faults(place, part, defs)
    for name, part in node.get("properties", {}).items():
        if part.get("type") != "boolean" and PERSONAL & set(name.split("_")):
            yield f"{place}/{name}: is called like personal data"
        yield from _faults(f"{place}/{name}", part, defs)
    yield from _type_faults(place, node, defs)


def _type_faults(place: str, node: Schema, defs: Schema) -> Iterator[str]:
    kind = node.get("type")
    if kind == "array" and "prefixItems" not in node:
        yield from _faults(f"{place}[]", node.get("items"), defs)
    elif kind == "object" and "properties" not in node:
        yield f"{place}: an object without declared properties"
    elif kind == "string":
        fault = _string_fault(node)
        if fault:
            yield f"{place}: {fault}"


def _string_fault(node: Schema) -> str | None:
    if {"enum", "const"} & node.keys() or node.get("format") in FORMATS:
        return None
    pattern = node.get("pattern")
    if pattern is None:
        return "a string without pattern, enum, const or a format of id or time"
    if node.get("maxLength", LONGEST + 1) > LONGEST and not (
        HEX.fullmatch(pattern) or _is_sealed(node)
    ):
        return f"longer than {LONGEST}"
    if any(re.search(pattern, text) for text in FREE_TEXTS):
        return "its pattern lets free text through"
    return None


def _is_sealed(node: Schema) -> bool:
    return bool(node["pattern"] == SEALED and node.get("minLength", 0) >= SHORTEST_SEALED)


def write() -> int:
    """Write what may be written; return 1 and say why where something may not."""
    refused = 0
    for event_type, event in sorted(event_classes().items()):
        old, new = load(event_type), schema_of(event)
        if old == new:
            continue
        faults = incompatible(old, new) if old is not None else []
        if faults:
            refused = 1
            sys.stderr.write(f"{event_type} needs a new version: {'; '.join(faults)}\n")
            continue
        text = json.dumps(new, indent=2, sort_keys=True, ensure_ascii=False)
        path_of(event_type).write_text(text + "\n", encoding="utf-8")
        sys.stdout.write(f"wrote {event_type}\n")
    return refused


if __name__ == "__main__":
    sys.exit(write())
