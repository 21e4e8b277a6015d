"""What a decision says of a run, and the numbers it hands over, for histories of a few lines worked out by hand."""

from __future__ import annotations

import pytest

from callbacks.config import DecisionSection
from callbacks.decision.decision import Rung
from callbacks.decision.tree import choose_tree, decide
from callbacks.evaluation.history import Evaluation
from rewards.statistics.estimates import ALL, Estimate

SMALL = Rung("0.5B", "small", "v4_1.yaml", base="v4_2_b.yaml", fix="v4_2_c.yaml")
LARGE = Rung("3.7B", "large", "v4_2_a.yaml")
RECIPE, OWN, WARMUP = (DecisionSection(relative_to=kind) for kind in ("thresholds", "baseline", "warmup"))
NOISY = {"n": 20, "std": 0.3}


def row(stage, step, mean, n=300, std=0.2, **tasks):
    """A row of means; a task may be a mean, or a (mean, n) pair; n 0 leaves counts and spreads out."""
    cells = {"stage": stage, "step": step}
    for name, value in {"mean_reward": mean, **tasks}.items():
        value, count = value if isinstance(value, tuple) else (value, n)
        cells |= {f"eval/{name}": value} | ({f"eval/{name}_n": count, f"eval/{name}_std": std} if count else {})
    return cells


def judge(section, *rows, **options):
    return decide(rows, section, rung=SMALL, next_rung=LARGE, **options)


def judge_climb(end, *, start=0.3, first=None, **tasks):
    """The recipe over a run that rose evenly to `end`; a task has the same mean throughout, or starts from `first`."""
    steps = (0, 100, 200, 300)
    means = [start + (end - start) * step / 300 for step in steps]
    return judge(RECIPE, *(row("train", step, mean, **tasks) for step, mean in zip(steps, means, strict=True)))


def nodes_of(decision):
    return {node.name: node for node in decision.path}


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ((0.30, 0.45), "The run improved; "),
        ((0.45, 0.30), "The run did not improve; "),
        ((0.30, 0.301), "Any improvement is within the noise; "),
        ((0.30,), "Whether it improved cannot be judged; "),
    ],
)
def test_reason_of_a_run_without_a_scenario_when_it_moved_or_not_then_says_so(means, said):
    """Whether it improved is the first thing that the reason says."""
    rows = [
        row("train", 100 * place, mean, extraction=0.5, sql_qa=0.5, insights=0.5) for place, mean in enumerate(means)
    ]
    decision = judge(RECIPE, *rows)
    assert decision.reason.startswith(said) and decision.scenario == "undecided"


def test_reason_when_a_weak_task_does_not_make_scenario_c_then_the_task_is_named_and_none_is_handed_over():
    """Below its floor, but the run did not improve: no C, no task, no route."""
    rows = [row("train", 100 * place, mean, extraction=0.5, sql_qa=0.1) for place, mean in enumerate((0.5, 0.4, 0.3))]
    decision = judge(RECIPE, *rows)
    assert decision.reason == (
        "The run did not improve; the mean of 0.300 is below 0.55 (no A), it is not stuck without valid JSON (no B), "
        "and sql_qa is below its floor (no C)."
    )
    assert (decision.scenario, decision.task, decision.routes, decision.step) == ("undecided", None, {}, 200)


def test_reason_when_every_floor_was_judged_then_it_says_no_more_than_that():
    """Only a floor that could not be judged is told apart."""
    all_three = {"extraction": 0.5, "sql_qa": 0.5, "insights": 0.5}
    assert judge_climb(0.5, **all_three).reason.endswith("and no task is below its floor (no C).")
    two = {name: mean for name, mean in all_three.items() if name != "insights"}
    assert judge_climb(0.5, **two).reason.endswith("and no task that was judged is below its floor (no C).")


