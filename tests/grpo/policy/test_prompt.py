"""The prompt builder: one rendering for SFT, GRPO and evaluation."""

from __future__ import annotations

import pytest

from rewards.errors import UserError


def test_training_ids_when_masked_then_only_the_answer_and_its_end_count(policy, rows):
    """The mask covers the reference and the end marker, and nothing of the prompt."""
    for row in rows[:20]:
        ids, mask = policy.prompts.training_ids([*row.prompt, {"role": "assistant", "content": row.reference}])
        answer = [token for token, written in zip(ids, mask, strict=True) if written]
        assert policy.tokenizer.decode(answer) == row.reference + "<|im_end|>"


def test_prompt_ids_when_compared_with_sft_then_they_are_its_beginning(policy, rows):
    """What GRPO generates from is what SFT trained on, token by token."""
    for row in rows[:20]:
        prompt = policy.prompts.prompt_ids(row.prompt)
        ids, _ = policy.prompts.training_ids([*row.prompt, {"role": "assistant", "content": row.reference}])
        assert ids[: len(prompt)] == prompt


def test_check_when_the_template_differs_for_generation_then_it_says_so(policy, rows):
    """A template that prefills `<think>` only for generation is refused before anything is spent."""
    policy.tokenizer.chat_template = policy.tokenizer.chat_template.replace(
        "{{- '<|im_start|>assistant\\n' -}}{%- endif -%}", "{{- '<|im_start|>assistant\\n<think>\\n' -}}{%- endif -%}"
    )
    with pytest.raises(UserError, match="renders the prompt differently"):
        policy.prompts.check(rows[0])


def test_check_when_a_marker_is_no_single_token_then_it_says_so(policy, rows):
    """A role marker that splits into pieces is the invented-token fault that once cost a whole run."""
    pieces = type("Split", (type(policy.tokenizer),), {"all_special_tokens": ["<|system|>"]})
    policy.tokenizer.__class__ = pieces
    with pytest.raises(UserError, match="must be single tokens"):
        policy.prompts.check(rows[0])


def test_text_when_decoded_then_special_tokens_are_gone(policy):
    """The end marker never reaches a reward."""
    ids = policy.tokenizer.encode("olá<|im_end|>", add_special_tokens=False)
    assert policy.prompts.text(ids) == "olá"
