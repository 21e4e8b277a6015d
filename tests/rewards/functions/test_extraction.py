"""The reward of the shop's records: fields by value, and no cheap way around them."""

from __future__ import annotations

import json

import pytest

from rewards.functions.extraction import SHOP_FIELDS, FieldExtraction
from rewards.testing import check_reward
from rewards.types import Completion, Example

REFERENCE = {
    "customer": "Ana Souza",
    "product": "Fone Bluetooth",
    "sentiment": "negativo",
    "sentiment_score": 1.5,
    "complaint_category": "preco",
    "churn_risk": "alto",
    "delivery_days": 12,
    "price": 1089.9,
    "would_buy_again": False,
    "requested_action": "reembolso",
}
EXAMPLE = Example("1", "extraction", [], json.dumps(REFERENCE, ensure_ascii=False))
PROMISED = 0.9 / 10
"""What one field is worth: nine tenths of the value are shared by ten fields; its schema share is 0.005 more."""


def write(drop: str = "", **changes: object) -> str:
    return json.dumps(
        {key: value for key, value in {**REFERENCE, **changes}.items() if key != drop}, ensure_ascii=False
    )


def value_of(text: str, **options: object) -> float:
    return FieldExtraction(**options)(EXAMPLE, Completion(text)).value


def test_extraction_when_checked_by_the_kit_then_keeps_the_contract():
    """The whole contract, on hostile texts too."""
    check_reward(
        FieldExtraction(),
        EXAMPLE,
        right=[write(customer="ANA  SOUZA"), write(complaint_category="preço"), write(delivery_days=12.0)],
        partial=[write(sentiment="neutro"), write(drop="price"), write(sentiment_score=2)],
        wrong=["", "{}", "não sei", "[]", json.dumps({"resposta": 1})],
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sentiment": "neutro"}, 1 - PROMISED),
        ({"sentiment": "negative"}, 1 - PROMISED / 2 - 0.005),
        ({"sentiment": ["negativo", "neutro"]}, 1 - PROMISED - 0.005),
        ({"sentiment": "negativo, neutro"}, 1 - PROMISED - 0.005),
        ({"sentiment_score": 2.0}, 1 - PROMISED / 2),
        ({"sentiment_score": 2.5}, 1 - PROMISED),
        ({"sentiment_score": "1,5"}, 1 - PROMISED / 2 - 0.005),
        ({"sentiment_score": True}, 1 - PROMISED - 0.005),
        ({"price": "R$ 1.089,90"}, 1 - PROMISED / 2 - 0.005),
        ({"price": 1089.0}, 1 - PROMISED),
        ({"delivery_days": 13}, 1 - PROMISED),
        ({"delivery_days": None}, 1 - PROMISED),
        ({"customer": None}, 1 - PROMISED),
        ({"customer": 7}, 1 - PROMISED - 0.005),
        ({"would_buy_again": "não"}, 1 - PROMISED / 2 - 0.005),
        ({"would_buy_again": None}, 1 - PROMISED),
        ({"would_buy_again": 0}, 1 - PROMISED - 0.005),
        ({"would_buy_again": True}, 1 - PROMISED),
        ({"delivery_days": 12.5}, 1 - PROMISED - 0.005),
        ({"sentiment_score": 5}, 1 - PROMISED),
        ({"sentiment_score": 5.5}, 1 - PROMISED - 0.005),
        ({"sentiment_score": 0}, 1 - PROMISED),
        ({"sentiment_score": -0.5}, 1 - PROMISED - 0.005),
        ({"price": 0}, 1 - PROMISED),
        ({"price": 1089.905}, 1.0),
        ({"price": 1089.9055}, 1 - PROMISED),
        ({"price": 10**400}, 1 - PROMISED),
    ],
)
def test_extraction_when_one_field_is_wrong_then_costs_what_it_is_worth(changes, expected):
    """Every kind of slip has its price, computed by hand."""
    assert value_of(write(**changes)) == pytest.approx(expected)


@pytest.mark.parametrize("key", list(SHOP_FIELDS))
def test_extraction_when_a_key_is_missing_then_costs_no_less_than_a_wrong_one(key):
    """Leaving out what one does not know must not pay."""
    wrong = {"kind": "no such value"}
    assert value_of(write(drop=key)) <= value_of(write(**{key: wrong})) + 1e-9


def test_extraction_when_the_reference_is_null_then_only_null_is_right():
    """`"null"`, an empty text, 0 and false are not null."""
    reference = {**REFERENCE, "customer": None, "would_buy_again": None, "price": None, "delivery_days": None}
    example = Example("1", "extraction", [], json.dumps(reference))
    wrong = {**reference, "customer": "null", "would_buy_again": False, "price": 0, "delivery_days": 0}
    score = FieldExtraction()(example, Completion(json.dumps(wrong)))
    assert [score.parts[f"field/{key}"] for key in ("customer", "would_buy_again", "price", "delivery_days")] == [
        0,
        0,
        0,
        0,
    ]


def test_extraction_when_unknown_keys_are_added_then_each_costs_like_a_wrong_field():
    """Ten right fields and one unknown key are ten of eleven."""
    assert value_of(write(extra=1)) == pytest.approx(0.05 + 0.95 * 10 / 11)
    assert value_of(json.dumps({**REFERENCE, **{f"guess_{n}": n for n in range(90)}})) < 0.2


