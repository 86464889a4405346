"""A country that was put back from a backup, and one that runs twice (T23, C1, F36, F41)."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from common.clock import new_id
from common.federation.custody import SignedStatement
from common.federation.peers import read_peers
from prag import peer
from prag.cli import main
from referral.commands.held import tell_of_no_hub
from referral.models import Fork
from tests.conftest import fixed_id
from tests.intake.bodies import OTHER, case, notice
from tests.kit import if_match
from tests.referral.crossing import URL
from tests.referral.story import NOW, now_is
from tests.referral.world import World, open_world

pytestmark = pytest.mark.slow


async def assert_at_one(world: World) -> None:
    """See that both have the same two chains, that both hold, and that nothing was refused."""
    assert await world.s.links(world.referral_id) == await world.r.links(world.referral_id)
    assert [await each.verify(world.referral_id) for each in (world.s, world.r)] == [0, 0]
    assert (await world.s.dead(), await world.r.dead()) == ([], [])


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.row("C1", "F36")
async def test_what_was_handed_over_before_it_was_put_back_is_edited_there_alone(
    world: World,
) -> None:
    copy = await world.back_up(world.s)
    await world.handed_over()
    assert (await world.r.edit()).status_code == 200

    await world.put_back(world.s, copy)
    assert await world.s.holding() == ("OWNER", 1)
    await world.rest()

    assert await world.holdings() == (("NONE", 2), ("OWNER", 2))
    assert code(await world.s.edit()) == (409, "ownership.not_here")
    assert (await world.s.row(world.referral_id)).status == "HANDED_OVER"
    await assert_at_one(world)


@pytest.mark.row("C1", "F36", "F38")
async def test_what_it_forgot_of_the_way_is_gone_through_again_and_giving_works(
    told: Path, tmp_path: Path
) -> None:
    """Seeded: take the other's letters before what was said between them; a letter is out of place."""
    now_is(NOW)
    async with open_world(told / "sent", tmp_path) as world:
        copy = await world.back_up(world.s)
        await world.go_on_to_arrival()

        await world.put_back(world.s, copy)
        assert (await world.s.row(world.referral_id)).status == "SUBMITTED"
        await world.rest()
        assert (await world.s.row(world.referral_id)).status == "ARRIVED"
        # What the register forgot is not made up: that her data went there is asked of people again.
        assert code(await world.give()) == (409, "package.not_released")
        again = await world.s.do(
            f"/v1/cases/{await world.s.case_id()}",
            "release",
            {"referral_id": str(world.referral_id)},
        )
        assert again.status_code == 200, again.text
        await world.rest()
        await world.handed_over()

        await assert_at_one(world)


@pytest.mark.row("C1", "F36")
async def test_put_back_before_it_was_given_nothing_is_lost(world: World) -> None:
    copy = await world.back_up(world.s)

    await world.put_back(world.s, copy)
    await world.rest()
    await world.handed_over()

    await assert_at_one(world)


@pytest.mark.row("C1", "F36")
async def test_of_a_referral_it_never_heard_of_it_finds_the_case_again(
    told: Path, tmp_path: Path
) -> None:
    """Seeded: take back no statements of a referral that is not known."""
    now_is(NOW)
    async with open_world(told / "ready", tmp_path) as world:
        copy = await world.back_up(world.s)
        await world.send()
        await world.go_on_to_arrival()
        await world.handed_over()

        await world.put_back(world.s, copy)
        assert await world.s.row(world.referral_id) is None
        await world.rest()

        assert await world.holdings() == (("NONE", 2), ("OWNER", 2))
        assert (await world.s.row(world.referral_id)).status == "HANDED_OVER"
        assert await world.s.links(world.referral_id) == await world.r.links(world.referral_id)
        assert [await each.verify(world.referral_id) for each in (world.s, world.r)] == [0, 0]


@pytest.mark.row("C1", "F36")
@pytest.mark.parametrize("stage", ["arrived", "sent"])
async def test_a_receiver_that_was_put_back_is_where_it_was(
    told: Path, tmp_path: Path, stage: str
) -> None:
    """Seeded: answer a letter that is taken again; the answer it gave then stands in that place."""
    now_is(NOW)
    async with open_world(told / stage, tmp_path) as world:
        copy = await world.back_up(world.r)
        if stage == "sent":
            await world.go_on_to_arrival()
        await world.handed_over()

        await world.put_back(world.r, copy)
        assert (await world.r.row(world.referral_id)).status != "HANDED_OVER"
        await world.rest()

        assert await world.holdings() == (("NONE", 2), ("OWNER", 2))
        assert (await world.r.row(world.referral_id)).status == "HANDED_OVER"
        assert (await world.r.edit()).status_code == 200
        await assert_at_one(world)


