"""What telecom answers are paid for is what they have right: whole kinds of wrong values, swaps, bounds, names, other ways to say the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import telecom_wrong
from rewards.cheats.intents import cheat_with_intents
from rewards.functions.kpi_values import KpiValues
from rewards.functions.telecom import Telecom
from rewards.telecom.units import read_figure
from rewards.types import Completion, Example, Score

PLMN = {"mcc": "724", "mnc": "05"}
CELL = {
    "id": "1",
    "objectClass": "NRCellDU",
    "objectInstance": "SubNetwork=1,ManagedElement=1,GNBDUFunction=1,NRCellDU=1",
    "attributes": {"administrativeState": "UNLOCKED", "cellLocalId": 12, "nRPCI": 321, "arfcnDL": 632628},
}
POLICY = {
    "scope": {"sliceId": {"sst": 1, "sd": "0000AB", "plmnId": PLMN}},
    "tspResources": [
        {"cellIdList": [{"plmnId": PLMN, "cId": {"ncI": 39}}], "preference": "PREFER"},
        {"cellIdList": [{"plmnId": PLMN, "cId": {"ncI": 81}}], "preference": "FORBID"},
    ],
}
TARGETS = {
    "intentPriority": 1,
    "intentExpectations": [
        {
            "expectationVerb": "DELIVER",
            "expectationObject": {"objectType": "RAN_SubNetwork"},
            "expectationTargets": [
                {"targetName": "DLLatency", "targetCondition": "IS_LESS_THAN", "targetValueRange": 20},
                {"targetName": "WeakRSRPRatio", "targetCondition": "IS_LESS_THAN", "targetValueRange": 5},
                {"targetName": "AveDLRANUEThpt", "targetCondition": "IS_GREATER_THAN", "targetValueRange": 50},
            ],
        }
    ],
}
LINKED = {
    "@type": "Intent",
    "expression": {
        "@type": "JsonLdExpression",
        "expressionValue": {
            "@context": {"icm": "http://x.org/Icm#", "met": "http://m.org/Met#"},
            "@id": "urn:1",
            "met:latency": {"icm:atMost": {"@value": 20, "unit": "ms"}},
        },
    },
}


def score(reference: Any, answer: Any, layer: str, prompt: str = "p", **columns: Any) -> Score:
    row = Example(
        "1", "any", [{"role": "user", "content": prompt}], json.dumps(reference), {"target_layer": layer, **columns}
    )
    assert Telecom()(row, Completion(json.dumps(reference))).value == 1.0
    return Telecom()(row, Completion(answer if isinstance(answer, str) else json.dumps(answer)))


def change(reference: Any, old: str, new: str) -> str:
    written = json.dumps(reference)
    assert old in written
    return written.replace(old, new)


@pytest.fixture(scope="module")
def tables() -> dict[str, list[dict[str, Any]]]:
    return telecom_wrong.measure(generated=0)


def test_series_when_wholly_wrong_then_stay_below_their_ceilings(tables):
    """Every text, figure or identity wrong, structure alone, another's content, nothing in it."""
    assert {row["kind"] for row in tables["series"]} == set(telecom_wrong.CEILINGS)
    assert [row for row in telecom_wrong.find_faults(tables) if row["kind"] in telecom_wrong.CEILINGS] == []


def test_mutations_when_made_one_by_one_then_cost_and_equal_variants_do_not(tables):
    """Signs, decimal points, units, bounds, members, identifiers, drops, additions, swaps; not what no prompt can tell."""
    known = [row for row in tables["mutations"] if row["kind"] != telecom_wrong.TELEMETRY]
    assert [row for row in known if row["value"] >= 1.0] == [] and len(known) > 600
    assert [row for row in tables["variants"] if row["value"] < 1.0] == [] and len(tables["variants"]) > 100


def test_intent_3gpp_when_every_text_is_wrong_then_its_structure_earns_little():
    """Of twelve leaves its four numbers are right, three of them under names of its own."""
    wrong = telecom_wrong.change_leaves(TARGETS, lambda _, leaf: "zzz" if isinstance(leaf, str) else leaf)
    assert score(TARGETS, wrong, "intent_3gpp").value < 0.27


