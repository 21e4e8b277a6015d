"""Every built-in over generated rows and completions: values and parts are shares, and a row without problems gives no error."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewards import plugins
from rewards.host.calls import ask_problems
from rewards.host.scoring import RewardHost
from rewards.host.weighted import WeightedFunction
from rewards.sample_rows import find_options, open_samples
from rewards.types import Completion, Example

NAMES = sorted(module.rpartition(".")[2] for module in plugins.BUILT_INS)
SCRAPS = (
    "", "{}", "[]", "null", "NaN", "1e999", "-0", '{"a": {"b": [1, 2.5, "x"]}}', "[[[[]]]]", "\ud800", "e\u0301", "\x00", "SELECT 1",
    "<think>", "</think>", "```", '{"id": 10', "12,5 %", "1.234,56", "{" * 40, "a" * 500, '{"name": 5, "arguments": []}', "- ", "\n\n",
)  # fmt: skip


def mutate(text: str, others: list[str], draw: random.Random) -> str:
    """A text with pieces taken out, doubled, exchanged or put in."""
    for _ in range(draw.randint(0, 4)):
        start = draw.randint(0, len(text))
        end = min(len(text), start + draw.choice((1, 3, 20, 200)))
        kind = draw.randrange(6)
        if kind == 0:
            text = text[:start] + text[end:]
        elif kind == 1:
            text = text[:end] + text[start:]
        elif kind == 2:
            text = text[:start] + draw.choice(SCRAPS) + text[end:]
        elif kind == 3:
            text = text[:start] + draw.choice(others)[:400] + text[start:]
        elif kind == 4:
            text = "".join(str(draw.randrange(10)) if letter.isdigit() else letter for letter in text)
        else:
            text = (
                draw.choice(("Claro! ", "```json\n", "<think>x</think>", "["))
                + text
                + draw.choice(("\n```", "]", " Pronto."))
            )
    return text


def mutate_column(value: object, draw: random.Random) -> object:
    """Another value of a column, of its kind more often than not."""
    if isinstance(value, bool) or value is None:
        return draw.choice((True, False, None))
    if isinstance(value, int | float):
        return draw.choice((0, -1, value * 3, 10**18, 0.1, None, "12"))
    if isinstance(value, list):
        return draw.choice(([], value[:1], value * 2, [0], None))
    return draw.choice((value, "", "x", None, 7))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_reward_when_row_and_completion_are_any_then_gives_shares_and_no_error(name, seed):
    """Through the host, as in training; what problems() refuses is not asked."""
    draw = random.Random(seed)
    entry = plugins.load_rewards().get(name)
    function = entry.function(**find_options(entry))
    with open_samples(entry) as samples, RewardHost([WeightedFunction(function)]) as host:
        texts = [sample.reference or "" for sample in samples]
        texts += [json.dumps(dict(sample.columns), default=str) for sample in samples[:3]]
        pairs = []
        for _ in range(8):
            row = draw.choice(samples)
            reference = row.reference if draw.random() < 0.5 else mutate(row.reference or "", texts, draw)
            columns = {
                key: value if key == "database" or draw.random() < 0.7 else mutate_column(value, draw)
                for key, value in row.columns.items()
            }
            example = Example(row.id, row.task, row.prompt, reference, columns)
            if not ask_problems(function, example):
                base = draw.choice((reference or "", draw.choice(texts), "".join(draw.choices(SCRAPS, k=3))))
                pairs.append((example, Completion(mutate(base, texts, draw))))
        for scored in host.score(pairs):
            (outcome,) = scored.outcomes
            assert outcome.status != "error", (outcome.reason, scored.example, scored.completion.text)
            for share in (outcome.value or 0.0, *outcome.parts.values()):
                assert 0.0 <= share <= 1.0
