"""What the telecom rewards pay for content: figures, expressions in Turtle and JSON-LD, units, spellings of releases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rewards.cheats.intents import cheat_with_intents, multiply_figures
from rewards.documents.quantities import read_quantity
from rewards.functions.kpi_values import KpiValues
from rewards.functions.schema_valid import SchemaValid
from rewards.functions.telecom import Telecom
from rewards.telecom.expressions import expand
from rewards.telecom.turtle import read_turtle
from rewards.telecom.units import numbers_of, read_figure
from rewards.types import Completion, Example, Score
from tests.timing import at_most

PREFIXES = "@prefix icm: <http://x.org/Icm#> .\n@prefix met: <http://m.org/Met#> .\n@prefix ex: <http://e.org/E#> .\n"
GRAPH = (
    PREFIXES + "ex:P a icm:PropertyParam ;\n  met:latency [ icm:atMost \"'12 ms'\" ] ;\n.\nex:I icm:has ex:P, ex:Q .\n"
)
OTHER_LAYOUT = (
    "PREFIX i: <http://x.org/Icm#> PREFIX m: <http://m.org/Met#>\n<http://e.org/E#I> i:has <http://e.org/E#Q> , "
    '<http://e.org/E#P> . # order\n<http://e.org/E#P> m:latency _:b ; a i:PropertyParam . _:b i:atMost """12 ms""" .'
)
LINKED = {
    "@context": {"icm": "http://x.org/Icm#", "met": "http://m.org/Met#"},
    "@graph": [
        {"@id": "urn:1", "@type": "icm:Expectation", "icm:params": {"met:latency": [{"icm:atMost": "2 ms"}]}},
        {"@id": "urn:2", "icm:target": "slice"},
    ],
}
OTHER_LINKED = {
    "@graph": [
        {"q:target": "slice", "@id": "urn:2"},
        {"@type": "q:Expectation", "q:params": {"z:latency": {"q:atMost": {"@value": "2 ms"}}}, "@id": "urn:1"},
    ],
    "@context": {"q": "http://x.org/Icm#", "z": "http://m.org/Met#"},
}


def make_intent(value: Any, language: str = "Turtle") -> dict[str, Any]:
    expression = {"@type": f"{language}Expression", "expressionLanguage": language, "expressionValue": value}
    return {"@type": "Intent", "name": "R1", "lifecycleStatus": "Created", "expression": expression}


def score(reference: Any, answer: Any, layer: str, **columns: Any) -> Score:
    row = Example("1", "any", [], json.dumps(reference), {"target_layer": layer, **columns})
    function = Telecom()
    right = function(row, Completion(row.reference or ""))
    assert right.value == 1.0 and set(right.parts.values()) == {1.0}, right
    found = function(row, Completion(answer if isinstance(answer, str) else json.dumps(answer)))
    assert all(0.0 <= share <= 1.0 for share in found.parts.values())
    return found


RATIOS = {
    "resourceType": "PRB",
    "rRMPolicyMemberList": [{"plmnId": {"mcc": "724", "mnc": "05"}, "snssai": {"sst": 1, "sd": "000001"}}],
    "rRMPolicyMaxRatio": 80,
    "rRMPolicyMinRatio": 20,
    "rRMPolicyDedicatedRatio": 10,
}
TARGETS = {
    "intentExpectations": [
        {
            "expectationId": "1",
            "expectationVerb": "DELIVER",
            "expectationObject": {"objectType": "RAN_SubNetwork"},
            "expectationTargets": [
                {"targetName": "AveDLRANUEThpt", "targetCondition": "IS_GREATER_THAN", "targetValueRange": 500}
            ],
        }
    ],
    "intentPriority": 1,
}


@pytest.mark.parametrize(
    ("layer", "reference", "wrong", "columns"),
    [
        ("a1_policy", {"threshold": 5}, {"threshold": 999}, {}),
        ("a1_policy", {"threshold": "low"}, {"threshold": "high"}, {}),
        ("o1_nrm", RATIOS, multiply_figures(RATIOS, 0.1), {}),
        ("intent_3gpp", TARGETS, multiply_figures(TARGETS, 0.01), {}),
        ("camara", {"qosProfile": "QOS_L", "duration": 3600}, {"qosProfile": "QOS_L", "duration": 60}, {}),
        ("camara", {"qosProfile": "QOS_L", "device": {}}, {"qosProfile": "QOS_E", "device": {}}, {}),
        ("tmf921", make_intent(GRAPH), make_intent("x"), {}),
        ("tmf921", make_intent(GRAPH), make_intent("x"), {"latency_ms": 12.0}),
        ("tmf921", make_intent(GRAPH), make_intent(GRAPH.replace("12 ms", "120 ms")), {}),
        ("tmf921", make_intent(GRAPH), make_intent(GRAPH.replace("12 ms", "120 ms")), {"latency_ms": 12.0}),
        ("tmf921", make_intent(LINKED, "JSON-LD"), multiply_figures(make_intent(LINKED, "JSON-LD"), 10), {}),
        ("tmf921", make_intent("Keep latency below 10 ms"), make_intent("Keep latency below 100 ms"), {}),
        ("tmf921", make_intent(PREFIXES + "ex:a icm:b ex:c ."), make_intent(PREFIXES + "ex:d icm:e ex:f ."), {}),
    ],
)
def test_layer_when_the_structure_is_right_and_the_content_wrong_then_earns_at_most_two_fifths(
    layer, reference, wrong, columns
):
    """A threshold, every ratio, a target, an expression: what structure and schema say of it is worth less than half."""
    assert score(reference, wrong, layer, **columns).value <= 0.45


@pytest.mark.parametrize(
    ("value", "other", "language"),
    [
        (GRAPH, OTHER_LAYOUT, "Turtle"),
        (GRAPH, GRAPH.replace("\n", "\r\n  ").replace(";", " ; "), "Turtle"),
        (LINKED, OTHER_LINKED, "JSON-LD"),
        (json.dumps(LINKED), json.dumps(OTHER_LINKED, indent=2), "JSON-LD"),
    ],
    ids=["turtle", "spaces", "json-ld", "json-ld-texts"],
)
def test_tmf921_when_equal_graphs_are_written_otherwise_then_earns_all(value, other, language):
    """Other prefixes, order, layout and blank nodes; with the figure's column and without."""
    for columns in ({}, {"latency_ms": 12.0 if language == "Turtle" else 2.0}):
        found = score(make_intent(value, language), make_intent(other, language), "tmf921", **columns)
        assert found.value == 1.0 and ("kpi" in found.parts) == bool(columns), found


