"""Properties of the JSON reader over generated documents and arbitrary text."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewards.extraction import Extraction, as_number, extract_json
from rewards.extraction.repairs import RepairKind

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

STRINGS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
PLAIN_STRINGS = st.text("abcçãé XYZ 0123456789.,:;!?()-_/%$", max_size=20)
NUMBERS = st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | STRINGS


def documents(scalars: st.SearchStrategy, keys: st.SearchStrategy) -> st.SearchStrategy:
    values = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )
    return st.dictionaries(keys, values, min_size=1, max_size=5)


DOCUMENTS = documents(SCALARS, STRINGS)
# Keys as configurations have them, for what must survive repair.
NAMES = st.from_regex(r"[a-zçã][a-z_]{0,8}", fullmatch=True)
PLAIN_DOCUMENTS = documents(st.none() | st.booleans() | st.integers(-9999, 9999) | PLAIN_STRINGS, NAMES)


def is_prefix_of(part: object, whole: object) -> bool:
    """True where `part` could be what is left of `whole` when the text ended early."""
    if part is None or part == whole:
        return True
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_prefix_of(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(is_prefix_of(a, b) for a, b in zip(part, whole, strict=False))
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part) or whole.encode("utf-16-le", "surrogatepass").startswith(
            part.encode("utf-16-le", "surrogatepass")
        )
    if isinstance(part, bool) or isinstance(whole, bool):
        return False
    return isinstance(part, int | float) and isinstance(whole, int | float)


@EXAMPLES
@given(DOCUMENTS, st.sampled_from([None, 1, 4]), st.booleans())
def test_valid_text_when_read_then_equals_json_loads_without_repairs(document, indent, ascii_only):
    """Strict JSON is read exactly as the standard library reads it."""
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    got = extract_json(text)
    assert got == Extraction(json.loads(text), (), False, (0, len(text)), 1, 1.0)


@EXAMPLES
@given(DOCUMENTS, st.data())
def test_prefix_of_valid_text_when_read_then_value_is_a_prefix(document, data):
    """Cutting a valid text anywhere never invents a key, an element or another value."""
    text = json.dumps(document, ensure_ascii=False)
    cut = data.draw(st.integers(1, len(text) - 1))
    got = extract_json(text[:cut])
    assert got.value is not None
    assert got.truncated
    assert is_prefix_of(got.value, json.loads(text)), (text[:cut], got.value)


@pytest.mark.parametrize("cut", range(40, 61))
def test_prefix_when_a_key_holds_a_quote_and_a_colon_then_the_key_is_whole(cut):
    """A single quote and a colon inside a double-quoted key do not end the key, wherever the text is cut off."""
    document = {"": [[], {"": None, "0": 100000000000004, "0':": "\x1f"}]}
    got = extract_json(json.dumps(document, ensure_ascii=False)[:cut])
    assert got.truncated
    assert is_prefix_of(got.value, document)
    assert [repair.kind for repair in got.repairs] == [RepairKind.CUT]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("""{"sep': ":"}""", {"sep": ":"}),
        ("""{"a': "b", "c': ":", "d": 2}""", {"a": "b", "c": ":", "d": 2}),
    ],
)
def test_key_when_its_quotes_do_not_match_then_it_ends_at_the_second(text, value):
    """Where strict reading would run the value to the end of the text, the quotes are taken for misquoted."""
    assert extract_json(text).value == value


WRAPPERS = [
    "Aqui está o resultado:\n{}\nEspero ter ajudado!",
    "{} é a resposta.",
    "```json\n{}\n```",
    "Claro.\n\n```\n{}\n```\nQualquer dúvida, avise.",
    '<think>\nO cliente parece {{feliz}}. Rascunho: {{"nota": 0}}\n</think>\n{}',
    'pensando em {{"a": 0}} ...\n</think>\n\n```json\n{}\n```',
    "<answer>{}</answer>",
    "Nota [1]: veja {{campo}}.\n\n{}",
]


