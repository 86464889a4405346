"""A register that was put back from a backup: what it knows again, and what waits until it does (T23)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common.audit import Sealer
from common.clock import new_id
from common.contracts.intake import CaseOwnershipSaid, CasesPutBack
from common.contracts.referral import OwnershipSaidBefore, PeersHeard
from common.db.base import unit_of
from common.put_back import COPY
from intake.commands.ownership import begin
from intake.domain.ownership import HEARD_OF, Holding, Ownership, Saying, Word, hear_own
from intake.models import Case, Standing
from tests.conftest import fixed_id
from tests.intake.bodies import CASE, OTHER, case, consent, desk, notice, triage
from tests.intake.crossing import code
from tests.kit import Kit, if_match, open_service, told
from tests.peers import keeper

OWNED = Ownership(Holding.OWNER, 3)
GIVING = Ownership(Holding.GIVING, 3)
GONE = Ownership(Holding.NONE, 3)


@pytest.mark.row("C1", "F38")
@pytest.mark.parametrize(
    ("view", "word", "epoch", "after"),
    [
        (OWNED, Word.GIVEN, 4, Ownership(Holding.GIVING, 4)),
        (OWNED, Word.RECALLED, 4, Ownership(Holding.GIVING, 4)),
        (OWNED, Word.GIVEN, 8, Ownership(Holding.GIVING, 8)),
        (OWNED, Word.GIVEN, 3, OWNED),
        (GIVING, Word.GIVEN, 3, GIVING),
        (GONE, Word.GIVEN, 3, GONE),
        (GONE, Word.GIVEN, 2, GONE),
        (OWNED, Word.TAKEN, 2, OWNED),
        (GONE, Word.TAKEN, 2, GONE),
        (HEARD_OF, Word.TAKEN, 2, Ownership(Holding.OWNER, 2)),
        (HEARD_OF, Word.REFUSED, 2, Ownership(Holding.NONE, 0, refused=2)),
        (Ownership(Holding.NONE, 0, 4), Word.REFUSED, 2, Ownership(Holding.NONE, 0, 4)),
        (OWNED, Word.REFUSED, 4, OWNED),
    ],
)
def test_its_own_forgotten_word_only_ever_leads_on(
    view: Ownership, word: Word, epoch: int, after: Ownership
) -> None:
    """Seeded: take a case back by an old word of one's own."""
    assert hear_own(view, Saying(word, epoch)) == after


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    """A register that has peers, with a case, started once."""
    async with open_service("intake", tmp_path) as opened:
        keeper("RS").settle_in(opened.runtime, keeper("XK"))
        await begin(opened.runtime)
        answer = await opened.caller("SOCIAL_WORKER").post("/v1/cases", json=case())
        assert answer.status_code == 201, answer.text
        yield opened


async def standing(kit: Kit) -> Any:
    [row] = await kit.rows(select(Standing))
    return row


async def put_back(kit: Kit) -> UUID:
    """Put the database back from a copy and start; return the question that is asked."""
    unit = unit_of(kit.runtime.database, source="/tests", operation="test")
    unit.update(Standing, {"id": 1}, expect=1, sign=COPY)
    await kit.runtime.database.write(unit)
    await begin(kit.runtime)
    asked: UUID = (await standing(kit)).asked
    return asked


async def edit(kit: Kit) -> tuple[int, str]:
    worker = kit.caller("SOCIAL_WORKER")
    shown = await worker.get(f"/v1/cases/{CASE}")
    assert shown.status_code == 200
    return code(
        await worker.patch(f"/v1/cases/{CASE}", json={"urgency": "HIGH"}, headers=if_match(shown))
    )


