"""Which fields of the bodies hold personal data, and whether each of them says so.

A field's class stands in its schema as `x-data-class`: P0 who or where, P1 free text, P2 a fact as
a code, id, date, number or yes and no, P3 an aggregate. Unsaid is P2, so a string that is no code
and no id must say P0 or P1. The class of a field holds for all that is inside it.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from tests.contracts.snapshot import FORMATS, FREE_TEXTS

CLASSES = frozenset({"P0", "P1", "P2", "P3"})
PERSONAL = frozenset({"P0", "P1"})


def bodies(package: ModuleType) -> dict[str, type[BaseModel]]:
    """Return the models defined in a package of schemas by name, found by walking it."""
    modules = [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    return {
        f"{value.__module__}.{value.__name__}": value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, BaseModel)
        and value.__module__ == module.__name__
    }


def unclassified(model: type[BaseModel]) -> list[str]:
    """Return the places of a body where a text fits and no class says that it is personal."""
    schema = model.model_json_schema()
    return list(_faults("", schema, "P2", schema.get("$defs", {})))


def _faults(place: str, node: dict[str, Any], outer: str, defs: dict[str, Any]) -> Iterator[str]:
    data_class = node.get("x-data-class", outer)
    if data_class not in CLASSES:
        yield f"{place}: no data class {data_class}"
    if "$ref" in node:
        yield from _faults(place, defs[node["$ref"].removeprefix("#/$defs/")], data_class, defs)
    coded = {"x-codelist": ""} if "x-codelist" in node else {}
    for part in node.get("anyOf", []):
        yield from _faults(place, part | coded, data_class, defs)
    for name, part in node.get("properties", {}).items():
        yield from _faults(f"{place}/{name}", part, data_class, defs)
    if isinstance(node.get("items"), dict):
        yield from _faults(f"{place}[]", node["items"] | coded, data_class, defs)
    if node.get("type") == "string" and data_class not in PERSONAL and not _is_coded(node):
        yield f"{place}: a text without a data class"


def _is_coded(node: dict[str, Any]) -> bool:
    if {"enum", "const", "x-codelist"} & node.keys() or node.get("format") in FORMATS:
        return True
    pattern = node.get("pattern")
    return pattern is not None and not any(re.search(pattern, text) for text in FREE_TEXTS)
