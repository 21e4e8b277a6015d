"""What a reading says beside its value: repairs, truncation, span, candidates, confidence; strict mode and expected keys."""

from __future__ import annotations

import json
import subprocess
import sys

import orjson
import pytest

from rewards.extraction import Extraction, Repair, RepairKind, extract_json

K = RepairKind


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ('{"a": 4,5}', K.DECIMAL_COMMA, 6),
        ('{"a": 1,}', K.TRAILING_COMMA, 7),
        ('{"a": 1, // x\n"b": 2}', K.COMMENT, 9),
        ("{'a': 1}", K.QUOTE_STYLE, 1),
        ("{a: 1}", K.BARE_KEY, 1),
        ('{"a": ruim}', K.BARE_TEXT, 6),
        ('{"a": verdadeiro}', K.LITERAL, 6),
        ('{"a": R$ 5,00}', K.NUMBER_FORMAT, 6),
        ('{"a": NaN}', K.NON_FINITE, 6),
        ('{"a" = 1}', K.SEPARATOR, 5),
        ('{"a": 1 "b": 2}', K.MISSING_COMMA, 8),
        ('{"a": 1}}', K.EXTRA_CLOSER, 8),
        ('{"a": [1, 2}', K.MISSING_CLOSER, 11),
        ('{"a": "x "y" z"}', K.INNER_QUOTE, 6),
        ('{"a" 1}', K.MISSING_COLON, 5),
        ('{"a": , "b": 1}', K.MISSING_VALUE, 6),
        ('{"a": "x\ty"}', K.CONTROL_CHARACTER, 6),
        ('{"a": "50\\%"}', K.ESCAPE, 6),
        ('{\u00a0"a": 1}', K.WHITESPACE, 1),
        ('{"a": {"x": 1}}, "b": 2}', K.EARLY_CLOSER, 14),
        ('{"a": 1} {"a": 2}', K.RECORDS, 0),
    ],
)
def test_repair_when_made_then_its_kind_and_place_are_reported(text, kind, place):
    """Each repair names what it was and where in the text."""
    assert Repair(kind, place) in extract_json(text).repairs


def test_repairs_when_three_stand_at_one_place_then_their_order_is_that_of_reading():
    """Not that of a hash, which is another one in each process: stored completions must have the same bytes."""
    kinds = [repair.kind for repair in extract_json("{“a”: “x\ty}").repairs]
    assert kinds == [K.QUOTE_STYLE, K.QUOTE_STYLE, K.MISSING_QUOTE, K.CONTROL_CHARACTER]


def test_strict_json_when_read_then_the_result_is_certain():
    """Strict JSON has no repairs, the whole span and full confidence."""
    assert extract_json('{"a": 1}') == Extraction({"a": 1}, (), False, (0, 8), 1, 1.0)


def test_wrapped_strict_json_when_read_then_span_points_at_it():
    """The span is that of the value, not of the text around it."""
    text = 'Segue: {"a": 1} fim.'
    got = extract_json(text)
    assert text[slice(*got.span)] == '{"a": 1}'
    assert got.repairs == ()
    assert 0.9 < got.confidence < 1.0


def test_confidence_when_more_is_guessed_then_falls():
    """Strict is surer than lightly repaired, that than guessed, that than cut, and nothing is 0."""
    texts = ['{"a": "x"}', '{"a": "x",}', '{"a": "x "y" z"}', '{"a": "x', "nada"]
    confidences = [extract_json(text).confidence for text in texts]
    assert confidences == sorted(confidences, reverse=True)
    assert len(set(confidences)) == len(confidences)
    assert confidences[-1] == 0.0


@pytest.mark.parametrize("text", ['{"a": 1, "b": "x', '{"a": [1, 2', '```json\n{"a": 1, "b": {', "{", '{"a": tru'])
def test_cut_text_when_read_then_is_flagged_truncated(text):
    """The end of the text inside the value sets the flag."""
    assert extract_json(text).truncated


