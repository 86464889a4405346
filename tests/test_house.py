"""The house rules, and for each rule the mistake it finds."""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import get_args

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from common.auth import Principal
from common.authz import Authorisation
from common.events import EventData
from common.schema import StrictModel
from tests import house
from tests.house import ROOT, SERVICES

Rule = Callable[[ast.AST], Iterator[int]]

CODE = ("libs/", "services/", "deploy/")
RULES: list[tuple[Rule, tuple[str, ...], set[str]]] = [
    (house.commits, ("services/",), set()),
    (house.composed_sql, (*CODE, "bench/"), set()),
    (house.outbox_cursor, CODE, set()),
    (house.unverified, (*CODE, "bench/", "tests/"), set()),
    (house.sleeps, ("tests/",), set()),
    (house.lost_log_keys, CODE, set()),
    (house.unsteady, ("libs/", "services/"), set()),
    (
        house.process_hooks,
        CODE,
        {
            "libs/common/src/common/crash.py",
            "deploy/standalone/src/prag/demo/country.py",  # starts and kills a country of its own
            "deploy/standalone/src/prag/serve.py",  # hands its own on to what it starts
        },
    ),
]
"""Each rule, where it holds, and the files that are its exceptions."""

MISTAKES: list[tuple[Rule, str]] = [
    (house.commits, "await session.commit()"),
    (house.commits, "session.rollback()"),
    (house.composed_sql, 'connection.execute(f"SELECT * FROM {table}")'),
    (house.composed_sql, 'text("SELECT " + column)'),
    (house.composed_sql, 'text("SELECT %s" % column)'),
    (house.composed_sql, 'text("SELECT {}".format(column))'),
    (house.outbox_cursor, "select(OutboxMessage).where(OutboxMessage.id > last)"),
    (house.outbox_cursor, "outbox.c.id >= last"),
    (house.outbox_cursor, "last < OutboxMessage.created_at"),
    (house.outbox_cursor, 'text("SELECT * FROM outbox_message WHERE id > :last")'),
    (house.unverified, "httpx.Client(verify = False)"),
    (house.unverified, 'jwt.decode(token, options={"verify_signature": False})'),
    (house.sleeps, "time.sleep(1)"),
    (house.lost_log_keys, 'logger.info("x.happened", topic=topic, place=place)'),
    (house.sleeps, "await asyncio.sleep(0)"),
    (house.unsteady, "tasks.create_task(work())"),
    (house.unsteady, "group.create_task(work, name='it')"),
    (house.process_hooks, 'os.environ["X"]'),
    (house.process_hooks, 'os.getenv("X")'),
    (house.process_hooks, "os._exit(1)"),
    (house.process_hooks, 'Settings(alias="PRAG_TEST_FAULT")'),
]
HARMLESS: list[tuple[Rule, str]] = [
    (house.composed_sql, 'connection.execute(f"PRAGMA {name}")'),
    (house.composed_sql, 'text("SELECT 1")'),
    (house.composed_sql, 'self.text(f"{code}")'),
    (house.composed_sql, "connection.execute(statement)"),
    (house.outbox_cursor, "OutboxMessage.feed_position > after"),
    (house.outbox_cursor, "OutboxMessage.id == known"),
    (house.outbox_cursor, "Case.id > cursor.id"),
    (house.unverified, "verify(token, True)"),
    (house.unsteady, "tasks.create_task(worker.steadily(work()), name='it')"),
    (house.unsteady, "asyncio.create_task(work())"),
]


@pytest.mark.parametrize(("rule", "mistake"), MISTAKES)
def test_a_rule_finds_the_mistake_it_is_there_for(rule: Rule, mistake: str) -> None:
    assert [*rule(_parse(mistake))] == [3]


@pytest.mark.parametrize(("rule", "line"), HARMLESS)
def test_a_rule_leaves_the_right_way_alone(rule: Rule, line: str) -> None:
    assert [*rule(_parse(line))] == []


def _parse(line: str) -> ast.Module:
    return ast.parse(f"from sqlalchemy import text\nasync def example():\n    {line}\n")


@pytest.mark.parametrize(("rule", "folders", "exempt"), RULES)
def test_the_house_keeps_the_rule(rule: Rule, folders: tuple[str, ...], exempt: set[str]) -> None:
    assert [
        f"{name}:{line}"
        for name, tree in house.sources(*folders)
        if name not in exempt
        for line in rule(tree)
    ] == []


# --- every file


def test_no_file_names_a_machine_path_or_a_package_registry() -> None:
    found = []
    for path in house.tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if house.MACHINE_PATH.search(line) or house.REGISTRY.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")

    assert found == []