def test_reason_when_a_plateau_could_be_judged_in_part_then_b_is_out_only_by_a_no():
    """A curve of one step cannot be on a plateau; a mean above the plateau's is a no, whatever extraction was."""
    one = judge(RECIPE, row("train", 100, 0.45, extraction=(0.1, 300)))
    assert "whether it is stuck without valid JSON was not judged (B)" in one.reason
    assert "it is not stuck without valid JSON (no B)" in judge_climb(0.45).reason
    # Stuck at a mean that is above the plateau's, without extraction: one no is enough.
    flat = judge(
        DecisionSection(relative_to="thresholds", scale_at=0.9), *(row("train", step, 0.7) for step in (0, 100, 200))
    )
    assert "it is not stuck without valid JSON (no B)" in flat.reason


def test_scenario_c_when_two_tasks_are_below_their_floors_then_the_lower_is_fixed_and_its_value_said():
    """The weakest, with its own floor; a task at exactly nothing is the weakest of all."""
    decision = judge_climb(0.5, extraction=0.1, insights=0.05, sql_qa=0.5)
    assert (decision.scenario, decision.task, decision.routes) == ("C", "insights", {})
    assert decision.reason == "The run improved by 0.200, but insights ends at 0.050, below its floor."
    assert judge_climb(0.5, extraction=0.1, insights=0.0, sql_qa=0.5).task == "insights"


def test_node_of_a_task_when_it_has_few_examples_then_it_decides_nothing_and_counts_none_further():
    """Nineteen are named, twenty judge; the note says why, beside what there was to note before."""
    outcomes = {}
    for n in (19, 20):
        floor = nodes_of(judge_climb(0.5, extraction=0.5, sql_qa=(0.02, n), insights=0.5))["floor: sql_qa"]
        outcomes[n] = (floor.outcome, floor.note, floor.further_examples, floor.further_examples_80)
    assert outcomes == {19: ("not judged", "fewer than 20 examples", None, None), 20: ("yes", "", 0, 0)}
    # A question about all is not about a task of few examples, however few there are.
    few = judge(RECIPE, row("train", 0, 0.9, n=10, std=0.01))
    assert few.path[0].outcome == "yes"
    missing = nodes_of(judge_climb(0.5, extraction=0.5))["floor: sql_qa"]
    assert (missing.outcome, missing.note) == ("not judged", "the run has no task of this name")


def test_floor_when_the_run_has_no_task_or_no_floor_is_set_then_it_is_said_once_or_not_at_all():
    """A mean alone leaves C open; without floors there is nothing to leave open; tasks of one's own have none."""
    bare = [row("train", step, 0.3 + step / 1000) for step in (0, 100)]
    assert [line for line in judge(RECIPE, *bare).not_judged if "floor" in line] == [
        "floors: no task was recorded, only the mean of all"
    ]
    without = DecisionSection(relative_to="thresholds", floors={})
    assert not [line for line in judge(without, *bare).not_judged if "floor" in line]
    own = [row("train", step, 0.3 + step / 1000, invoices=0.4) for step in (0, 100)]
    assert not [node for node in judge(RECIPE, *own).path if node.name.startswith("floor")]


def test_decision_when_tasks_lie_apart_then_only_the_noise_within_them_counts():
    """Half the rows at 0.05 and half at 0.95, each with sd 0.05: 0.5 is known to a hundredth, not to a twentieth."""
    cells = row("train", 0, 0.5, n=200, std=0.45, a=(0.05, 100), b=(0.95, 100))
    cells |= {"eval/a_std": 0.05, "eval/b_std": 0.05}
    node = nodes_of(judge(RECIPE, cells))["scale"]
    assert node.outcome == "no" and node.high - node.low < 0.02


def test_note_of_a_measure_when_it_has_one_then_it_stands_on_the_node():
    """What a change was measured against, and whether it is a change at all."""
    nodes = nodes_of(judge_climb(0.5, extraction=0.5, sql_qa=0.5, insights=0.5))
    assert nodes["improving"].note == "against 0.300 at step 0" and nodes["improving"].of_change
    assert not nodes["scale"].of_change and not nodes["plateau"].of_change


def test_answers_of_a_run_without_an_evaluation_when_it_is_ones_own_then_the_tree_is_its_own():
    """Nothing was recorded, and still it is known by what it would have been judged."""
    decision = judge(OWN)
    assert (decision.tree, decision.scenario, decision.step) == ("own", "undecided", None)
    assert list(decision.answers) == ["gained_over_zero_shot", "gained_over_start", "lowest_task", "final_mean"]


