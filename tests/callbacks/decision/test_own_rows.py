"""Runs on one's own rows: judged by what they gained over their own start, and by a target where one is given."""

import json

import pytest

from callbacks.config import DecisionSection
from callbacks.decision.decision import Rung
from callbacks.decision.starts import find_zero_shot
from callbacks.decision.tree import ASKS, decide, load_tree
from rewards.statistics.estimates import Estimate

RUNG = Rung("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct")
OWN = DecisionSection(relative_to="baseline")
SHOPS_WORDS = ("rung", "parser", "0.55", "scale up", "recipe", "extraction", "floor", "Base model")


def row(stage, step, mean, n=60, std=0.3, **tasks):
    cells = {"stage": stage, "step": step}
    for name, value in {"mean_reward": mean, **tasks}.items():
        cells |= {f"eval/{name}": value, f"eval/{name}_n": n, f"eval/{name}_std": std}
    return cells


def judge(before, warmup, end, *, target=None, n=60, **options):
    """A run by its means, or by mappings of means."""
    stages = (("before", 0, before), ("warmup", 0, warmup), ("final", 200, end))
    rows = [
        row(stage, step, **(means if isinstance(means, dict) else {"mean": means}), n=n)
        for stage, step, means in stages
    ]
    section = OWN if target is None else DecisionSection(relative_to="baseline", target=target)
    return decide(rows, section, rung=RUNG, **options)


def outcomes(decision):
    return {node.name: node.outcome for node in decision.path}


@pytest.mark.parametrize(
    ("run", "scenario", "title"),
    [
        ({"before": 0.1, "warmup": 0.4, "end": 0.7}, "A", "It learnt"),
        ({"before": 0.1, "warmup": 0.7, "end": 0.72}, "undecided", "Undecided: within the noise"),
        ({"before": 0.1, "warmup": 0.7, "end": 0.4}, "B", "It did not learn"),
        ({"before": 0.1, "warmup": 0.4, "end": 0.95, "target": 0.8}, "A", "The target is reached"),
        (
            {"before": 0.1, "warmup": 0.4, "end": 0.65, "target": 0.8},
            "undecided",
            "It learnt, the target is not reached yet",
        ),
        (
            {"before": 0.1, "warmup": 0.4, "end": 0.81, "target": 0.8},
            "undecided",
            "Undecided: too close to the target to tell",
        ),
        ({"before": 0.9, "warmup": 0.9, "end": 0.92, "target": 0.8}, "A", "The target is reached"),
        ({"before": 0.1, "warmup": 0.7, "end": 0.4, "target": 0.8}, "B", "It did not learn"),
    ],
)
def test_own_run_when_it_ends_then_it_is_judged_by_its_gain_and_its_target(run, scenario, title):
    """0.78 is no reason to scale up, and 0.4 none to restart from Base."""
    decision = judge(**run)
    assert (decision.scenario, decision.title) == (scenario, title)
    assert decision.next_config is None and decision.tree == "own"


@pytest.mark.parametrize(
    "run",
    [
        {"before": 0.1, "warmup": 0.4, "end": 0.78},
        {"before": 0.4, "warmup": 0.4, "end": 0.2},
        {"before": 0.1, "warmup": {"mean": 0.4, "a": 0.6, "b": 0.2}, "end": {"mean": 0.7, "a": 0.2, "b": 0.9}},
        {"before": 0.1, "warmup": 0.4, "end": 0.6, "target": 0.9},
        {"before": 0.1, "warmup": 0.7, "end": 0.71, "rehearsal": True},
    ],
)
def test_own_run_when_it_is_decided_then_no_word_of_the_shop_is_said(run):
    """Neither in the decision nor in its path or its questions."""
    said = json.dumps(judge(**run).to_json())
    assert not [word for word in SHOPS_WORDS if word in said]


def test_own_run_when_it_had_a_warm_up_then_both_gains_stand_in_the_path():
    """Zero-shot first, then the warm-up: what all of the training did, and what GRPO did of it."""
    decision = judge(0.10, 0.40, 0.70)
    assert outcomes(decision) == {"zero-shot": "yes", "gain": "yes"}
    assert [round(node.value, 3) for node in decision.path] == [0.6, 0.3]
    assert all(node.low < node.value < node.high for node in decision.path)
    assert decision.reason.startswith(
        "The mean went from 0.100 zero-shot to 0.400 after the warm-up to 0.700 at step 200 (+0.300"
    )
    assert "the warm-up" in decision.path[1].question
    answers = decision.answers
    assert answers["gained_over_zero_shot"]["value"] == pytest.approx(0.6)
    assert answers["gained_over_start"]["question"] == "Did GRPO improve on the warm-up?"


