"""A corpus of tool calls with known scores: calls drawn at random, written in every dialect, framed, and then spoilt."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from rewards.tool_calls.rendering import DIALECTS, render_calls

IN_TAGS = ("qwen3_coder", "invoke", "minimax_m2", "step3", "glm4", "deepseek_v32")
"""Dialects that write texts between tags as they are, so that not every text can be told from what is around it."""

_NAMES = ("get_weather", "math.hypot", "search-flights", "create_order", "fn", "functions.zero", "enviar_email")
_KEYS = ("city", "order_id", "unit", "when", "items", "filters", "note", "flag", "limit", "name", "input", "type")
_PLAIN = (
    "Recife", "São Paulo, SP", "3", "007", "true", "None", "null", "12,5", "R$ 1.234,56", "2026-01-31T10:00:00Z", "",
    "duas\nlinhas", "aspas \"duplas\" e 'simples'", "barra \\ e \\n", "emoji 🎉 北京", "a=b; c(d)", "f(x=1)", "[1, 2", "{}",
    "https://a.b/c?d=e&f=[g]", "<b>negrito</b>", "1 < 2 > 0", "x" * 300,
)  # fmt: skip
_NASTY = (
    "feche com </tool_call> sempre", "o </think> fecha", "<think>talvez", "```json\n{\"a\": 1}\n```", "<tool_call>",
    "<function=f><parameter=x>1</parameter></function>", "diz {\"name\": \"g\", \"arguments\": {}}", "[TOOL_CALLS]",
    "<|python_tag|>", "<|channel|>final<|message|>", "</parameter>", "Action: f\nAction Input: {}", "<|call|>", "</function>",
    "[/INST] <reasoning>x</reasoning>",
)  # fmt: skip
_NUMBERS = (0, 1, -7, 3, 48213, 4821345678901, 9007199254740993, 2**70 + 1, 0.5, -12.25, 1e-7, 3.0, 1234.56)
_FRAMES = (
    "{}", "Vou verificar.\n{}", "{}\n\nPronto, já chamei.", "<think>talvez {{\"name\": \"no\", \"arguments\": {{}}}}</think>\n{}",
    "Claro! Veja:\n\n{}\n", "pensando em <tool_call>... não</think>{}", "<reasoning>\nhm\n</reasoning>\n\n{}",
)  # fmt: skip
_CHAT = (
    "Não preciso de ferramenta.", "Cadastro: {\"name\": \"Ana\", \"idade\": 3}", "{\"name\": \"Ana\"}", "A soma f(2) dá 4.",
    "```python\nprint(1)\n```", "[1, 2, 3]", "{\"resposta\": \"olá\"}", "<think>chamo {\"name\": \"f\", \"arguments\": {}}?</think>Não.",
)  # fmt: skip


class Case(NamedTuple):
    """`low` and `high` bound the score, both included; `kind` says how the completion was made."""

    kind: str
    reference: str
    completion: str
    low: float
    high: float


def make_cases(seed: int, count: int) -> Iterator[Case]:
    """`count` cases, half of them right; the same for the same seed."""
    draw = random.Random(seed)
    dialects = sorted(DIALECTS)
    for number in range(count):
        if number % 20 == 19:
            yield _make_silence(draw)
            continue
        # In turn, so that each dialect meets each other one.
        ours, theirs = dialects[number % len(dialects)], dialects[number // len(dialects) % len(dialects)]
        tagged = ours in IN_TAGS or theirs in IN_TAGS
        calls = [_draw_call(draw, () if tagged else _NASTY) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
        reference = render_calls(calls, theirs)
        if number % 2:
            spoilt, what = _spoil(draw, calls)
            yield Case(f"{what}, {theirs} to {ours}", reference, render_calls(spoilt, ours), 0.0, 0.999)
        else:
            frame = draw.choice(_FRAMES) if draw.random() < 0.5 else "{}"
            text = frame.format(render_calls(calls, ours))
            yield Case(f"right, {theirs} to {ours} in {frame!r}", reference, text, 1.0, 1.0)


def _make_silence(draw: random.Random) -> Case:
    """Nothing is to be called: talk is right, any call is not."""
    if draw.random() < 0.5:
        return Case("silence kept", "[]", draw.choice(_CHAT), 1.0, 1.0)
    dialect = draw.choice(sorted(DIALECTS))
    return Case(f"silence broken, {dialect}", "[]", render_calls([_draw_call(draw, ())], dialect), 0.0, 0.0)


def _draw_call(draw: random.Random, nasty: tuple[str, ...]) -> dict[str, Any]:
    keys = draw.sample(_KEYS, draw.choice((0, 1, 1, 2, 2, 3, 5)))
    return {"name": draw.choice(_NAMES), "arguments": {key: _draw_value(draw, nasty, 0) for key in keys}}


def _draw_value(draw: random.Random, nasty: tuple[str, ...], depth: int) -> Any:
    kind = draw.random()
    if kind < 0.4:
        return draw.choice(_PLAIN + nasty)
    if kind < 0.6:
        return draw.choice(_NUMBERS)
    if kind < 0.75 or depth > 2:
        return draw.choice((True, False, None))
    if kind < 0.88:
        return [_draw_value(draw, nasty, depth + 1) for _ in range(draw.randrange(4))]
    return {key: _draw_value(draw, nasty, depth + 1) for key in draw.sample(_KEYS, draw.randrange(4))}


def _spoil(draw: random.Random, calls: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """A copy with one fault, and its name."""
    spoilt = copy.deepcopy(calls)
    call = draw.choice(spoilt)
    arguments = call["arguments"]
    what = draw.choice(
        ("another name", "argument added", "call repeated", "argument dropped", "value changed", "value changed")
    )
    if what in ("argument dropped", "value changed") and not arguments:
        what = "argument added"
    if what == "another name":
        call["name"] = "get_time"
    elif what == "argument added":
        arguments["extra"] = draw.choice(_PLAIN)
    elif what == "call repeated":
        spoilt.append(copy.deepcopy(call))
    elif what == "argument dropped":
        del arguments[draw.choice(sorted(arguments))]
    else:
        key = draw.choice(sorted(arguments))
        arguments[key] = _change(draw, arguments[key])
    return spoilt, what


def _change(draw: random.Random, value: Any) -> Any:
    """Another value of the same kind: what a policy would get nearly right."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + draw.choice((1, -1, 10))
    if isinstance(value, float):
        return value * 2 + 1
    if isinstance(value, str):
        return value + "s" if value else "outro"
    if isinstance(value, list):
        return [*value, "mais"]
    return {**value, "mais": 1}


def describe(case: Case) -> str:
    return json.dumps(case._asdict(), ensure_ascii=False)
