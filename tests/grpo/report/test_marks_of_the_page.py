"""What the page says by an arrow, a colour or a small line, against values worked out by hand."""

from __future__ import annotations

import pytest

from grpo.report.charts import draw_sparkline, smooth
from grpo.report.checks import make_audit
from grpo.report.tables import _direction
from rewards.statistics.estimates import Estimate


@pytest.mark.parametrize(
    ("mean", "low", "high", "direction"),
    [
        (0.10, 0.02, 0.18, "up"),
        (-0.10, -0.18, -0.02, "down"),
        (0.10, -0.02, 0.22, "noise"),
        (-0.10, -0.22, 0.02, "noise"),
        (0.10, 0.0, 0.20, "noise"),
        (-0.10, -0.20, 0.0, "noise"),
        (0.10, None, None, "noise"),
        (None, None, None, "unknown"),
    ],
)
def test_direction_when_the_interval_leaves_out_zero_then_is_that_of_the_mean(mean, low, high, direction):
    """An interval that holds or touches 0 is noise, whichever sign its mean has; without an interval nothing is claimed."""
    assert _direction(Estimate(mean, 40, None, low, high)) == direction


def test_direction_without_a_change_is_unknown():
    """A task that was evaluated once went nowhere."""
    assert _direction(None) == "unknown"


@pytest.mark.parametrize(
    ("values", "alarms"),
    [
        ({"gold": 1.0, "changed": 0.9, "part": 0.6, "other": 0.2, "noise": 0.1, "empty": 0.0}, set()),
        ({"gold": 0.998, "other": 0.2}, {"gold"}),
        ({"gold": 0.999, "other": 0.2}, set()),
        ({"gold": 1.0, "other": 0.9995}, {"other"}),
        ({"gold": 1.0, "other": 0.998}, set()),
        ({"gold": 1.0, "noise": 0.5, "empty": 0.49}, {"noise"}),
        ({"gold": 1.0, "noise": 0.49, "empty": 0.5}, {"empty"}),
        ({"gold": 1.0, "changed": 1.0, "part": 1.0}, set()),
        ({"other": 1.0, "empty": 1.0}, set()),
    ],
)
def test_alarm_when_a_probe_is_paid_too_much_then_its_cell_alone_is_coloured(values, alarms):
    """Right answers below 0.999, another row's within 0.001 of them, noise or nothing from half of them."""
    (row,) = make_audit({"probes": {"push": values}})["probes"]
    assert {cell["name"] for cell in row["cells"] if cell["alarm"]} == alarms


def test_sparkline_of_two_values_goes_from_the_lower_left_to_the_upper_right():
    """0.2 to 0.4 with a tenth of the range above and below: 1.5 to 98.5 across, 91.67 to 8.33 down."""
    drawing = draw_sparkline([(0, 0.2), (10, 0.4)])
    assert 'class="line" d="M1.5 91.67L98.5 8.33"' in drawing
    assert 'aria-label="on training rows from 0.200 to 0.400"' in drawing
    assert 'd="M1.5 8.33L98.5 91.67"' in draw_sparkline([(0, 0.4), (10, 0.2)])


def test_sparkline_of_fewer_than_two_values_is_nothing():
    """One value has no course."""
    assert draw_sparkline([]) == draw_sparkline([(3, 0.5)]) == ""


def test_smooth_of_forty_values_is_the_mean_of_each_and_the_one_before():
    """A twentieth of forty is two; the first stands alone."""
    assert smooth([float(number) for number in range(40)]) == [0.0, *(number - 0.5 for number in range(1, 40))]