def test_tmf921_when_a_figure_is_in_another_unit_then_nothing_is_lost():
    """0.012 s is 12 ms, in the likeness too."""
    found = score(make_intent(GRAPH), make_intent(GRAPH.replace("12 ms", "0.012 s")), "tmf921")
    assert found.parts["content"] == 1.0 and found.value == 1.0


@pytest.mark.parametrize(
    ("layer", "reference", "old", "new"),
    [
        ("o1_nrm", {"uEMobilityLevel": "FULL_MOBILITY", "dLLatency": 5}, "FULL_MOBILITY", "FULLY MOBILITY"),
        ("o1_nrm", {"uEMobilityLevel": "RESTRICTED MOBILITY"}, "RESTRICTED MOBILITY", "RESTRICTED_MOBILITY"),
        ("o1_nrm", {"networkSliceSharingIndicator": "NON_SHARED"}, "NON_SHARED", "NON-SHARED"),
        ("intent_3gpp", TARGETS, "RAN_SubNetwork", "RAN_SUBNETWORK"),
        ("intent_3gpp", TARGETS, "IS_GREATER_THAN", "Is_greater_than"),
        ("intent_3gpp", TARGETS, "RAN_SubNetwork", "RAN_SubNetwrok"),
        ("o1_nrm", {"resourceType": "RRC_CONNECTED_USERS", "rRMPolicyMaxRatio": 5}, "RRC_CONNECTED_USERS", "RRC"),
    ],
)
def test_layer_when_releases_spell_an_enumeration_differently_then_both_earn_all(layer, reference, old, new):
    """As the files of releases 16 to 18 have it; another value still costs."""
    assert score(reference, json.dumps(reference).replace(old, new), layer).value == 1.0
    assert score(reference, json.dumps(reference).replace(old, "OTHER"), layer).value < 0.95


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("5 segundos", "time", 5.0),
        ("5 seg", "time", 5.0),
        ("10 msec", "time", 0.01),
        ("1,5 Gbit/s", "rate", 1.5e9),
        ("2 minutos", "time", 120.0),
        ("99,9 por cento", "share", 0.999),
        ("300 kilobits per second", "rate", 3e5),
    ],
)
def test_units_when_read_by_likeness_and_by_figures_then_agree(text, kind, amount):
    """One table, Portuguese and English."""
    quantity = read_quantity(text, frozenset(("time", "rate", "share")))
    assert quantity is not None and quantity.kind == kind and quantity.amount == pytest.approx(amount)
    scale = {"time": 1e3, "rate": 1e-6, "share": 100.0}[kind]
    assert read_figure(text, kind, None).values == pytest.approx((amount * scale,))


