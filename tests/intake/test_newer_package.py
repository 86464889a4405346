"""A package of a later release: what is besides is passed over, what cannot be read waits (F40)."""

from typing import Annotated

import pytest
from pydantic import BeforeValidator
from sqlalchemy import select

from common.tables import DeadLetter, InboxAggregate
from common.worker import consumer_of
from intake.commands import reception
from intake.models import Case
from intake.schemas.package import Package
from tests.intake.crossing import REFERRAL, Crossing, changed, received
from tests.intake.test_transfer_received import FACTS, sealed
from tests.kit import handlers_of


class Newer(Package):
    """The next release's: a sex is told with its source."""

    sex: Annotated[str, BeforeValidator(lambda told: told["code"])]


async def test_a_package_of_a_form_that_cannot_be_read_waits_for_an_update_with_what_follows(
    small: Crossing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its sender hears that it came, and then holds its words no more. Seeded: refuse it."""
    there = small.there
    await there.reach("ACCEPTED")
    newer = FACTS | {"sex": {"code": "FEMALE", "by": "Милица"}, "of_later": 1}

    assert await there.hear(received(sealed(newer))) == ["parked"]

    assert await there.hear(changed("ARRIVED", "RECEIVED")) == ["pending"]
    [waits] = await there.kit.rows(select(InboxAggregate).where(InboxAggregate.subject == REFERRAL))
    assert waits.parked_reason == "letter.unreadable"
    assert await there.kit.rows(select(DeadLetter)) == []
    assert await there.kit.rows(select(Case)) == []
    assert "Милица" not in caplog.text
    monkeypatch.setattr(reception, "Package", Newer)
    consumer = consumer_of(there.kit.runtime, handlers_of(there.kit.runtime))
    await consumer.retry_all_parked()
    assert (await there.case()).sex == "FEMALE"
    [rest] = await there.kit.rows(select(InboxAggregate).where(InboxAggregate.subject == REFERRAL))
    assert (rest.parked_at, rest.last_seq) == (None, 3)
