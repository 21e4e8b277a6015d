"""The figures of a slice: which keys carry them, in which units, and what does not pay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.functions.kpi_values import KpiValues
from rewards.telecom.figures import FIGURES, find_statements
from rewards.telecom.units import name_unit, read_figure
from rewards.testing import check_reward
from rewards.types import Completion, Example, Score

COLUMNS = {
    "latency_ms": 10.0, "reliability_pct": 99.99, "dl_throughput_mbps": 2000.0, "ul_throughput_mbps": 80.0, "max_ues": 800,
}  # fmt: skip
SHORT = {
    "ms": "latency_ms",
    "%": "reliability_pct",
    "dl": "dl_throughput_mbps",
    "ul": "ul_throughput_mbps",
    "n": "max_ues",
}
REFERENCE = {
    "latencyMs": 10, "reliabilityPct": 99.99, "dlThroughputMbps": 2000, "ulThroughputMbps": 80, "maxUEs": 800, "name": "fatia",
}  # fmt: skip


def score_of(
    answer: Any, reference: Any = None, columns: dict[str, Any] = COLUMNS, prompt: str = "", **options: Any
) -> Score:
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    written = None if reference is None else json.dumps(reference)
    example = Example("1", "any", [{"role": "user", "content": prompt}], written, columns)
    return KpiValues(**options)(example, Completion(text))


def right_in(answer: Any, **more: Any) -> set[str]:
    """The short names of the figures that an answer states right."""
    parts = score_of(answer, **more).parts
    return {short for short, column in SHORT.items() if parts.get(column) == 1.0}


def test_kpi_values_when_checked_by_the_kit_then_keeps_the_contract():
    """The whole contract, on hostile texts too."""
    check_reward(
        KpiValues(),
        Example("1", "any", [], json.dumps(REFERENCE), COLUMNS),
        right=[
            json.dumps({"sla": {"latency": "10 ms", "reliability": "99,99 %", "dlThroughput": "2 Gbps"}, "maxUEs": "800",
                        "ulThroughput": {"value": 80_000, "unit": "kbit/s"}}),
        ],
        partial='{"latencyMs": 10, "dlThroughputMbps": 2000, "ulThroughputMbps": 8}',
        wrong=["", "{}", json.dumps({f"k{n}": n for n in range(1000)}), '{"latencyMs": 11}'],
        hostile_size=200_000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ({"latencyMs": 10}, {"ms"}),
        ({"latency": "10 ms"}, {"ms"}),
        ({"latency": "0,01 s"}, {"ms"}),
        ({"latency": {"value": 10_000, "unit": "us"}}, {"ms"}),
        ({"latency_seconds": 0.01}, {"ms"}),
        ({"packetDelayBudget": 10}, {"ms"}),
        ({"pdb": 10}, {"ms"}),
        ({"downStreamDelayBudget": {"value": 10, "unit": "Milliseconds"}}, {"ms"}),
        ({"dLLatency": 10, "uLLatency": 10}, {"ms"}),
        ({"latencyBudget": "<= 10 ms"}, {"ms"}),
        ({"latency": "10 Mbps"}, set()),
        ({"reliability": "99,99 %"}, {"%"}),
        ({"reliability": 0.9999}, {"%"}),
        ({"reliability": 99.9}, set()),
        ({"successProbility": 0.9999}, {"%"}),
        ({"dLReliability": 99.99}, {"%"}),
        ({"dlThroughput": 2000}, {"dl"}),
        ({"dlThroughput": 2_000_000}, {"dl"}),
        ({"dlThroughput": "2 Gbps"}, {"dl"}),
        ({"downloadSpeed": "2.000 Mbps"}, {"dl"}),
        ({"dlThptPerUe_kbps": 2_000_000}, {"dl"}),
        ({"dlThroughput": 2, "dlThroughputUnit": "Gbps"}, {"dl"}),
        ({"downStreamRatePerDevice": {"value": 2, "unit": "Gbps"}}, {"dl"}),
        ({"dLThptPerUE": {"servAttrCom": {}, "guaThpt": 2_000_000, "maxThpt": 4_000_000}}, {"dl"}),
        ({"guaDlThptPerSlice": 2000, "maxDlThptPerSlice": 4000, "guaUlThptPerSlice": 80}, {"dl", "ul"}),
        ({"throughput": {"downlink": 2000, "uplink": {"value": 80, "unit": "Mbps"}}}, {"dl", "ul"}),
        ({"qosObjectives": {"gfbr": 2000, "mfbr": 4000}}, {"dl"}),
        ({"mfbr": {"downlink": 2000, "uplink": 80}}, {"dl", "ul"}),
        ({"maxNumberofUEs": 800}, {"n"}),
        ({"maxNumberOfUes": 800}, {"n"}),
        ({"maxNumOfDevices": 800.0}, {"n"}),
        ({"maxUEs": True}, set()),
        ({"expectationTargets": [
            {"targetName": "DLLatencyTarget", "targetCondition": "IS_LESS_THAN", "targetValueRange": 10},
            {"targetName": "ULThptPerUETarget", "targetCondition": "IS_EQUAL_TO", "targetValueRange": "80 Mbps"},
            {"targetName": "MaxNumberofUEsTarget", "targetCondition": "IS_EQUAL_TO", "targetValueRange": 800}]}, {"ms", "ul", "n"}),
        ({"characteristic": [{"name": "reliability", "value": {"value": 99.99}}]}, {"%"}),
        ({"expressionValue": '{"latency": {"value": 10, "unit": "ms"}}'}, {"ms"}),
        ({"expressionValue": '@prefix icm: <x> . icm:latency "10"^^xsd:decimal ; icm:dlThroughput "2 Gbps" .'}, {"ms", "dl"}),
        ({"peakRate": 2000}, {"dl"}),
    ],
)  # fmt: skip
def test_kpi_values_when_layers_and_units_differ_then_the_same_figure_is_right(answer, right):
    """Each layer's keys and each unit's spellings, without a reference to go by."""
    assert right_in(answer) == right


@pytest.mark.parametrize(
    "answer",
    [
        {"x": 10, "y": 99.99, "z": 2000, "priority": 80, "port": 800},
        {"current": {"latency": 10}},
        {"measuredLatency": 10},
        {"latencyDescription": "10"},
        {"numbers": [10, 99.99, 2000, 80, 800]},
        [10, 99.99, 2000, 80, 800],
        {"text": "10 99.99 2000 80 800"},
    ],
)
def test_kpi_values_when_a_number_stands_under_an_unrelated_key_then_does_not_pay(answer):
    """A measurement is not a requirement either."""
    assert score_of(answer).value == 0.0


@pytest.mark.parametrize(
    "answer",
    [
        {"latency": 10, "delay": 20},
        {"latency": 10, "sla": {"latency": 20}},
        {"dLLatency": 10, "uLLatency": 12},
        {"latency": [10, 20, 30]},
        '{"latency": 10, "latency": 20}',
        '{"latency": 20, "latency": 10}',
        {"kpis": [{"name": "latency", "value": 10}, {"name": "latency", "value": 1}]},
        '{"latency": NaN}',
        '{"latency": 1e999}',
        {"latency": None},
        {"latency": "10|20"},
        {"latency": 10**400},
    ],
)
def test_kpi_values_when_a_figure_contradicts_itself_then_does_not_count(answer):
    """However it is said twice; and what is not a number is none."""
    assert right_in(answer) == set()


def test_kpi_values_when_two_answers_contradict_each_other_then_costs_most():
    """Wherever the right one stands."""
    right, other = json.dumps(REFERENCE), json.dumps({**REFERENCE, "latencyMs": 99, "maxUEs": 1})
    for text in (f"{right}\n\nou\n\n{other}", f"{other}\n\nou\n\n{right}"):
        assert score_of(text, REFERENCE).value <= 0.25


def test_kpi_values_when_guesses_are_stuffed_around_the_right_answer_then_falls():
    """An answer twice as long as the reference is still free, one of hundreds of leaves is not."""
    assert score_of({**REFERENCE, **{f"note{n}": "x" for n in range(6)}}, REFERENCE).value == 1.0
    stuffed = score_of({**REFERENCE, **{f"k{n}": n for n in range(300)}}, REFERENCE)
    assert stuffed.value == stuffed.parts["size"] < 0.1


def test_kpi_values_when_the_reference_states_figures_in_one_unit_then_a_thousandfold_rate_is_wrong():
    """50000 is 50 Mbps where the reference writes kbit/s, and nowhere else."""
    columns = {"dl_throughput_mbps": 50.0}
    for reference, right, wrong in (({"dlThpt": 50}, 50, 50_000), ({"dlThpt": 50_000}, 50_000, 50)):
        assert score_of({"dlThpt": right}, reference, columns).value == 1.0
        assert score_of({"dlThpt": wrong}, reference, columns).value == 0.0
        assert score_of({"dlThpt": "50 Mbit/s"}, reference, columns).value == 1.0


def test_kpi_values_when_the_reference_gives_a_key_another_meaning_then_it_is_left_out():
    """A greatest rate beside the guaranteed one is not a contradiction; what the reference leaves out is not asked."""
    reference = {"dLThptPerUE": {"guaThpt": 2000, "maxThpt": 4000}, "region": "Recife"}
    assert set(score_of(reference, reference).parts) == {"dl_throughput_mbps", "size"}
    assert score_of({"dLThptPerUE": {"guaThpt": 2000, "maxThpt": 9000}}, reference).value == 1.0
    assert score_of({"dLThptPerUE": {"guaThpt": 4000, "maxThpt": 2000}}, reference).value == 0.0


def test_kpi_values_when_a_reference_states_no_figure_then_does_not_apply():
    """Also for a row without columns."""
    assert score_of(REFERENCE, {"a": 1}).value is None
    assert score_of(REFERENCE, REFERENCE, {}).value is None


def test_kpi_values_when_a_report_has_telemetry_then_only_the_figures_of_the_prompt_count():
    """What the prompt does not contain is neither paid nor charged, unless asked."""
    columns = {**COLUMNS, "target_layer": "tmf921_lifecycle_report"}
    answer = {**REFERENCE, "reliabilityPct": 1, "dlThroughputMbps": 1, "ulThroughputMbps": 1, "maxUEs": 1}
    masked = score_of(answer, REFERENCE, columns, "alvo de 0,01 s")
    assert masked.value == 1.0 and set(masked.parts) == {"latency_ms", "size"}
    assert score_of(answer, REFERENCE, columns, "alvo de 0,01 s", mask_underivable=False).value == 0.2
    assert score_of(answer, REFERENCE, columns, "relatório").value is None
    assert score_of(answer, REFERENCE, {**COLUMNS, "target_layer": "o1_nrm"}, "relatório").value == 0.2
    assert score_of(answer, REFERENCE, {**COLUMNS, "lifecycle_operation": "monitor"}, "relatório").value is None


def test_kpi_values_when_tolerances_are_given_then_near_figures_are_right():
    """Relative for times and rates, of what lacks to 100 % for shares, none for devices by default."""
    assert right_in({"latency": 10.4, "maxUEs": 808}) == set()
    assert right_in({"latency": 10.4, "maxUEs": 808}, tolerance=0.05, count_tolerance=0.01) == {"ms", "n"}
    assert right_in({"reliability": 99.991}) == set()
    assert right_in({"reliability": 99.991}, reliability_tolerance=0.15) == {"%"}
    assert right_in({"latency": 10.005}) == {"ms"}


def test_kpi_values_when_a_rate_must_be_a_small_integer_then_the_nearest_is_right():
    """CAMARA's rates are integers up to 1024 with a unit: 2500 Mbps can only be 2 or 3 Gbps."""
    columns = {"dl_throughput_mbps": 2500.0}
    for value, right in ((2, 1.0), (3, 1.0), (4, 0.0), (2500, 0.0)):
        answer = {"downStreamRatePerDevice": {"value": value, "unit": "Gbps"}}
        assert score_of(answer, None, columns).value == right
    assert (
        score_of({"downStreamRatePerDevice": {"value": 1, "unit": "Gbps"}}, None, {"dl_throughput_mbps": 500.0}).value
        == 0.0
    )


