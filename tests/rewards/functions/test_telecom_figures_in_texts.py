"""Figures that published intents write as texts, in notations with slips, or beside comments and addresses."""

import json
from collections import Counter

import pytest

from rewards.cheats.intents import multiply_figures
from rewards.plugins import load_rewards
from rewards.telecom.contents import read_contents, share_plausible
from rewards.telecom.paths import ValuePlaces
from rewards.telecom.turtle import read_turtle
from rewards.types import Completion, Example

TURTLE = """@prefix icm: <http://tio.models.tmforum.org/tio/v1.0.0/IntentCommonModel#> .
# R1: latency 2 ms, jitter 30, loss 0.01
ex:E1 a icm:PropertyExpectation ;
  intersectWith [ met:latency [ icm:smaller [ icm:value 2 ; icm:unit "ms" ] ] ] ;
  met:jitter [ icm:smaller [ icm:value 30 ] ] .
"""


def score(layer: str, reference: object, given: object) -> float:
    row = Example("1", "telecom", [{"role": "user", "content": "p"}], json.dumps(reference), {"target_layer": layer})
    return load_rewards().get(layer).function()(row, Completion(json.dumps(given))).value


def intent(value: object) -> dict:
    targets = [{"targetName": "bandwidth", "targetConditions": [{"operator": "EQUALTO", "conditionValue": value}]}]
    return {
        "intentName": "cll",
        "intentExpectations": [{"expectationType": "ASSURANCE", "expectationTargets": targets}],
    }


def test_intent_3gpp_when_a_condition_s_text_is_a_number_then_it_is_judged_as_a_figure():
    """Ten times the bandwidth earned 0.81 as one wrong text among many; the same number without quotes is as right."""
    assert score("intent_3gpp", intent("1000"), intent("1000")) == 1.0
    assert score("intent_3gpp", intent("1000"), intent("10000")) <= 0.4
    assert score("intent_3gpp", intent("port-1"), intent("port-2")) < 1.0


def test_contents_when_a_text_is_a_code_then_it_is_no_figure():
    """Zeros in front make a code, and so does any other key."""
    found = read_contents({"conditionValue": "0010", "targetValue": "2.5", "tac": "77"}, (), ())
    assert [figure.amount for figures in found.figures.values() for figure in figures] == [2.5]
    assert found.texts.total() == 2


def test_read_turtle_when_a_predicate_lacks_its_prefix_then_the_graph_is_read():
    """A published intent of TM Forum's reference implementation writes `intersectWith [ ... ]`; a sentence is still no graph."""
    graph = read_turtle(TURTLE)
    assert graph is not None and "intersectWith" in json.dumps(graph)
    assert read_turtle("the latency must be low .") is None


@pytest.mark.parametrize("broken", [TURTLE, TURTLE.replace("ex:E1 a", "ex:E1 ( a")])
def test_tmf921_when_all_figures_of_an_expression_are_tenfold_then_it_earns_no_more_than_its_structure(broken):
    """Numbers of versions in addresses and of comments are no figures, whether the notation is read or not."""
    reference = {
        "name": "R1",
        "expression": {"@type": "TurtleExpression", "expressionLanguage": "Turtle", "expressionValue": broken},
    }
    assert score("tmf921", reference, reference) == 1.0
    assert score("tmf921", reference, multiply_figures(reference, 10)) <= 0.4


def test_contents_when_a_unit_stands_beside_numbers_then_all_of_them_are_in_it():
    """Two seconds are 2,000 ms, whichever way round they are written, and a list of one is its one member."""
    seconds, milliseconds = (
        read_contents({"unit": unit, "max": [value]}, (), ()) for unit, value in (("s", 2), ("ms", 2000))
    )
    amounts = [
        [figure.amount for found in each.figures.values() for figure in found] for each in (seconds, milliseconds)
    ]
    assert amounts[0] == amounts[1]
    assert list(seconds.figures) == list(milliseconds.figures) == [(("max",), ("max",))]


def test_share_plausible_when_numbers_cannot_be_known_then_sign_and_size_are_asked():
    """Within the factor, its ends included, on the same side of nothing; a truth value is no number."""
    masked = frozenset({(("a",), 10.0), (("b",), "x"), (("c",), True)})
    for given, share in ((20, 1.0), (5, 1.0), (21, 0.0), (-10, 0.0), (True, 0.0), ("10", 0.0)):
        assert share_plausible(masked, ValuePlaces({}, {("a",): Counter([given])}), 2.0) == share, given
    assert share_plausible(frozenset({(("b",), "x")}), ValuePlaces({}, {}), 2.0) is None