async def test_until_the_peers_have_answered_no_case_is_changed_and_the_rest_goes_on(
    kit: Kit,
) -> None:
    """Seeded: look at the case alone; let a notice raise its urgency; forget whose answer it is."""
    worker = kit.caller("SOCIAL_WORKER")
    kept = await worker.post(f"/v1/cases/{CASE}/consents", json=consent())
    asked = await put_back(kit)
    [told_of] = [e for e in await kit.events() if e.type == CasesPutBack.type]
    assert (told_of.subject, told_of.seq, told_of.data) == (asked, 1, {"asked": str(asked)})

    assert await edit(kit) == (409, "ownership.unconfirmed")
    reported = await worker.post("/v1/notices", json=notice(id=str(new_id()), urgency="CRISIS"))
    assert reported.status_code == 201, reported.text
    linked = await desk(kit).post(
        f"{reported.headers['Location']}/triage",
        json=triage("LINK_CASE", CASE),
        headers=if_match(reported),
    )
    assert code(linked) == (409, "ownership.unconfirmed")
    assert (await worker.post("/v1/cases", json=case(OTHER))).status_code == 201
    # Whoever takes her consent back is heard at any time.
    ended = await worker.post(f"/v1/cases/{CASE}/consents/{kept.json()['id']}/withdraw", json={})
    assert ended.is_success, ended.text

    await kit.hear(*told("referral", fixed_id(1), PeersHeard(asked=fixed_id(1))))
    assert await edit(kit) == (409, "ownership.unconfirmed")
    await kit.hear(*told("referral", asked, PeersHeard(asked=asked)))
    assert await edit(kit) == (200, "")
    await begin(kit.runtime)
    assert (await standing(kit)).asked is None


async def test_its_own_word_ends_its_editing_and_is_told_again(kit: Kit) -> None:
    said = OwnershipSaidBefore(
        referral_id=fixed_id(9), case_id=CASE, organisation_id=None, word="GIVEN", epoch=2
    )
    unknown = said.model_copy(update={"case_id": fixed_id(8)})
    later = said.model_copy(update={"word": "LENT"})

    outcomes = await kit.hear(*told("referral", fixed_id(9), unknown, later, said, said))

    assert outcomes == ["applied"] * 4
    [row] = await kit.rows(select(Case))
    assert (row.holding, row.epoch, row.given_by) == (Holding.GIVING, 2, fixed_id(9))
    assert await edit(kit) == (409, "ownership.not_here")
    events = [e.data for e in await kit.events(CASE) if e.type == CaseOwnershipSaid.type]
    assert [(e["word"], e["epoch"]) for e in events] == [("GIVEN", 2)]


@pytest.mark.parametrize(
    ("lines", "is_back"),
    [
        ([], False),
        ([{"last_seq": 1}], False),
        ([{"last_seq": 10_000}], True),
        ([{"last_seq": 10_000}, {"last_seq": 1}], False),  # it was put back before, and went on
        ([{"last_seq": 1}, "half a line of 10000"], False),
        (["no anchor\n"], False),
        ([{"head": "00"}], False),
    ],
)
async def test_later_heads_beside_it_show_that_the_database_is_older(
    kit: Kit,
    tmp_path: Path,
    lines: list[Any],
    is_back: bool,  # noqa: FBT001
) -> None:
    """Seeded: compare with the first line; take what cannot be read for a sign."""
    sealer = Sealer(kit.runtime.database, kit.runtime.master, service="intake")
    while await sealer.link_waiting():
        pass
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text("".join(x if isinstance(x, str) else json.dumps(x) + "\n" for x in lines))

    await begin(kit.runtime, anchor_file=anchors)

    assert ((await standing(kit)).asked is not None) == is_back


async def test_a_peer_whose_file_is_damaged_is_waited_for_too(kit: Kit) -> None:
    # Fails when a damaged file counts as no peer: a case that is edited there by now is edited here.
    folder = kit.runtime.settings.peers_folder
    assert folder is not None
    (folder / "XK.json").write_bytes(b"{")

    assert await put_back(kit) is not None
    assert await edit(kit) == (409, "ownership.unconfirmed")


async def test_without_an_anchor_file_or_peers_nothing_is_asked(kit: Kit, tmp_path: Path) -> None:
    await begin(kit.runtime, anchor_file=tmp_path / "missing.jsonl")
    assert (await standing(kit)).asked is None
    folder = kit.runtime.settings.peers_folder
    assert folder is not None
    (folder / "XK.json").unlink()

    assert await put_back(kit) is None
    assert await edit(kit) == (200, "")
