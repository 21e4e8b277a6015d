"""The questions that every report answers, and what comes next after each conclusion, word for word."""

from __future__ import annotations

import pytest

from callbacks.config import DecisionSection
from callbacks.decision.answers import answer_questions
from callbacks.decision.decision import Decision, DecisionNode, Rung, ask_at_least
from callbacks.decision.measures import Recorded
from callbacks.decision.moves import MOVES, route_tasks
from callbacks.evaluation.history import Evaluation
from rewards.statistics.estimates import ALL, Estimate


def give(mean, low=None, high=None, n=100, std=0.2):
    return Estimate(mean, n, std, low, high)


def bare(mean):
    return Estimate(mean, None, None, None, None)


def record(*evaluations, **more):
    section = DecisionSection(question_step=100)
    return Recorded([Evaluation(stage, step, estimates) for stage, step, estimates in evaluations], section, {}, **more)


def answer(name, *evaluations, **more):
    key = f"{name}_100" if name == "improved_past_step" else name
    return answer_questions(record(*evaluations, **more), [name])[key]


START = ("warmup", 0, {ALL: bare(0.3)})


@pytest.mark.parametrize(
    ("paired", "said"),
    [
        (give(0.2, 0.1, 0.3), "yes, +0.200 (+0.100 to +0.300): from 0.300 to 0.500"),
        (give(0.2, 0.0, 0.4), "not beyond the noise, +0.200 (+0.000 to +0.400): from 0.300 to 0.500"),
        (give(-0.2, -0.3, -0.1), "no, -0.200 (-0.300 to -0.100): from 0.300 to 0.500"),
        (give(0.0, -0.1, 0.1), "no, +0.000 (-0.100 to +0.100): from 0.300 to 0.500"),
        (give(0.1, -0.1, 0.0), "not beyond the noise, +0.100 (-0.100 to +0.000): from 0.300 to 0.500"),
    ],
)
def test_gain_when_it_is_answered_then_only_an_interval_clear_of_zero_says_yes(paired, said):
    """A mean that did not rise is a no, however wide its interval."""
    found = answer("gained_over_start", START, ("final", 50, {ALL: bare(0.5)}), paired={ALL: paired})
    assert (found["question"], found["answer"]) == ("Did GRPO improve on the warm-up?", said)
    assert [found[key] for key in ("step", "value", "n", "low", "high")] == [
        50,
        paired.mean,
        100,
        paired.low,
        paired.high,
    ]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (0.5, "yes, +0.200 (noise not known)"),
        (0.1, "no, -0.200 (noise not known)"),
        (0.3, "no, +0.000 (noise not known)"),
    ],
)
def test_gain_when_its_noise_is_not_known_then_the_mean_answers_and_says_so(end, said):
    """Standing still is no gain."""
    assert answer("gained_over_start", START, ("final", 50, {ALL: bare(end)}))["answer"].startswith(said)


def test_gain_over_zero_shot_when_there_was_no_warm_up_then_the_start_is_zero_shot():
    """Both questions have the same answer then; without any earlier evaluation neither has one."""
    zero_shot, end = ("before", 0, {ALL: bare(0.1)}), ("final", 50, {ALL: bare(0.5)})
    assert answer("gained_over_zero_shot", zero_shot, START, end)["answer"].endswith(": from 0.100 to 0.500")
    assert answer("gained_over_zero_shot", zero_shot, end)["answer"].endswith(": from 0.100 to 0.500")
    assert answer("gained_over_zero_shot", START, end)["answer"] == "cannot be told: there is no evaluation before it"
    assert answer("gained_over_start", end)["answer"] == "cannot be told: there is no evaluation before it"
    assert "step" not in answer("gained_over_start", end)


def test_answer_past_a_step_when_both_sides_were_evaluated_then_their_bests_are_compared():
    """The best until step 100, that step included, and the best after it; a side without an evaluation is named."""
    points = [("train", step, {ALL: bare(mean)}) for step, mean in ((50, 0.2), (100, 0.4), (150, 0.6), (200, 0.5))]
    found = answer("improved_past_step", *points)
    assert found["question"] == "Did it improve past step 100?" and found["step"] == 150
    assert found["answer"] == "yes, +0.200 (noise not known): best 0.400 until then, 0.600 at step 150"
    assert answer("improved_past_step", *points[:2])["answer"] == "cannot be told: no evaluation after step 100"
    assert answer("improved_past_step", *points[2:])["answer"] == "cannot be told: no evaluation up to step 100"


def test_answer_of_the_parser_when_extraction_was_evaluated_early_then_the_first_from_step_ten_counts():
    """Held against the baseline; an evaluation at step 9 is too early, and one without extraction is none."""
    start = ("warmup", 0, {ALL: bare(0.3), "extraction": bare(0.1)})
    curve = [
        ("train", 9, {ALL: bare(0.3), "extraction": bare(0.9)}),
        ("train", 10, {ALL: bare(0.3)}),
        ("train", 20, {ALL: bare(0.3), "extraction": bare(0.4)}),
    ]
    found = answer("parser_changed_extraction", start, *curve)
    assert (found["answer"], found["step"], found["value"]) == (
        "yes, +0.300 (noise not known) by step 20",
        20,
        pytest.approx(0.3),
    )
    exact = ("train", 10, {ALL: bare(0.3), "extraction": bare(0.2)})
    assert answer("parser_changed_extraction", start, exact)["step"] == 10
    cannot = "cannot be told: extraction was not evaluated both at the baseline and from step 10 on"
    for rows in ([START, curve[2]], [start, *curve[:2]], [curve[2]], [curve[2], curve[0]]):
        assert answer("parser_changed_extraction", *rows)["answer"] == cannot


