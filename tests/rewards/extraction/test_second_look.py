"""Remarks in foreign marks, members without braces or colons, and what stands around an answer."""

from __future__ import annotations

import pytest

from rewards.extraction import extract_json
from rewards.extraction.repairs import RepairKind

REMARKS = ["; x", "% x", "(* x *)", "{# x #}", "<%-- x --%>", "--[[ x ]]", "<- x", "(x)", "% nota: 3", "(* a, b *)"]


@pytest.mark.parametrize("mark", REMARKS)
@pytest.mark.parametrize(
    ("form", "value"),
    [
        ('{\n  "nota": 4, MARK\n  "texto": "bom",\n  "ok": true MARK\n}', {"nota": 4, "texto": "bom", "ok": True}),
        ('{\n  MARK\n  "nota": 4,\n  "texto": "bom"\n}', {"nota": 4, "texto": "bom"}),
        ("[\n  1, MARK\n  2, MARK\n  3 MARK\n]", [1, 2, 3]),
        ('{"a": ["x", MARK\n "y"], "b": "z" MARK\n}', {"a": ["x", "y"], "b": "z"}),
    ],
)
def test_remarks_when_in_the_marks_of_other_languages_then_they_are_left_out(form, mark, value):
    """LaTeX's, Lisp's, Pascal's, Lua's and templates' remarks say nothing of the value, which has a repair for them."""
    reading = extract_json(form.replace("MARK", mark))
    assert reading.value == value
    assert any(repair.kind is RepairKind.COMMENT for repair in reading.repairs)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 5 % da meta, "b": 1}', {"a": "5 % da meta", "b": 1}),
        ('{\n  "a": 4 (de 5),\n  "b": 1\n}', {"a": "4 (de 5)", "b": 1}),
        ('{\n "a": 1; "b": 2\n}', {"a": 1, "b": 2}),
        ('{"a": "x % y", "b": "z ; w", "c": "(* v *)",}', {"a": "x % y", "b": "z ; w", "c": "(* v *)"}),
    ],
)
def test_remarks_when_the_marks_may_belong_to_a_value_then_they_are_kept(text, value):
    """A mark behind a number, in a text or before a member opens no remark."""
    assert extract_json(text).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a 'b'}", {"a": "b"}),
        ('{a "b", c 1}', {"a": "b", "c": 1}),
        ("a: 1, b: 2", {"a": 1, "b": 2}),
        ('Segue:\n\n"a": 1, "b": 2}', {"a": 1, "b": 2}),
        ("A resposta final é [10, 20].", [10, 20]),
        ("[1, 2, 3] is the answer", [1, 2, 3]),
        ("Como em [1, 2], a nota é boa.", None),
        ("Nota: 4", None),
        ("início: cedo, fim: tarde", None),
        ("[azul, verde]\n\nEspero ter ajudado.", ["azul", "verde"]),
        ("Resposta:\n\n[1, 2], [3, 4]\n\nFim.", [[1, 2], [3, 4]]),
        ('{"0": "}', {"0": "}"}),
        ('{"a": "b}\n\nEspero ter ajudado!', {"a": "b"}),
        ('{"a": "x"]\n\nEspero ter ajudado!', {"a": "x"}),
        ("[[1, 2], [3, 4]\n\nEspero ter ajudado. Se precisar, avise.", [[1, 2], [3, 4]]),
        ('{"a": 1} // antes {"b": 2}\n', {"a": 1}),
        ('{"a": "x" e "b": 2}', {"a": "x", "b": 2}),
        ('{"a": 1, "b": 4,5<|im_end|>', {"a": 1, "b": 4.5}),
        ('{"a": 5+, "b": 1}', {"a": "5+", "b": 1}),
        ("{'a': np.nan, 'b': 1}", {"a": None, "b": 1}),
    ],
)
def test_text_when_its_structure_is_said_in_words_or_lost_then_it_is_read(text, value):
    """Lists that a sentence names, members without braces or colons, and what stands behind a value that was not closed."""
    assert extract_json(text).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}\n\nUser: e agora?\nAssistant: {"b": 2}', {"a": 1}),
        ('User: {"x": 9}\nAssistant: {"a": 1}', {"a": 1}),
        ('1. Li o texto.\n2. Extraí os campos.\n\n{"a": 6} (antes era {"a": 5})', {"a": 6}),
        ('Ignore o exemplo.\n\n{"a": 5}\n\n{"a": 6, "b": 1} é a resposta', {"a": 6, "b": 1}),
        ('<think>hmm</think>{"a": 1}\n{"a": 2}\n{"a": 3}', [{"a": 1}, {"a": 2}, {"a": 3}]),
    ],
)
def test_choice_when_turns_lists_and_reasoning_stand_before_it_then_the_answer_wins(text, value):
    """A conversation that goes on, a list of steps and a tag on the answer's line change nothing about the answer."""
    assert extract_json(text).value == value


@pytest.mark.parametrize(
    "text",
    [
        'Segue:\n\n"a": [1, 2], "b": {"c": "x"}, "d": null}',
        'Resultado final:\n  "a": [\n    1,\n    2\n  ],\n  "b": {\n    "c": "x"\n  },\n  "d": null\n}',
        '<think>hmm</think>\n"a": [1, 2], "b": {"c": "x"}, "d": null}',
        'Here it is:\n\n"d": null, "a": [1, 2], "b": {"c": "x"}}\n',
    ],
)
def test_members_when_their_opening_brace_is_missing_behind_prose_then_no_inner_value_is_the_answer(text):
    """What stands behind a key is a part of the answer, however well it is formed."""
    assert extract_json(text).value == {"a": [1, 2], "b": {"c": "x"}, "d": None}


@pytest.mark.parametrize(
    "between",
    [
        "\n\nWait, that is wrong.\n\n",
        "\n\nEspera, isso está errado.\n\n",
        "\n\nOops, I made a mistake.\n\n",
        " está errado. ",
        "\n\nErrei. ",
    ],
)
def test_choice_when_words_call_the_value_before_them_wrong_then_the_next_one_wins(between):
    """The words stand before the right value and are about the wrong one; in an answer's tags too."""
    text = f'{{"a": 2}}{between}{{"a": 1}}'
    assert extract_json(text).value == {"a": 1}
    assert extract_json(f"<answer>\n{text}\n</answer>").value == {"a": 1}


def test_text_when_code_in_it_has_quotes_and_braces_then_it_ends_at_its_last_quote():
    """A semicolon and a brace behind a quote are code where another quote follows."""
    code = 'if (a == "b") { return "c"; }'
    assert extract_json(f'{{"code": "{code}", "n": 1}}').value == {"code": code, "n": 1}


def test_member_when_bare_on_the_line_behind_a_text_then_is_no_part_of_the_text():
    """The first bare key of an object, with a bare value, on a line of its own."""
    text = '{\n  "a": {\n    "t": "fone João",\n    latency_ms: entrega\n  },\n  "b": "x"\n}'
    assert extract_json(text).value == {"a": {"t": "fone João", "latency_ms": "entrega"}, "b": "x"}
