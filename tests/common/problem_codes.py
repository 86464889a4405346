"""Finds the codes for which the product's source needs a sentence, by reading it."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

Tree = tuple[str, ast.Module]

_ANY = "[a-z0-9_]+"
_DRAWN = 3


@dataclass(frozen=True, slots=True)
class Use:
    """A place that uses a code. `pattern` matches the keys meant; an f-string may mean several.

    `members` are the most it brings along; None where it passes on a mapping that is not written
    out in its module.
    """

    place: str
    pattern: str
    members: frozenset[str] | None
    error: str | None = None
    """The class that is raised; None for a word of a page or of a field."""
    status: int | None = None
    """Where it is drawn with its status, without a class."""

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
    spreads = _spreads(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
        place = f"{name}:{call.lineno}"
        function = ast.unparse(call.func)
        last = function.rpartition(".")[2]
        patterns = _patterns(call.args[0], constants)
        if last in errors or call in inits:
            kind = inits.get(call, last)
            for use in _found(
                place, patterns, _keywords(call, {"pointer"}, spreads), optional=False
            ):
                if isinstance(use, Use):
                    yield replace(use, error=kind)
                else:
                    yield use
        elif last == "render" and len(call.args) == _DRAWN:
            yield from _drawn(place, call, constants)
        elif last == "PydanticCustomError":
            patterns = [rf"field\.{pattern}" for pattern in patterns]
            yield from _found(place, patterns, _dict_keys(call), optional=False)
        elif function == "messages.text":
            yield from _found(place, patterns, _keywords(call, set(), spreads), optional=True)


def _drawn(place: str, call: ast.Call, constants: dict[str, str]) -> Iterator[Use]:
    """Yield the codes that `render(request, status, code, …)` draws, where they stand there."""
    match call.args[1]:
        case ast.Constant(value=int(status)):
            named = _keywords(call, {"fields", "headers"}, {})
            for pattern in _patterns(call.args[2], constants):
                yield Use(place, pattern, named, status=status)


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


def _keywords(
    call: ast.Call, without: set[str], spreads: dict[str, frozenset[str]]
) -> frozenset[str] | None:
    names = {keyword.arg for keyword in call.keywords if keyword.arg}
    for keyword in call.keywords:
        if keyword.arg is None:
            if (passed := spreads.get(ast.unparse(keyword.value))) is None:
                return None
            names |= passed
    return frozenset(names - without)


def _spreads(tree: ast.Module) -> dict[str, frozenset[str]]:
    """Return the names given to dicts that are written out: name → the keys they may have."""
    found: dict[str, frozenset[str]] = {}
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if _dicts(value):
                keys = [key for each in _dicts(value) for key in each.keys]
                if all(isinstance(key, ast.Constant) for key in keys):
                    texts = {str(key.value) for key in keys if isinstance(key, ast.Constant)}
                    found[name] = found.get(name, frozenset()) | texts
    return found


def _dicts(value: ast.expr) -> list[ast.Dict]:
    options = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
    dicts = [option for option in options if isinstance(option, ast.Dict)]
    return dicts if len(dicts) == len(options) else []


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


def _inits_of(tree: ast.Module, errors: frozenset[str]) -> dict[ast.Call, str]:
    """The calls by which an error class hands its fixed code to its base, and the class."""
    return {
        call: node.name
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