@pytest.mark.row("C1", "F36")
async def test_what_the_hub_does_not_hold_any_more_is_sent_again(world: World) -> None:
    """Seeded: let all words go once they were heard, or ask for nothing again."""
    copy = await world.back_up(world.s)
    await world.handed_over()

    await world.s.end()
    await world.r.end()
    world.s.log.unlink()
    await world.r.start()
    await world.s.start()
    await world.put_back(world.s, copy)
    await world.rest()

    assert await world.holdings() == (("NONE", 2), ("OWNER", 2))
    await assert_at_one(world)


async def test_what_was_said_in_a_place_that_was_taken_gives_way(world: World) -> None:
    """Seeded: keep what was said since; the other country refuses all that follows."""
    copy = await world.back_up(world.s)
    await world.handed_over()

    await world.put_back(world.s, copy)
    assert (await world.give()).status_code == 200
    await world.s.hear()  # a letter is written in the place of the one that was heard
    await world.rest()

    assert await world.holdings() == (("NONE", 2), ("OWNER", 2))
    await assert_at_one(world)


@pytest.mark.parametrize("was_said_before", [False, True])
async def test_consent_withdrawn_before_the_peer_answers_is_told_it_once(
    told: Path, tmp_path: Path, *, was_said_before: bool
) -> None:
    """Seeded: let what was forgotten reopen the referral; say again what the backup had lost."""
    now_is(NOW)
    async with open_world(told / "sent", tmp_path) as world:
        copy = world.back_up_by_command(world.s)
        await world.go_on_to_arrival()
        if was_said_before:
            await world.withdraw()
            await world.rest()

        await world.put_back(world.s, copy)
        await world.withdraw()
        await world.s.hear()
        assert (await world.s.row(world.referral_id)).status == "CONSENT_WITHDRAWN"
        await world.rest()

        assert (await world.s.row(world.referral_id)).status in {"CONSENT_WITHDRAWN", "CLOSED"}
        assert (await world.r.row(world.referral_id)).status == "CONSENT_WITHDRAWN"
        links = [s.statement for s in await world.custody() if s.statement.author == "RS"]
        assert [link.kind for link in links].count("withdrawn") == 1
        assert await world.s.links(world.referral_id) == await world.r.links(world.referral_id)
        assert (await world.s.dead(), await world.r.dead()) == ([], [])


# --- before anybody has answered


async def test_a_backup_of_the_product_knows_that_it_is_one(world: World) -> None:
    """Seeded: make the copy without its mark."""
    copy = world.back_up_by_command(world.s)
    await world.handed_over()

    await world.put_back(world.s, copy)
    assert await world.s.holding() == ("OWNER", 1)
    assert code(await world.s.edit()) == (409, "ownership.unconfirmed")
    assert code(await world.give()) == (409, "ownership.unconfirmed")
    await world.s.hear()
    assert code(await world.s.do(world.path, "fail", {"reason": "NOT_ADMITTED"}))[0] == 409
    reported = await world.s.intake.caller("BORDER_POLICE").post(
        "/v1/notices", json=notice(id=str(new_id()))
    )
    assert reported.status_code == 201, reported.text
    await world.rest()

    assert await world.holdings() == (("NONE", 2), ("OWNER", 2))
    assert code(await world.s.edit()) == (409, "ownership.not_here")
    await assert_at_one(world)
    other = await world.s.worker("intake").post("/v1/cases", json=case(fixed_id(5)))
    changed = await world.s.worker("intake").patch(
        f"/v1/cases/{fixed_id(5)}", json={"urgency": "HIGH"}, headers=if_match(other)
    )
    assert changed.status_code == 200, changed.text


async def test_databases_older_than_their_anchors_are_known_for_a_backup(world: World) -> None:
    copy = await world.back_up(world.s)
    await world.handed_over()
    await world.s.seal_audit()

    await world.put_back(world.s, copy, data_only=True)
    assert code(await world.s.edit()) == (409, "ownership.unconfirmed")
    await world.rest()

    assert code(await world.s.edit()) == (409, "ownership.not_here")
    await assert_at_one(world)