def test_kpi_values_when_keys_are_named_as_carriers_then_count():
    """A dialect of one's own."""
    assert right_in({"atrasoMaximo": 10}) == set()
    assert right_in({"atrasoMaximo": 10, "lat": "10 ms"}, carriers={"atrasoMaximo": "latency_ms"}) == {"ms"}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"carriers": {"x": "latency"}}, "no such figure"),
        ({"plain_rates": ("ms",)}, "not a unit of a rate"),
        ({"plain_rates": ()}, "not a unit of a rate"),
        ({"tolerance": -1}, "tolerance"),
    ],
)
def test_kpi_values_when_options_are_wrong_then_says_what_is_allowed(options, word):
    """Before anything is trained."""
    with pytest.raises(ValueError, match=word):
        KpiValues(**options)


def test_problems_when_a_column_is_no_number_then_says_which():
    """Text, truth, infinity; null is fine."""
    columns = {"latency_ms": "10", "max_ues": True, "dl_throughput_mbps": float("inf"), "ul_throughput_mbps": None}
    problems = KpiValues().problems(Example("1", "any", [], "{}", columns))
    assert [problem.partition(":")[0] for problem in problems] == ["latency_ms", "dl_throughput_mbps", "max_ues"]
    assert "null" in problems[0]
    assert KpiValues().problems(Example("1", "any", [], "não", COLUMNS))


