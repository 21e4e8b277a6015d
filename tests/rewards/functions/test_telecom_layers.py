"""The rewards of the telecom layers: parts, weights, cheats, masks and which row belongs to which function."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rewards.cheats.attack import attack_named
from rewards.cheats.documents import corrupt_document
from rewards.functions.a1_policy import A1Policy
from rewards.functions.camara import Camara
from rewards.functions.etsi_zsm import EtsiZsm
from rewards.functions.field_f1 import FieldF1
from rewards.functions.intent_3gpp import Intent3gpp
from rewards.functions.kpi_values import KpiValues
from rewards.functions.o1_nrm import O1Nrm
from rewards.functions.telecom import AnyLayer, Telecom
from rewards.functions.telecom_adversarial import TelecomAdversarial
from rewards.functions.telecom_layer import LayerReward
from rewards.functions.telecom_lifecycle import TelecomLifecycle
from rewards.functions.tmf921 import Tmf921
from rewards.rows import read_examples
from rewards.sample_rows import FOLDER
from rewards.telecom.paths import count_leaves, find_places, mask_leaves, normalise_keys
from rewards.testing import check_reward
from rewards.types import Completion, Example, Score

LAYERS = (Tmf921, O1Nrm, A1Policy, Intent3gpp, Camara, EtsiZsm, TelecomLifecycle, TelecomAdversarial)
ROWS = {kind.name: read_examples(str(FOLDER / f"{kind.name}.jsonl")) for kind in (*LAYERS, Telecom)}
EVERY = [(kind, row) for kind in (*LAYERS, Telecom) for row in ROWS[kind.name]]
PROFILE = {
    "ServiceProfile": {
        "plmnInfoList": [{"plmnId": {"mcc": "724", "mnc": "05"}, "snssai": {"sst": 2, "sd": "000101"}}],
        "maxNumberofUEs": 200,
        "dLLatency": 5,
        "uEMobilityLevel": "STATIONARY",
        "dLThptPerUE": {"guaThpt": 50_000, "maxThpt": 100_000},
    }
}
FIGURES = {
    "latency_ms": 5.0,
    "reliability_pct": 99.9,
    "dl_throughput_mbps": 50.0,
    "ul_throughput_mbps": 25.0,
    "max_ues": 200,
}


def make_row(reference: Any, layer: str | None = "o1_nrm", prompt: str = "", **columns: Any) -> Example:
    known = {"target_layer": layer, **columns} if layer else columns
    return Example("1", "any", [{"role": "user", "content": prompt}], json.dumps(reference), known)


def score_of(function: LayerReward, row: Example, answer: Any) -> Score:
    return function(row, Completion(answer if isinstance(answer, str) else json.dumps(answer)))


def change(document: Any, old: str, new: str) -> str:
    text = json.dumps(document)
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize("kind", [*LAYERS, Telecom], ids=lambda kind: kind.name)
def test_layer_when_checked_by_the_kit_then_keeps_the_contract(kind):
    """The whole contract on a sample row, on hostile texts too."""
    row, other = ROWS[kind.name][:2]
    document = json.loads(row.reference)
    half = dict(list(document.items())[: max(1, len(document) // 2)]) if len(document) > 1 else None
    check_reward(
        kind(),
        row,
        right=[f"Aqui está:\n```json\n{json.dumps(document, indent=2)}\n```", f"[{row.reference}]"],
        partial=[json.dumps(half)] if half else (),
        wrong=["", "{}", "[]", '{"x": 1}', "não sei", *([other.reference] if half is None else [])],
        hostile_size=100_000,
    )


@pytest.mark.parametrize(("kind", "row"), EVERY, ids=[f"{kind.name}-{row.id}" for kind, row in EVERY])
def test_layer_when_the_reference_is_given_then_every_part_is_one(kind, row):
    """Also in another order of keys, within prose, and with its list in another order where lists hold objects."""
    function = kind()
    assert function.problems(row) == []
    document = json.loads(row.reference)
    for text in (row.reference, json.dumps(dict(reversed(document.items()))), f"Segue:\n{row.reference}\nPronto."):
        score = function(row, Completion(text))
        assert score.value == 1.0 and set(score.parts.values()) == {1.0}, score
        assert score.parts["overall"] == 1.0


@pytest.mark.parametrize("kind", [*LAYERS, Telecom, KpiValues], ids=lambda kind: kind.name)
def test_layer_when_attacked_then_no_cheat_wins(kind):
    """Every cheat of the suite, among them the empty object, guesses, echoes, giant lists, duplicates and NaN."""
    assert [cheat.name for cheat in attack_named(kind.name).wins] == []


@pytest.mark.parametrize("kind", LAYERS[:7], ids=lambda kind: kind.name)
def test_layer_when_cheats_are_tried_then_each_earns_little(kind):
    """A number for each, well below an honest half."""
    function, row = kind(), ROWS[kind.name][0]
    document = json.loads(row.reference)
    stuffed = json.dumps({**document, **{f"k{n}": n for n in range(300)}})
    spoilt = corrupt_document(document, {})
    limits = {
        "{}": 0.0,
        "[]": 0.0,
        "\n".join(message["content"] for message in row.prompt): 0.0,
        json.dumps({key: None for key in document}): 0.2,
        json.dumps([document] * 200): 0.0,
        stuffed: 0.2,
        f"{row.reference}\nou\n{json.dumps(spoilt)}": 0.3,
        "{" + ", ".join(f'"{key}": 1, "{key}": 2' for key in document) + "}": 0.1,
        "{" + ", ".join(f'"{key}": NaN' for key in document) + "}": 0.2,
        "{" + ", ".join(f'"{key}": 1e999' for key in document) + "}": 0.2,
    }
    for text, limit in limits.items():
        assert function(row, Completion(text)).value <= limit, text[:100]


def test_layer_when_parts_differ_then_the_value_is_their_declared_mean():
    """Four parts apart, 0.3 core, 0.4 figures, 0.2 likeness, 0.1 schema; no hidden number."""
    row = make_row(PROFILE, **FIGURES)
    score = score_of(O1Nrm(), row, change(PROFILE, '"dLLatency": 5', '"dLLatency": 7'))
    parts = score.parts
    assert parts["core"] == parts["schema"] == parts["known"] == parts["size"] == 1.0
    assert parts["kpi/latency_ms"] == 0.0 and parts["kpi"] == pytest.approx(2 / 3)
    assert {name for name in parts if name.startswith("kpi/")} == {
        "kpi/latency_ms", "kpi/dl_throughput_mbps", "kpi/max_ues",
    }  # fmt: skip
    assert parts["likeness"] == pytest.approx(8 / 9)
    expected = 0.3 + 0.4 * 2 / 3 + 0.2 * 8 / 9 + 0.1
    assert score.value == parts["overall"] == pytest.approx(expected)
    assert "kpi 0.67" in score.reason
    only = O1Nrm(core_weight=0, likeness_weight=0, kpi_weight=1, schema_weight=1e-9)
    assert score_of(only, row, change(PROFILE, '"dLLatency": 5', '"dLLatency": 7')).value == pytest.approx(2 / 3)


def test_layer_when_an_enumeration_is_wrong_then_core_and_schema_say_so():
    """And a wrong identity of the slice costs core alone."""
    row = make_row(PROFILE, **FIGURES)
    wrong = score_of(O1Nrm(), row, change(PROFILE, "STATIONARY", "still")).parts
    assert wrong["core/enumerations"] < 1.0 == wrong["core/required"] and wrong["schema"] < 1.0 and wrong["kpi"] == 1.0
    other = score_of(O1Nrm(), row, change(PROFILE, "000101", "000102")).parts
    assert other["core/enumerations"] < 1.0 and other["schema"] == 1.0


def test_layer_when_a_required_key_is_missing_or_misspelt_then_core_says_so():
    """`maxNumberOfUEs` is A1's casing, not O1's: the figure stands, the key does not."""
    row = make_row(PROFILE, **FIGURES)
    parts = score_of(O1Nrm(), row, change(PROFILE, "maxNumberofUEs", "maxNumberOfUEs")).parts
    assert parts["core/required"] < 1.0 and parts["known"] < 1.0


def test_layer_when_a_figure_is_also_stated_otherwise_then_does_not_count():
    """A second key that contradicts the first is a guess."""
    row = make_row(PROFILE, **FIGURES)
    doubled = json.loads(json.dumps(PROFILE))
    doubled["ServiceProfile"]["latency"] = 50
    assert score_of(O1Nrm(), row, doubled).parts["kpi/latency_ms"] == 0.0
    doubled["ServiceProfile"]["latency"] = 5
    assert score_of(O1Nrm(), row, doubled).parts["kpi/latency_ms"] == 1.0
    twice = change(PROFILE, '"dLLatency": 5', '"dLLatency": 7, "dLLatency": 5')
    assert score_of(O1Nrm(), row, twice).parts["kpi/latency_ms"] == 0.0


def test_layer_when_the_reference_breaks_the_schema_then_earns_all_the_same():
    """The data set's own dialect is nobody's fault; further faults are."""
    reference = {"name": 5, "expression": {"@type": "X", "expressionValue": "v"}, "lifecycleState": "active"}
    row = make_row(reference, "tmf921")
    assert score_of(Tmf921(), row, reference).value == 1.0
    assert score_of(Tmf921(), row, {**reference, "expression": 3}).parts["schema"] < 1.0


def test_layer_when_another_schema_is_named_then_judges_by_that(tmp_path):
    """An imported one, say; a name that does not exist is refused before training."""
    path = tmp_path / "own.json"
    path.write_text('{"required": ["ServiceProfile", "extra"]}')
    row = make_row({**PROFILE, "extra": 1}, **FIGURES)
    assert score_of(O1Nrm(validate_with=str(path)), row, PROFILE).parts["schema"] < 1.0
    with pytest.raises(ValueError, match="did you mean"):
        O1Nrm(validate_with="o1_nrn")


def test_layer_when_all_that_applies_weighs_nothing_then_is_refused():
    """A row may state no figure."""
    with pytest.raises(ValueError, match="weigh nothing"):
        O1Nrm(core_weight=0, likeness_weight=0, schema_weight=0)


def test_a1_policy_when_published_typos_are_written_then_mean_what_they_should():
    """An option: successProbility, and the space at the end of dlRlcSduPacketLossRate; both ways at once is neither."""
    reference = {
        "scope": {"sliceId": {"sst": 1, "plmnId": {"mcc": "724", "mnc": "05"}}},
        "ueLevelObjectives": {"ueLevelReliability": {"successProbability": 0.999}, "dlRlcSduPacketLossRate": 0.001},
    }
    row = make_row(reference, "a1_policy", reliability_pct=99.9)
    typos = change(reference, "successProbability", "successProbility").replace("LossRate", "LossRate ")
    assert score_of(A1Policy(), row, typos).value == 1.0
    assert score_of(A1Policy(normalise_typos=False), row, typos).value < 1.0
    both = change(reference, '"successProbability": 0.999', '"successProbability": 0.999, "successProbility": 0.5')
    assert score_of(A1Policy(), row, both).parts["kpi/reliability_pct"] == 0.0
    assert score_of(A1Policy(), make_row(json.loads(typos), "a1_policy", reliability_pct=99.9), reference).value == 1.0


def test_camara_when_a_rate_is_written_in_another_unit_then_only_the_schema_is_broken():
    """2000 Mbps is 2 Gbps; but the interface has no integer above 1024."""
    reference = {
        "serviceTime": {"startDate": "2026-01-01T00:00:00Z"},
        "serviceArea": {"areaType": "CIRCLE", "center": {"latitude": 1, "longitude": 2}, "radius": 5},
        "sliceQosProfile": {"maxNumOfDevices": 5, "downStreamRatePerDevice": {"value": 2, "unit": "Gbps"}},
    }
    row = make_row(reference, "camara", dl_throughput_mbps=2000.0)
    parts = score_of(
        Camara(), row, change(reference, '"value": 2, "unit": "Gbps"', '"value": 2000, "unit": "Mbps"')
    ).parts
    assert parts["kpi/dl_throughput_mbps"] == 1.0 and parts["likeness"] == 1.0 and 0.8 < parts["schema"] < 1.0


def test_intent_3gpp_when_targets_are_shuffled_then_earns_all():
    """Expectation targets have no order."""
    row = ROWS["intent_3gpp"][0]
    document = json.loads(row.reference)
    document["intent"]["intentExpectations"][0]["expectationTargets"].reverse()
    assert score_of(Intent3gpp(), row, document).value == 1.0
    wrong = change(document, "IS_EQUAL_TO_OR_LESS_THAN", "IS_GREATER_THAN")
    assert 0.5 < score_of(Intent3gpp(), row, wrong).value < 1.0


def test_lifecycle_when_telemetry_is_not_in_the_prompt_then_is_neither_paid_nor_charged():
    """Measurements may be anything, or left out; what the prompt says must be right."""
    row = next(row for row in ROWS["telecom_lifecycle"] if row.columns["target_layer"].endswith("monitor"))
    function = TelecomLifecycle()
    other = change(json.loads(row.reference), "4.37", "1.23").replace("52.81", "99.99").replace("0.973", "0.1")
    assert score_of(function, row, other).value == 1.0
    assert score_of(TelecomLifecycle(mask_underivable=False), row, other).value < 1.0
    assert score_of(function, row, change(json.loads(row.reference), '"latencyMs": 5', '"latencyMs": 6')).value < 0.9
    assert score_of(function, row, change(json.loads(row.reference), "int-5520", "int-1")).value < 1.0
    known = Example("1", "any", [{"role": "user", "content": "medido 4,37 ms"}], row.reference, row.columns)
    assert score_of(function, known, other).parts["likeness"] < 1.0


def test_lifecycle_when_masking_is_off_then_its_figures_are_judged_too():
    """The layer's own word on masking holds for its figures."""
    reference = {"operation": "report", "intentId": "i1", "targets": {"latencyMs": 5}}
    row = make_row(reference, "tmf921_lifecycle_report", "relatório de i1", latency_ms=5.0)
    assert "kpi" not in score_of(TelecomLifecycle(), row, reference).parts
    assert score_of(TelecomLifecycle(mask_underivable=False), row, reference).parts["kpi"] == 1.0


