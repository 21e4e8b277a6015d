"""Each repair by its kind and place, counted out by hand: what a mutated reader would note elsewhere, or not at all."""

from __future__ import annotations

import pytest

from rewards.extraction import extract_json


@pytest.mark.parametrize(
    ("text", "value", "repairs"),
    [
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}, "missing_comma 8"),
        ('{"a": "x" "b": 2 "c": [1 2]}', {"a": "x", "b": 2, "c": [1, 2]}, "missing_comma 10, missing_comma 17, missing_comma 23"),
        ('{,"a": 1}', {"a": 1}, "extra_comma 1"),
        ('{"a": 1; "b": 2}', {"a": 1, "b": 2}, "separator 7"),
        ('{"a"::1}', {"a": 1}, "separator 5"),
        ('{{"a" 1}}', {"a": 1}, "doubled_brace 0, missing_colon 6"),
        ('{"a": 1]', {"a": 1}, "mismatched_closer 7"),
        ('{"v": , "b": 1}', {"v": None, "b": 1}, "missing_value 6"),
        ('{"a": \n"b": 1}', {"a": None, "b": 1}, "missing_value 7"),
        ('{"a": 1, "b"}', {"a": 1, "b": None}, "missing_value 9"),
        ('{"a": 1, sobra "b": 2}', {"a": 1, "b": 2}, "garbage 7, missing_comma 15"),
        ('{"a": 1, sobra, "b": 2}', {"a": 1, "b": 2}, "garbage 7"),
        ('{"a": 1, sobra\n"b": 2}', {"a": 1, "b": 2}, "garbage 7, missing_comma 14"),
        ('{- "a": 1}', {"a": 1}, "garbage 1"),
        ('{"a": 1,\n- "b": 2}', {"a": 1, "b": 2}, "garbage 9"),
        ('{"a": x,\n* "b": 2.5}', {"a": "x", "b": 2.5}, "bare_text 6, garbage 9"),
        ('{"a": -1, "b": 2}', {"a": -1, "b": 2}, ""),
        ("{'a': True, 'b': 1}", {"a": True, "b": 1}, "quote_style 1, literal 6, quote_style 12"),
        ("{'ok': sim, 'x': None}", {"ok": True, "x": None}, "quote_style 1, literal 7, quote_style 12, literal 17"),
        ('{"a": 1,5, "b": \'x\', "c": NaN}', {"a": 1.5, "b": "x", "c": None}, "decimal_comma 6, quote_style 16, non_finite 26"),
        ('{"a": .5, "b": 5., "c": +1}', {"a": 0.5, "b": 5.0, "c": 1}, "number_format 6, number_format 15, number_format 24"),
        ('{"a": 4 (de 5)\n "b": 1}', {"a": "4 (de 5)", "b": 1}, "bare_text 6, missing_comma 14"),
        ('{"a": [1, 2], [3], "b": 1}', {"a": [1, 2, 3], "b": 1}, "early_closer 14"),
        ('{"r": [[1], [2]], [3]}', {"r": [[1], [2], [3]]}, "early_closer 18, missing_closer 21"),
        ("[{} 'x',  'y']", [{}, "x", "y"], "missing_comma 3, quote_style 4, quote_style 10"),
        ("[1,  True, 07 , ]", [1, True, "07"], "literal 5, bare_text 11, trailing_comma 15"),
        ('[{"a": 1, {"b": 2}]', [{"a": 1}, {"b": 2}], "missing_closer 10"),
        ('{"a": 1, {"b": 2}}', {"a": 1, "b": 2}, "shape 9"),
        ('{"a": "x, "b": 1}', {"a": "x", "b": 1}, "missing_quote 6"),
        ('{"a": "x\n"b": 2}', {"a": "x", "b": 2}, "missing_quote 6, missing_comma 8"),
        ("{'a': \"b', 'c': 1}", {"a": "b", "c": 1}, "quote_style 1, missing_quote 6, quote_style 11"),
        ('{"a": "diz "oi" e sai", "b": 1}', {"a": 'diz "oi" e sai', "b": 1}, "inner_quote 6"),
        ('{"a": "x", "b": "tem "}" aspas", "c": 1}', {"a": "x", "b": 'tem "}" aspas', "c": 1}, "inner_quote 16"),
        ('{“a”: “b”}', {"a": "b"}, "quote_style 1, quote_style 6"),
        ("{'a': 'x' 'y'}", {"a": "xy"}, "quote_style 1, quote_style 6, concatenation 9, quote_style 10"),
        ('{"a": "c:\\dir"}', {"a": "c:\\dir"}, "escape 6"),
        ('{b": "\\ud83d\\ude00"}', {"b": "\U0001f600"}, "missing_quote 1"),
        ('{"a": "x", "b": "y"\n\nEspero que "ajude"!', {"a": "x", "b": "y"}, "missing_closer 21"),
        ('```json\n{"a": 1\n```', {"a": 1}, "missing_closer 16"),
        ('{"b": [1, 2, null ...]}', {"b": [1, 2, None]}, "ellipsis 12"),
        ("[1,5;5]", [1.5, 5], "separator 1, decimal_comma 1"),
        ("[1,; 2,5]", [1, 2.5], "separator 1, extra_comma 1, decimal_comma 5"),
        ('{"v": [1.234,56; 45,67]}', {"v": [1234.56, 45.67]}, "separator 7, number_format 7, decimal_comma 17"),
        ("[\n  azul, verde\n  rosa\n]", ["azul", "verde", "rosa"], "bare_text 4, missing_comma 10"),
        ("[1\n23\n]", [1, 23], "missing_comma 3"),
        ("[,1,]", [1], "extra_comma 1, trailing_comma 4"),
        ('{"a": fn(1) + 2, "c": 3}', {"a": "fn(1) + 2", "c": 3}, "call 6, bare_text 6"),
        ('{{"a": 1}, {"a": 2}}', [{"a": 1}, {"a": 2}], "doubled_brace 0, shape 0"),
        ('{\n  "a": {\n"c": 2\n}', {"a": {"c": 2}}, "missing_closer 18"),
        ('{"r": [[1, 2], 3, 4], [5, 6]]}', {"r": [[1, 2], [3, 4], [5, 6]]}, "missing_opener 19"),
        ('{"r": [[1], [2]], [3]]}', {"r": [[1], [2], [3]]}, "early_closer 18"),
        ('{"a": 1, (x) "b": 2, (y) "c": 3}', {"a": 1, "b": 2, "c": 3}, "comment 9"),
        ('{"nome": "Ana"(completo), "idade": 22}', {"nome": "Ana", "idade": 22}, "comment 14"),
        ('{"a": 1 # fim }', {"a": 1}, "comment 8"),
        ('{"nome": "Ana"], "n": 1}', {"nome": "Ana", "n": 1}, "extra_closer 14"),
        ('{\n  "a": {\n    "b": {\n      "c": 1\n  },\n  "d": 2\n}', {"a": {"b": {"c": 1}}, "d": 2}, "missing_closer 37"),
    ],
)  # fmt: skip
def test_fault_when_repaired_then_kind_and_place_are_those_counted_by_hand(text, value, repairs):
    """What was repaired, where, and nothing else; none of these texts was cut."""
    got = extract_json(text)
    assert got.value == value
    assert ", ".join(f"{repair.kind} {repair.place}" for repair in got.repairs) == repairs
    assert not got.truncated


