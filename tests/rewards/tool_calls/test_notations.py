"""Calls in the notations of many models, between words, tags and reasoning: what is read, and what only looks like a call."""

from __future__ import annotations

import json

import pytest

from rewards.extraction.reasoning import ReasoningStyle
from rewards.functions.tool_call import ToolCall
from rewards.host.scoring import RewardHost
from rewards.tool_calls.dialects import read_calls
from rewards.types import Completion, Example
from tests.timing import at_most

ONE = '{"name": "clima", "arguments": {"cidade": "Recife", "dias": 3}}'
TWO = '{"name": "hora", "arguments": {"fuso": "BRT"}}'


def score_of(text: str, reference: str | None, **columns: object):
    with RewardHost([ToolCall()]) as host:
        (scored,) = host.score([(Example("1", "any", [], reference, columns), Completion(text))])
    return scored.outcomes[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[f(a='Martha\\'s', b=[1, 2.5], c={'k': None}), g()]", [("f", {"a": "Martha's", "b": [1, 2.5], "c": {"k": None}}), ("g", {})]),
        ("<function_calls>f(a=null, b=true)\ng()</function_calls>", [("f", {"a": None, "b": True}), ("g", {})]),
        ("<|tool_call_start|> [a.f(x={'u', 'v'}, day=07)]<|tool_call_end|>\nVou ver.", [("a.f", {"x": ["u", "v"], "day": 7})]),
        ("```tool_code\nprint(f(a='x'))\n```", [("f", {"a": "x"})]),
        ('[TOOL_CALLS]f[CALL_ID]abc123def[ARGS]{"a": 1}[TOOL_CALLS]g{"b": 2}', [("f", {"a": 1}), ("g", {"b": 2})]),
        ('[TOOL_CALLS] [{"arguments": {"name": "Ana"}, "name": "f"}]\nfim', [("f", {"name": "Ana"})]),
        ('<｜tool▁calls▁begin｜>function<｜tool▁sep｜>f\n```json\n{"a": 1}\n```<｜tool▁calls▁end｜>', [("f", {"a": 1})]),
        ('<|tool_call_begin|>functions.f:0 <|tool_call_argument_begin|>{"a": 1} <|tool_call_end|>', [("f", {"a": 1})]),
        ("<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n</tool_call><tool_call>agora\n</tool_call>", [("f", {"a": "x"}), ("agora", {})]),
        ('<minimax:tool_call><invoke name="f"><parameter name="a">  x\n</parameter></invoke></minimax:tool_call>', [("f", {"a": "  x\n"})]),
        ('<function name="f"><param name="a">1</param></function>', [("f", {"a": "1"})]),
        (
            '<|channel|>analysis<|message|>uso {"name": "no", "arguments": {}}<|end|><|start|>assistant to=functions.f<|channel|>commentary json'
            '<|message|>{"a": 1}<|call|>',
            [("f", {"a": 1})],
        ),
        ("<start_function_call>call:f{a:<escape>x, y<escape>,b:[1,true]}<end_function_call>", [("f", {"a": "x, y", "b": [1, True]})]),
        ('Thought: hm\nAction: f\nAction Input: {"a": 1}\nObservation:', [("f", {"a": 1})]),
        ('Action:\n```json\n{"action": "f", "action_input": {"a": 1}}\n```', [("f", {"a": 1})]),
        ('{"tool_uses": [{"recipient_name": "functions.f", "parameters": {"a": 1}}]}', [("f", {"a": 1})]),
        ('{"name": "f", "parameters": {"q": "a"}}; {"name": "g", "parameters": {}} mais?', [("f", {"q": "a"}), ("g", {})]),
        ("```tool_code\nprint(default_api.f(a='x', b=2))\n```", [("f", {"a": "x", "b": 2})]),
        ('functions.f({"a": 1})', [("f", {"a": 1})]),
        ('✿FUNCTION✿: f\n✿ARGS✿: {"a": 1}', [("f", {"a": 1})]),
        ('<think>hm</think>\nget_weather\n{"a": 1}', [("get_weather", {"a": 1})]),
        ('{"tool_name": "f", "tool_arguments": {"a": 1}}', [("f", {"a": 1})]),
        ('<|python_tag|>busca.call(query="x")', [("busca", {"query": "x"})]),
        ("<|tool_call_start|>[]<|tool_call_end|>", []),
        ("Chame f(a=1) quando quiser.", []),
    ],
)  # fmt: skip
def test_read_calls_when_models_write_in_their_own_notation_then_are_read(text, expected):
    """Nothing of it is a repair."""
    found = read_calls(text)
    assert [(call.name, call.arguments) for call in found.calls] == expected
    assert found.broken == 0 and all(call.clean and not call.repaired for call in found.calls)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"<reasoning>talvez <tool_call>\n{ONE.replace('Recife', 'Olinda')}\n</tool_call></reasoning><tool_call>\n{ONE}\n</tool_call>", 1.0),
        (f'{ONE}\n\nRetorno provável: {{"temp": 31}}', 1.0),
        (f"Uso {{clima}} e digo: {ONE}", 1.0),
        (f"{ONE} e também {TWO}", pytest.approx((0.2 * 2 / 3 + 0.5 * 0.8 + 0.3 * 2 / 3) / 2)),
    ],
)  # fmt: skip
def test_tool_call_when_calls_stand_between_words_then_words_cost_nothing(text, value):
    """Drafts in reasoning do not count, a call too many does."""
    assert score_of(text, ONE).value == value