def test_lifecycle_when_telemetry_is_stuffed_then_the_size_says_so():
    """What is masked may be left out, not multiplied."""
    row = next(row for row in ROWS["telecom_lifecycle"] if row.columns["target_layer"].endswith("report"))
    document = json.loads(row.reference)
    document["report"] = {f"m{n}": n for n in range(200)}
    assert score_of(TelecomLifecycle(), row, document).value < 0.2


def test_adversarial_when_the_request_is_configured_all_the_same_then_core_is_lost():
    """A refusal with a slice beside it is none; the wording of the reason is likeness alone."""
    row, function = ROWS["telecom_adversarial"][0], TelecomAdversarial()
    document = json.loads(row.reference)
    worded = score_of(function, row, {**document, "reason": "latências incompatíveis"})
    assert worded.parts["core"] == 1.0 and 0.7 < worded.value < 1.0
    assert score_of(function, row, {**document, "latencyMs": 1}).parts["core"] == 0.0
    assert score_of(function, row, {**document, "configurable": True}).parts["core"] < 1.0
    assert score_of(function, row, PROFILE).value < 0.2


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        *((kind.name, kind) for kind in LAYERS[:6]),
        ("tmf921_lifecycle_suspend", TelecomLifecycle),
        ("tmf921_lifecycle_scale", TelecomLifecycle),
        ("adversarial_conflict", TelecomAdversarial),
        ("tmf921_adversarial_impossible", TelecomAdversarial),
        ("wifi_mesh", AnyLayer),
    ],
)
def test_telecom_when_a_row_has_a_layer_then_its_own_function_judges_it(layer, kind):
    """By target_layer, else by task; unknown layers by field F1."""
    assert type(Telecom().function_for(make_row(PROFILE, layer))) is kind
    assert type(Telecom().function_for(Example("1", layer, [], "{}"))) is kind


