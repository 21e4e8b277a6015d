"""Functions written for TRL and rubrics of verifiers, used as they are."""

from __future__ import annotations

import json

import pytest

from rewards.__main__ import main
from rewards.audit.audit import audit_rows
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

def make_reward(size):
    return format_reward

def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    if solution_str == "bare":
        return data_source == "t"
    return {"score": 2.0 * (ground_truth in solution_str), "found": 1.0, "level": extra_info["level"]}

def plain(completions, **kwargs):
    return [float(c.startswith("<a>")) for c in completions]

def lengths(completions, **kwargs):
    return [len(c[0]["content"]) - 4 for c in completions]

def needs_level(completions, level, answer):
    return [0.0 for _ in completions]

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
        "trl:nowhere.f": "there is no module nowhere; a function in a file of yours is trl:path/to/file.py:f",
        "trl:nothing.py:f": "there is no file .*nothing.py",
        "trl:rewards.of_mine": "rewards has no of_mine; a function in a file of yours",
        "trl:theirs.make_reward": r"takes \(size\), not completions; if it makes a reward function, call it",
        "trl:theirs.compute_score": "is one of verl: write verl",
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


def score(name: str, *texts: str, row: Example = ROW, **options) -> list:
    """The outcomes of one function for several texts, with what it was given."""
    section = RewardsSection.model_validate({"functions": [{"name": name, "options": options}]})
    with build_host(section) as host:
        return [scored.outcomes[0] for scored in host.score([(row, Completion(text)) for text in texts])]


def test_verl_function_when_named_then_is_called_as_verl_calls_it(module):
    """A number or the `score` of a dict, by source, text, truth and the row's columns."""
    right, wrong, bare = score("verl:theirs.compute_score", "so <a>x", "y", "bare", range=[0, 2])
    assert (right.value, wrong.value, bare.value) == (1.0, 0.0, 0.5)
    assert dict(right.parts) == {"found": 1.0}
    row = Example("1", "t", ROW.prompt, "x", {"level": 1, "reward_model": {"style": "rule", "ground_truth": "zz"}})
    assert score("verl:theirs.compute_score", "zz", row=row, range=[0, 2])[0].value == 1.0


def test_function_in_a_file_when_it_is_called_as_a_package_of_ours_is_then_the_file_is_meant(tmp_path, monkeypatch):
    """Most projects call it rewards.py; by its path, and by its name where it lies in the working folder."""
    (tmp_path / "rewards.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    for name in (
        "trl:rewards.py:format_reward",
        f"trl:{tmp_path}/rewards.py:format_reward",
        "trl:rewards.format_reward",
    ):
        assert [each.value for each in score(name, "<a>", "b")] == [1.0, 0.0]


def test_function_without_bounds_when_clipped_then_counts_as_the_nearer_end(module):
    """Else it is a fault that says so; a number that is none is a fault either way."""
    low, middle, high = score("trl:theirs.lengths", "", "123456", "1234567890", range=[-1, 3], clip=True)
    assert (low.value, middle.value, high.value) == (0.0, 0.75, 1.0)
    assert "clip: true" in score("trl:theirs.lengths", "", range=[-1, 3])[0].reason
    with pytest.raises(UserError, match="the lower one first"):
        score("trl:theirs.lengths", "", range=[1, 1])


def test_function_of_texts_when_given_messages_then_the_fault_names_the_option(module):
    """TRL gives texts where the prompt was a text; a stranger cannot know."""
    (outcome,) = score("trl:theirs.plain", "<a>")
    assert outcome.status == "error" and "conversational: false" in outcome.reason
    assert outcome.trace.count("File") == 1 or "existing.py" not in outcome.trace
    assert score("trl:theirs.plain", "<a>", conversational=False)[0].value == 1.0


def test_row_when_it_lacks_a_column_then_the_preflight_says_which(module):
    """Before anything is scored; the reference stands for the names that are usual for it."""
    section = RewardsSection.model_validate({"functions": [{"name": "trl:theirs.needs_level"}]})
    with build_host(section) as host:
        (entry,) = host.functions
        assert host.problems(entry, ROW) == []
        (line,) = host.problems(entry, Example("2", "t", ROW.prompt, "x", {}))
        assert line.startswith("no column 'level', which ")


def test_weight_when_a_trl_function_has_a_range_then_is_its_width(module):
    """As TRL adds them up; a weight that is written stands."""
    wide = {"name": "trl:theirs.lengths", "options": {"range": [-1, 3]}}
    section = RewardsSection.model_validate(
        {"functions": [wide, {**wide, "weight": 1}, {"name": "trl:theirs.format_reward"}]}
    )
    assert [each.weight for each in section.functions] == [4.0, 1.0, 1.0]
    again = RewardsSection.model_validate(section.model_dump())
    assert [each.weight for each in again.functions] == [4.0, 1.0, 1.0]


def test_identity_when_a_helper_of_the_function_changes_then_is_another(tmp_path, monkeypatch):
    """The function's own text is the same: what it calls is what scores."""
    monkeypatch.chdir(tmp_path)
    found = []
    for folder, count in (("one", 1), ("two", 2), ("three", 1)):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "mine.py"
        file.write_text(
            f"import functools\ndef count(text):\n    return {count}\n"
            "def base(completions, **kwargs):\n    return [count(c) / 2 for c in completions]\n"
            "mine = functools.partial(base)\n"
        )
        section = RewardsSection.model_validate({"functions": [{"name": f"trl:{file}:mine"}]})
        with build_host(section) as host:
            found.append(host.identities()["mine"])
    assert found[0].version == found[1].version == found[2].version
    assert found[0].fingerprint == found[2].fingerprint != found[1].fingerprint


def test_nan_when_it_means_that_a_function_does_not_apply_then_an_option_says_so(tmp_path, monkeypatch):
    """TRL leaves it out of the sum; here it is a fault unless that is meant."""
    (tmp_path / "mine.py").write_text("def f(completions, **kwargs):\n    return [float('nan')] * len(completions)\n")
    monkeypatch.chdir(tmp_path)
    assert "skip_nan: true" in score("trl:mine.py:f", "a")[0].reason
    assert score("trl:mine.py:f", "a", skip_nan=True)[0].status == "unscored"


def test_function_when_it_reads_the_question_then_gets_what_the_user_asked(tmp_path, monkeypatch):
    """Data sets call it so, and it is the prompt here; a column of that name comes first."""
    (tmp_path / "mine.py").write_text(
        "def f(completions, question, answer):\n"
        "    return [float(q == 'Q' and a == {'n': 1}) for q, a in zip(question, answer)]\n"
    )
    monkeypatch.chdir(tmp_path)
    row = Example("1", "t", [{"role": "system", "content": "S"}, *ROW.prompt], '{"n": 1}', {"answer": {"n": 1}})
    assert score("trl:mine.py:f", "a", row=row)[0].value == 1.0


def test_audit_when_only_functions_of_other_trainers_score_labels_then_warns_and_goes_on(module, tmp_path):
    """verl's ground truth is no answer that its scorer would pay for as it stands."""
    (tmp_path / "gsm.py").write_text(
        "def compute_score(solution_str, ground_truth):\n    return float(f'#### {ground_truth}' in solution_str)\n"
    )
    rows = [Example(str(n), "t", [{"role": "user", "content": f"Q {n}"}], str(n)) for n in range(8)]
    section = RewardsSection.model_validate({"functions": [{"name": f"verl:{tmp_path}/gsm.py:compute_score"}]})
    with build_host(section) as host:
        found = audit_rows(host, rows)
    assert not found.errors
    assert any("the references are labels" in line for line in found.warnings)