@pytest.mark.parametrize("text", ['{"a": 1}', '```json\n{"a": 1\n```\nPronto.', '{"a": [1, 2}', "nada", ""])
def test_text_that_goes_on_when_read_then_is_not_flagged_truncated(text):
    """A closer that is missing in the middle is not a truncation."""
    assert not extract_json(text).truncated


def test_strict_mode_when_repairs_are_light_then_reads():
    """Strict mode keeps readings that leave no doubt."""
    got = extract_json("{'a': 4,5, 'b': [1, 2,],} // fim", strict=True)
    assert got.value == {"a": 4.5, "b": [1, 2]}


@pytest.mark.parametrize(
    "text", ['{"a": "x "y" z"}', '{"a": 1', '{"a" 1}', '{"a", "b"}', '{"a": 1} {"a": 2}', '{"a": [1, 2}']
)
def test_strict_mode_when_structure_is_guessed_then_reads_nothing(text):
    """Strict mode refuses what had to be guessed."""
    assert extract_json(text).value is not None
    assert extract_json(text, strict=True).value is None


def test_expected_keys_when_several_values_then_decide():
    """The value that has the caller's keys wins, wherever it stands."""
    text = '{"nota": 5, "texto": "bom"}\n\nlog {"tempo": 3, "custo": 1}'
    assert extract_json(text, expect_keys=("tempo",)).value == {"tempo": 3, "custo": 1}
    assert extract_json(text, expect_keys=("nota", "texto")).value == {"nota": 5, "texto": "bom"}


def test_candidates_when_several_values_then_are_counted():
    """The count tells how many values competed."""
    assert extract_json('Rascunho: {"a": 1}. Final: {"a": 2}').candidates == 2
    assert extract_json("nada").candidates == 0


def test_equal_rivals_when_chosen_then_confidence_says_so():
    """A choice between equals is less sure than one the text settles."""
    settled = extract_json('Rascunho: {"a": 1}. Resposta final: {"a": 2}')
    open_choice = extract_json('Aqui: {"a": 1} e também aqui, {"a": 2}')
    assert settled.value == open_choice.value == {"a": 2}
    assert open_choice.confidence < settled.confidence


@pytest.mark.parametrize("digits", [19, 20, 40, 4_300])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("tail", ["", ","])
def test_integer_when_long_then_is_exact(digits, sign, tail):
    """Integers keep every digit, in strict text and in text that needs repair."""
    token = sign + "9" * digits
    got = extract_json(f'{{"a": {token}{tail}}}').value["a"]
    wanted = -(10**digits - 1) if sign else 10**digits - 1
    assert isinstance(got, int)
    assert got == wanted


@pytest.mark.parametrize("digits", [4_301, 5_000, 60_000])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("form", ['{{"a": {0}}}', '{{"a": {0},}}', '{{"a": [1, {0}]}}', "Segue: [[{0}]]", "{{a: {0}}}"])
def test_integer_when_python_could_not_print_it_then_stays_text_and_is_named(digits, sign, form):
    """Past Python's own 4,300 digits the text is the exact value: str, json.dumps and orjson all write it."""
    token = sign + "7" * digits
    got = extract_json(form.format(token))
    assert token in str(got.value)
    assert token in json.dumps(got.value)
    assert token.encode() in orjson.dumps(got.value)
    assert K.LONG_INTEGER in {repair.kind for repair in got.repairs}


def test_deep_nesting_when_beyond_the_cap_then_is_refused_without_an_error():
    """Nesting has an explicit cap."""
    assert extract_json("[" * 900 + "]" * 900).value is not None
    assert extract_json('{"a":' * 5_000 + "1,").value is None


def test_extraction_when_imported_then_brings_in_no_heavy_library():
    """Importing the reader loads none of the training stack."""
    code = "import sys, rewards.extraction; print([m for m in ('torch','transformers','pydantic') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