def test_tree_when_the_config_names_one_then_tasks_do_not_choose_another():
    """Thresholds that were asked for hold for any tasks; auto looks at them."""
    evaluations = [
        Evaluation(
            "final", 9, {ALL: Estimate(0.5, None, None, None, None), "invoices": Estimate(0.5, None, None, None, None)}
        )
    ]
    auto = DecisionSection()
    assert [choose_tree(section, evaluations=evaluations) for section in (RECIPE, auto, OWN, WARMUP)] == [
        "recipe", "own", "own", "rehearsal",
    ]  # fmt: skip
    assert choose_tree(auto) == "recipe" and choose_tree(auto, rehearsal=True) == "rehearsal"
    mixed = [
        Evaluation(
            "final",
            9,
            {
                ALL: evaluations[0].estimates[ALL],
                "push": evaluations[0].estimates[ALL],
                "x": evaluations[0].estimates[ALL],
            },
        )
    ]
    assert choose_tree(auto, evaluations=mixed) == "recipe"


def judge_own(before, warmup, end, section=OWN, **options):
    """A run on rows of one's own: means, or mappings with `mean` and tasks."""
    stages = (("before", 0, before), ("warmup", 0, warmup), ("final", 200, end))
    rows = [
        row(stage, step, **(means if isinstance(means, dict) else {"mean": means}), **NOISY)
        for stage, step, means in stages
    ]
    return judge(section, *rows, **options)


def test_own_run_when_its_gain_is_in_the_noise_then_the_examples_that_would_decide_are_its_nodes():
    """The advice, the decision and the node say the same two numbers; a run that learnt asks for none."""
    decision = judge_own(0.1, 0.40, 0.45)
    node = nodes_of(decision)["gain"]
    assert node.outcome == "within noise" and node.further_examples_80 > node.further_examples > 0
    assert (decision.further_examples, decision.further_examples_80) == (
        node.further_examples,
        node.further_examples_80,
    )
    assert decision.action.startswith(f"Evaluate on about {float(f'{node.further_examples:.2g}'):,.0f} to ")
    assert "more held-out examples (a 50 to 80 % chance of a clear answer), or train" in decision.action
    learnt = judge_own(0.1, 0.3, 0.8)
    assert (learnt.further_examples, learnt.further_examples_80) == (None, None)
    # No change at all: no number of examples would make it one.
    same = judge_own(0.1, 0.4, 0.4)
    assert same.action.startswith("Evaluate on more held-out examples, or train") and same.further_examples is None


def test_own_run_when_two_tasks_lost_then_the_one_that_lost_most_is_named_and_both_are_told():
    """0.9 to 0.3 is more than 0.8 to 0.4, and a task that gained is not blamed."""
    start = {"mean": 0.4, "a": 0.8, "b": 0.9, "c": 0.1}
    decision = judge_own(0.1, start, {"mean": 0.8, "a": 0.4, "b": 0.3, "c": 0.9})
    assert (decision.scenario, decision.task, decision.title) == ("C", "b", "It learnt, but b got worse")
    assert "but a, b fell by more than the noise" in decision.reason
    assert decision.routes == {}
    # One of few examples fell farther, and is not judged.
    start, end = ({"mean": mean, "a": a, "rare": (rare, 12)} for mean, a, rare in ((0.4, 0.9, 0.9), (0.8, 0.4, 0.1)))
    assert judge_own(0.1, start, end).task == "a"


def test_own_run_when_it_is_no_rehearsal_then_it_is_told_to_be_used():
    """Only a rehearsal is sent to the real model; only its titles say so."""
    learnt = judge_own(0.1, 0.3, 0.8)
    assert (learnt.title, learnt.rehearsal) == ("It learnt", False) and learnt.action.startswith("Use it: ")
    assert not learnt.reason.startswith("This was a rehearsal")
    rehearsed = judge_own(0.1, 0.3, 0.8, rehearsal=True)
    assert rehearsed.title == "Rehearsal: it learnt" and rehearsed.reason.startswith("This was a rehearsal")