def test_own_run_when_it_had_no_warm_up_then_zero_shot_is_the_start():
    """The evaluation after a warm-up that was switched off is the one before it."""
    decision = judge(0.40, 0.40, 0.70)
    assert outcomes(decision) == {"gain": "yes"}
    assert "zero-shot" in decision.path[0].question and "warm-up" not in json.dumps(decision.to_json())


def test_own_run_when_a_task_lost_then_it_is_named_whatever_the_mean_gained():
    """Each task is held against its own start."""
    decision = judge(
        {"mean": 0.1, "a": 0.1, "b": 0.1}, {"mean": 0.4, "a": 0.6, "b": 0.2}, {"mean": 0.7, "a": 0.2, "b": 0.9}
    )
    assert (decision.scenario, decision.task, decision.title) == ("C", "a", "It learnt, but a got worse")
    assert outcomes(decision)["kept: a"] == "no" and outcomes(decision)["kept: b"] == "yes"


def test_own_run_when_examples_are_paired_then_small_gains_count():
    """Two means of 60 rows cannot tell 0.04; sixty differences can."""
    assert judge(0.3, 0.30, 0.34).scenario == "undecided"
    paired = {"all": Estimate(0.04, 60, 0.03, 0.032, 0.048)}
    decision = judge(0.1, 0.30, 0.34, paired=paired, paired_zero_shot={"all": Estimate(0.24, 60, 0.03, 0.23, 0.25)})
    assert decision.scenario == "A"
    assert [(node.low, node.high) for node in decision.path] == [(0.23, 0.25), (0.032, 0.048)]


def test_own_run_when_it_was_rehearsed_then_says_so_and_names_the_model():
    """A small policy on the spot says nothing of how good the real one gets."""
    decision = judge(0.1, 0.4, 0.7, rehearsal=True)
    assert decision.title == "Rehearsal: it learnt" and decision.rehearsal
    assert RUNG.model in decision.action and "--profile gpu" in decision.action


def test_own_run_when_nothing_was_evaluated_before_then_there_is_nothing_to_compare_with():
    """One evaluation is not a gain."""
    assert decide([row("final", 10, 0.5)], OWN, rung=RUNG).title == "Undecided: nothing to compare with"


def test_history_when_no_config_says_and_no_task_is_the_shops_then_it_is_ones_own():
    """A bare history of tasks of one's own is not measured by the shop's thresholds; one of the shop's tasks is."""
    rows = [row("warmup", 0, 0.4, invoices=0.4), row("final", 200, 0.78, invoices=0.78)]
    assert decide(rows, rung=RUNG).tree == "own"
    assert decide([row("train", 200, 0.78, sql_qa=0.78)], rung=RUNG).scenario == "A"


@pytest.mark.parametrize("name", ["own", "rehearsal"])
def test_tree_when_read_as_data_then_every_name_in_it_leads_somewhere(name):
    """Questions, conclusions and answers that are named exist, and none is unused."""
    from callbacks.decision.answers import QUESTIONS
    from callbacks.decision.moves import MOVES
    from callbacks.decision.tree import _MEASURES

    data = load_tree(name)
    asked, concluded = set(data["first"]), {data["nothing"]}

    def walk(branch):
        if isinstance(branch, str):
            concluded.add(branch)
            return
        asked.update(branch["ask"])
        for outcome in branch.keys() - {"ask", "combine"}:
            walk(branch[outcome])

    walk(data["tree"])
    assert asked == set(data["questions"]) and concluded == set(data["conclusions"])
    assert set(data["answers"]) <= set(QUESTIONS)
    for question in data["questions"].values():
        assert question["is"] in ("share", "kept") or (question["is"] in ASKS and question["measure"] in _MEASURES)
    for conclusion in data["conclusions"].values():
        assert ("action" in conclusion) or conclusion["move"] in MOVES
        assert set(conclusion.get("about", ())) <= asked


def test_zero_shot_when_the_warm_up_changed_nothing_then_there_is_none():
    """The same numbers are the same policy."""
    from callbacks.decision.measures import Recorded
    from callbacks.evaluation.history import read_evaluations

    same = read_evaluations([row("before", 0, 0.4), row("warmup", 0, 0.4), row("final", 9, 0.5)])
    other = read_evaluations([row("before", 0, 0.3), row("warmup", 0, 0.4), row("final", 9, 0.5)])
    assert find_zero_shot(Recorded(same, OWN, {})) is None
    assert find_zero_shot(Recorded(other, OWN, {})).mean == 0.3