def test_answers_about_the_end_when_means_are_known_then_with_their_intervals():
    """The lowest task of those that were scored, and the mean with its n."""
    end = ("final", 50, {ALL: give(0.5, 0.4, 0.6), "a": give(0.7, 0.6, 0.8), "b": give(0.2), "c": give(None)})
    assert answer("final_mean", end) == {
        "question": "What is the mean reward at the end?", "answer": "0.500 (0.400 to 0.600, n 100) at step 50",
        "step": 50, "value": 0.5, "n": 100, "low": 0.4, "high": 0.6,
    }  # fmt: skip
    lowest = answer("lowest_task", end)
    assert (lowest["answer"], lowest["task"], lowest["value"]) == ("b, 0.200", "b", 0.2)
    assert answer("lowest_task", START)["answer"] == "cannot be told: not recorded"
    nothing = answer_questions(record(), ["final_mean", "gained_over_start"])
    assert nothing["final_mean"] == {
        "question": "What is the mean reward at the end?",
        "answer": "cannot be told: not recorded",
    }
    assert nothing["gained_over_start"]["question"] == "Did GRPO improve on its start?"


HERE, LARGER = Rung("0.5B", "small", "c.yaml", base="b.yaml", fix="f.yaml"), Rung("3B", "large", "l.yaml")


@pytest.mark.parametrize(
    ("move", "task", "with_next", "without"),
    [
        ("scale_up", None, ("Scale up to 3B (large).", "l.yaml"), ("0.5B is the last rung: export the best checkpoint.", None)),
        ("scale_up_or_export", None, ("Scale up to 3B (large).", "l.yaml"), ("Export the best checkpoint.", None)),
        ("restart_from_base", None, ("Restart from the Base", "b.yaml"), ("Restart from the Base", "b.yaml")),
        ("keep_the_rate", None, ("Run this rung again at a constant rate", "c.yaml"), ("Run this rung", "c.yaml")),
        ("fix_task", "extraction", ("Refine extraction's reward", "f.yaml"), ("Refine extraction's reward", "f.yaml")),
        ("fix_task", "sql_qa", ("Accept sql_qa here and route it to the larger model: plan 3B.", "l.yaml"), ("Accept sql_qa as it is", None)),
        ("fix_task", "insights", ("Give insights more data", "f.yaml"), ("Give insights more data", "f.yaml")),
        ("fix_task", "push", ("Look at the completions of push", None), ("Look at the completions of push", None)),
    ],
)  # fmt: skip
def test_move_when_there_is_a_larger_rung_or_none_then_action_and_config_fit(move, task, with_next, without):
    """What to do, in words and as a shipped config."""
    for next_rung, (words, config) in ((LARGER, with_next), (None, without)):
        said, found = MOVES[move](HERE, next_rung, task)
        assert said.startswith(words) and found == config


def test_move_when_the_base_model_was_tried_then_the_next_rung_or_the_data_is_next():
    """There is nothing left to restart from."""
    based = Rung("0.5B", "base", "b.yaml")
    assert MOVES["restart_from_base"](based, LARGER, None)[1] == "l.yaml"
    assert MOVES["restart_from_base"](based, None, None) == (
        "No rung is left: fix the data and the rewards of extraction first.",
        None,
    )


def test_routes_when_a_task_goes_to_the_larger_model_then_only_sql_does():
    """Without a larger model nothing is routed."""
    assert route_tasks(["a", "sql_qa"], "sql_qa", HERE, LARGER) == {"a": "0.5B", "sql_qa": "3B"}
    assert route_tasks(["a", "sql_qa"], "a", HERE, LARGER) == {} == route_tasks(["a", "sql_qa"], "sql_qa", HERE, None)


def test_decision_when_it_is_written_then_each_node_has_its_interval_and_ones_own_rows_no_rung():
    """Two ends or null."""
    path = (DecisionNode("a", "?", "yes", low=0.1, high=0.2), DecisionNode("b", "?", "no"))
    parts = {
        "scenario": "A",
        "title": "t",
        "action": "a",
        "reason": "r",
        "rung": "0.5B",
        "rehearsal": False,
        "path": path,
    }
    data = Decision(**parts).to_json()
    assert [node["interval"] for node in data["path"]] == [[0.1, 0.2], None] and data["rung"] == "0.5B"
    assert data["not_judged"] == [] and "rung" not in Decision(**parts, tree="own").to_json()


@pytest.mark.parametrize(("mean", "outcome"), [(0.6, "yes"), (0.5, "no"), (0.55, "yes")])
def test_question_of_at_least_when_the_mean_is_at_the_threshold_then_it_is_reached(mean, outcome):
    """Its name, task and note go with it; n of an unscored one too."""
    node = ask_at_least("scale", "?", bare(mean), 0.55, note="by hand", task="t")
    assert (node.outcome, node.note, node.task, node.threshold, node.n) == (outcome, "by hand", "t", 0.55, None)
    unscored = ask_at_least("scale", "?", Estimate(None, 0, None, None, None), 0.55, task="t")
    assert (unscored.outcome, unscored.n, unscored.note, unscored.task, unscored.threshold) == (
        "not judged",
        0,
        "nothing was scored",
        "t",
        0.55,
    )
