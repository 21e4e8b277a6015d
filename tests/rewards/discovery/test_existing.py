"""Functions written for TRL and rubrics of verifiers, used as they are."""

from __future__ import annotations

import json

import pytest

from rewards.__main__ import main
from rewards.config import RewardsSection, build_host
from rewards.errors import UserError
from rewards.types import Completion, Example

MODULE = '''
def format_reward(completions, **kwargs):
    """1 for an answer in tags."""
    return [1.0 if c[0]["content"].startswith("<a>") else 0.0 for c in completions]

async def length_reward(prompts, completions, answer, level):
    return [None if len(c[0]["content"]) > 9 else len(c[0]["content"]) * l for c, l in zip(completions, level)]

def needs_ids(completions, completion_ids, **kwargs):
    return [0.0 for _ in completions]

def exact(completion, answer):
    return float(completion[0]["content"] == answer)

async def polite(completion, info):
    return info["level"] / 10

class Rubric:
    funcs, weights = [exact, polite], [3.0, 1.0]

rubric = Rubric()
'''
ROW = Example("1", "t", [{"role": "user", "content": "Q"}], "<a>x", {"level": 2})


@pytest.fixture
def module(tmp_path, monkeypatch) -> str:
    (tmp_path / "theirs.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return "theirs"


def test_trl_functions_when_named_by_module_then_score_in_a_process_with_a_version_of_their_source(module):
    """Batches, columns, the reference as `answer`, None, asynchronous ones, and a declared range."""
    section = RewardsSection.model_validate(
        {
            "functions": [
                {"name": "trl:theirs.format_reward"},
                {"name": "trl:theirs.length_reward", "options": {"range": [0, 20]}},
            ]
        }
    )
    with build_host(section) as host:
        scored = host.score([(ROW, Completion(text)) for text in ("<a>x", "b", "<a> far too long")])
        assert all(entry.isolated for entry in host.functions)
        assert len(host.versions()["format_reward"]) == 12
    assert [[each.value for each in row.outcomes] for row in scored] == [[1.0, 0.4], [0.0, 0.1], [1.0, None]]


def test_rubric_when_named_then_is_the_weighted_mean_and_its_functions_are_parts(module):
    """What verifiers would sum, made 0..1."""
    section = RewardsSection.model_validate({"functions": [{"name": "verifiers:theirs.rubric"}]})
    with build_host(section) as host:
        right, wrong = host.score([(ROW, Completion("<a>x")), (ROW, Completion("y"))])
    assert (right.reward, wrong.reward) == (pytest.approx(0.8), pytest.approx(0.05))
    assert dict(right.outcomes[0].parts) == {"exact": 1.0, "polite": 0.2}


def test_command_when_it_names_a_trl_function_then_scores_rows(module, tmp_path, capsys):
    """The colon of the prefix is not an option."""
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "Q", "completion": "<a>", "reference": "x"}) + "\n")
    assert (
        main(["score", "--reward", "trl:theirs.format_reward:range=[0,2]", "--input", str(tmp_path / "rows.jsonl")])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["value"] == 0.5


def test_existing_function_when_it_cannot_be_used_then_one_line_says_why(module):
    """Token ids, no such name, no rubric."""
    for name, said in {
        "trl:theirs.needs_ids": "completion_ids",
        "trl:theirs.nothing": "has no nothing",
        "trl:nowhere.f": "cannot be imported",
        "verifiers:theirs.exact": "",
    }.items():
        with pytest.raises(UserError, match=said):
            build_host(RewardsSection.model_validate({"functions": [{"name": name}]}))


def test_trl_functions_when_they_are_its_own_then_score(tmp_path):
    """The contract against the real library: trl.rewards, as its documentation names them."""
    pytest.importorskip("trl")
    section = RewardsSection.model_validate(
        {"functions": [{"name": "trl:trl.rewards.think_format_reward"}], "timeout_seconds": 60, "memory_gib": 16}
    )
    with build_host(section) as host:
        scored = host.score([(ROW, Completion(text)) for text in ("<think>\na\n</think>\nb", "b")])
    assert [row.reward for row in scored] == [1.0, 0.0]
