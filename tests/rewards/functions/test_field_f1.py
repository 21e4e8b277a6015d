"""F1 over leaves: numbers as numbers, lists of objects by likeness, volatile values apart."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.documents.leaves import LeafRules, compare, flatten
from rewards.documents.quantities import read_quantity
from rewards.extraction import Extraction as Reading
from rewards.functions.field_f1 import FieldF1
from rewards.testing import check_reward
from rewards.types import Completion, Example

EXAMPLE = Example("1", "any", [], '{"a": 1, "b": {"c": [1, 2.5]}, "d": "x"}')
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=12,
)
records = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2) | st.booleans(), min_size=1), min_size=1, max_size=5
)


def score_of(reference: object, text: str, **options: object):
    return FieldF1(**options)(Example("1", "any", [], json.dumps(reference)), Completion(text))


def f1(reference: object, given: object, **options: object) -> float:
    text = given if isinstance(given, str) else json.dumps(given)
    return score_of(reference, text, **options).value


def read_as(value: object) -> Completion:
    """A completion that was read as this value, whatever it takes to write it."""
    completion = Completion("")
    completion.__dict__["extraction"] = Reading(value)
    return completion


def test_field_f1_when_checked_by_the_kit_then_keeps_the_contract():
    """The whole contract, on hostile texts too."""
    check_reward(
        FieldF1(),
        EXAMPLE,
        right='{"d": "x", "b": {"c": [1.0, 2.50]}, "a": 1}',
        partial=['{"a": 1}', '{"a": 1, "b": {"c": [1, 2.5]}, "d": "y"}'],
        wrong=["{}", "", '{"z": 1}', "[1, 2.5]"],
    )


def test_field_f1_when_half_of_the_leaves_are_right_then_is_their_harmonic_mean():
    """Precision 1/2 and recall 1/4 make 1/3; both keys are right."""
    score = FieldF1()(EXAMPLE, Completion('{"a": 1, "d": "y"}'))
    assert score.parts == {
        "fields": pytest.approx(1 / 3), "keys": pytest.approx(2 / 3), "precision": 0.5, "recall": 0.25, "exact": 0.0,
    }  # fmt: skip
    assert score.value == pytest.approx(1 / 3)


def test_field_f1_when_keys_have_a_share_then_right_paths_are_paid():
    """A quarter of the value for key F1."""
    assert f1({"a": 1, "b": 2}, {"a": 1, "b": 3}, key_share=0.25) == pytest.approx(0.75 * 0.5 + 0.25)


@pytest.mark.parametrize(
    ("reference", "text", "equal"),
    [
        (1, "[1.0]", True),
        (1, "[true]", False),
        (True, "[1]", False),
        (0, "[false]", False),
        (None, '["null"]', False),
        ("1", "[1]", False),
        (0.1 + 0.2, "[0.3]", True),
        (2**53 + 1, f"[{2**53 + 1}]", True),
        (2**53 + 1, f"[{2**53 + 3}]", False),
        ([], "[[]]", True),
        ([], "[{}]", False),
        ({}, "[null]", False),
        (-0.0, "[0]", True),
        (None, "[NaN]", False),
    ],
)
def test_field_f1_when_leaves_are_compared_then_numbers_are_numbers_and_kinds_differ(reference, text, equal):
    """1 equals 1.0 and not true; large integers stay exact; empty containers are leaves; NaN is not a null."""
    assert f1([reference], text) == float(equal)


@pytest.mark.parametrize(
    ("reference", "given", "ignored"),
    [
        ({"id": 1, "a": {"id": 2, "b": 3}, "b": 4}, {"a": {"b": 3}, "b": 4}, ("id",)),
        ({"id": 1, "a": {"id": 2, "b": 3}, "b": 4}, {"id": 1, "a": {"id": 2, "b": 99}, "b": 4}, ("a.b",)),
        ({"a": [{"b": {"c": 1}, "d": 2}]}, {"a": [{"b": {"c": 9}, "d": 2}]}, ("a.*.c",)),
        ({"v": {"start": 1, "end": 2}, "a": 1}, {"v": {"start": 5}, "a": 1}, ("v.*",)),
    ],
)
def test_field_f1_when_fields_are_ignored_then_are_left_out_on_both_sides(reference, given, ignored):
    """A bare key anywhere, a dotted path from the top, `*` for any key."""
    assert f1(reference, given, ignore_fields=ignored) == 1.0 > f1(reference, given)


def test_field_f1_when_a_path_is_ignored_then_the_key_counts_elsewhere():
    """A dotted path goes only there."""
    reference = {"a": {"b": 3}, "b": 4}
    assert f1(reference, {"a": {"b": 9}, "b": 9}, ignore_fields=("a.b",)) == 0.0


def test_field_f1_when_the_telecom_preset_is_on_then_made_up_values_do_not_count():
    """Identifiers, links, time stamps, and UUIDs or times under any key."""
    reference = {
        "id": "1", "href": "/a", "validFor": {"startDateTime": "x"}, "name": "fatia", "correlation":
        "0b8f3c1e-7a55-4d0e-9d0a-0c3f5d3f9b11", "when": "2026-03-01T10:00:00Z", "sst": 1,
    }  # fmt: skip
    given = {**reference, "id": "9", "href": "/b", "validFor": {}, "when": "2026-04-02T11:30:00.123+02:00"}
    given["correlation"] = "11111111-2222-3333-4444-555555555555"
    assert f1(reference, given, volatile="telecom") == 1.0
    assert f1(reference, {"name": "fatia", "sst": 1}, volatile="telecom") == 1.0
    assert f1(reference, given) < 0.5
    assert f1(reference, {**given, "when": "amanhã"}, volatile="telecom") == pytest.approx(2 * 2 / (2 + 3))


def test_field_f1_when_numbers_may_differ_then_by_share_or_by_the_key_that_says_so():
    """Relative everywhere, absolute under a key, and never for a boolean."""
    assert f1({"a": 100}, {"a": 101}, relative_tolerance=0.01) == 1.0
    assert f1({"a": 100}, {"a": 102}, relative_tolerance=0.01) == 0.0
    assert f1({"ms": 5, "n": 5}, {"ms": 5.4, "n": 5.4}, tolerances={"ms": 0.5}) == 0.5
    assert f1({"ms": [5, 6]}, {"ms": [5.4, 6.4]}, tolerances={"ms": 0.5}) == 1.0
    assert f1({"a": 1}, {"a": True}, relative_tolerance=0.5) == 0.0


def test_field_f1_when_units_are_read_then_quantities_compare_by_amount():
    """The kinds named in the option, as text or as an object; a bare number is not a quantity."""
    assert f1({"a": "10 ms"}, {"a": "0,01 s"}, units=("time",)) == 1.0
    assert f1({"a": {"value": 2000, "unit": "Mbps"}}, {"a": "2 Gbps"}, units=("rate",)) == 1.0
    assert f1({"a": "2 Gbps"}, {"a": "2 Mbps"}, units=("rate",)) == 0.0
    assert f1({"a": "10 ms"}, {"a": "0,01 s"}) == 0.0
    assert f1({"a": "10 ms"}, {"a": 10}, units=("time",)) == 0.0
    assert f1({"a": "99,9%"}, {"a": "99.9 %"}, units=("share",)) == 1.0


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("10 ms", 0.01), ("1.234,5 Mbit/s", 1_234_500_000.0), ("5µs", 5e-6), ({"value": 3, "unit": "Gbps"}, 3e9),
        ("10", None), ("ms", None), ("10 maçãs", None), ("10 ms 5", None), ({"value": True, "unit": "ms"}, None),
        ({"value": 1, "unit": "ms", "x": 1}, None), ("9" * 39, None), (10, None),
    ],
)  # fmt: skip
def test_read_quantity_when_a_value_has_a_unit_then_is_brought_to_the_first_of_its_kind(value, amount):
    """Anything else is not a quantity."""
    found = read_quantity(value, frozenset({"time", "rate"}))
    assert (found and found.amount) == (pytest.approx(amount) if amount else None)


def test_field_f1_when_texts_are_folded_then_case_and_accents_do_not_count():
    """An option, off by default."""
    assert f1({"a": "São Paulo"}, {"a": "SAO  PAULO"}) == 0.0
    assert f1({"a": "São Paulo"}, {"a": "SAO  PAULO"}, fold_text=True) == 1.0


def test_field_f1_when_leaves_are_stuffed_then_precision_falls():
    """Every value under every key cannot pay."""
    assert f1({"a": 1}, {"a": 1, **{f"k{n}": n for n in range(100)}}) < 0.03


def test_field_f1_when_a_key_is_written_twice_then_it_is_wrong():
    """Guessing twice is not worth a guess."""
    score = score_of({"a": 1, "b": 2}, '{"a": 1, "b": 3, "b": 2}')
    assert score.value == 0.5 and "twice" in score.reason


def test_field_f1_when_two_answers_contradict_each_other_then_costs_most():
    """Wherever the right one stands."""
    for first, second in ((1, 2), (2, 1)):
        assert f1({"a": 1}, f'{{"a": {first}}}\n\nou\n\n{{"a": {second}}}') <= 0.25


def test_field_f1_when_objects_are_shuffled_then_are_matched_by_likeness():
    """By position the same lists have hardly a leaf in common."""
    reference = {"targets": [{"metric": m, "value": v} for m, v in zip("abcde", range(5), strict=True)]}
    shuffled = {"targets": reference["targets"][3:] + reference["targets"][:3]}
    assert f1(reference, shuffled) == 1.0
    assert f1(reference, shuffled, match_lists=False) == 0.0


def test_field_f1_when_matched_objects_differ_then_the_best_pairs_count():
    """Three of four leaves are right: the nearest objects are compared, not the first."""
    reference = [{"metric": "latency", "value": 5}, {"metric": "devices", "value": 200}]
    assert f1(reference, [{"metric": "devices", "value": 7}, {"metric": "latency", "value": 5}]) == 0.75


def test_field_f1_when_near_numbers_tell_objects_apart_then_tolerance_matches_them():
    """What is equal within tolerance is alike when objects are matched too."""
    reference, given = [{"v": 10}, {"v": 20}], [{"v": 20.1}, {"v": 10.1}]
    assert f1(reference, given, tolerances={"v": 0.5}) == 1.0


def test_field_f1_when_lists_lie_in_lists_then_are_matched_at_each_depth():
    """Scalars keep their places, objects do not, however deep."""
    reference = [{"n": 1, "m": [{"x": 1}, {"x": 2}]}, {"n": 2, "m": [{"x": 3}, {"x": 4}]}]
    given = [{"n": 2, "m": [{"x": 4}, {"x": 3}]}, {"n": 1, "m": [{"x": 2}, {"x": 1}]}]
    assert f1(reference, given) == 1.0
    assert f1({"a": [1, 2]}, {"a": [2, 1]}) == 0.0


def test_compare_when_lists_are_huge_then_stays_in_bounds():
    """Thousands of objects that are all a little alike: bounded work, and a right list is still found right."""
    rules = LeafRules()
    reference = [{"metric": "m", "operator": "<=", "value": n} for n in range(400)]
    given = [{"metric": "m", "operator": ">", "value": -n} for n in range(20_000)]
    found = compare(flatten(reference, rules), flatten(given, rules), rules)
    assert found.expected == 1200 and found.given == 60_000 and 400 <= found.right <= 401
    shuffled = random.Random(1).sample(reference, len(reference))
    assert compare(flatten(reference, rules), flatten(shuffled, rules), rules).exact


def test_compare_when_values_are_deep_then_does_not_recurse():
    """Depth costs nothing but its length."""
    deep: object = 1
    for _ in range(5_000):
        deep = {"a": [deep, 2]}
    rules = LeafRules()
    assert compare(flatten(deep, rules), flatten(deep, rules), rules).exact


@settings(max_examples=100, deadline=None)
@given(json_values, json_values)
def test_field_f1_when_sides_are_exchanged_then_precision_and_recall_are_too(one, other):
    """Neither side is special where lists are compared by position."""

    def score(reference: object, found: object):
        function = FieldF1(match_lists=False)
        return function(Example("1", "any", [], json.dumps([reference])), read_as([found]))

    forward, backward = score(one, other), score(other, one)
    assert forward.value == pytest.approx(backward.value)
    assert forward.parts["precision"] == pytest.approx(backward.parts["recall"])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=5), json_values, min_size=1, max_size=5))
def test_field_f1_when_the_reference_is_written_back_then_is_one(value):
    """Any document is right about itself."""
    text = json.dumps(value)
    assert FieldF1()(Example("1", "any", [], text), read_as(json.loads(text))).value == 1.0


@settings(max_examples=100, deadline=None)
@given(records, st.randoms(use_true_random=False))
def test_field_f1_when_a_list_of_objects_is_shuffled_then_is_one(reference, chance):
    """Order of objects never counts."""
    assert f1(reference, chance.sample(reference, len(reference))) == 1.0


@settings(max_examples=100, deadline=None)
@given(records, records)
def test_field_f1_when_objects_are_matched_then_is_no_less_than_by_position(reference, given_records):
    """Best-first never loses whole objects that stand in their places."""
    equal = sum(one == other and str(one) == str(other) for one, other in zip(reference, given_records, strict=False))
    rules = LeafRules()
    found = compare(flatten(reference, rules), flatten(given_records, rules), rules)
    assert equal <= found.right <= min(found.expected, found.given) and found.right <= found.right_paths


def test_problems_when_everything_is_ignored_then_says_so():
    """A row on which nothing is compared would pay everybody."""
    assert "nothing is left" in FieldF1(ignore_fields=("a",)).problems(Example("1", "any", [], '{"a": 1}'))[0]
    assert FieldF1().problems(EXAMPLE) == []


@pytest.mark.parametrize(
    ("right", "given", "options", "equal"),
    [
        ({"order_id": 1234567}, {"order_id": 1234568}, {"digits": 3}, False),
        ({"orderId": 100}, {"orderId": 101}, {"relative_tolerance": 0.1}, False),
        ({"latency": 1234567}, {"latency": 1234568}, {"digits": 3}, True),
        ({"imsi": "724ABC"}, {"imsi": "724abc"}, {"fold_text": True}, False),
        ({"name": "ABC"}, {"name": "abc"}, {"fold_text": True}, True),
        ({"n": 123456789012}, {"n": 123456789013}, {}, False),
        ({"n": 123456789012}, {"n": 123456789012.0}, {}, True),
        ({"valid": 100}, {"valid": 101}, {"relative_tolerance": 0.1}, True),
        ({"id": 100}, {"id": 101}, {"tolerances": {"id": 1}}, True),
    ],
)
def test_field_f1_when_a_key_identifies_then_its_value_is_exact(right, given, options, equal):
    """Amounts may be near, identifiers not, unless they are named."""
    assert (f1(right, given, **options) == 1.0) is equal


def test_field_f1_when_accents_are_written_apart_then_texts_and_keys_are_the_same():
    """NFC and NFD spell one text."""
    composed, apart = (
        {"situação": {"avaliação": "não"}},
        {"situac\u0327a\u0303o": {"avaliac\u0327a\u0303o": "na\u0303o"}},
    )
    assert f1(composed, apart) == f1(apart, composed) == 1.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 3}\n\nDesconsidere o bloco acima.\n\n{"a": 4, "b": 1}', 1.0),
        ('O aluno escreveu "{"a": 10". Veredito: {"a": 4, "b": 1}', 1.0),
        ('{"a": 3, "b": 1}\n\nou\n\n{"a": 4, "b": 1}', 0.25),
    ],
)
def test_field_f1_when_another_object_was_withdrawn_or_quoted_in_part_then_it_contradicts_nothing(text, value):
    """What the text itself calls void, or never ends, is no second answer."""
    assert FieldF1()(Example("1", "t", [], '{"a": 4, "b": 1}', {}), Completion(text)).value == value


@pytest.mark.parametrize("number", [10**20 + 1, -(10**30) - 7, 2**64])
def test_field_f1_when_a_whole_number_is_beyond_64_bits_then_it_is_exact(number):
    """The reference is read as exactly as the answer."""
    example = Example("1", "t", [], f'{{"id": {number}}}', {})
    assert FieldF1().problems(example) == []
    assert FieldF1()(example, Completion(f'{{"id": {number}}}')).value == 1.0
    assert FieldF1()(example, Completion(f'{{"id": {number + 1}}}')).value == 0.0


def test_field_f1_when_a_reference_has_a_number_that_nobody_can_hold_then_it_is_refused():
    """5,000 digits are a line of the preflight, not an error of every score."""
    (problem,) = FieldF1().problems(Example("1", "t", [], '{"id": ' + "9" * 5000 + "}", {}))
    assert problem.startswith("reference: not strict JSON")


def test_field_f1_when_numbers_differ_in_the_tenth_digit_then_they_are_equal_and_nothing_is_said():
    """Nine significant digits by default: the ninth counts, the tenth does not; a right answer has no reason."""
    score = score_of({"a": 0.123456789}, '{"a": 0.1234567894}')
    assert (score.value, score.reason) == (1.0, "")
    assert f1({"a": 0.123456789}, {"a": 0.123456787}) == 0.0