def test_numbers_of_when_written_either_way_then_are_what_both_readers_say():
    """`0.125` is not a thousand; `1.000` may be one."""
    assert numbers_of("0.125") == (0.125,) and numbers_of("1.234,56") == (1234.56,)
    assert numbers_of("1.000") == (1.0, 1000.0)


def test_kpi_values_when_a_slice_profile_of_a_subnet_is_given_then_its_rates_count():
    """dLThptPerSliceSubnet, as TS 28.541 has it in a SliceProfile."""
    profile = {"dLThptPerSliceSubnet": {"guaThpt": 100_000}, "uLThptPerSliceSubnet": {"guaThpt": 10_000}}
    columns = {"dl_throughput_mbps": 100.0, "ul_throughput_mbps": 10.0}
    row = Example("1", "any", [], json.dumps({"rANSliceSubnetProfile": profile}), columns)
    wrong = json.dumps({"rANSliceSubnetProfile": multiply_figures(profile, 10)})
    assert KpiValues()(row, Completion(row.reference or "")).value == 1.0
    assert KpiValues()(row, Completion(wrong)).value == 0.0


def test_lifecycle_when_telemetry_is_implausible_then_a_weight_makes_it_cost():
    """Sign and order of magnitude; by default it is only reported."""
    reference = {"operation": "report", "intentId": "i1", "report": {"latency": 4.37, "loss": 0.2}}
    row = Example("1", "any", [{"role": "user", "content": "report on i1"}], json.dumps(reference),
                  {"target_layer": "tmf921_lifecycle_report"})  # fmt: skip
    wild = Completion(json.dumps(reference).replace("4.37", "-4000"))
    near = Completion(json.dumps(reference).replace("4.37", "6.1"))
    assert Telecom()(row, wild).value == 1.0 and Telecom()(row, wild).parts["plausible"] == 0.5
    strict = Telecom(plausible_weight=1.0)
    assert strict(row, near).value == 1.0 and strict(row, wild).value < 0.8
    assert Telecom(plausible_weight=1.0, plausible_within=1.0)(row, near).value < 0.8


@pytest.mark.parametrize(
    "text",
    [
        "x", "a b c.", "Keep latency low: below 5 ms", "2026-01-01T00:00:00Z", "urn:uuid:1", '"' + '\\"' * 200_000,
        "[" * 150_000, "a:b c:d [ " * 15_000, "'''" * 60_000, "a:b a:c " * 20_000, "{}", "a:b a:c a:d a:e .",
    ],
)  # fmt: skip
def test_read_turtle_when_the_text_is_no_graph_then_says_so_at_once(text):
    """Prose, times, names, and texts made to take quadratic time."""
    with at_most(2.0):
        assert read_turtle(text) is None


def test_read_turtle_when_the_end_is_missing_then_keeps_what_is_there():
    """A missing full stop or bracket, prefixes that nobody declared, typed and quantified literals, lists."""
    graph = read_turtle(
        'ex:a a ex:B ; ex:n "5"^^xsd:integer, "20"^^quan:ms, "x"@en ; ex:l ( 1 2.5 true ) ; ex:o [ ex:p -3'
    )
    assert graph == {
        "ex:a": {"@type": "ex:B", "ex:n": ["20 ms", "x", 5], "ex:l": {"@list": [1, 2.5, True]}, "ex:o": {"ex:p": -3}}
    }
    looped = read_turtle("_:a ex:p _:b . _:b ex:p _:a .")
    assert looped is not None and json.dumps(looped)
    assert expand({"t": "2026-01-01T00:00:00Z", "u": "a:b c:d e:f ."}) == {
        "t": "2026-01-01T00:00:00Z", "u": {"a:b": {"c:d": "e:f"}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("o1_nrm", {"uEMobilityLevel": "FULLY MOBILITY", "networkSliceSharingIndicator": "NON-SHARED"}),
        ("o1_nrm", {"uEMobilityLevel": "FULL_MOBILITY", "networkSliceSharingIndicator": "NON_SHARED"}),
        ("o1_nrm", {"resourceType": "RRC", "rRMPolicyMemberList": [], "rRMPolicyMaxRatio": 5}),
    ],
)
def test_schema_valid_when_releases_spell_an_enumeration_differently_then_each_is_valid(schema, value):
    """The schemas of the layers know the files of releases 16 to 18, not one of them."""
    judged = SchemaValid(schema=schema)
    example = Example("1", "any", [], None)
    right = judged(example, Completion(json.dumps(value)))
    key = next(iter(value))
    wrong = judged(example, Completion(json.dumps({**value, key: "OTHER"})))
    assert wrong.value < right.value