def test_telecom_when_options_are_given_then_they_reach_the_layer():
    """Weights, masks, tolerances."""
    telecom = Telecom(kpi_weight=0.9, kpis=KpiValues(tolerance=0.5), likeness=FieldF1(digits=2))
    chosen = telecom.function_for(make_row(PROFILE))
    assert (chosen.kpi_weight, chosen.kpis.tolerance, chosen.likeness.digits) == (0.9, 0.5, 2)
    assert telecom.function_for(make_row(PROFILE, "wifi")).digits == 2


def test_layer_when_the_row_is_of_another_then_does_not_apply():
    """Several layer functions can be configured together."""
    row = make_row(PROFILE, "camara")
    assert O1Nrm()(row, Completion("{}")).value is None and O1Nrm().problems(row) == []


def test_layer_when_the_layer_is_unknown_then_falls_back_to_field_f1():
    """Volatile values left out, as everywhere in the data set."""
    reference = {"id": "x1", "band": "n78", "antennas": 64}
    row = make_row(reference, "cloud_ran")
    for function in (Telecom(), Camara()):
        assert score_of(function, row, {**reference, "id": "other"}).value == 1.0
        half = score_of(function, row, {"band": "n78", "antennas": 8})
        assert half.value == half.parts["overall"] == pytest.approx(0.5)


