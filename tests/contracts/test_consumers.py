"""Consumer contracts: each handler takes every event its snapshot allows, and those to come (F74)."""

from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path

import pytest

from common.clock import new_id
from common.consumer import with_audit_heads
from common.settings import ServiceName
from tests.contracts.payloads import FIRST, FORMS, register_keeper, story
from tests.contracts.snapshot import event_classes
from tests.kit import Kit, handlers_of, open_service
from tests.surface.operations import SERVICES

EVENTS = event_classes()


@pytest.fixture(params=SERVICES)
async def kit(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    service: ServiceName = request.param
    async with open_service(service, tmp_path) as opened:
        register_keeper().settle_in(opened.runtime)
        yield opened


def handled(kit: Kit) -> list[str]:
    return sorted(with_audit_heads(kit.runtime.name, handlers_of(kit.runtime)))


def test_every_event_a_service_handles_is_published_by_another() -> None:
    # Fails for a handler of an event nobody tells, or no longer tells under this version.
    for service in SERVICES:
        handlers = import_module(f"{service}.consumers").HANDLERS
        assert handlers, service
        assert set(handlers) <= set(EVENTS), service
        assert not {kind for kind in handlers if kind.startswith(f"{service}.")}, service


@pytest.mark.row("F74")
async def test_a_handler_takes_every_form_its_snapshot_allows(kit: Kit) -> None:
    """Seeded: read an optional field as if it were always there; forbid fields that come later."""
    for event_type in handled(kit):
        for form in FORMS:
            told = story(event_type, form)
            assert {*await kit.hear(*told)} == {"applied"}, f"{event_type} {form}: {told[-1].data}"


@pytest.mark.row("F74")
async def test_an_event_of_a_type_nobody_handles_yet_holds_nobody_up(kit: Kit) -> None:
    # Fails when a sibling's newer release, which tells one more fact, blocks the aggregate.
    [known] = story(FIRST["intake.case"], "whole")
    newer = known.model_copy(
        update={"id": new_id(), "type": "intake.case.told_by_a_later_release.v1", "seq": 2}
    )

    assert await kit.hear(known, newer) == ["applied", "applied"]