@pytest.mark.parametrize("place", ["root/x", "home/ana/x", "work/main", "tmp/x"])
def test_a_machine_path_is_seen(place: str) -> None:
    assert house.MACHINE_PATH.search(f'path = "/{place}"')
    assert house.MACHINE_PATH.search(f"file:///{place}")
    assert not house.MACHINE_PATH.search(f"https://example.org/{place}")
    assert not house.MACHINE_PATH.search(f"docs/{place}")


def test_a_package_registry_is_seen() -> None:
    assert house.REGISTRY.search("https://" + "pypi" + ".org/simple")
    assert house.REGISTRY.search("https://registry." + "npmjs" + ".org/left-pad")


def test_no_source_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for path in house.tracked(".py", ".sh", ".sql", ".html", ".js", ".css", ".mako")
    }

    assert {name: n for name, n in lengths.items() if n > house.LONGEST_FILE} == {}


# --- commands and events


@pytest.mark.parametrize("service", SERVICES)
def test_every_command_is_reached_from_a_route_or_a_consumer(service: str) -> None:
    rooms = ("routes", "consumers", "letters", "courier", "worker")
    callers = [tree for name in rooms for tree in house.room(service, name)]

    assert house.idle_commands(house.room(service, "commands"), callers) == []


def test_an_idle_command_is_seen() -> None:
    commands = ast.parse(
        "async def open_case(): _number()\ndef _number(): shared()\ndef shared(): ...\n"
        "async def forgotten(): also_forgotten()\ndef also_forgotten(): ...\n"
    )
    routes = ast.parse("async def post_case(): return await commands.open_case()\n")

    assert house.idle_commands([commands], [routes]) == ["also_forgotten", "forgotten"]


def _concrete(kind: type[EventData]) -> Iterator[type[EventData]]:
    for below in kind.__subclasses__():
        if "type" in below.__dict__ and below.__module__.split(".")[0] != "tests":
            yield below
        yield from _concrete(below)


def test_every_event_has_a_schema_snapshot() -> None:
    for package in ("common", *SERVICES):
        house.modules(package if package == "common" else f"{package}.consumers")
    house.modules("common.contracts")
    known = {path.stem for path in (ROOT / "tests/contracts/snapshots").glob("*.json")}
    types = {kind.type for kind in _concrete(EventData)}

    assert types
    assert types - known == set(), "events without a snapshot"
    assert known - types == set(), "snapshots of events that are gone"


# --- routes


def _routes(service: str) -> list[APIRoute]:
    routers = {
        id(value): value
        for module in house.modules(f"{service}.routes")
        for value in vars(module).values()
        if isinstance(value, APIRouter)
    }
    return [r for router in routers.values() for r in router.routes if isinstance(r, APIRoute)]


def _dependencies(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for part in dependant.dependencies:
        yield from _dependencies(part)


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models a body annotation is made of, with the models of their fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models(field.annotation)
    for part in get_args(annotation):
        yield from _models(part)


def takes_principal(route: APIRoute) -> bool:
    calls = (part.call for part in _dependencies(route.dependant))
    return any(_returned(call) is Principal for call in calls)


def _returned(call: object) -> object:
    """Return what a dependency gives: a function, or an object that is called like one."""
    function = call if inspect.isroutine(call) else type(call).__call__
    return getattr(function, "__annotations__", {}).get("return")


def loose_models(route: APIRoute) -> set[str]:
    bodies = [field.field_info.annotation for field in route.dependant.body_params]
    return {
        model.__qualname__
        for body in bodies
        for model in _models(body)
        if not issubclass(model, StrictModel)
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_takes_a_principal_and_strict_bodies(service: str) -> None:
    routes = _routes(service)
    assert routes
    authorisation = Authorisation.of_package(service)

    assert [
        f"{route.name}: no principal"
        for route in routes
        if not takes_principal(route) and not authorisation.is_public(route.name)
    ] == []
    assert {r.name: loose_models(r) for r in routes if loose_models(r)} == {}


def test_a_route_without_principal_and_a_loose_body_are_seen() -> None:
    class Inner(BaseModel):
        code: str

    class Body(StrictModel):
        parts: list[Inner]

    async def add_part(body: Body) -> None: ...

    add_part.__annotations__["body"] = Body
    router = APIRouter()
    router.add_api_route("/parts", add_part, methods=["POST"])
    [route] = router.routes

    assert isinstance(route, APIRoute)
    assert not takes_principal(route)
    assert {name.rpartition(".")[2] for name in loose_models(route)} == {"Inner"}


def test_the_rules_are_read_from_this_checkout() -> None:
    """A rule over an empty list of files would pass for ever."""
    names = [name for name, _ in house.sources(*CODE)]

    assert len(names) > len(SERVICES)
    assert sys.modules["common"].__file__ == str(ROOT / "libs/common/src/common/__init__.py")
