"""What a register does not send while the other country could not hear of it."""

from pathlib import Path

from common.federation.keys import SealingKey
from tests.intake.crossing import Crossing, code, crossed, step
from tests.peers import BEGAN, Keeper, keeper


def peers_of(small: Crossing) -> Path:
    folder = small.here.kit.runtime.settings.peers_folder
    assert folder is not None
    return folder


async def test_nothing_is_released_or_given_while_the_own_keys_have_ended(small: Crossing) -> None:
    # Fails when a step is answered with 200 of which the other country cannot hear: nobody edits the
    # case then, in either country, until an operator sees it.
    await crossed(small)
    mute = Keeper("RS", root=keeper("RS").root)
    kept = SealingKey(keeper("RS").packages[0]).public
    mute.add("package", kept.raw, kept.kid, since=BEGAN)
    own = peers_of(small) / "own.json"
    before = own.read_bytes()
    own.write_bytes(mute.descriptor.to_bytes())

    refused = [await step(small.here, "release"), await step(small.here, "give", epoch=1)]
    own.write_bytes(before)
    taken = [await step(small.here, "release"), await step(small.here, "give", epoch=1)]

    assert [code(each) for each in refused] == [(409, "peer.no_own_key")] * 2
    assert [each.status_code for each in taken] == [200, 200]


async def test_a_case_is_not_given_to_a_country_that_is_no_peer_any_more(small: Crossing) -> None:
    # Fails when the case hangs between two countries of which one takes no letters of the other.
    await crossed(small)
    (peers_of(small) / "XK.json").unlink()

    assert code(await step(small.here, "give", epoch=1)) == (409, "peer.unknown")
    assert (await small.here.case()).holding == "OWNER"
