"""Grader files of OpenAI's guide give the numbers that it says, and code in them runs apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rewards.__main__ import main
from rewards.config import RewardsSection, build_host
from rewards.errors import UserError
from rewards.serve.scorers import read_section
from rewards.types import Completion, Example
from tests.rewards.judges.stand_in import StandIn, run_stand_in

CHECK = {
    "type": "string_check",
    "name": "c",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.answer }}",
    "operation": "eq",
}
SIMILAR = {
    "type": "text_similarity", "name": "s", "input": "{{sample.output_text}}", "reference": "{{item.answer}}",
    "evaluation_metric": "fuzzy_match",
}  # fmt: skip
PYTHON = {
    "type": "python", "name": "p",
    "source": "def grade(sample, item) -> float:\n    return 1 / len(sample['output_text']) if item['answer'] else 0\n",
}  # fmt: skip
JUDGE = {
    "type": "score_model", "name": "j", "model": "gpt-4.1-mini", "range": [1, 7],
    "input": [
        {"role": "developer", "content": "Grade from 1 to 7."},
        {"role": "user", "content": [{"type": "input_text", "text": "Right: {{ item.answer }}\nSaid: {{ sample.output_text }}"}]},
    ],
    "sampling_params": {"temperature": 0.5, "top_p": 0.9, "seed": 3, "max_completions_tokens": 64, "reasoning_effort": "low"},
}  # fmt: skip


def score(grader: dict, text: str, **columns: object) -> tuple:
    section = RewardsSection.model_validate(
        {"functions": [{"name": "openai_grader", "options": {"grader": json.dumps(grader)}}], "error_budget": 1.0}
    )
    with build_host(section) as host:
        assert host.functions[0].isolated
        (scored,) = host.score([(Example("1", "t", [], None, {"answer": "Paris", **columns}), Completion(text))])
    (outcome,) = scored.outcomes
    return outcome.value, dict(outcome.parts), outcome.reason


@pytest.mark.parametrize(
    ("operation", "text", "value"),
    [
        ("eq", "Paris", 1),
        ("eq", "paris", 0),
        ("ne", "Rome", 1),
        ("like", "It is Paris.", 1),
        ("ilike", "PARIS!", 1),
        ("like", "PARIS", 0),
    ],
)
def test_string_check_when_compared_then_by_its_operation(operation, text, value):
    """like: holds it; ilike: whatever the case."""
    assert score({**CHECK, "operation": operation}, text)[0] == value


def test_text_similarity_when_measured_then_equals_the_ratio_computed_by_hand():
    """Paris and Pars: twice four common characters over nine."""
    assert score(SIMILAR, "Pars")[0] == pytest.approx(8 / 9)
    assert score({**SIMILAR, "evaluation_metric": "rouge_1"}, "Paris is big")[0] == pytest.approx(0.5)


def test_multi_when_calculated_then_its_graders_are_parts():
    """The guide's formula over names, functions among it."""
    multi = {
        "type": "multi",
        "name": "m",
        "graders": {"exact": CHECK, "near": SIMILAR},
        "calculate_output": "0.5 * exact + min(near, 0.5) ^ 1",
    }
    value, parts, _ = score(multi, "Paris")
    assert value == 1.0 and parts == {"exact": 1.0, "near": 1.0}
    assert score(multi, "Pars")[0] == pytest.approx(0.5)


def test_python_grader_when_it_raises_then_that_is_an_error_and_no_zero():
    """OpenAI gives 0 there."""
    assert score(PYTHON, "abcd")[0] == 0.25
    value, _, reason = score(PYTHON, "")
    assert value is None and reason.startswith("ZeroDivisionError")


def test_templates_when_an_answer_names_a_place_then_it_stays_text():
    """And JSON is reached by its path."""
    assert score(CHECK, "{{ item.answer }}")[0] == 0.0
    inner = {**CHECK, "input": "{{ sample.output_json.city.names[0] }}"}
    assert score(inner, '{"city": {"names": ["Paris"]}}')[0] == 1.0
    assert score(inner, "{}")[0] is None


@pytest.mark.parametrize(
    ("grader", "said"),
    [
        ({"type": "label_model"}, "belongs to Evals"),
        ({**SIMILAR, "evaluation_metric": "cosine"}, "needs a model"),
        ({"type": "multi", "graders": {"a": CHECK}, "calculate_output": "a + b"}, "b is not a grader"),
        ({"type": "multi", "graders": {"a": CHECK}, "calculate_output": "__import__('os')"}, "are allowed"),
        ({"type": "multi", "graders": {"a": CHECK}, "calculate_output": "a.real"}, "are allowed"),
        ({"type": "strange"}, "there are:"),
        ({**CHECK, "operation": "gt"}, "eq, ne, like, ilike"),
        ({**JUDGE, "range": [1, 1]}, r"range: \[1, 1\]"),
        (
            {**JUDGE, "input": [{"role": "user", "content": {"type": "input_image", "image_url": "x"}}]},
            "images and sound",
        ),
        ({**JUDGE, "input": [{"role": "critic", "content": "x"}]}, r"input\[0\]: give a message with a role"),
    ],
)
def test_grader_when_it_cannot_be_evaluated_then_says_which_part(grader, said):
    """Before anything is scored."""
    with pytest.raises(UserError, match=said):
        score(grader, "x")


