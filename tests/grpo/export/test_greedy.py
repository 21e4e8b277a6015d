"""Greedy answers: confirmed in one forward where they are the policy's own, written where they are not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from grpo.export import greedy  # noqa: E402
from rewards.types import Completion, Example  # noqa: E402

spec = importlib.util.spec_from_file_location(
    "export_families_greedy", Path(__file__).parents[1] / "policy" / "families.py"
)
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

ROWS = [Example(str(n), "t", [{"role": "user", "content": f"Quanto custa o item {n}?"}], None, {}) for n in range(12)]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from grpo.policy.loading import Policy

    folder = tmp_path_factory.mktemp("base")
    families.write_model("chatml", folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return Policy(model, AutoTokenizer.from_pretrained(folder))


def texts(completions) -> list[tuple[str, bool]]:
    return [(each.text, each.truncated) for each in completions]


def test_answers_when_some_are_others_then_those_alone_are_written(policy, monkeypatch):
    """What is taken as confirmed is what the policy writes; a wrong text, a cut and an early end are found."""
    own = greedy.answer_greedily(policy, ROWS, limit=6, batch=4)
    confirmed = [
        place
        for place, row in enumerate(ROWS)
        if greedy._prefers(policy, policy.prompts.prompt_ids(row.prompt), own[place], 6)
    ]
    assert confirmed
    first = confirmed[0]
    wrong = list(own)
    wrong[first] = Completion("outra resposta", False)
    asked = []
    real = greedy.answer_greedily

    def counting(policy, examples, **settings):
        asked.extend(row.id for row in examples)
        return real(policy, examples, **settings)

    monkeypatch.setattr(greedy, "answer_greedily", counting)
    assert texts(greedy.answer_or_confirm(policy, ROWS, wrong, limit=6, batch=4)) == texts(own)
    assert sorted(asked) == sorted(ROWS[place].id for place in range(len(ROWS)) if place not in confirmed[1:])
    ended = Completion(own[first].text, not own[first].truncated)
    assert not greedy._prefers(policy, policy.prompts.prompt_ids(ROWS[first].prompt), ended, 6)


def test_batch_when_keys_and_values_would_weigh_more_than_a_share_of_the_weights_then_smaller(policy, monkeypatch):
    """Two layers of two heads of 16 in float32: 512 bytes a token."""
    config = policy.model.config
    token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4
    monkeypatch.setattr(greedy, "_LEAST_CACHE", token * 100 * 3)
    monkeypatch.setattr(greedy, "_CACHE_SHARE", 0.0)
    assert greedy.fit_batch(policy.model, 100) == 3
    assert greedy.fit_batch(policy.model, 1000) == 1