def test_preferences_when_swapped_between_two_resources_then_half_the_policy_is_wrong():
    """Which cells are preferred and which forbidden: as bags of values both say the same."""
    swapped = json.loads(json.dumps(POLICY))
    one, other = swapped["tspResources"]
    one["preference"], other["preference"] = other["preference"], one["preference"]
    found = score(POLICY, swapped, "a1_policy")
    # Of the eight leaves of the two resources the cells' six are right, of the two decisions none is.
    assert found.parts["listed"] == pytest.approx(6 / 8) and found.parts["decisions"] == 0.0 and found.value < 0.85


def test_resource_when_left_out_then_its_siblings_are_not_called_wrong():
    """What is missing is charged by likeness and statements, not a second time."""
    found = score(POLICY, {**POLICY, "tspResources": POLICY["tspResources"][:1]}, "a1_policy")
    assert found.parts["listed"] == 1.0 and found.parts["stated"] < 1.0 and found.value < 0.9


def test_bound_when_turned_round_then_it_is_a_wrong_decision():
    """At least 20 ms is not at most 20 ms, though both hold the figure."""
    found = score(LINKED, change(LINKED, "icm:atMost", "icm:atLeast"), "tmf921", latency_ms=20.0)
    assert found.parts["decisions"] == 0.0 and found.parts["kpi"] == 1.0 and found.value < 0.8


@pytest.mark.parametrize(
    ("value", "unit", "right"), [(20, "ms", True), (0.02, "s", True), (20, "s", False), (20000, "us", True)]
)
def test_json_ld_when_a_unit_stands_beside_the_value_then_it_is_read(value, unit, right):
    """{"@value": 20, "unit": "ms"} is not of JSON-LD, and the commonest way to write a unit there."""
    changed = change(LINKED, '"@value": 20, "unit": "ms"', f'"@value": {value}, "unit": "{unit}"')
    found = score(LINKED, changed, "tmf921", latency_ms=20.0)
    assert (found.value == 1.0) is right and (found.parts["kpi"] == 1.0) is right


@pytest.mark.parametrize(
    ("name", "costs"),
    [
        ("SubNetwork=1, ManagedElement=1, GNBDUFunction=1, NRCellDU=1", False),
        ("SubNetwork=1,ManagedElement=1,GNBDUFunction=2,NRCellDU=1", True),
    ],
)
def test_managed_object_when_named_otherwise_then_costs_and_spaces_do_not(name, costs):
    """A configuration of another function's cell is for another cell."""
    found = score(CELL, {**CELL, "objectInstance": name}, "o1_nrm")
    assert (found.value < 0.9) is costs and (found.value == 1.0) is not costs


def test_managed_object_when_its_name_is_made_up_then_nobody_need_know_it():
    """Eight hexadecimal digits are drawn anew for each row, unless the prompt tells them."""
    drawn = {**CELL, "objectInstance": "ManagedElement=9f3a62c1"}
    other = {**CELL, "objectInstance": "ManagedElement=77aa0123"}
    assert score(drawn, other, "o1_nrm").value == 1.0
    assert score(drawn, other, "o1_nrm", prompt="Set ManagedElement=9f3a62c1 up.").value < 0.95


def test_operation_when_it_is_for_another_intent_then_earns_no_more_than_structure_does():
    """The right operation on the wrong intent is not half right."""
    row = {"operation": "terminate", "intentId": "int-7", "newState": "terminated"}
    assert score(row, {**row, "intentId": "int-8"}, "tmf921_lifecycle_terminate").value <= 0.4


@pytest.mark.parametrize(
    "written", ["2026-05-01T09:00:00-03:00", "2026-05-01T12:00:00.000Z", "2026-05-01T12:00:00+00:00"]
)
def test_time_when_it_is_asked_for_then_counts_as_an_instant(written):
    """The same instant in another zone is right, an hour later is wrong, a stamp counts for nothing."""
    booking = {
        "qosProfile": "QOS_L",
        "duration": 60,
        "startTime": "2026-05-01T12:00:00Z",
        "startedAt": "2026-01-01T00:00:00Z",
    }
    assert score(booking, {**booking, "startTime": written, "startedAt": "2026-01-02T00:00:00Z"}, "camara").value == 1.0
    assert score(booking, {**booking, "startTime": "2026-05-01T13:00:00Z"}, "camara").value < 0.95


def test_slice_when_its_differentiator_is_in_lower_case_then_is_the_same_slice():
    """Hexadecimal digits have no case."""
    assert score(POLICY, change(POLICY, "0000AB", "0000ab"), "a1_policy").value == 1.0
    assert score(POLICY, change(POLICY, "0000AB", "0000AC"), "a1_policy").value < 0.95


