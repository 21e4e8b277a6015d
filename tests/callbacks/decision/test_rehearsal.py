"""The decision of a run that is measured against its own warm-up."""

import pytest

from callbacks.config import DecisionSection
from callbacks.decision.decision import Rung
from callbacks.decision.tree import decide
from rewards.statistics.estimates import paired_differences

SMALL = Rung("0.5B", "small", "v4_1.yaml", base="v4_2_b.yaml", fix="v4_2_c.yaml")
LARGE = Rung("3.7B", "large", "v4_2_a.yaml")
RELATIVE = DecisionSection(relative_to="warmup")


def row(stage, step, mean, **tasks):
    cells = {"stage": stage, "step": step}
    for name, value in {"mean_reward": mean, **tasks}.items():
        cells |= {f"eval/{name}": value, f"eval/{name}_n": 320, f"eval/{name}_std": 0.2}
    return cells


def judge(start, end, section=RELATIVE, **options):
    return decide(
        [row("warmup", 0, **start), row("final", 300, **end)], section, rung=SMALL, next_rung=LARGE, **options
    )


@pytest.mark.parametrize(
    ("start", "end", "scenario", "config"),
    [
        ({"mean": 0.3}, {"mean": 0.5}, "A", "v4_2_a.yaml"),
        ({"mean": 0.3}, {"mean": 0.2}, "B", "v4_2_b.yaml"),
        ({"mean": 0.3, "push": 0.6}, {"mean": 0.5, "push": 0.3}, "C", "v4_2_c.yaml"),
        ({"mean": 0.3}, {"mean": 0.36}, "undecided", "v4_1.yaml"),
        ({"mean": 0.3}, {"mean": 0.305}, "undecided", None),
    ],
)
def test_run_held_to_its_warm_up_when_it_is_no_rehearsal_then_it_names_the_next_config(start, end, scenario, config):
    """A real run may be judged so too, and then a config follows; of a rehearsal none does."""
    decision = judge(start, end)
    assert (decision.scenario, decision.next_config) == (scenario, config)
    assert judge(start, end, rehearsal=True).next_config is None


def test_gain_of_tasks_that_gained_differently_when_paired_then_only_the_noise_within_them_counts():
    """One task rose by 0.30, one by 0.02, each evenly: pooled that looks like noise, by task it is clear of zero."""
    changes = {"a": 0.30, "b": 0.02}
    before = {(task, str(number)): 0.3 for task in changes for number in range(10)}
    after = {(task, number): 0.3 + changes[task] + 0.03 * (int(number) % 3 - 1) for task, number in before}
    paired = paired_differences(before, after)
    start, end = {"mean": 0.3, "a": 0.3, "b": 0.3}, {"mean": 0.46, "a": 0.6, "b": 0.32}
    clear = next(node for node in judge(start, end, paired=paired).path if node.name == "clear of zero")
    assert clear.outcome == "yes"
    assert clear.low == pytest.approx(0.16 - 2.10 * 0.03 / 20**0.5, abs=0.002)


def test_run_held_to_its_warm_up_when_n_and_std_are_missing_then_the_means_decide_and_it_says_so():
    """Bare means are enough for a verdict and not for its noise."""
    rows = [
        {"stage": "warmup", "step": 0, "eval/mean_reward": 0.3},
        {"stage": "final", "step": 9, "eval/mean_reward": 0.6},
    ]
    decision = decide(rows, RELATIVE, rung=SMALL, next_rung=LARGE)
    assert decision.scenario == "A"
    assert any("means alone" in line for line in decision.not_judged)


def test_share_when_the_mean_is_right_at_a_third_more_then_it_is_within_noise_with_an_interval_of_its_own():
    """0.294 is more than 0.2205 x 1.33 = 0.29327, by 0.0007: no yes; 0.36 is one, 0.24 is none."""
    outcomes = {}
    for mean in (0.24, 0.294, 0.36):
        start, end = {"mean": 0.2205, "a": 0.2205}, {"mean": mean, "a": mean}
        outcomes[mean] = next(node for node in judge(start, end).path if node.name == "gain")
    assert [node.outcome for node in outcomes.values()] == ["no", "within noise", "yes"]
    open_one = outcomes[0.294]
    # sd 0.2 on both sides, 320 each, unpaired: sqrt(0.2^2 (1 + 1.33^2) / 320) = 0.018604, times t(319) = 1.96743.
    assert open_one.high - open_one.low == pytest.approx(2 * 1.96743 * 0.018604, rel=1e-3)
    assert open_one.low < open_one.threshold < open_one.high
    assert (
        open_one.further_examples is None
        or open_one.further_examples_80 is None
        or (open_one.further_examples_80 > open_one.further_examples)
    )


def test_task_of_few_examples_when_it_fell_then_it_is_named_and_not_judged():
    """Twelve examples of a task that lost half are no reason for C; forty are."""
    for n, outcome, scenario in ((12, "not judged", "A"), (40, "no", "C")):
        rows = []
        for stage, step, mean, few in (("warmup", 0, 0.3, 0.6), ("final", 300, 0.6, 0.1)):
            rows.append(row(stage, step, mean, a=mean, rare=few) | {"eval/rare_n": n})
        decision = decide(rows, RELATIVE, rung=SMALL, next_rung=LARGE)
        node = next(node for node in decision.path if node.task == "rare")
        assert (node.outcome, node.n, decision.scenario) == (outcome, n, scenario)
        assert node.value == pytest.approx(-0.5) and ("fewer than 20" in node.note) is (n == 12)