def test_read_figure_when_units_do_not_fit_then_reads_nothing():
    """A rate in milliseconds is none."""
    assert read_figure(5, "rate", "ms").values == ()
    assert read_figure(5, "time", "furlongs").values == ()
    assert read_figure("5 e meio", "time", None).values == ()
    assert name_unit("Megabits per second") == "mbps" and name_unit("porcento") == "%" and name_unit("palmos") is None


def test_find_statements_when_a_value_is_huge_then_looks_at_a_part():
    """Bounded, whatever is written."""
    found = find_statements({"a": [{"latency": n} for n in range(100_000)]})
    assert 0 < len(found) <= 20_000
    deep: Any = 1
    for _ in range(3000):
        deep = {"latency": [deep]}
    assert len(find_statements(deep)) <= 1


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 900),
    st.sampled_from([("kbps", 1000.0), ("Mbps", 1.0), ("Gbit/s", 0.001), ("bits/s", 1e6)]),
    st.booleans(),
)
def test_kpi_values_when_a_rate_is_written_in_any_unit_then_is_right(rate, unit, text):
    """Whatever the number; and ten times as much is wrong."""
    name, factor = unit
    columns = {"ul_throughput_mbps": float(rate)}

    def write(value: float) -> Any:
        plain = f"{value:.9g}".replace(".", ",") if value < 1e6 else str(int(value))
        return {"ulThroughput": f"{plain} {name}" if text else {"value": value, "unit": name}}

    if factor >= 1 or not text or "," in f"{rate * factor}".replace(".", ","):
        assert score_of(write(rate * factor), None, columns).value == 1.0
        assert score_of(write(rate * factor * 10), None, columns).value == 0.0


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.integers() | st.text(max_size=8) | st.none(),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
                        st.sampled_from(["latency", "value", "unit", "dlThpt", "name", "id"]), inner, max_size=4),
                    max_leaves=20))  # fmt: skip
def test_kpi_values_when_values_are_arbitrary_then_gives_shares(answer):
    """Never an exception, always within 0 and 1."""
    score = score_of(json.dumps(answer), REFERENCE)
    assert 0.0 <= score.value <= 1.0 and set(score.parts) <= {*FIGURES, "size"}
