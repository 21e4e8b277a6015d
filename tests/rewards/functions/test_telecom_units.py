"""Figures with their units: what a number or a text may mean, and when it is right, by hand."""

from __future__ import annotations

import pytest

from rewards.telecom.units import FigureReading, is_right, is_unit_of, name_unit, numbers_of, read_figure

NOTHING = FigureReading(())


@pytest.mark.parametrize(
    ("value", "quantity", "unit", "reading"),
    [
        (2, "rate", "Gbps", FigureReading((2000.0,), 1000.0)),
        (2.5, "rate", "Gbps", FigureReading((2500.0,), None)),
        (0.01, "time", "s", FigureReading((10.0,), None)),
        (5, "time", None, FigureReading((5.0,))),
        (80, "rate", None, FigureReading((80.0, 0.08))),
        (0.5, "share", None, FigureReading((0.5, 50.0))),
        (1, "share", None, FigureReading((1.0, 100.0))),
        (0, "share", None, FigureReading((0.0, 0.0))),
        (1.5, "share", None, FigureReading((1.5,))),
        (-0.5, "share", None, FigureReading((-0.5,))),
        (0.5, "count", None, FigureReading((0.5,))),
        (0.999, "share", "probability", FigureReading((99.9,), None)),
        (99.9, "share", "%", FigureReading((99.9,), None)),
        (800, "count", "UEs", FigureReading((800.0,))),
        (800, "count", "ms", NOTHING),
        (5, "time", "Gbps", NOTHING),
        (5, "time", "palmos", NOTHING),
        (True, "count", None, NOTHING),
        ([5], "count", None, NOTHING),
        (float("nan"), "count", None, NOTHING),
        (1e15, "count", None, FigureReading((1e15,))),
        (1.1e15, "count", None, NOTHING),
        ("1,5 Gbps", "rate", None, FigureReading((1500.0,), None)),
        ("2 Gbps", "rate", "kbps", FigureReading((2000.0,), 1000.0)),
        ("2", "rate", "Gbps", FigureReading((2000.0,), 1000.0)),
        ("1.000", "time", "ms", FigureReading((1.0, 1000.0), 1.0)),
        ("1.5", "rate", "Gbps", FigureReading((1500.0,), None)),
        ("<= 10 ms.", "time", None, FigureReading((10.0,), 1.0)),
        ("'12 ms'", "time", None, FigureReading((12.0,), 1.0)),
        ("ten ms", "time", None, NOTHING),
        ("10 ms e mais", "time", None, NOTHING),
        ("9" * 61, "count", None, NOTHING),
    ],
)
def test_figure_when_it_is_read_then_it_means_what_its_unit_makes_of_it(value, quantity, unit, reading):
    """In ms, Mbit/s, per cent or pieces; a whole number keeps the size of its unit."""
    found = read_figure(value, quantity, unit)
    assert found.values == pytest.approx(reading.values) and found.whole_step == reading.whole_step


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Mbit/s", "mbps"),
        ("ms", "ms"),
        ("%", "%"),
        (" Ratio ", "fraction"),
        ("UEs", "count"),
        ("usuários", "count"),
        ("palmos", None),
    ],
)
def test_unit_when_it_is_written_in_some_way_then_it_has_one_short_name(written, name):
    """Of rates, times, shares and pieces; none for the rest."""
    assert name_unit(written) == name


@pytest.mark.parametrize(
    ("unit", "quantity", "is_one"),
    [
        ("UEs", "count", True),
        ("ms", "count", False),
        ("ms", "time", True),
        ("UEs", "time", False),
        ("ratio", "share", True),
        ("Gbps", "share", False),
    ],
)
def test_unit_when_it_is_of_another_quantity_then_it_measures_nothing(unit, quantity, is_one):
    """Devices are counted, and in nothing else."""
    assert is_unit_of(unit, quantity) is is_one


@pytest.mark.parametrize(
    ("written", "numbers"),
    [("1.000", (1.0, 1000.0)), ("1,5", (1.5,)), ("12", (12.0,)), ("1e16", ()), ("9999999999999999", ()), ("1.5.2", ())],
)
def test_number_when_a_point_may_part_thousands_then_both_readings_count(written, numbers):
    """Beyond a thousand million million nothing is meant."""
    assert numbers_of(written) == numbers


def right(value, figure, quantity, *, step=None):
    return is_right(FigureReading((float(value),), step), figure, quantity, 0.01, 0.1, 0.05)


@pytest.mark.parametrize(
    ("value", "figure", "quantity", "is_one"),
    [
        (101, 100, "time", True), (101.1, 100, "time", False), (99, 100, "rate", True), (0, 0, "time", True), (0.0005, 0, "time", False),
        (99.909, 99.9, "share", True), (99.911, 99.9, "share", False), (100, 100, "share", True), (99.9, 100, "share", False),
        (105, 100, "count", True), (106, 100, "count", False),
    ],
)  # fmt: skip
def test_figure_when_it_lies_at_its_tolerance_then_it_is_right_and_beyond_it_wrong(value, figure, quantity, is_one):
    """1 % of a time or rate, a tenth of what a share lacks to 100 %, 5 % of the devices."""
    assert right(value, figure, quantity) is is_one


@pytest.mark.parametrize(
    ("value", "figure", "step", "quantity", "is_one"),
    [
        (2000, 2500, 1000.0, "rate", True),  # 2 or 3 Gbps, since 2,500 Mbps is no integer up to 1024
        (3000, 2500, 1000.0, "rate", True),
        (4000, 2500, 1000.0, "rate", False),
        (1500, 2500, 1000.0, "rate", False),  # a whole step away
        (2000, 2500, None, "rate", False),
        (0, 900, 1000.0, "rate", False),  # 900 Mbps could be stated as it is
        (1000, 1024, 1000.0, "rate", False),
        (1000, 1025, 1000.0, "rate", True),
        (2000, 2500, 1000.0, "time", False),
    ],
)
def test_rate_when_it_must_be_a_small_integer_then_the_one_beside_it_is_right(value, figure, step, quantity, is_one):
    """Only where no integer up to 1024 in the smaller unit says it."""
    assert right(value, figure, quantity, step=step) is is_one