def test_own_run_when_it_falls_short_of_its_target_then_says_by_how_much():
    """0.7 of a target of 0.95 is 0.25 short."""
    decision = judge_own(0.1, 0.2, 0.7, DecisionSection(relative_to="baseline", target=0.95))
    assert decision.title == "It learnt, the target is not reached yet"
    assert "it is still 0.250 short of the target of 0.95" in decision.reason


def test_own_run_when_it_had_a_zero_shot_and_no_warm_up_then_nothing_is_missing():
    """For rows of one's own the zero-shot evaluation is a start; a run held to its warm-up lacks that."""
    rows = [row("before", 0, 0.2), row("final", 100, 0.7)]
    assert judge(OWN, *rows).not_judged == ()
    assert judge(WARMUP, *rows).not_judged == ("no warm-up was recorded: step 0 is used in its place",)
    later = [row("train", 10, 0.2), row("final", 100, 0.7)]
    assert judge(OWN, *later).not_judged == ("no warm-up was recorded: step 10 is used in its place",)


def test_zero_shot_node_when_there_was_a_warm_up_then_it_says_against_what():
    """The path holds both starts, each with its own mean."""
    assert nodes_of(judge_own(0.1, 0.3, 0.8))["zero-shot"].note == "against 0.100"


def test_open_decision_when_tasks_are_the_doubt_then_they_are_named_and_all_of_them_decided():
    """Two floors in the noise: the examples of both, the larger count of the two."""
    decision = judge_climb(0.5, extraction=(0.24, 60), sql_qa=(0.215, 60), insights=0.5)
    floors = [nodes_of(decision)[f"floor: {task}"] for task in ("extraction", "sql_qa")]
    assert [node.outcome for node in floors] == ["within noise"] * 2 and decision.title == "Undecided: within the noise"
    assert (
        decision.further_examples
        == max(node.further_examples for node in floors)
        > min(node.further_examples for node in floors)
    )
    assert decision.further_examples_80 == max(node.further_examples_80 for node in floors)
    assert "more held-out examples of extraction and of sql_qa (a 50 to 80 %" in decision.action
    assert decision.action.endswith(" and decide again.")
    assert "The margin of floor of extraction, floor of sql_qa is within the noise" in decision.reason


def test_open_decision_when_one_of_its_margins_cannot_be_decided_then_no_number_is_given():
    """A floor met to the digit takes more examples than anybody has; half an answer is none."""
    decision = judge_climb(0.5, extraction=(0.24, 60), sql_qa=(0.20, 60), insights=0.5)
    assert (decision.further_examples, decision.further_examples_80) == (None, None)
    assert decision.action == "Evaluate on more held-out examples; these numbers do not say how many are needed."


def test_open_decision_when_the_mean_is_the_doubt_then_no_task_is_named():
    """`more held-out examples`, of all."""
    decision = judge(RECIPE, row("train", 0, 0.56, n=60))
    assert "more held-out examples (a 50" in decision.action


def test_decision_when_some_numbers_have_no_noise_then_those_are_named_and_unscored_ones_are_not():
    """The task whose n was recorded has its interval; one of which nothing was scored is no number."""
    cells = row("train", 0, 0.7, n=300, a=(0.5, 0), b=0.5)
    cells |= {"eval/c": None, "eval/c_n": 0}
    lines = [line for line in judge(RECIPE, cells).not_judged if line.startswith("the noise")]
    assert lines == ["the noise of a: n or std was not recorded, so the means alone decided"]
    assert not [line for line in judge(RECIPE, row("train", 0, 0.7)).not_judged if line.startswith("the noise")]


def test_route_when_sql_is_weak_then_only_scenario_c_of_the_recipe_routes_it():
    """On rows of one's own there is no rung to route anything to."""
    weak = judge_climb(0.5, extraction=0.5, sql_qa=0.05)
    assert (weak.scenario, weak.routes) == ("C", {"extraction": "0.5B", "sql_qa": "3.7B"})
    lost = judge_own(0.1, {"mean": 0.4, "sql_qa": 0.9}, {"mean": 0.8, "sql_qa": 0.3})
    assert (lost.scenario, lost.task, lost.routes) == ("C", "sql_qa", {})