def test_layer_when_the_reference_is_a_list_then_earns_all():
    """Of one document or several."""
    for reference in ([PROFILE], [PROFILE, PROFILE]):
        row = make_row(reference, **FIGURES)
        assert score_of(O1Nrm(), row, reference).value == 1.0
        assert score_of(O1Nrm(), row, []).value == 0.0


def test_problems_when_a_row_is_bad_then_says_what():
    """No reference, an empty or endless one, columns that are not figures."""
    function = O1Nrm()
    assert "nothing in it" in function.problems(make_row({}))[0]
    assert function.problems(Example("1", "o1_nrm", [], None)) and function.problems(Example("1", "o1_nrm", [], "não"))
    deep: Any = 1
    for _ in range(60):
        deep = {"a": deep}
    assert "nested deeper" in function.problems(make_row(deep))[0]
    assert "latency_ms" in function.problems(make_row(PROFILE, latency_ms="5"))[0]


def test_mask_leaves_when_the_reference_masks_some_then_as_many_are_left_out_of_the_answer():
    """First those that equal none of the others."""
    reference = {"list": [{"v": 1}, {"v": 2}, {"v": 3}], "keep": 1}
    answer = {"list": [{"v": 9}, {"v": 2}, {"v": 8}, {"v": 7}], "keep": 1}
    left = mask_leaves(reference, answer, lambda path, leaf: leaf in (1, 3) and path != ("keep",))
    assert left == ({"list": [{"v": 2}], "keep": 1}, {"list": [{"v": 2}, {"v": 7}], "keep": 1})


def test_find_places_when_lists_hold_objects_then_positions_do_not_count():
    """Every item of a list is at the same place."""
    places = find_places({"a": [{"b": 1}, {"b": "x"}], "c": {}})
    assert places.kinds == {
        ("a",): {"list"}, ("a", "b"): {"number", "text"}, ("c",): {"empty"},
    }  # fmt: skip
    assert normalise_keys({" a ": [{"successProbility": 1}]}) == {"a": [{"successProbability": 1}]}
    assert count_leaves({"a": [1, {}, []], "b": {"c": None}}) == 4