@EXAMPLES
@given(DOCUMENTS, st.sampled_from(WRAPPERS), st.sampled_from([None, 2]))
def test_wrapped_text_when_read_then_value_is_unchanged(document, wrapper, indent):
    """Prose, fences, tags and reasoning around a valid document leave its value alone."""
    text = json.dumps(document, indent=indent)
    got = extract_json(wrapper.format(text.replace("</think>", "<\\/think>").replace("<think>", "\\u003cthink>")))
    assert got.value == document
    assert not got.truncated


@EXAMPLES
@given(
    documents(st.integers(-99, 99) | st.floats(-1e6, 1e6, allow_nan=False) | PLAIN_STRINGS, NAMES),
    st.sampled_from([None, 1]),
)
def test_decimals_of_members_when_written_with_commas_then_value_is_unchanged(document, indent):
    """A document whose members' decimals carry a comma reads as the one with points; its lists keep their points."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    brazilian = re.sub(r'("(?:[^"\\]|\\.)*":\s*-?\d+)\.(\d+)(?![\d.eE])', r"\1,\2", text)
    assert extract_json(brazilian).value == document


@EXAMPLES
@given(PLAIN_DOCUMENTS)
def test_python_repr_when_read_then_value_is_unchanged(document):
    """The repr of a document reads as the document."""
    assert extract_json(repr(document)).value == document


def _with_trailing_commas(text: str) -> str:
    return re.sub(r'("(?:[^"\\]|\\.)*")|(?<![\[{])(?=[}\]])', lambda found: found[1] or ",", text)


FAULTS = {
    "trailing commas": _with_trailing_commas,
    "comments": lambda text: text.replace("\n", " // nota: {x}, [1]\n"),
    "block comments": lambda text: text.replace("\n", " /* 4,5 } */\n"),
    "bare keys": lambda text: re.sub(r'(?m)^(\s*)"([a-zçã_]+)":', r"\1\2:", text),
    "smart quotes": lambda text: re.sub(r'"((?:[^"\\]|\\.)*)"', r"“\1”", text),
    "semicolons": lambda text: re.sub(r",(?=\n)", ";", text),
    "missing commas": lambda text: re.sub(r",(?=\n)", "", text),
    "equals signs": lambda text: re.sub(r'(?m)^(\s*"[a-zçã_]+"):', r"\1 =", text),
}


@EXAMPLES
@pytest.mark.parametrize("fault", FAULTS)
@given(document=PLAIN_DOCUMENTS)
def test_document_when_given_one_kind_of_fault_then_value_is_unchanged(fault, document):
    """One kind of slip all over a document changes nothing that is read."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    assert extract_json(FAULTS[fault](text)).value == document


JSONISH = st.text(
    st.sampled_from(list("{}[]()\"'“”,:;.0123456789-+eE \n\tabtrufalsenN\\/*#`~<>|$%R=…\u200b\ud83d")), max_size=80
)
PIECES = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "[",
            "]",
            '"a"',
            ":",
            ",",
            "1",
            "4,5",
            '"x',
            "1.234,56",
            "<think>",
            "</think>",
            "```",
            "```json\n",
            "//",
            "/*",
            "*/",
            "true",
            "nulo",
            '\\"',
            "\\",
            "'",
            "{{",
            "}}",
            "...",
            "R$",
            "NaN",
            "\n",
            "“",
            "(",
            ")",
            "Decimal(",
            "final",
            "&quot;",
        ]
    ),
    max_size=30,
).map(" ".join)


@settings(max_examples=600, deadline=None)
@given(st.text() | JSONISH | PIECES, st.booleans())
def test_any_text_when_read_then_nothing_is_raised_and_the_result_is_sound(text, strict):
    """No text raises; the span, the places and the confidence stay within their ranges."""
    got = extract_json(text, strict=strict, expect_keys=("a",))
    assert got.value is None or isinstance(got.value, dict | list)
    assert 0.0 <= got.confidence <= 1.0
    assert (got.confidence == 0.0) == (got.value is None)
    assert all(0 <= repair.place <= len(text) for repair in got.repairs)
    if got.value is not None:
        assert 0 <= got.span[0] <= got.span[1] <= len(text)
    if strict:
        assert not any(repair.kind.structural for repair in got.repairs)
    number = as_number(text)
    assert number is None or isinstance(number, int | float)
