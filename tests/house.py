"""House rules no linter knows, each a function from source to what breaks the rule."""

import ast
import importlib
import pkgutil
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from common.logs import ALLOWED

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("intake", "referral", "reintegration", "analytics")
EXECUTING = {"execute", "executemany", "executescript", "exec_driver_sql"}
SQL_TEXT = {"sqlalchemy.text", "sa.text", "sqlalchemy.DDL", "sa.DDL"}
LONGEST_FILE = 400

_HOSTS = (
    *(
        "py pi.org",
        "python hosted.org",
        "npm js.org",
        "npm js.com",
        "maven .org",
        "deb. debian.org",
    ),
    *(
        "mvn repository.com",
        "crates .io",
        "proxy.go lang.org",
        "docker .io",
        "quay .io",
        "ghcr .io",
    ),
)
REGISTRY = re.compile("|".join(re.escape(host.replace(" ", "")) for host in _HOSTS))
"""Written with gaps, so that this file keeps its own rule."""
MACHINE_PATH = re.compile(r"(?<![A-Za-z0-9_.}-])/(?:work|root|home|farm|tmp|Users)/")


# --- which files


def tracked(*suffixes: str) -> list[Path]:
    """Files git knows or would add; of a source archive without git, those of a clean tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        hidden = {".venv", ".prag", "build", "__pycache__"}
        paths = [p for p in ROOT.rglob("*") if not hidden & {*p.relative_to(ROOT).parts}]
    return sorted(p for p in paths if p.is_file() and (not suffixes or p.suffix in suffixes))


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """The Python files under these folders, parsed, with their path from the root."""
    for path in tracked(".py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(folders):
            yield name, ast.parse(path.read_text(), name)


def room(service: str, name: str) -> list[ast.Module]:
    """The module or the package of that name inside a service, parsed; empty if it has none."""
    inside = f"services/{service}/src/{service}/{name}"
    return [tree for path, tree in sources(inside) if re.match(rf"{inside}(\.py$|/)", path)]


def modules(name: str) -> list[ModuleType]:
    """Import a module and everything below it; empty if there is no such module."""
    try:
        top = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return []
        raise
    below = pkgutil.walk_packages(getattr(top, "__path__", []), f"{name}.")
    return [top, *(importlib.import_module(found.name) for found in below)]


# --- rules on one parsed file: the lines that break it


def commits(tree: ast.AST) -> Iterator[int]:
    """Committing and rolling back is the edge's business: a command only hands over."""
    for call in _calls(tree):
        if _last(call.func) in {"commit", "rollback"}:
            yield call.lineno


def composed_sql(tree: ast.AST) -> Iterator[int]:
    """SQL put together from strings. A PRAGMA takes no parameters and may be."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
        for alias in node.names
        if alias.name in {"text", "DDL"}
    }
    for call in _calls(tree):
        takes_sql = _last(call.func) in EXECUTING or ast.unparse(call.func) in SQL_TEXT | imported
        if takes_sql and call.args and _is_composed(call.args[0]):
            yield call.lineno


def _is_composed(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        first = node.values[0] if node.values else None
        is_pragma = isinstance(first, ast.Constant) and str(first.value).startswith("PRAGMA ")
        return not is_pragma and any(isinstance(v, ast.FormattedValue) for v in node.values)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Mod)
    return isinstance(node, ast.Call) and _last(node.func) in {"format", "join", "replace"}


def outbox_cursor(tree: ast.AST) -> Iterator[int]:
    """Reading the outbox from an id on loses events that commit later with a smaller id."""
    column = re.compile(r"\b(OutboxMessage|outbox\w*)(\.c)?\.(id|event_id|created_at)\b")
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and not isinstance(node.ops[0], ast.Eq | ast.In):
            if column.search(ast.unparse(node)):
                yield node.lineno
        elif isinstance(node, ast.Constant) and re.search(r"outbox.*\bid\s*>", str(node.value)):
            yield node.lineno


def unverified(tree: ast.AST) -> Iterator[int]:
    """A certificate or a signature that is not looked at."""
    for node in ast.walk(tree):
        named: list[tuple[object, ast.expr]] = []
        if isinstance(node, ast.keyword):
            named = [(node.arg, node.value)]
        elif isinstance(node, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            named = [*zip(keys, node.values, strict=True)]
        for name, value in named:
            is_off = isinstance(value, ast.Constant) and value.value is False
            if is_off and name in {"verify", "verify_signature", "check_hostname"}:
                yield value.lineno


def sleeps(tree: ast.AST) -> Iterator[int]:
    """A test waits for the thing itself, never for a time."""
    for call in _calls(tree):
        if _last(call.func) == "sleep":
            yield call.lineno


def lost_log_keys(tree: ast.AST) -> Iterator[int]:
    """A line of the log is given what common.logs lets nobody say."""
    for call in _calls(tree):
        named = ast.unparse(call.func).rpartition(".")[0] == "logger"
        if named and {key.arg for key in call.keywords} - ALLOWED - {None}:
            yield call.lineno


def unsteady(tree: ast.AST) -> Iterator[int]:
    """Work handed to a group as it is: one that lets out a cancelled task of its own ends unseen."""
    for call in _calls(tree):
        name = ast.unparse(call.func)
        if name.endswith(".create_task") and name != "asyncio.create_task":
            work = call.args[0]
            if not (isinstance(work, ast.Call) and _last(work.func) == "steadily"):
                yield call.lineno


def process_hooks(tree: ast.AST) -> Iterator[int]:
    """Reading the environment or dying on purpose, outside common.crash."""
    for node in ast.walk(tree):
        name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        if name in {"os.environ", "os.getenv", "os._exit", "os.abort", "signal.SIGKILL"}:
            yield node.lineno  # type: ignore[attr-defined]  # an Attribute has a line
        if isinstance(node, ast.Constant) and "PRAG_TEST_" in str(node.value):
            yield node.lineno


def idle_commands(commands: Iterable[ast.Module], callers: Iterable[ast.Module]) -> list[str]:
    """Public functions of `commands` that no caller reaches, not even through another command."""
    functions: dict[str, ast.AST] = {
        node.name: node
        for tree in commands
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    waiting = [name for tree in callers for name in _names(tree)]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in functions and name not in reached:
            reached.add(name)
            waiting += _names(functions[name])
    return sorted(name for name in functions.keys() - reached if not name.startswith("_"))


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _last(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def _names(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
