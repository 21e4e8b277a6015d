"""The checklist before deployment: each check fails on what it is for, and on nothing else."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from grpo.checklist.__main__ import LIMITS, main
from grpo.checklist.checks import FAILED, NOT_CHECKED, PASSED, WARNING, judge_share
from grpo.checklist.policy_checks import check_template, list_markers
from grpo.checklist.run_files import check_files
from grpo.checklist.stored_answers import StoredAnswer, check_answers, check_echo
from grpo.policy.chat_template import ChatTemplate
from grpo.policy.prompts import PromptBuilder
from rewards.types import Completion, Example

spec = importlib.util.spec_from_file_location("families", Path(__file__).parents[1] / "policy" / "families.py")
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

WEATHER = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
RIGHT = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'


def answer(text, *, reference=RIGHT, reward=1.0, truncated=False, errors=0):
    """A stored answer to a row that lists one function."""
    columns = {"tools": [{"type": "function", "function": WEATHER}]}
    example = Example("r", "t", [{"role": "user", "content": "Oslo?"}], reference, columns)
    return StoredAnswer(example, Completion(text, truncated), reward, errors)


def statuses(answers):
    return {check.name: check.status for check in check_answers(answers, LIMITS)}


def test_answers_when_all_are_right_then_every_check_passes():
    """Sixty calls, and twenty rows to refrain on."""
    found = statuses([answer(RIGHT)] * 60 + [answer("[]", reference="[]")] * 20)
    assert found.pop("readable") in (PASSED, WARNING)
    assert found.pop("own_voice") == NOT_CHECKED
    assert set(found.values()) <= {PASSED, WARNING} and found["known_functions"] == found["refrains"] == PASSED


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (answer("Oslo is cold today.", reward=0.0), "readable"),
        (answer(RIGHT.replace("get_weather", "get_wether"), reward=0.0), "known_functions"),
        (answer(RIGHT.replace('"Oslo"', "7"), reward=0.2), "valid_arguments"),
        (answer(RIGHT, reference="[]", reward=0.0), "refrains"),
        (answer(RIGHT[:30], truncated=True, reward=0.0), "ended"),
        (answer(RIGHT, errors=1), "reward_errors"),
    ],
)
def test_answers_when_one_kind_is_broken_then_its_check_fails(broken, name):
    """A fifth of the answers is broken in one way."""
    assert statuses([answer(RIGHT)] * 40 + [broken] * 10)[name] == FAILED


def test_refrains_when_no_row_asks_for_it_then_it_is_not_checked():
    """Nothing is said of what nobody asked."""
    assert statuses([answer(RIGHT)] * 50)["refrains"] == NOT_CHECKED


def test_share_when_the_interval_leaves_room_then_it_warns():
    """48 of 50 are above 0.95, and 50 answers cannot rule out less."""
    check = judge_share("x", [1.0] * 48 + [0.0] * 2, 0.95, "right", "")
    assert check.status == WARNING and check.value == pytest.approx(0.96) and "more rows" in check.said


def test_echo_when_an_answer_holds_a_marker_then_it_fails():
    """As a policy writes that never learnt where its turn ends."""
    assert check_echo([answer("ok"), answer("ok<|im_end|>\n<|im_start|>user")], ["<|im_start|>"]).status == FAILED
    assert check_echo([answer("ok")], ["<|im_start|>"]).status == PASSED


def test_template_when_its_markers_are_invented_then_markers_and_end_fail():
    """The template that trained an adapter of 0.0: <|system|>, <|user|>, <|assistant|>, and nothing behind an answer."""
    pytest.importorskip("transformers")
    template = (
        "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    rows = [answer(RIGHT).example]
    tokenizer = families.small_tokenizer(families.read_trl_template("qwen2_5"))
    invented = PromptBuilder(tokenizer, ChatTemplate(template, {}, "invented.jinja"))
    found = {check.name: check for check in check_template(invented, rows)}
    assert found["template_markers"].status == found["end_token"].status == FAILED
    assert "<|user|>" in found["template_markers"].said
    real = PromptBuilder(tokenizer)
    assert {check.status for check in check_template(real, rows)} == {PASSED}
    assert "<|im_start|>" in list_markers(real)


def test_run_when_it_was_stopped_by_a_rule_then_the_files_say_so(tmp_path):
    """A stop, a falling loss with a task at 0, and no policy kept."""
    (tmp_path / "status.json").write_text('{"stage": "grpo", "finished": false}')
    events = [{"rule": "grad_norm", "action": "stop"}, {"rule": "sft_loss_without_task", "action": "warn"}]
    (tmp_path / "watch.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    found = {check.name: check.status for check in check_files(tmp_path)}
    assert found["finished"] == found["weights"] == found["watch_rules"] == found["loss_and_task"] == FAILED
    assert found["gain"] == found["references"] == NOT_CHECKED


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["."], "not the folder of a run"),
        ([".", "--asked", "0"], "--asked 0: give 1 or more"),
        ([".", "--least", "readable=2"], "--least readable=2: write CHECK=SHARE"),
    ],
)
def test_checklist_when_asked_wrongly_then_one_line_and_two(arguments, said, capsys, tmp_path, monkeypatch):
    """No traceback."""
    monkeypatch.chdir(tmp_path)
    if "--least" in arguments:
        (tmp_path / "config.json").write_text('{"config": {}}')
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
