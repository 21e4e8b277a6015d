"""What a decision says of a run, and the numbers it hands over, for histories of a few lines worked out by hand."""

from __future__ import annotations

import pytest

from callbacks.config import DecisionSection
from callbacks.decision.decision import Rung
from callbacks.decision.measures import Recorded
from callbacks.decision.starts import (
    ask_kept,
    ask_share,
    find_change,
    find_gaps,
    list_tasks,
    measure_loss,
    name_start,
    tell_way,
)
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


def give(mean, n=100, std=0.2, low=None, high=None):
    return Estimate(mean, n, std, low, high)


def record(*evaluations, **more):
    return Recorded([Evaluation(stage, step, estimates) for stage, step, estimates in evaluations], OWN, {}, **more)


WARM = ("warmup", 0, {ALL: give(0.4, low=0.36, high=0.44), "a": give(0.4, low=0.36, high=0.44), "b": give(0.5)})
END = ("final", 50, {ALL: give(0.5, low=0.46, high=0.54), "a": give(0.38, low=0.34, high=0.42), "c": give(0.9)})


def test_start_when_it_is_named_then_by_what_it_was():
    """Zero-shot, the warm-up, a step; a warm-up that changed nothing is zero-shot still."""
    same = ("before", 0, WARM[2])
    other = ("before", 0, {ALL: give(0.1)})
    assert name_start(record(WARM, END)) == "the warm-up" == name_start(record(other, WARM, END))
    assert name_start(record(same, WARM, END)) == "zero-shot" == name_start(record(other, END))
    assert name_start(record(("train", 10, WARM[2]), END)) == "step 10"
    assert name_start(record(END)) == "its start"
    kept = ("start", 0, {ALL: give(0.45)})
    assert name_start(record(other, WARM, kept, ("judged", 50, {ALL: give(0.6)}))) == "the warm-up"


def test_change_when_the_pair_is_not_whole_then_the_means_stand():
    """A paired difference without an interval says less than two means with theirs."""
    whole, bare = give(0.11, low=0.08, high=0.14), give(0.11)
    assert find_change(record(WARM, END, paired={ALL: whole}), ALL) is whole
    assert find_change(record(WARM, END, paired={ALL: bare}), ALL).mean == pytest.approx(0.1)
    assert find_change(record(WARM, END, paired={ALL: give(None)}), ALL).mean == pytest.approx(0.1)
    assert find_change(record(END), ALL).mean is None


def test_tasks_and_losses_when_one_side_lacks_a_task_then_it_is_not_compared():
    """`b` has no end and `c` no start."""
    recorded = record(WARM, END)
    assert list_tasks(recorded) == ["a"] and list_tasks(record(END)) == []
    assert measure_loss(recorded, "a") == pytest.approx(-0.02)
    assert [measure_loss(recorded, task) for task in ("b", "c", None)] == [0.0] * 3 and measure_loss(
        record(END), "a"
    ) == 0.0


def test_kept_when_a_task_lost_less_than_its_noise_then_it_is_in_doubt_with_the_numbers_behind_it():
    """-0.02 with an interval around it; what gained is kept, and needs no more examples."""
    node = ask_kept("kept: a", "?", record(WARM, END), "a")
    assert (node.outcome, node.task, node.threshold, node.of_change) == ("within noise", "a", 0.0, True)
    assert node.value == node.margin == pytest.approx(-0.02) and node.low < 0 < node.high and node.n is not None
    assert node.further_examples_80 > node.further_examples > 0
    gained = ask_kept("kept: a", "?", record(WARM, ("final", 9, {ALL: give(0.5), "a": give(0.4)})), "a")
    assert (gained.outcome, gained.value, gained.further_examples) == ("yes", 0.0, None)
    unscored = ask_kept("kept: b", "?", record(WARM, END), "b")
    assert (unscored.outcome, unscored.note, unscored.task, unscored.threshold) == (
        "not judged",
        "nothing was scored",
        "b",
        0.0,
    )


