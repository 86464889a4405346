"""What `make chaos` would kill, without killing anything."""

from itertools import chain

import pytest

from tests.chaos.plan import APIS, BROKERS, KILLS, WORKERS, Kill, kills, unreached


@pytest.mark.parametrize("seed", [1, 60, 2**31 - 1])
def test_sixty_kills_reach_every_point_of_every_worker(seed: int) -> None:
    # Fails when a worker's point is drawn twice before another was drawn once.
    plan = kills(seed, 20)

    assert sum(map(len, plan)) == 60
    assert [target for target in unreached(chain(*plan)) if target in WORKERS] == []
    assert len(WORKERS) == 34
    kinds = {"api": 0, "broker": 0}
    for _, _, third in plan:
        kinds["broker" if third.step else "api"] += 1
    assert kinds == {"api": 5, "broker": 15}


@pytest.mark.parametrize("seed", [1, 60, 2**31 - 1])
def test_two_hundred_and_forty_kills_reach_everything_that_can_die(seed: int) -> None:
    # Fails when a broker never dies after some step, both countries' never at once, or an API is
    # spared a point.
    plan = kills(seed, 80)

    assert sum(map(len, plan)) == 240
    assert unreached(chain(*plan)) == []
    assert (len(APIS), len(BROKERS)) == (12, 48)
    assert ("RS+XK", "step 12") in BROKERS


def test_no_process_is_to_die_twice_in_one_round() -> None:
    # Fails when two deaths of a round are one: whoever comes second finds it dead already.
    for of_round in kills(7, 200):
        assert len({kill.what for kill in of_round}) == KILLS


def test_what_was_missed_is_told() -> None:
    # Fails when a run could call a point hit that it never came to.
    missed = unreached([Kill(*target) for target in WORKERS[1:]])

    assert missed == [WORKERS[0], *APIS, *BROKERS]