def test_extraction_when_the_record_is_wrapped_then_is_read_and_costs_a_little():
    """A wrapper around the record is one unknown key."""
    assert value_of(json.dumps({"resposta": REFERENCE})) == pytest.approx(0.05 + 0.95 * 10 / 11)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([REFERENCE], 0.05 + 0.95 * 10 / 11),
        ([REFERENCE, 5], 0.05 + 0.95 * 10 / 21),
        ([REFERENCE, {**REFERENCE, "price": 1}], (0.05 + 0.95 * 10 / 21) / 4),
        ({"a": {"b": REFERENCE}}, 0.05 + 0.95 * 10 / 12),
        ({"a": {"b": {"c": REFERENCE}}}, 0.0),
    ],
)
def test_extraction_when_records_are_listed_or_wrapped_then_the_first_counts_and_the_rest_costs(answer, expected):
    """A list is one unknown key, each further item ten, a second record three quarters of all; two wrappers are looked into."""
    assert value_of(json.dumps(answer)) == pytest.approx(expected)


def test_extraction_when_nothing_of_the_record_is_there_then_says_what_was_missing():
    """No JSON and JSON without a field are two reasons; a right record has none, and every part of nothing is 0."""
    scores = [FieldExtraction()(EXAMPLE, Completion(text)) for text in ("não sei", '{"a": 1}', write())]
    assert [score.reason for score in scores] == ["no JSON found", "no field of the record found", ""]
    assert scores[0].value == scores[1].value == 0.0 and set(scores[1].parts.values()) == {0.0}
    assert FieldExtraction()(EXAMPLE, Completion(write(sentiment="neutro"))).reason == "wrong: sentiment"


def test_extraction_when_yes_and_null_are_right_then_their_words_and_null_earn_their_credit():
    """`"sim"` is half of true, `"não"` none of it; null is all of null."""
    reference = {**REFERENCE, "would_buy_again": True, "customer": None}
    example = Example("1", "extraction", [], json.dumps(reference))
    parts = [
        FieldExtraction()(example, Completion(json.dumps({**reference, "would_buy_again": said}))).parts
        for said in ("sim", "não", False)
    ]
    assert [each["field/would_buy_again"] for each in parts] == [0.5, 0.0, 0.0]
    assert parts[0]["field/customer"] == 1.0


def test_extraction_when_prose_stands_around_then_is_below_strict_and_above_a_wrong_field():
    """Form costs less than content."""
    strict, wrapped = value_of(write()), value_of(f"Aqui está: {write()}")
    assert strict == 1.0 and 1 - PROMISED < wrapped < 1.0


def test_extraction_when_only_nulls_are_given_then_earns_little():
    """An empty form is not an answer."""
    assert value_of(json.dumps(dict.fromkeys(REFERENCE))) < 0.1


def test_extraction_when_the_product_is_near_then_credit_grows_with_likeness():
    """Texts are graded, and a far one earns nothing."""
    parts = [
        FieldExtraction()(EXAMPLE, Completion(write(product=product))).parts["field/product"]
        for product in ("fone bluetooth", "fone bluetooth jbl", "fone", "geladeira")
    ]
    assert parts[0] == 1.0 and parts[0] > parts[1] > parts[2] >= parts[3] == 0.0
    # 13 pairs of letters against 17, 13 shared: 2 * 13 / 30, twice that less 1, times 0.8.
    assert parts[1] == pytest.approx(0.8 * (2 * 26 / 30 - 1))


def test_extraction_when_parts_are_logged_then_are_the_same_whatever_was_written():
    """The mean of a part over completions means something only when each has it."""
    keys = {
        tuple(sorted(FieldExtraction()(EXAMPLE, Completion(text)).parts))
        for text in ("", "{}", "[1]", write(), '{"price": 1}')
    }
    assert len(keys) == 1 and len(keys.pop()) == 13


def test_extraction_when_fields_and_synonyms_are_options_then_another_domain_works():
    """Nothing about the shop is fixed in code."""
    function = FieldExtraction(
        fields={
            "mood": {"kind": "label", "labels": ["good", "bad"]},
            "score": {"kind": "number", "low": -1, "high": 1, "reach": 0.5},
        },
        synonyms={"fine": "good"},
        synonym_credit=1.0,
    )
    example = Example("1", "any", [], '{"mood": "good", "score": -0.6}')
    assert function.problems(example) == []
    assert function(example, Completion('{"mood": "fine", "score": -0.6}')).value == pytest.approx(0.975)
    assert function(example, Completion('{"mood": "good", "score": -0.4}')).parts["field/score"] == pytest.approx(0.6)
    free = FieldExtraction(fields={"count": {"kind": "number"}})
    assert free(Example("3", "any", [], '{"count": -7}'), Completion('{"count": -7}')).value == pytest.approx(1.0)
    assert function.problems(Example("2", "any", [], '{"mood": "ugly", "score": 4.5}')) == [
        "reference.mood: 'ugly' breaks its rule; allowed: good, bad",
        "reference.score: 4.5 breaks its rule; allowed: number from -1 to 1",
    ]


def test_problems_when_the_reference_is_no_record_then_says_what_to_write():
    """Preflight stops on a reference that no completion could match."""
    problems = FieldExtraction().problems
    assert "not strict JSON" in problems(Example("1", "extraction", [], "{'a': 1}"))[0]
    assert "missing" in problems(Example("1", "extraction", [], None))[0]
    assert "JSON list" in problems(Example("1", "extraction", [], "[]"))[0]
    lines = problems(Example("1", "extraction", [], write(drop="price", sentiment="negative", extra=1)))
    assert len(lines) == 3 and "lacks price" in lines[0] and "extra" in lines[1] and "'negative'" in lines[2]