def test_share_when_the_start_was_nothing_then_any_gain_is_enough_and_it_says_from_what():
    """A third more than 0 is 0; standing still is no gain. The ends on the node are those of the mean."""
    nothing = ("warmup", 0, {ALL: give(0.0, 100, 0.0)})
    node = ask_share("gain", "?", record(nothing, ("final", 9, {ALL: give(0.1)})), 0.33)
    assert (node.outcome, node.note, node.threshold, node.n, node.of_change) == ("yes", "from nothing", 0.0, 100, True)
    assert ask_share("gain", "?", record(nothing, ("final", 9, {ALL: give(0.0)})), 0.33).outcome == "no"
    assert ask_share("gain", "?", record(END), 0.33).note == "there is no earlier evaluation"
    bare = ask_share("gain", "?", record(("warmup", 0, {ALL: give(0.4, None, None)}), END), 0.25)
    assert (bare.outcome, bare.note, bare.low, bare.high) == ("yes", "+25%", 0.46, 0.54)
    assert bare.threshold == pytest.approx(0.5) and bare.margin == pytest.approx(0.0)


def test_share_when_examples_are_paired_then_what_moves_together_narrows_it():
    """sd 0.2 on both sides and 0.1 of the change: the covariance is 0.035, and of end - 1.25 start is left 0.015."""
    ends = record(WARM, END, paired={ALL: Estimate(0.1, 100, 0.1, 0.08, 0.12)})
    node = ask_share("gain", "?", ends, 0.25)
    variance = (0.04 + 1.5625 * 0.04 - 2 * 1.25 * 0.035) / 100
    assert node.high - node.low == pytest.approx(2 * 1.984 * variance**0.5, rel=1e-3)
    assert node.outcome == "within noise"
    apart = ask_share("gain", "?", record(WARM, END), 0.25)
    assert apart.high - apart.low == pytest.approx(2 * 1.984 * ((0.04 + 1.5625 * 0.04) / 100) ** 0.5, rel=1e-3)
    other_rows = ask_share("gain", "?", record(WARM, END, paired={ALL: Estimate(0.1, 90, 0.1, 0.08, 0.12)}), 0.25)
    assert other_rows.high - other_rows.low == pytest.approx(apart.high - apart.low)


def test_way_when_it_is_told_then_each_number_stands_after_what_it_is_of():
    """From zero-shot over the warm-up to the end, with the interval where it is known."""
    zero_shot = ("before", 0, {ALL: give(0.1)})
    paired = {ALL: Estimate(0.1, 100, 0.1, 0.08, 0.12)}
    told = tell_way(record(zero_shot, WARM, END, paired=paired))
    assert (
        told["way"]
        == "The mean went from 0.100 zero-shot to 0.400 after the warm-up to 0.500 at step 50 (+0.100, +0.080 to +0.120)"
    )
    assert told["change"] == "The mean went from 0.400 to 0.500 (+0.100)" and told["clearly"] == "clear of zero"
    assert tell_way(record(zero_shot, END, paired=paired))["way"].startswith(
        "The mean went from 0.100 zero-shot to 0.500 at"
    )
    bare = tell_way(record(("warmup", 0, {ALL: give(0.4, None, None)}), ("final", 50, {ALL: give(0.5, None, None)})))
    assert (
        bare["way"] == "The mean went from 0.400 to 0.500 at step 50 (+0.100)" and bare["clearly"] == "of unknown noise"
    )
    assert tell_way(record(END)) == {}


def test_gaps_when_noise_or_start_are_missing_then_each_has_a_line():
    """What stands for the start, and that the means alone decided."""
    bare = record(("train", 10, {ALL: give(0.4, None, None)}), ("final", 50, {ALL: give(0.5, None, None)}))
    assert find_gaps(bare, ("warmup",)) == (
        "no warm-up was recorded: step 10 is used in its place",
        "the noise: n or std was not recorded, so the means alone decided",
    )
    assert find_gaps(record(WARM, END), ("warmup",)) == () == find_gaps(record(END), ("warmup",))