def test_import_grader_when_written_then_the_rewards_score_and_rows_are_checked(tmp_path, capsys):
    """Two commands from a grader file to a server."""
    (tmp_path / "grader.json").write_text(json.dumps(CHECK))
    (tmp_path / "items.jsonl").write_text('{"answer": "Paris"}\n{"question": "?"}\n')
    command = ["import-grader", str(tmp_path / "grader.json"), "--output", str(tmp_path / "rewards.yaml")]
    assert main([*command, "--rows", str(tmp_path / "items.jsonl")]) == 2
    assert 'items.jsonl:2: has no "answer"' in capsys.readouterr().err
    assert main(command) == 0 and "it reads answer" in capsys.readouterr().out
    with build_host(read_section(tmp_path / "rewards.yaml")) as host:
        (scored,) = host.score([(Example("1", "t", [], None, {"answer": "x"}), Completion("x"))])
    assert scored.reward == 1.0
    assert main(command) == 2  # it is there already


@pytest.fixture
def judge() -> Iterator[StandIn]:
    with run_stand_in() as made:
        yield made


def import_judge(folder: Path, grader: dict, judge: StandIn, *more: str) -> RewardsSection:
    """The rewards that `import-grader` writes of a grader whose judge answers in this process."""
    (folder / "judge.json").write_text(json.dumps(grader))
    output = folder / "judged.yaml"
    command = ["import-grader", str(folder / "judge.json"), "--base-url", judge.url, "--output", str(output), *more]
    assert main(command) == 0
    return read_section(output)


def judged(section: RewardsSection, *texts: str) -> list:
    row = Example("1", "t", [], None, {"answer": "Paris"})
    with build_host(section.model_copy(update={"error_budget": 1.0})) as host:
        return [each.outcomes[0] for each in host.score([(row, Completion(text)) for text in texts])]


def test_score_model_when_imported_then_a_local_judge_grades_in_the_graders_range(judge, tmp_path, monkeypatch):
    """OpenAI's file against any server: its settings are sent, roles are those that every server knows, 1..7 is made 0..1."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    judge.say = lambda question: '{"steps": [{"conclusion": "2 of 3"}], "result": 5.5}'
    (outcome,) = judged(import_judge(tmp_path, JUDGE, judge, "--model", "local"), "It is Paris")
    assert outcome.value == pytest.approx(0.75)
    ((key, body),) = judge.asked
    assert key == "Bearer sk-test" and body["model"] == "local"
    assert body["messages"] == [
        {"role": "system", "content": "Grade from 1 to 7."},
        {"role": "user", "content": "Right: Paris\nSaid: It is Paris"},
    ]
    sent = {name: body[name] for name in ("temperature", "top_p", "seed", "max_tokens", "reasoning_effort")}
    assert sent == {"temperature": 0.5, "top_p": 0.9, "seed": 3, "max_tokens": 64, "reasoning_effort": "low"}


def test_score_model_when_its_judge_gives_no_grade_then_an_error_and_never_a_number(judge, tmp_path):
    """Words, a grade out of range, a server that is away: the last is the network's fault, not the grader's."""
    said = {"one": "<think>7, surely</think>I would say 4", "two": "none", "three": "9"}
    judge.say = lambda question: said[question.rpartition(" ")[2]]
    section = import_judge(tmp_path, {**JUDGE, "sampling_params": None}, judge)
    one, two, three = judged(section, "one", "two", "three")
    assert one.value == pytest.approx(0.5)
    assert two.value is None and "gave no number" in two.reason
    assert three.value is None and "outside 1..7" in three.reason
    judge.plan = [400] * 9
    (refused,) = judged(section, "one")
    assert refused.value is None and "refuses (400)" in refused.reason


def test_score_model_when_it_is_part_of_a_multi_grader_then_its_own_scale_enters_the_formula(judge, tmp_path):
    """Azure's and OpenAI's formulas are written for the grader's range."""
    judge.say = lambda question: "4"
    multi = {
        "type": "multi",
        "name": "m",
        "graders": {"style": JUDGE, "exact": CHECK},
        "calculate_output": "exact * style / 7",
    }
    (outcome,) = judged(import_judge(tmp_path, multi, judge), "Paris")
    assert outcome.value == pytest.approx(4 / 7) and dict(outcome.parts) == {"exact": 1.0}
