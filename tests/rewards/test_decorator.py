"""`@reward` over plain functions: what they are given, what they may return, and that they work as any plugin does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rewards.__main__ import main
from rewards.config import RewardsSection, build_host
from rewards.decorator import reward
from rewards.errors import PluginError, RewardBudgetExceeded, UserError
from rewards.host.scoring import RewardHost
from rewards.testing import check_reward
from rewards.types import Completion, Example, Score

PLUGIN = """
import asyncio
from rewards.decorator import reward
from rewards.types import Score

@reward("short_text", version="2", tasks=["a"])
def short_text(text, reference):
    return len(text) <= len(reference)

@reward("words", batch=True, range=(0, 10))
async def count_words(texts):
    await asyncio.sleep(0)
    return [len(text.split()) for text in texts]

@reward("shortest", group=True)
def shortest(texts, reference, level):
    return [Score(float(len(text) == min(map(len, texts))), f"{reference} {level} of {len(texts)}") for text in texts]

@reward
async def half(text, level, least=3):
    return None if len(text) > least else (0.5, f"level {level}")
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return str(path)


def make(plugin: str, *names: str, **settings: object) -> RewardHost:
    section = {"plugins": [plugin], "functions": [{"name": name} for name in names], **settings}
    return build_host(RewardsSection.model_validate(section))


def row(name: str, task: str = "a", **columns: object) -> Example:
    return Example(name, task, [], "xyz", columns)


def test_decorated_functions_when_a_file_has_no_hook_then_all_forms_score_in_their_processes(plugin):
    """Plain, asynchronous, batch and group, with versions, tasks, ranges and columns."""
    one, two = row("1", level=7), row("2", "b", level=8)
    pairs = [(one, "ab"), (two, "a b c d"), (one, "a b c"), (two, "ab cd efgh ij")]
    with make(plugin, "short_text", "words", "shortest", "half") as host:
        scored = host.score([(example, Completion(text)) for example, text in pairs])
        assert host.versions() == {"short_text": "2", "words": "1", "shortest": "1", "half": "1"}
    values = [[outcome.value for outcome in each.outcomes] for each in scored]
    assert values == [[1.0, 0.1, 1.0, 0.5], [None, 0.4, 1.0, None], [0.0, 0.3, 0.0, None], [None, 0.4, 0.0, None]]
    assert scored[0].outcomes[2].reason == "xyz 7 of 2" and scored[0].outcomes[3].reason == "level 7"


def test_group_function_when_answers_are_mixed_then_each_prompt_is_a_group_of_its_own(plugin):
    """The answers to one prompt are compared wherever they stand in the batch."""
    texts = [("1", "aaaa"), ("2", "b"), ("1", "aa"), ("2", "bb")]
    with make(plugin, "shortest") as host:
        scored = host.score([(row(name, level=0), Completion(text)) for name, text in texts])
    assert [each.reward for each in scored] == [0.0, 1.0, 1.0, 0.0]


def test_batch_function_when_one_completion_is_outside_its_range_then_only_that_one_fails(plugin):
    """A batch does not fall with one bad answer, and the reason says what to declare."""
    with make(plugin, "words") as host:
        good, bad = host.score([(row("1"), Completion("a b")), (row("2"), Completion("a " * 11))])
    assert good.reward == 0.2 and bad.reward is None
    assert "outside 0..10" in bad.outcomes[0].reason and "range=" in bad.outcomes[0].reason


def test_function_of_many_when_it_returns_too_few_values_then_none_of_them_counts(tmp_path):
    """Asked again one by one, a list of one value would pass, and a broken scorer would look right; NaN is no range's."""
    path = tmp_path / "short.py"
    path.write_text(
        "from rewards.decorator import reward\n\n@reward(batch=True)\ndef short(texts):\n    return [1.0]\n\n"
        "@reward\ndef nothing(text):\n    return float('nan')\n",
        encoding="utf-8",
    )
    with make(str(path), "short", "nothing") as host:
        scored = host.score([(row(text), Completion(text)) for text in "abc"])
    short, nothing = zip(*(each.outcomes for each in scored), strict=True)
    assert {outcome.value for outcome in (*short, *nothing)} == {None}
    assert all("returned 1 values for 3 completions" in outcome.reason for outcome in short)
    assert all("returned NaN, which is no score; return None" in outcome.reason for outcome in nothing)


def test_decorated_function_when_a_column_is_missing_then_the_row_is_refused_beforehand(plugin):
    """Preflight hears of it; a parameter with a default may be missing."""
    with make(plugin, "half") as host:
        assert host.problems(host.functions[0], row("1")) == ["column 'level' is missing; 'half' reads it"]
        assert host.problems(host.functions[0], row("1", level=1)) == []


def test_decorated_function_when_checked_by_the_kit_then_keeps_the_contract():
    """The kit takes the function itself."""
    check_reward(same, row("1"), right="xyz", wrong=["", "xy"])
    assert same("xyz", "xyz") is True  # and it stays a plain function


@reward("same_text")
def same(text, reference):
    return text == reference


def test_decorated_function_when_it_takes_all_columns_then_gets_them():
    """`**columns` is everything that the row has beyond the named."""

    @reward
    def count(text, **columns):
        return Score(0.5, ",".join(sorted(columns)))

    (scored,) = RewardHost([count]).score([(row("1", b=1, a=2), Completion("x"))])
    assert scored.outcomes[0].reason == "a,b"


def test_decorator_when_parameters_do_not_fit_then_says_which_name_does():
    """At import, before anything is scored."""
    with pytest.raises(UserError, match="name the parameter texts, not text"):
        reward("x", batch=True)(lambda text: [])
    with pytest.raises(UserError, match="one completion is text"):
        reward("x")(lambda texts: 0)
    with pytest.raises(UserError, match="give \\(lowest, highest\\)"):
        reward("x", range=(1, 0))(lambda text: 0)


FAULTY = """
from rewards.decorator import reward

@reward
def boom(text):
    return divide(text)

def divide(text):
    return 1 / 0
"""


def test_fault_when_the_plugin_raises_then_its_own_lines_are_shown(tmp_path, capsys):
    """The traceback begins in the plugin and names the line; in the message of the budget too."""
    path, rows = tmp_path / "faulty.py", tmp_path / "rows.jsonl"
    path.write_text(FAULTY, encoding="utf-8")
    rows.write_text(json.dumps({"id": "7", "prompt": "?", "reference": "", "completion": "x"}) + "\n")
    for more in ([], ["--in-process"]):
        assert main(["--plugin", str(path), "score", "--reward", "boom", "--input", str(rows), *more]) == 1
        said = capsys.readouterr().err
        assert "'boom' on example '7':" in said and "return 1 / 0" in said and "faulty.py" in said
        assert "rewards/host" not in said
    with make(str(path), "boom", error_budget_minimum=1) as host, pytest.raises(RewardBudgetExceeded) as caught:
        host.score([(row("7"), Completion("x"))])
    assert "(faulty.py, line 9)" in str(caught.value)


def test_plugin_when_it_has_no_reward_at_all_then_says_how_to_write_one(tmp_path):
    """Neither a decorated function nor a hook."""
    path = tmp_path / "empty.py"
    path.write_text("x = 1\n")
    with pytest.raises(PluginError, match=r"write one under @rewards\.decorator\.reward"):
        make(str(path), "x")