def test_tool_call_when_two_calls_stand_between_words_then_both_are_read():
    """Each object is read where it stands."""
    assert score_of(f"Claro!\n\n{ONE}\n\ne também vou conferir\n\n{TWO}", f"[{ONE}, {TWO}]").value == 1.0


@pytest.mark.parametrize(
    ("reference", "text", "most"),
    [
        ('<function=clima>{"dias": 3}</function>', '<function=clima>{"dias": 9}</function>', 0.3),
        ('[TOOL_CALLS]buscar[ARGS]{"name": "Ana"}', '[TOOL_CALLS]apagar[ARGS]{"name": "Ana"}', 0.0),
        ('{"name": "f", "arguments": {"id": 4821345678901}}', '{"name": "f", "arguments": {"id": 4821345678902}}', 0.3),
        (
            '{"name": "f", "arguments": {"id": 9007199254740993}}',
            '{"name": "f", "arguments": {"id": 9007199254740992}}',
            0.3,
        ),
        ('{"name": "agora", "arguments": {}}', '{"name": "ontem", "arguments": {}}', 0.0),
        (
            '{"name": "f", "arguments": {"a": [1, 2, 3]}}',
            "<function=f><parameter=a>[1, 2, 4]</parameter></function>",
            0.6,
        ),
    ],
)
def test_tool_call_when_another_call_is_made_then_is_not_paid_as_this_one(reference, text, most):
    """What two readings drop alike must not make them equal."""
    assert ToolCall().problems(Example("1", "any", [], reference)) == []
    outcome = score_of(text, reference)
    assert outcome.value <= most and all(0 <= part <= 1 for part in outcome.parts.values())


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('Não preciso. Cadastro: {"name": "Ana", "idade": 3}', True),
        ('{"name": "Ana"}', True),
        ("Digo `f(a=1)` e mais nada.", True),
        ("<tool_call></tool_call>", False),
        ("<my_tool_call>f</my_tool_call>", False),
        ("[TOOL_CALLS]", False),
        ("[f(a=1)]", False),
        ('{"type": "function", "function": {"name": "f"}}', False),
        ("<invoke>\n<tool_name>f</tool_name>\n</invoke>", False),
    ],
)
def test_tool_call_when_nothing_is_to_be_called_then_only_what_looks_like_a_call_fails(text, right):
    """A record with a name calls nothing."""
    assert score_of(text, "[]").value == float(right)


def test_tool_call_when_a_notation_is_unknown_then_the_reason_and_the_problem_name_it():
    """Neither paid nor passed over in silence."""
    text = "<call-tool>f</call-tool>"
    assert "<call-tool>" in score_of(text, ONE).reason
    assert "<call-tool>" in ToolCall().problems(Example("1", "any", [], text))[0]
    assert ToolCall().problems(Example("1", "any", [], 'nome {"name": "Ana"}'))


def test_tool_call_when_several_answers_are_allowed_then_the_best_counts():
    """As calls, as texts, and as BFCL writes them; an optional argument may be left out."""
    allowed = [json.loads(ONE.replace("Recife", "Olinda")), f"<tool_call>{TWO}</tool_call>", "[]"]
    for text in (ONE, ONE.replace("Recife", "Olinda"), TWO, "Nada a fazer."):
        assert score_of(text, ONE, references=allowed).value == 1.0
    assert score_of(ONE.replace("Recife", "Natal"), ONE, references=allowed).value < 1.0
    possible = [[{"rota": {"de": ["Recife", "REC"], "unidade": ["km", ""], "n": [2, 3]}}]]
    for arguments in ({"de": "REC", "n": 3}, {"de": "recife", "unidade": "km", "n": 2.0}):
        for text in (
            json.dumps({"name": "rota", "arguments": arguments}),
            f"[rota({', '.join(f'{k}={v!r}' for k, v in arguments.items())})]",
        ):
            assert score_of(text, None, references=possible).value == 1.0, text
    for arguments in ({"de": "Natal", "n": 3}, {"n": 3}, {"de": "REC", "n": 4}, {"de": "REC", "n": 3, "x": 1}):
        assert score_of(json.dumps({"name": "rota", "arguments": arguments}), None, references=possible).value < 1.0
    assert ToolCall().problems(Example("1", "any", [], None, {"references": possible})) == []
    both = [{"f": {"a": [1, 2]}}, {"g": {"b": ["x"]}}]
    assert score_of("[f(a=2), g(b='x')]", None, references=both).value == 1.0
    assert score_of("[f(a=2)]", None, references=both).value < 1.0
    assert score_of("[f(a=2), g(b='x')]", json.dumps(both)).value == 1.0
    assert (
        "references[1]" in ToolCall().problems(Example("1", "any", [], None, {"references": [possible[0], "Olá"]}))[0]
    )


