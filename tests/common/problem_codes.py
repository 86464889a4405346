"""Finds the codes for which the product's source needs a sentence, by reading it."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Tree = tuple[str, ast.Module]

_ANY = "[a-z0-9_]+"


@dataclass(frozen=True, slots=True)
class Use:
    """A place that uses a code. `pattern` matches the keys meant; an f-string may mean several.

    `members` is None where the place passes a mapping on.
    """

    place: str
    pattern: str
    members: frozenset[str] | None

    @property
    def is_exact(self) -> bool:
        return _ANY not in self.pattern

    def keys(self, known: Iterable[str]) -> list[str]:
        return [key for key in known if re.fullmatch(self.pattern, key)]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place that raises an error whose code cannot be read off the source."""

    place: str


def uses(trees: Iterable[Tree]) -> list[Use | Unreadable]:
    trees = list(trees)
    errors = _problem_classes(tree for _, tree in trees)
    return [use for name, tree in trees for use in _uses(name, tree, errors)]


def _uses(name: str, tree: ast.Module, errors: frozenset[str]) -> Iterator[Use | Unreadable]:
    constants = _constants(tree)
    inits = _inits_of(tree, errors)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
        place = f"{name}:{call.lineno}"
        function = ast.unparse(call.func)
        last = function.rpartition(".")[2]
        patterns = _patterns(call.args[0], constants)
        if last in errors or call in inits:
            yield from _found(place, patterns, _keywords(call, {"pointer"}), optional=False)
        elif last == "PydanticCustomError":
            patterns = [rf"field\.{pattern}" for pattern in patterns]
            yield from _found(place, patterns, _dict_keys(call), optional=False)
        elif function == "messages.text":
            yield from _found(place, patterns, _keywords(call, set()), optional=True)


def _found(
    place: str, patterns: list[str], members: frozenset[str] | None, *, optional: bool
) -> Iterator[Use | Unreadable]:
    if not patterns and not optional:
        yield Unreadable(place)
    for pattern in patterns:
        yield Use(place, pattern, members)


def _patterns(node: ast.expr, constants: dict[str, str]) -> list[str]:
    match node:
        case ast.Constant(value=str(value)):
            return [re.escape(value)]
        case ast.IfExp():
            return _patterns(node.body, constants) + _patterns(node.orelse, constants)
        case ast.JoinedStr():
            parts = [p.value if isinstance(p, ast.Constant) else None for p in node.values]
            return ["".join(_ANY if p is None else re.escape(str(p)) for p in parts)]
        case ast.Name() if node.id in constants:
            return [re.escape(constants[node.id])]
        case _:
            return []


def _keywords(call: ast.Call, without: set[str]) -> frozenset[str] | None:
    names = {keyword.arg for keyword in call.keywords}
    return None if None in names else frozenset(n for n in names if n and n not in without)


def _dict_keys(call: ast.Call) -> frozenset[str] | None:
    match call.args[2:]:
        case []:
            return frozenset()
        case [ast.Dict(keys=keys)] if all(isinstance(key, ast.Constant) for key in keys):
            return frozenset(str(key.value) for key in keys if isinstance(key, ast.Constant))
        case _:
            return None


def _problem_classes(trees: Iterable[ast.Module]) -> frozenset[str]:
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found, grown = {"ProblemError"}, True
    while grown:
        more = {name for name, parents in bases.items() if parents & found} - found
        found |= more
        grown = bool(more)
    return frozenset(found)


def _inits_of(tree: ast.Module, errors: frozenset[str]) -> set[ast.Call]:
    """The calls by which an error class hands its fixed code to its base."""
    return {
        call
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name in errors - {"ProblemError"}
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"
    }


def _constants(tree: ast.Module) -> dict[str, str]:
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
