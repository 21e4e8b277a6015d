"""Rows of the three forms on real chat templates: what SFT learns from is the call and its end, after GRPO's own prompt."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("trl")

from grpo.checklist.checks import FAILED
from grpo.checklist.policy_checks import check_template
from grpo.data.any_rows import read_any_rows
from grpo.data.section import ToolCallsSection
from grpo.data.tool_calls.build import build_tool_calls
from grpo.policy.chat_template import ChatTemplate
from grpo.policy.prompts import PromptBuilder

spec = importlib.util.spec_from_file_location("families", Path(__file__).parents[1] / "policy" / "families.py")
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

TEMPLATES = ("qwen2_5", "qwen3_instruct_2507", "llama3", "llama3_1", "phi3", "gemma3", "cohere", "lfm2")


@pytest.fixture(scope="module", params=["structured", "hermes", "cep"])
def rows(request, tmp_path_factory):
    """Twelve rows of a form, as a real model would see them."""
    section = ToolCallsSection(form=request.param, train_rows=12, held_out_rows=8)
    return read_any_rows(build_tool_calls(tmp_path_factory.mktemp(request.param), section)["train"])


@pytest.mark.parametrize("name", TEMPLATES)
def test_rows_when_rendered_by_a_real_template_then_the_checks_before_deployment_pass(name, rows):
    """No marker is split, an end token ends each answer, training begins with the prompt of generation."""
    tokenizer = families.small_tokenizer(families.read_trl_template(name))
    prompts = PromptBuilder(tokenizer, ChatTemplate(), families.find_ends(name, tokenizer))
    found = list(check_template(prompts, rows))
    # Markers of the calls themselves (<tool_call>, <tools>) stand in the rows, not in the template.
    assert [check.said for check in found if check.status == FAILED] == []
    for row in rows[:3]:
        ids, mask = prompts.training_ids([*row.prompt, {"role": "assistant", "content": row.reference}])
        learnt = [token for token, counts in zip(ids, mask, strict=True) if counts]
        written = prompts.tokenizer.decode(learnt[:-1])
        assert learnt[-1] == prompts.end.token and "".join(written.split()) == "".join(row.reference.split())