@pytest.mark.parametrize(
    "unit",
    [
        "<tool_call>", '<tool_call>{"name": "f", ', "<parameter=a>", "<parameter=a>x</parameter>", "<function=f>", '<invoke name="f">',
        "<tool_call>f<arg_key>a</arg_key><arg_value>x", 'f(a="""', "[f(a=[", '{"a":{', "[[[{", "{'a':'", "Action: f\nAction Input: {",
        "to=functions.f {", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{", "[TOOL_CALLS]f{", "call:f{a:<escape>", "<|tool_call>call:f{a:", "[CALL_",
        "</parameter>", "<think>", "</think>", "<my_tool_",
    ],
)  # fmt: skip
def test_tool_call_when_a_megabyte_of_marks_is_written_then_is_read_in_time(unit):
    """Nothing that opens and never closes is looked for again and again."""
    text = unit * (1_000_000 // len(unit))
    with at_most(1.0):
        assert score_of(text, ONE).status == "value"


def test_problems_when_a_reference_cannot_be_earned_then_says_so():
    """An argument with two values equals nothing; members around the call are the row's own."""
    twice = '{"name": "f", "arguments": {"a": 1, "a": 2}}'
    assert "two values" in ToolCall().problems(Example("1", "any", [], twice))[0]
    kept = '{"thought": "hm", "name": "f", "arguments": {"a": 1}}'
    assert ToolCall().problems(Example("1", "any", [], kept)) == []
    assert score_of(kept, kept).value == score_of('{"name": "f", "arguments": {"a": 1}}', kept).value == 1.0


def test_tool_call_when_the_prompt_has_opened_the_reasoning_then_only_what_follows_it_counts():
    """The completion knows how its model reasons."""
    style = ReasoningStyle(opened=True, tags=(("<pense>", "</pense>"),))
    row = Example("1", "any", [], ONE)
    for text, value in ((f"talvez {TWO}</pense>{ONE}", 1.0), (f"talvez {ONE}", 0.0), (f"{TWO}</think>{ONE}", 1.0)):
        assert ToolCall()(row, Completion(text, style=style)).value == value


_WEATHER = '{"name": "get_weather", "arguments": {"city": "Recife", "days": 3}}'
_ARGUMENTS = '{"city": "Recife", "days": 3}'


@pytest.mark.parametrize(
    "text",
    [
        f'{{"reasoning": "they ask for the weather", "name": "get_weather", "arguments": {_ARGUMENTS}}}',
        f'{{"thought": null, "tool_call": {_WEATHER}}}',
        f'{{"toolUse": {{"toolUseId": "t1", "name": "get_weather", "input": {_ARGUMENTS}}}}}',
        f'{{"actions": [{_WEATHER}]}}',
        f'{{"api": "get_weather", "parameters": {_ARGUMENTS}}}',
        f'{{"get_weather": {_ARGUMENTS}}}',
        f'[{{"get_weather": {_ARGUMENTS}}}]',
        f'<tool name="get_weather">{_ARGUMENTS}</tool>',
        f"<use_tool><name>get_weather</name><arguments>{_ARGUMENTS}</arguments></use_tool>",
        f"<tool_call>\n<name>get_weather</name>\n<arguments>{_ARGUMENTS}</arguments>\n</tool_call>",
        'await get_weather(city="Recife", days=3)',
        'get_weather(city="Recife", days=3)  # three days',
        '1. get_weather(city="Recife", days=3)',
        'Action: get_weather(city="Recife", days=3)',
        'Call: get_weather(city="Recife", days=3).',
    ],
)
def test_tool_call_when_a_call_is_written_as_agents_of_other_frameworks_do_then_earns_everything(text):
    """A remark beside the call, a wrapper, a key that is the name, tags of three kinds, a line with a lead or a comment."""
    score = ToolCall()(Example("1", "default", [], _WEATHER), Completion(text))
    assert (score.value, score.reason) == (1.0, "")


@pytest.mark.parametrize(
    "text",
    ['{"cliente": {"nome": "Ana"}}', '[{"pedido": {"id": 3}}]', '{"api": "rest"}', "Veja a lista:\n1. Recife (PE)."],
)
def test_tool_call_when_no_call_is_asked_then_a_record_of_one_key_is_none(text):
    """`{"f": {...}}` is a call only where f is asked for."""
    assert ToolCall()(Example("1", "default", [], "[]"), Completion(text)).value == 1.0


def test_tool_call_when_a_reference_is_a_record_of_one_key_then_it_is_a_problem():
    """The audit says so before a run, rather than taking the key for a function."""
    assert ToolCall().problems(Example("1", "default", [], '{"cliente": {"nome": "Ana"}}'))
