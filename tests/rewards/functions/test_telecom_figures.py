"""Where a configuration states its figures: the same statements however its objects are shaped, and in bounded time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.telecom import figures as telecom_figures
from rewards.telecom.figures import FIGURES, StatedFigure, find_statements
from tests.timing import at_most

KEYS = (
    "latency",
    "value",
    "unit",
    "name",
    "throughput",
    "downlink",
    "dlThroughput",
    "maxUEs",
    "latencyUnit",
    "currentLatency",
    "a",
)
WORDS = ("latency", "ms", "Mbps", "10 ms", "reliability = 99.9 % of the packets", '{"latency": 5, "unit": "s"}')

configurations = st.recursive(
    st.none() | st.booleans() | st.integers(0, 200) | st.floats(0, 200) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


def pad(value: Any) -> Any:
    """The same configuration with this many keys in every object that none is small."""
    if isinstance(value, dict):
        return {**{key: pad(child) for key, child in value.items()}, **{f"zz{index}": None for index in range(40)}}
    return [pad(child) for child in value] if isinstance(value, list) else value


@settings(max_examples=150, deadline=None)
@given(configurations)
def test_find_statements_when_objects_are_small_then_finds_what_large_ones_state(value):
    """The kept shapes of small objects say what is read again from large ones."""
    assert find_statements(value) == find_statements(pad(value))


@pytest.mark.parametrize("looked_at", range(9))
def test_find_statements_when_the_limit_is_reached_then_counts_every_value_on_the_way(looked_at, monkeypatch):
    """The object, its five members and the two items count, whether they state something or not."""
    value = {"a": 1, "latency": 2, "b": ["x", {"reliability": 99}], "c": None, "maxUEs": 7}
    # Places in order: object 1, a 2, latency 3, b 4, "x" 5, inner object 6, reliability 7, c 8, maxUEs 9.
    places = {"latency": 3, "reliability": 7, "maxues": 9}
    monkeypatch.setattr(telecom_figures, "MAX_VALUES", looked_at)
    assert [found.slot for found in find_statements(value)] == [slot for slot, at in places.items() if at <= looked_at]


def test_find_statements_when_many_values_stand_under_a_long_key_then_reads_it_once():
    """A key of half a megabyte above 19,000 values once took minutes."""
    with at_most(2.0):
        assert find_statements({"k" * 500_000: {f"a{index}": index for index in range(19_000)}}) == []
        assert find_statements({"latency" + " " * 500_000: list(range(19_000))})[0].figures == ("latency_ms",)


def test_find_statements_when_a_long_key_says_measured_at_its_end_then_is_left_out():
    """All of a key is looked at for that, however long it is."""
    assert find_statements({"latency" + "_" * 200 + "Measured": 5}) == []
    assert len(find_statements({"latency" + "_" * 200: 5})) == 1


def test_find_statements_when_keys_are_ever_new_then_keeps_a_bounded_number():
    """What completions write does not fill the memory."""
    for index in range(3000):
        find_statements({f"key{index}": {f"latency{index}": 1}, "k" * 300 + str(index): 1})
    for kept in (telecom_figures._small_shape_of, telecom_figures._short_name_of, telecom_figures._find_meaning):
        assert kept.cache_info().currsize <= kept.cache_info().maxsize
    assert telecom_figures._small_shape_of.cache_info().maxsize <= 1024


def test_find_statements_when_objects_of_one_shape_differ_in_values_then_each_is_read_by_its_own():
    """A kept shape holds no value: neither the name of the figure, nor the unit, nor what kind of value stands there."""
    items = [
        {"name": "latency", "value": 10, "unit": "ms"},
        {"name": "reliability", "value": 99.9, "unit": "%"},
        {"name": "colour", "value": 3, "unit": "ms"},
        {"name": "latency", "value": {"target": 2}, "unit": "s"},
        {"name": "latency", "value": 4, "unit": None},
    ]
    found = find_statements(items)
    said = [(each.figures[0], each.readings[each.figures[0]].values) for each in found]
    assert said == [
        ("latency_ms", (10.0,)),
        ("reliability_pct", (99.9,)),
        ("latency_ms", (2000.0,)),
        ("latency_ms", (4.0,)),
    ]


def test_find_statements_when_carriers_differ_then_kept_meanings_do_not_mix():
    """The same keys, with other carriers, mean other columns."""
    value = {"peakRate": 100}
    for figure in FIGURES:
        assert [found.figures for found in find_statements(value, {"peakRate": figure})] == [(figure,)]
    assert isinstance(find_statements(json.loads('{"latency": 1}'))[0], StatedFigure)


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_find_statements_when_json_within_a_text_holds_no_finite_number_then_states_nothing(written):
    """Such a completion is wrong; it must not become an error of the function."""
    (found,) = find_statements({"expression": f'{{"latency": {written}}}'})
    assert found.readings["latency_ms"].values == ()