def test_rate_when_in_bytes_a_second_then_is_eight_times_as_many_bits():
    """MB/s are not Mb/s; a key that ends in Bps still means bits."""
    assert read_figure("12.5 MB/s", "rate", None).values == (100.0,)
    assert read_figure("100 Mb/s", "rate", None).values == (100.0,)
    row = Example("1", "any", [], '{"dlRateMbps": 100}', {"dl_throughput_mbps": 100.0})
    assert [KpiValues()(row, Completion(f'{{"dlRate": "{rate}"}}')).value for rate in ("12.5 MB/s", "100 MB/s")] == [
        1.0,
        0.0,
    ]


def test_cheats_when_figures_have_units_then_each_is_made_wrong_in_its_own_way():
    """Signs, places and units; what has no unit is multiplied, and what identifies stays."""
    row = {"sst": 1, "latency": {"value": 20, "unit": "ms"}, "rate": "5 Mbps", "ues": 7}
    cheats = {name: json.loads(text) for name, text in cheat_with_intents(row, [])}
    assert cheats["figures with the sign turned"] == {
        **row,
        "latency": {"value": -20, "unit": "ms"},
        "rate": "-5 Mbps",
        "ues": -7,
    }
    off = cheats["units a thousand times off, other figures times ten"]
    assert off == {"sst": 1, "latency": {"value": 20, "unit": "s"}, "rate": "5 kbps", "ues": 70}
    assert "figures in each other's places" not in cheats
    assert json.loads(dict(cheat_with_intents({"a": 1, "b": [2, 3]}, []))["figures in each other's places"]) == {
        "a": 2,
        "b": [3, 1],
    }


def test_order_of_an_unknown_layer_when_its_date_is_another_then_costs_and_another_zone_does_not():
    """TMF641 has no reward of its own: what is asked for counts, what is stamped does not."""
    order = {"externalId": "o-1", "requestedStartDate": "2026-05-01T12:00:00Z", "orderDate": "2026-04-01T00:00:00Z",
             "serviceOrderItem": [{"action": "add", "latency": {"value": 20, "unit": "ms"}}]}  # fmt: skip
    same = {**order, "requestedStartDate": "2026-05-01T09:00:00-03:00", "orderDate": "2026-04-02T00:00:00Z"}
    assert score(order, change(same, '"value": 20, "unit": "ms"', '"value": 0.02, "unit": "s"'), "tmf641").value == 1.0
    assert score(order, {**order, "requestedStartDate": "2026-06-01T12:00:00Z"}, "tmf641").value == 0.75


def test_rate_that_no_column_names_when_its_unit_is_written_then_the_reference_s_notation_says_what_is_right():
    """Beside a guaranteed 100 that the column calls 100 Mbps, a greatest 200 is 200 Mbps and not 200 kbps."""
    profile = {"ServiceProfile": {"dLThptPerUE": {"guaThpt": 100, "maxThpt": 200}}}
    earned = [
        score(
            profile, change(profile, '"maxThpt": 200', f'"maxThpt": "{rate}"'), "o1_nrm", dl_throughput_mbps=100.0
        ).parts["values"]
        for rate in ("200 Mbps", "0.2 Gbps", "200 kbps")
    ]
    assert earned == [1.0, 1.0, 0.0]


def test_json_ld_when_its_names_are_written_out_without_a_context_then_is_the_same_graph():
    """Prefixes are a shorthand."""
    written = {"@id": "urn:1", "http://m.org/Met#latency": {"http://x.org/Icm#atMost": {"@value": 20, "unit": "ms"}}}
    same = {**LINKED, "expression": {**LINKED["expression"], "expressionValue": written}}
    assert score(LINKED, same, "tmf921", latency_ms=20.0).parts["expression"] == 1.0


@pytest.mark.parametrize("layer", ["intent_3gpp", "a1_policy", "o1_nrm", "camara", "etsi_zsm", "tmf921"])
@pytest.mark.parametrize("reference", [[None], [1, "a", {}], {"latency": "20 ms"}])
def test_score_when_values_stand_under_no_key_or_exceed_all_floats_then_there_is_one(layer, reference):
    """A list of bare values has places without a key; 401 digits stand where a quantity should."""
    assert 0 <= score(reference, f'{{"latency": 1{"0" * 400}}}', layer).value < 0.5