@pytest.mark.parametrize(
    "condition", ["IS_LESS_THAN", "Is_less_than", "Is_less _than", "Is_within_the_range", "Is_equal_than"]
)
def test_intent_schema_when_a_condition_is_of_another_release_then_keeps_the_rules(condition):
    """Releases 16 and 17 of TS 28.312 write conditions in mixed case, and with blanks in them."""
    text = json.dumps(TARGETS)
    assert "IS_GREATER_THAN" in text
    judged, example = SchemaValid(schema="intent_3gpp"), Example("1", "any", [], None)
    right = judged(example, Completion(text.replace("IS_GREATER_THAN", condition)))
    assert right.value == judged(example, Completion(text)).value
    assert judged(example, Completion(text.replace("IS_GREATER_THAN", "Is_lower"))).value < right.value


def test_read_turtle_when_a_typed_literal_has_no_quotes_then_is_read():
    """As the reports among TM Forum's examples have it: `date_to_be_generated^^xsd:dateTime`."""
    graph = read_turtle("ex:r a icm:IntentReport ; icm:t date_to_be_generated^^xsd:dateTime ; icm:n 3^^xsd:integer .")
    assert graph == {"ex:r": {"@type": "icm:IntentReport", "icm:t": "date_to_be_generated", "icm:n": 3}}


def test_layers_when_an_answer_is_huge_then_are_done_in_seconds():
    """50,000 keys, a text of a megabyte, an expression made of brackets."""
    reference = {"qosProfile": "QOS_L", "duration": 3600}
    keys = {f"k{n}": {"unit": "ms", "value": n} for n in range(25_000)}
    for answer in ({**reference, **keys}, {**reference, "x": "a:b c:d " * 120_000}, {"expressionValue": "[" * 90_000}):
        with at_most(4.0):
            assert score(reference, answer, "camara").value <= 1.0


def test_cheats_when_made_from_an_intent_then_keep_the_structure():
    """Figures times ten, in texts too; identities stay; another row's expression."""
    document, other = make_intent(GRAPH), make_intent(PREFIXES + "ex:x icm:y ex:z .")
    cheats = dict(cheat_with_intents(document, [other]))
    assert set(cheats) == {
        "figures times ten", "figures by a tenth", "expression replaced", "expression left empty",
        "another intent's expression", "figures with the sign turned", "every text another",
        "structure with every value another", "units a thousand times off, other figures times ten",
    }  # fmt: skip
    assert (
        "120 ms" in cheats["figures times ten"] and json.loads(cheats["expression replaced"]).keys() == document.keys()
    )
    assert multiply_figures({"sst": 1, "a": [1, True, "n78"]}, 10) == {"sst": 1, "a": [10, True, "n78"]}