async def test_without_the_answer_an_operator_may_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seeded: take the operator's word without an entry in the audit trail."""
    await world.put_back(world.s, world.back_up_by_command(world.s))
    await world.rest(world.s)  # the other is away
    assert code(await world.s.edit()) == (409, "ownership.unconfirmed")

    monkeypatch.setenv("PRAG_HOME", str(world.s.home))
    capsys.readouterr()
    assert await asyncio.to_thread(main, ["rejoin", "--alone"]) == 0
    await world.rest(world.s)

    assert (await world.s.edit()).status_code == 200
    assert await asyncio.to_thread(main, ["rejoin", "--alone"]) == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if " [" not in line]
    assert printed == ["Without: XK", "Nobody is waited for."]
    [entry, _] = await world.s.referral.audit(action="go_on_alone")
    assert entry.object_ids == ["XK"]


async def test_a_country_that_exchanges_with_nobody_waits_for_nobody(world: World) -> None:
    for file in (world.s.home / "peers").iterdir():
        file.unlink()

    await world.put_back(world.s, world.back_up_by_command(world.s))

    assert (await world.s.edit()).status_code == 200


# --- twice at once


@pytest.mark.row("C1", "F41")
async def test_of_a_country_that_runs_twice_both_words_are_kept(world: World) -> None:
    """T23. Seeded: bury the second; take what follows the first; stop the other referrals too."""
    other = new_id()
    await world.open_case(OTHER)
    await world.draft(other, OTHER)
    copy = await world.back_up(world.s)
    clone = await world.clone(copy)
    assert (await world.give()).status_code == 200
    await world.s.hear()
    await world.s.send()
    await world.r.collect()  # whose register has not answered yet
    before = await world.r.row(world.referral_id)
    world.s, first = clone, world.s
    world.more = [first]

    assert (await world.give()).status_code == 200
    await clone.hear()
    await clone.send()
    await world.r.collect()

    row = await world.r.row(world.referral_id)
    assert row.forked_at == NOW
    assert (row.heard, row.heard_hash) == (before.heard, before.heard_hash)
    [kept] = await world.r.referral.rows(select(Fork))
    signer = read_peers(world.r.home / "peers").directory.signer
    second = SignedStatement.model_validate_json(kept.signed)
    held = await world.r.links(world.referral_id)
    assert second.holds(signer)
    assert second.statement.hash == kept.hash != held["RS", second.statement.number]
    assert await world.r.gauge("prag_custody_forks") == 1

    # Nothing more of this referral, be it the first's; another of the same country goes on.
    recalled = await first.do(
        f"/v1/cases/{await first.case_id()}", "recall", {"referral_id": str(world.referral_id)}
    )
    assert recalled.status_code == 200, recalled.text
    submitted = await first.do(f"{URL}/{other}", "submit")
    assert submitted.status_code == 200, submitted.text
    for each in (first, world.r):
        await each.hear()
        await each.send()
        await each.collect()
    assert (await world.r.row(world.referral_id)).heard == before.heard
    assert (await world.r.row(other)).status == "SUBMITTED"

    # Once the second has taken up what was heard, and says so, all that waited follows.
    world.s, world.more = first, [clone]
    await world.rest()
    now_is(NOW + timedelta(days=1))
    await world.rest()

    row = await world.r.row(world.referral_id)
    assert row.forked_at is None
    assert row.heard > before.heard
    assert await world.r.gauge("prag_custody_forks") == 0
    assert [await each.verify(world.referral_id) for each in (first, clone, world.r)] == [0, 0, 0]
    assert len(await world.r.referral.rows(select(Fork))) == 1
    assert len(await clone.referral.rows(select(Fork))) == 1


@pytest.mark.row("C1", "F36")
async def test_a_peer_that_was_removed_since_is_waited_for_and_asked_when_it_is_taken_in_again(
    world: World,
) -> None:
    # Fails when both sides can edit the case: who was removed still has what it was given.
    copy = await world.back_up(world.s)
    await world.handed_over()
    await world.s.seal_audit()
    here = peer.place_of(world.s.home)
    known = peer.own_descriptor(peer.place_of(world.r.home))
    peer.remove(here, "XK")

    await world.put_back(world.s, copy, data_only=True)
    await world.rest()

    assert code(await world.s.edit()) == (409, "ownership.unconfirmed")
    assert (await world.r.edit()).status_code == 200
    with capture_logs() as told:
        await tell_of_no_hub(world.s.referral.runtime)
    assert {"event": "rejoin.peer_removed", "country": "XK", "log_level": "error"} in told

    (world.s.home / "known.json").write_bytes(known.to_bytes())
    peer.add(here, world.s.home / "known.json", known.fingerprint)
    await world.rest()

    assert code(await world.s.edit()) == (409, "ownership.not_here")
    assert (await world.r.edit()).status_code == 200
