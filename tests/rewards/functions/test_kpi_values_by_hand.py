"""The figures of a slice: reasons, shares and sizes of small answers, worked out by hand."""

from __future__ import annotations

import json
from functools import reduce

import pytest

from rewards.functions.kpi_values import KpiValues
from rewards.types import Completion, Example

COLUMNS = {"latency_ms": 10.0, "dl_throughput_mbps": 2000.0}
REFERENCE = {"latencyMs": 10, "sla": {"latency": 10}, "dlThroughputMbps": 2000}


def example_of(reference=REFERENCE, columns=COLUMNS):
    return Example("1", "any", [], None if reference is None else json.dumps(reference), columns)


def score_of(answer, reference=REFERENCE, columns=COLUMNS, **options):
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return KpiValues(**options)(example_of(reference, columns), Completion(text))


def test_reason_when_figures_are_wrong_or_missing_then_each_is_named():
    """And nothing is said of those that are right."""
    score = score_of({"latencyMs": 10, "dlThroughputMbps": 1})
    assert (score.value, score.reason) == (0.5, "wrong or missing: dl_throughput_mbps")
    assert score.parts == {"latency_ms": 1.0, "dl_throughput_mbps": 0.0, "size": 1.0}
    assert score_of({}).reason == "wrong or missing: latency_ms, dl_throughput_mbps"
    assert (score_of(REFERENCE).value, score_of(REFERENCE).reason) == (1.0, "")
    none = score_of("não sei")
    assert (none.value, none.reason, none.parts) == (
        0.0,
        "no JSON found",
        {"latency_ms": 0.0, "dl_throughput_mbps": 0.0},
    )


def test_size_when_an_answer_has_far_more_leaves_than_the_reference_then_it_pays_the_share_that_was_allowed():
    """Three leaves allow 2 x 3 + 16 = 22: 22 are free, 44 pay a half."""
    for leaves, size in ((22, 1.0), (44, 0.5)):
        answer = {**REFERENCE, **{f"k{number}": "x" for number in range(leaves - 3)}}
        score = score_of(answer)
        assert (score.value, score.parts["size"]) == (size, size)
        assert score.reason == ("" if size == 1.0 else "far longer than the reference")
    assert "size" not in score_of({"latency": 10}, None).parts


def test_reason_when_another_answer_stands_beside_it_then_it_says_so():
    """A quarter of what it would have earned."""
    text = f"{json.dumps(REFERENCE)}\n\nou\n\n{json.dumps({**REFERENCE, 'latencyMs': 99})}"
    score = score_of(text)
    assert score.value <= 0.25 and score.reason.endswith("another answer beside it contradicts it")
    assert score_of(text, doubted=1.0).value == 4 * score.value


def test_judge_when_the_keys_are_to_be_kept_then_the_share_of_the_references_places_counts():
    """The latency stands at two places; one of them is half, and elsewhere another value takes all."""
    example = example_of({"latencyMs": 10, "delay": 10, "dlThroughputMbps": 2000})

    def latency(answer, *, same_keys=True):
        return KpiValues().judge(example, answer, same_keys=same_keys)["latency_ms"]

    assert [latency({"latencyMs": 10}), latency({"latencyMs": 10, "delay": 10}), latency({})] == [0.5, 1.0, 0.0]
    assert latency({"latencyMs": 10, "delay": 20}) == 0.5
    assert latency({"latencyMs": [10, 20], "delay": 10}) == latency({"latencyMs": [20, 10], "delay": 10}) == 0.5
    assert latency({"latencyMs": 10, "delay": 10, "packetDelayBudget": 20}) == 0.0
    assert latency({"latencyMs": 10, "delay": 10, "packetDelayBudget": 10}) == 1.0
    assert latency({"latencyMs": 10, "delay": 10, "packetDelayBudget": 20, "pdb": 10}) == 0.0
    assert (
        latency({"latencyMs": 10}, same_keys=False)
        == 1.0
        == KpiValues().judge(example, {"latencyMs": 10})["latency_ms"]
    )


def test_answer_when_the_reference_says_more_of_a_figure_than_its_column_then_only_the_same_is_held_against_it():
    """Another meaning of the reference's own, and a rate of another kind, are left out; two kinds it states are both asked."""
    other = {"latencyMs": 10, "delay": 50, "dlThroughputMbps": 2000}
    assert score_of({**other, "delay": 70}, other).value == 1.0
    assert score_of({**other, "latencyMs": 50}, other).value == 0.5
    rates = {"dl_throughput_mbps": 2000.0}
    device = {"dLThptPerUE": {"guaThpt": 2000}}
    assert score_of({**device, "guaDlThptPerSlice": 5}, device, rates).value == 1.0
    both = {**device, "guaDlThptPerSlice": 2000}
    assert score_of({**both, "guaDlThptPerSlice": 5}, both, rates).value == 0.0


def test_answer_without_a_reference_when_it_contradicts_itself_then_neither_place_counts():
    """In whichever order the two stand."""
    for answer in ({"delay": 20, "latency": 10}, {"latency": 10, "delay": 20}):
        assert score_of(answer, None, {"latency_ms": 10.0}).value == 0.0


def test_rate_when_it_does_not_say_which_way_then_it_counts_only_where_nothing_says_it_better():
    """A peak rate stands for both ways until one of them is written."""
    rates = {"dl_throughput_mbps": 2000.0}
    assert score_of({"peakRate": 2000}, None, rates).value == 1.0
    assert score_of({"peakRate": 2000, "dlThroughput": 1}, None, rates).value == 0.0
    assert score_of({"peakRate": 1, "dlThroughput": 2000}, None, rates).value == 1.0


def test_rate_without_a_reference_when_one_for_a_slice_and_one_for_a_device_differ_then_half_must_be_right():
    """One of two is enough, one of three is not."""
    rates = {"dl_throughput_mbps": 2000.0}
    two = {"guaDlThptPerSlice": 2000, "dLThptPerUE": {"guaThpt": 50}}
    assert score_of(two, None, rates).value == 1.0
    assert score_of({**two, "downloadSpeed": 60}, None, rates).value == 0.0


def test_plain_rates_when_they_are_given_then_a_bare_number_is_read_in_them():
    """2 is 2 Gbps there, and what is not a rate is named in the complaint."""
    rates = {"dl_throughput_mbps": 2000.0}
    assert score_of({"dlThroughput": 2}, None, rates, plain_rates=("Gbps",)).value == 1.0
    assert score_of({"dlThroughput": 2}, None, rates).value == 0.0
    with pytest.raises(ValueError, match="none: not a unit of a rate"):
        KpiValues(plain_rates=())
    with pytest.raises(ValueError, match="ms: not a unit of a rate"):
        KpiValues(plain_rates=("Mbps", "ms"))


def test_problems_when_columns_are_numbers_or_null_then_there_are_none():
    """Without a reference too; one that is no JSON is a problem of its own."""
    assert KpiValues().problems(example_of()) == []
    assert KpiValues().problems(example_of(None, {**COLUMNS, "max_ues": None})) == []
    assert len(KpiValues().problems(Example("1", "any", [], "no", COLUMNS))) == 1


def test_problems_when_a_figure_is_nested_beyond_all_depth_then_one_short_line_says_so():
    """Python cannot write it down, and a line of thousands of brackets helps nobody."""
    deep = reduce(lambda inner, _: [inner], range(5_000), 1)
    (problem,) = KpiValues().problems(Example("1", "t", [], None, {"latency_ms": deep}))
    assert problem.startswith("latency_ms: ") and len(problem) < 200