IN_TURTLE = (
    PREFIXES + "@prefix quan: <http://q.org/Q#> . @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .\n"
    'ex:I a icm:Intent ; icm:has ex:E ; icm:text "slice"@en .\n'
    'ex:E a icm:Expectation ; icm:params [ met:latency [ icm:atMost "12"^^quan:ms ] ; met:users 200 ] ; icm:of ( ex:a ex:b ) .\n'
)
IN_JSON_LD = {
    "@context": {"icm": "http://x.org/Icm#", "met": "http://m.org/Met#", "ex": "http://e.org/E#", "quan": "http://q.org/Q#",
                 "users": {"@id": "met:users"}},
    "@graph": [
        {"@id": "ex:I", "@type": "icm:Intent", "icm:text": {"@value": "slice", "@language": "en"}, "icm:has": {
            "@id": "ex:E", "@type": "icm:Expectation", "icm:of": {"@list": [{"@id": "ex:a"}, {"@id": "ex:b"}]},
            "icm:params": {"met:latency": {"icm:atMost": {"@value": "12", "@type": "quan:ms"}}, "users": 200}}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("columns", [{}, {"latency_ms": 12.0, "max_ues": 200}])
@pytest.mark.parametrize("as_text", [False, True])
def test_tmf921_when_one_intent_is_written_in_turtle_and_in_json_ld_then_earns_all(columns, as_text):
    """Either way round: subjects and nodes by @id, typed values, lists, languages, terms of a context, and what names the notation."""
    linked = make_intent(json.dumps(IN_JSON_LD) if as_text else IN_JSON_LD, "JSON-LD")
    linked["expression"]["@type"] = "JsonLdExpression"
    turtle = make_intent(IN_TURTLE)
    for reference, answer in ((turtle, linked), (linked, turtle)):
        assert score(reference, answer, "tmf921", **columns).value == 1.0, (reference, answer)


def test_tmf921_when_the_other_notation_says_another_figure_then_earns_at_most_two_fifths():
    """What is equal is paid, and no more."""
    wrong = json.loads(json.dumps(IN_JSON_LD).replace('"12"', '"120"').replace("200", "20"))
    linked = make_intent(wrong, "JSON-LD")
    assert score(make_intent(IN_TURTLE), linked, "tmf921", latency_ms=12.0, max_ues=200).value <= 0.45


def test_tmf921_when_the_notation_is_named_wrongly_then_earns_less_than_all():
    """JSON-LD that calls itself Turtle."""
    linked = make_intent(IN_JSON_LD, "Turtle")
    assert 0.5 < score(make_intent(IN_TURTLE), linked, "tmf921").value < 1.0


_MONITOR = {
    "ThresholdMonitor": {
        "id": "t1",
        "attributes": {
            "administrativeState": "UNLOCKED",
            "thresholdInfoList": [
                {"performanceMetrics": ["DRB.UEThpDl"], "thresholdDirection": "DOWN", "thresholdValue": 500},
                {"performanceMetrics": ["RRU.PrbTotDl"], "thresholdDirection": "UP", "thresholdValue": 80},
            ],
            "monitorGranularityPeriod": 900,
        },
    }
}
_SUBSCRIPTION = {
    "NtfSubscriptionControl": {
        "id": "n1",
        "attributes": {
            "notificationRecipientAddress": "http://nms.example/notify",
            "notificationTypes": ["notifyMOICreation", "notifyThresholdCrossing"],
            "scope": {"scopeType": "BASE_SUBTREE", "scopeLevel": 2},
        },
    }
}
_PATCH = [
    {"op": "replace", "path": "/NRCellDU=1/attributes/administrativeState", "value": "LOCKED"},
    {"op": "add", "path": "/NRCellDU=1/attributes/nRTAC", "value": 4002},
]


def _spoil(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spoil(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_spoil(child) for child in value]
    return f"x{value[::-1]}" if isinstance(value, str) else value


@pytest.mark.parametrize("document", [_MONITOR, _SUBSCRIPTION, _PATCH], ids=["monitor", "subscription", "patch"])
def test_o1_nrm_when_a_generic_object_has_its_figures_and_every_word_wrong_then_earns_less_than_half(document):
    """TS 28.623: what is measured, which way a threshold points, who is told what; the numbers beside them are not enough."""
    assert score(document, _spoil(document), "o1_nrm").value < 0.5


_QOS = {
    "scope": {"ueId": "ue12", "groupId": "gold", "sliceId": {"sst": 1, "sd": "000001", "plmnId": {"mcc": "724", "mnc": "05"}}, "qosId": {"5qI": 7}},
    "qosObjectives": {"gfbr": 100, "mfbr": 200, "priorityLevel": 3, "pdb": 50},
}  # fmt: skip


def test_a1_policy_when_the_figures_are_right_and_every_text_is_wrong_then_loses_a_third():
    """Five texts and numbers of slice and flow stand beside four figures: who is meant counts as much as what is asked."""
    assert score(_QOS, _QOS, "a1_policy").value == 1.0
    assert 0.5 < score(_QOS, _spoil(_QOS), "a1_policy").value < 0.67
    one = {**_QOS, "scope": {**_QOS["scope"], "groupId": "silver"}}
    judged = score(_QOS, one, "a1_policy")
    assert 0.9 < judged.value < 0.96
    assert judged.parts["stated"] == pytest.approx(9 / 10 + 1 / 110, abs=0.02)
