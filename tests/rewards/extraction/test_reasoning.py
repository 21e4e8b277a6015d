"""The cut between reasoning and answer."""

import random

import pytest

from rewards.extraction.reasoning import TAG, ReasoningStyle, list_tags, split_reasoning
from rewards.types import Completion
from tests.timing import at_most


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Olá", "Olá"),
        ("", ""),
        ("<think>\nhm\n</think>\n\nOlá", "Olá"),
        ("hm</think>Olá", "Olá"),
        ("<THINK>hm</Think>Olá", "Olá"),
        ("<thinking>hm</thinking> Olá", " Olá"),
        ("<reasoning>hm</reasoning>Olá", "Olá"),
        ("<analysis>hm</analysis>Olá", "Olá"),
        ('<thinking budget="low">hm</thinking>Olá', "Olá"),
        ("<raciocínio>hm</raciocínio>Olá", "Olá"),
        ("[THINK]hm[/THINK]Olá", "Olá"),
        ("◁think▷hm◁/think▷Olá", "Olá"),
        ("<|START_THINKING|>hm<|END_THINKING|>Olá", "Olá"),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Olá", "Olá"),
        ("<|channel>thought\nhm<channel|>Olá", "Olá"),
        ("<think>a</think>x</think>Olá", "Olá"),
        ("<think>a<think>b</think>c</think>Olá", "Olá"),
        ("Olá <thinker> a </thinker>", "Olá <thinker> a </thinker>"),
        ("a < b e [x] > c", "a < b e [x] > c"),
    ],
)
def test_split_reasoning_when_a_tag_is_known_then_the_answer_follows_its_end(text, answer):
    """Every reader knows the same tags, in any case, with or without the opening one."""
    assert Completion(text).answer == answer
    assert Completion(text).text == text


@pytest.mark.parametrize("text", ["<think>Olá", "<Reasoning>\nOlá", "<think>a</think>b<think>Olá", "Olá<analysis>"])
def test_split_reasoning_when_it_never_ends_then_the_answer_is_empty(text):
    """A policy that was cut off while it reasoned has not answered."""
    split = split_reasoning(text)
    assert (split.reasoning, split.answer, split.unclosed) == (text, "", True)


@pytest.mark.parametrize(
    "answer",
    [
        '{"text": "</think>", "n": 1}',
        '{"text": "a <think> b", "n": 1,}',
        '{"text": "<think>y</think>"}',
        '{"<think>": [1, "<analysis>"]}',
        "{'text': '</think>'}",
        '{"text": "diz \\"<think>\\" e mais"}',
        '```json\n{"text": "</reasoning>"}\n```',
    ],
)
def test_split_reasoning_when_a_tag_stands_in_a_json_string_then_it_is_content(answer):
    """An answer may speak of tags, alone or after real reasoning."""
    assert Completion(answer).answer == answer
    assert Completion(f"<think>hm</think>\n{answer}").answer == answer


@pytest.mark.parametrize(
    "reasoning", ['{"a": 0}', '{"a": 0', '"aspas sem fechar', '{"a": "sem fechar', 'vou {"a": "x"} ou', "a: 'b', c"]
)
def test_split_reasoning_when_it_holds_json_itself_then_its_end_is_still_seen(reasoning):
    """Quotes that open in the reasoning and close in the answer hide no tag."""
    for text in (f'<think>{reasoning}</think>{{"a": 1}}', f'{reasoning}\n</think>\n\n{{"a": 1}}'):
        assert Completion(text).answer == '{"a": 1}'


def test_split_reasoning_when_the_prompt_opened_it_then_only_a_closing_tag_ends_it():
    """Without `</think>` a text after a prompt that ends in `<think>` is all reasoning."""
    style = ReasoningStyle(opened=True)
    assert split_reasoning('talvez {"a": 1}', style) == ('talvez {"a": 1}', "", True)
    assert Completion("hm</think>\n\nOlá", style=style).answer == "Olá"
    assert Completion('talvez {"a": 1}', style=style).extraction.value is None


def test_split_reasoning_when_a_model_has_tags_of_its_own_then_they_count_beside_the_others():
    """What a template writes around its reasoning is known to no reader beforehand."""
    style = ReasoningStyle(tags=(("<|cogito|>", "<|ergo|>"),))
    text = '<|cogito|>{"a": 0}<|ergo|>\n{"a": 1}'
    assert Completion(text).answer == text
    completion = Completion(text, style=style)
    assert completion.answer == '{"a": 1}'
    assert completion.extraction.value == {"a": 1}
    assert text[slice(*completion.extraction.span)] == '{"a": 1}'
    assert Completion("<think>a</think>Olá", style=style).answer == "Olá"


@pytest.mark.parametrize(
    "unit",
    [
        "<think>",
        "</think>",
        "<think></think>",
        "<",
        "[",
        '"',
        ',"',
        ':"\\',
        ', "a',
        "'",
        "{ ",
        "<think ",
        "<|channel|>",
        "[THINK",
    ],
)
def test_split_reasoning_when_text_is_hostile_then_time_is_linear(unit):
    """A million tags are read in about the time their characters take."""
    text = "<think>" + unit * 400_000
    with at_most(2.0):
        split_reasoning(text)


def test_completion_when_stored_and_read_again_then_keeps_how_it_reasons():
    """A row says so only where the text alone would not tell the answer."""
    from rewards.host.records import make_record
    from rewards.host.verdicts import ScoredCompletion
    from rewards.types import Example

    example = Example("1", "t", [], "Olá")
    style = ReasoningStyle(True, (("<|cogito|>", "<|ergo|>"),))
    row = make_record(ScoredCompletion(example, Completion("hm<|ergo|>Olá", style=style), (), None))
    assert Completion.from_row(row).answer == "Olá"
    plain = make_record(ScoredCompletion(example, Completion("Olá"), (), None))
    assert "reasoning" not in plain and Completion.from_row(plain).answer == "Olá"
    assert Completion.from_row({"completion": "Olá", "reasoning": "odd"}).answer == "Olá"


def test_list_tags_when_compared_with_the_whole_pattern_then_finds_the_same():
    """Only places where a tag can begin are tried; none is lost, in any case, nor found within another."""
    draw = random.Random(8)
    pieces = ("<think>", "</think>", "<|Think|>", "[THINK]", "[/reasoning]", "◁think▷", "◁/think▷", "<ſcratchpad>", "<|channel|>final", "[true, 1]",
              "<", "[", "think>", '{"a": [1, "<b>"]}', "<|START_THINKING|>", "<reasoning effort=3>", "\n", " x ")  # fmt: skip
    for _ in range(400):
        text = "".join(draw.choices(pieces, k=draw.randint(1, 12)))
        whole = [(tag.start(), tag.end(), tag["close"] is not None) for tag in TAG.finditer(text)]
        assert list_tags(text) == whole, text
