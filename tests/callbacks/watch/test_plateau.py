"""The rule `plateau` with measured noise: it stops what stands still and lets climb what climbs, however often one looks."""

from random import Random

import pytest

from callbacks.watch.watch import does_not_climb

NOISE = 0.008
"""The standard error of one evaluation of 320 rows from one look at the same rows to the next, as it was measured."""


def stops(seed, every, slope, until=200, window=70, least=0.01):
    """Whether some evaluation up to `until` ends a run whose mean truly climbs by `slope` a step."""
    random, points = Random(seed), []
    for step in range(0, until + 1, every):
        points.append((step, 0.4 + slope * step + random.gauss(0, NOISE)))
        if len(points) > 2 and does_not_climb(points, NOISE, window, least):
            return True
    return False


@pytest.mark.parametrize("every", [10, 25, 50])
def test_plateau_of_runs_that_climb_then_hardly_one_is_stopped(every):
    """A climb of 0.027 in 100 steps is stopped in fewer than 5 % of runs."""
    assert sum(stops(seed, every, 0.027 / 100) for seed in range(400)) / 400 < 0.05


@pytest.mark.parametrize("every", [10, 25, 50])
def test_plateau_of_flat_runs_then_most_are_stopped(every):
    """At least 80 % of the runs in which nothing moves are stopped by step 200."""
    assert sum(stops(seed, every, 0.0) for seed in range(200)) / 200 >= 0.8


def test_plateau_before_a_window_is_full_then_nothing_is_said():
    """Two evaluations, or ten within the window, are not a plateau."""
    assert not does_not_climb([(0, 0.4), (100, 0.4)], NOISE, 70, 0.01)
    assert not does_not_climb([(step, 0.4) for step in range(0, 60, 5)], 1e-6, 70, 0.01)
