"""Which keys state a figure, in which unit and under which name: one small configuration for each thing that decides it."""

from __future__ import annotations

import json

import pytest

from rewards.telecom.figures import MAX_VALUES, figures_of, find_statements, read_name, states_right

RATES = ("dl_throughput_mbps", "ul_throughput_mbps")


def stated(value, **options):
    """What is stated: slot, variant, and what each figure may be."""
    return [
        (each.slot, each.variant, {name: reading.values for name, reading in each.readings.items()})
        for each in find_statements(value, **options)
    ]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("latencyMs", ("latency", "ms")), ("icm:latency", ("latency", None)), ("http://x.org/a#dlThroughput", ("dlthroughput", None)),
        ("http://x.org/latency", ("latency", None)), ("max_UEs", ("maxues", None)), ("ms", ("ms", None)), ("successProbility", ("successprobability", None)),
        ("DLThptPerUE", ("dlthptperue", None)), ("userCount", ("usercount", None)),
    ],
)  # fmt: skip
def test_key_when_it_is_read_then_it_is_its_letters_and_the_unit_at_its_end(key, name):
    """Without prefix or address; a unit alone is a name, and a count is none."""
    assert read_name(key) == name
    long = f"http://example.org/{'x' * 90}/latency"
    assert read_name(long) == ("latency", None) and len(read_name("a" * 200)[0]) == 80


@pytest.mark.parametrize(
    ("name", "figures"),
    [("latency", ("latency_ms",)), ("throughput", RATES), ("dlthroughput", RATES[:1]), ("ulthroughput", RATES[1:]), ("maxues", ("max_ues",)), ("x", ()), ("region", ())],
)  # fmt: skip
def test_name_when_it_carries_a_figure_then_it_is_one_column_or_both_ways(name, figures):
    """A rate without a direction stands for either."""
    assert figures_of(name) == figures and figures_of("max" * 20 + "latency") == ()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"latency": {"value": 10, "unit": "s"}}, [("latency", "", {"latency_ms": (10_000.0,)})]),
        ({"sla": {"downlink": {"throughput": 5}}}, [("downlinkthroughput", "", {RATES[0]: (5.0, 0.005)})]),
        ({"throughput": {"downlink": 5}}, [("throughputdownlink", "", {RATES[0]: (5.0, 0.005)})]),
        ({"throughput": 5}, [("throughput", "", dict.fromkeys(RATES, (5.0, 0.005)))]),
        ({"guaDlThptPerSlice": 5}, [("guadlthptperslice", "slice", {RATES[0]: (5.0, 0.005)})]),
        ({"maxDlThptPerSlice": 5}, [("maxdlthptperslice", "slicemost", {RATES[0]: (5.0, 0.005)})]),
        ({"latency": 10, "unit": "s"}, [("latency", "", {"latency_ms": (10_000.0,)})]),
        ({"latency": 10, "maxUEs": 5, "unit": "s"}, [("latency", "", {"latency_ms": (10_000.0,)}), ("maxues", "", {"max_ues": (5.0,)})]),
        ({"latency": 2, "latencyUnit": "s"}, [("latency", "", {"latency_ms": (2000.0,)})]),
        ({"name": "latency", "value": 10}, [("latency", "", {"latency_ms": (10.0,)})]),
        ({"name": "region", "id": "latency", "value": 10}, [("latency", "", {"latency_ms": (10.0,)})]),
        ({"name": 5, "value": 10}, []),
        ({"name": "latency" + "x" * 60, "value": 10}, []),
        ({"latency": [1, 2, "three"]}, [("latency", "", {"latency_ms": (1.0,)}), ("latency", "", {"latency_ms": (2.0,)}), ("latency", "", {"latency_ms": ()})]),
        ({"latency": True}, []),
        ({"latency": None}, []),
        ({"measuredLatency": 10}, []),
        ({"current": {"x": {"latency": 10}}}, []),
        ({"concurrentUEs": 3, "maxConcurrentUEs": 4}, [("maxconcurrentues", "", {"max_ues": (4.0,)})]),
        ({"latency": 5, "latencyMs": 7}, [("latency", "", {"latency_ms": (5.0,)}), ("latency", "", {"latency_ms": (7.0,)})]),
    ],
)  # fmt: skip
def test_statements_when_a_configuration_is_searched_then_each_place_has_its_name_and_meaning(value, found):
    """Units beside a value or in its key, names given as values, lists, and what was measured rather than asked."""
    assert stated(value) == found


def test_statements_when_a_text_holds_a_configuration_then_it_is_searched_too():
    """JSON within JSON, and the pairs of prose; a text in brackets that states nothing is not read as prose."""
    assert stated({"a": json.dumps({"latency": 10})}) == [("latency", "", {"latency_ms": (10.0,)})]
    assert stated({"note": "the slice must keep latency: 10 ms at all times"}) == [
        ("latency", "", {"latency_ms": (10.0,)})
    ]
    assert stated({"note": "the slice must keep latency: 10. at all times, please"}) == [
        ("latency", "", {"latency_ms": (10.0,)})
    ]
    assert stated({"a": "[1, 2]"}) == [] == stated({"a": "short"})


def test_statements_when_further_keys_carry_a_figure_then_they_count_first():
    """In any spelling of the key."""
    assert stated({"atraso_maximo": 10}, carriers={"atrasoMaximo": "latency_ms"}) == [
        ("atrasomaximo", "", {"latency_ms": (10.0,)})
    ]
    assert stated({"outro": 10}, carriers={"atrasoMaximo": "latency_ms"}) == []
    assert stated({"name": "atraso", "value": 10}, carriers={"atraso": "latency_ms"}) == [
        ("atraso", "", {"latency_ms": (10.0,)})
    ]


def test_statements_when_a_value_is_huge_then_so_many_places_are_looked_at_and_no_more():
    """What states nothing counts as well."""
    assert len(find_statements([{"latency": 1}] * MAX_VALUES)) <= MAX_VALUES
    assert find_statements({"a": ["x"] * (2 * MAX_VALUES), "latency": 1}) == []
    assert len(find_statements({"a": ["x"] * 100, "latency": 1})) == 1


@pytest.mark.parametrize(
    ("names", "kind", "amount", "column", "right", "is_one"),
    [
        (["latency"], "time", 0.01, "latency_ms", 10.0, True), (["latency"], "time", 10, "latency_ms", 10.0, False), (["dlThroughput"], "rate", 2e9, RATES[0], 2000.0, True),
        (["reliability"], "share", 0.999, "reliability_pct", 99.9, True), (["latency"], "", 10, "latency_ms", 10.0, True), (["latency"], "", 0.01, "latency_ms", 10.0, True),
        (["latency"], "time", 0.01, "max_ues", 10.0, False), (["region"], "time", 0.01, "latency_ms", 10.0, False), (["a", "b", "sla", "latency"], "", 10.0001, "latency_ms", 10.0, False),
    ],
)  # fmt: skip
def test_amount_when_its_kind_is_known_then_it_is_right_in_that_scale_alone(names, kind, amount, column, right, is_one):
    """Seconds as milliseconds, bits as megabits, shares as per cent; without a kind any of them."""
    assert states_right(names, kind, amount, column, right) is is_one