@pytest.mark.parametrize(
    ("text", "value", "repairs"),
    [
        ("{{", {}, "doubled_brace 0, cut 2"),
        ("{a:", {}, "bare_key 1, cut 3"),
        ('{"a"::', {}, "separator 5, cut 6"),
        ('\n\n{"a" 1', {"a": 1}, "missing_colon 7, cut 8"),
        ('{"a": "\\u00', {"a": ""}, "cut 11"),
        ('{"text": "a <think> b", "n": ', {"text": "a <think> b"}, "cut 29"),
    ],
)
def test_cut_when_read_then_its_place_is_the_end_of_the_text(text, value, repairs):
    """A text that ends inside its value is truncated, and competes with nothing."""
    got = extract_json(text)
    assert got.value == value and got.truncated and got.candidates == 1
    assert ", ".join(f"{repair.kind} {repair.place}" for repair in got.repairs) == repairs


@pytest.mark.parametrize(
    ("text", "value", "candidates"),
    [
        ('[1, 2, 3]\n{"', [1, 2, 3], 2),
        ('{"a": 1}\n[', {"a": 1}, 1),
        ('"a": ', None, 0),
        ("A resposta é: [].", [], 1),
        ("Anote, [].", None, 1),
        ('{"t": "a </think>', None, 0),
        ('{"t": "a </think> b", "n": 1}', {"t": "a </think> b", "n": 1}, 1),
    ],
)
def test_values_when_one_is_chosen_then_the_others_are_counted(text, value, candidates):
    """What begins and says nothing loses to what is whole; a tag of reasoning inside a text is part of it."""
    got = extract_json(text)
    assert (got.value, got.candidates) == (value, candidates)


def test_text_when_one_character_stands_before_strict_json_then_only_a_byte_order_mark_is_no_part_of_it():
    """What is said of the whole text holds for a mark of how it was stored, and for nothing else."""
    marked, prefixed = extract_json('\ufeff{"a": 1}'), extract_json('x{"a": 1}')
    assert (marked.value, marked.confidence, marked.span) == ({"a": 1}, 1.0, (0, 9))
    assert (prefixed.value, prefixed.confidence, prefixed.span) == ({"a": 1}, 0.98, (1, 9))
