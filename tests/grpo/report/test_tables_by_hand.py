"""The rows of the report's tables, from runs of a few lines, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from callbacks.evaluation.history import Evaluation
from grpo.report.run_files import RunFiles
from grpo.report.tables import (
    find_end,
    find_start,
    flatten,
    list_tasks,
    make_function_rows,
    make_plan_rows,
    make_task_rows,
    make_time_rows,
    measure_change,
)
from rewards.statistics.estimates import ALL, Estimate


def give(mean, n=100, std=0.2, low=None, high=None):
    return Estimate(mean, n, std, low, high)


def evaluate(stage, step, mean, **tasks):
    return Evaluation(stage, step, {ALL: give(mean), **{name: give(value) for name, value in tasks.items()}})


def make_run(**parts):
    return RunFiles(Path("runs/small"), **parts)


def train(step, **cells):
    return {"stage": "train", "step": step, **cells}


def store(task, name, reward, **scores):
    return {"task": task, "id": name, "reward": reward, "scores": scores}


def test_tasks_when_listed_then_all_comes_first_and_the_others_by_name():
    """Every task that any evaluation had, once; no `all` where none was evaluated."""
    run = make_run(evaluations=[evaluate("warmup", 0, 0.3, b=0.2, zebra=0.1), evaluate("final", 9, 0.5, b=0.4, a=0.6)])
    assert list_tasks(run) == ["all", "a", "b", "zebra"]
    assert list_tasks(make_run(evaluations=[Evaluation("final", 9, {"b": give(0.1), "a": give(0.2)})])) == ["a", "b"]
    assert list_tasks(make_run()) == []


def test_end_when_a_checkpoint_is_judged_then_it_is_that_one_unless_it_is_the_start():
    """Judged at a step; else the last step's; of a run on its way the last evaluation; none without any."""
    start, middle, final = evaluate("warmup", 0, 0.3), evaluate("train", 50, 0.6), evaluate("final", 100, 0.5)
    judged, start_judged = evaluate("judged", 50, 0.58), evaluate("judged", 0, 0.31)
    assert find_end(make_run(evaluations=[start, middle, final, judged])) is judged
    assert find_end(make_run(evaluations=[start, middle, final, start_judged])) is final
    assert find_end(make_run(evaluations=[start, middle])) is middle
    assert find_end(make_run()) is None


def test_start_when_the_judged_checkpoint_answered_kept_rows_then_it_is_the_start_on_those():
    """The evaluation called start stands beside the judged one alone."""
    warm, kept, judged = evaluate("warmup", 0, 0.3), evaluate("start", 0, 0.33), evaluate("judged", 50, 0.5)
    assert find_start(make_run(evaluations=[warm, kept, judged])) is kept
    assert find_start(make_run(evaluations=[warm, judged])) is warm
    assert find_start(make_run(evaluations=[warm, kept, evaluate("final", 50, 0.5)])) is warm
    assert find_start(make_run()) is None


def test_task_rows_when_a_run_ended_then_each_stage_has_its_own_estimate():
    """Before, warm-up, best, end and change; a task that an evaluation lacked is None there."""
    first, warm = evaluate("before", 0, 0.1, a=0.1), evaluate("warmup", 0, 0.3, a=0.2, b=0.4)
    final = evaluate("final", 9, 0.6, a=0.5, b=0.7)
    run = make_run(evaluations=[first, warm, final])
    run.best.estimates = {"a": give(0.55)}
    rows = {row["task"]: row for row in make_task_rows(run)}
    assert list(rows) == ["all", "a", "b"]
    assert [rows["a"][key].mean for key in ("before", "warmup", "best", "final")] == [0.1, 0.2, 0.55, 0.5]
    assert (rows["b"]["before"], rows["b"]["best"]) == (None, None)
    assert rows["b"]["change"].mean == pytest.approx(0.3) and rows["b"]["direction"] == "up"
    assert rows["all"]["sft"] is None


@pytest.mark.parametrize("stages", [("warmup",), ("before",)])
def test_task_rows_when_nothing_came_after_the_start_then_there_is_no_end_and_no_change(stages):
    """One evaluation is not shown as both sides of a change."""
    (row,) = make_task_rows(make_run(evaluations=[evaluate(stage, 0, 0.3) for stage in stages]))
    assert (row["final"], row["change"], row["direction"]) == (None, None, "unknown")


def test_change_when_rewards_of_the_same_rows_are_stored_then_it_is_of_those_rows():
    """Gains of 0.2 and 0.4 are 0.3, whatever the means of the evaluations say; same id in two tasks is two rows."""
    records = {
        "warmup": [store("t", "1", 0.1), store("t", "2", 0.2), store("u", "1", 0.9), store("t", "3", None)],
        "final": [store("t", "1", 0.3), store("t", "2", 0.6), store("u", "1", 0.8), store("t", "4", 1.0)],
    }
    means = [evaluate("warmup", 0, 0.5, t=0.5), evaluate("final", 9, 0.5, t=0.5)]
    run = make_run(evaluations=means, records=records)
    assert (measure_change(run, "t").mean, measure_change(run, "t").n) == (pytest.approx(0.3), 2)
    assert measure_change(run).mean == pytest.approx((0.2 + 0.4 - 0.1) / 3)
    unpaired = {stage: [*rows, store("v", stage, 0.9), store("t", "5", "odd")] for stage, rows in records.items()}
    means = [evaluate("warmup", 0, 0.5, t=0.5, v=0.5, w=0.5), evaluate("final", 9, 0.5, t=0.5, v=0.6, w=0.7)]
    run = make_run(evaluations=means, records=unpaired)
    assert [measure_change(run, task).mean for task in ("t", "v", "w")] == pytest.approx([0.3, 0.1, 0.2])
    # A task that no row has twice is left to the two means, as is everything where one side was not stored.
    assert measure_change(make_run(evaluations=means, records={**records, "warmup": []}), "t").mean == 0.0


def test_change_when_only_means_are_known_then_it_is_theirs_with_welchs_interval():
    """0.3 to 0.5 with sd 0.2 and 100 rows each: 0.2 and a standard error of 0.028."""
    change = measure_change(make_run(evaluations=[evaluate("warmup", 0, 0.3), evaluate("final", 9, 0.5)]))
    assert change.mean == pytest.approx(0.2)
    assert change.high - change.low == pytest.approx(2 * 1.972 * 0.2 * (2 / 100) ** 0.5, rel=0.01)


@pytest.mark.parametrize(
    "evaluations",
    [
        [evaluate("warmup", 0, 0.3)],
        [evaluate("final", 9, 0.5)],
        [Evaluation("warmup", 0, {ALL: give(None, 0)}), evaluate("final", 9, 0.5)],
        [evaluate("warmup", 0, 0.3), Evaluation("final", 9, {ALL: give(None, 0)})],
        [evaluate("warmup", 0, 0.3), Evaluation("final", 9, {"t": give(0.5)})],
    ],
)
def test_change_when_one_side_is_missing_then_there_is_none(evaluations):
    """Neither a lone evaluation nor one in which nothing was scored makes a change."""
    assert measure_change(make_run(evaluations=evaluations)) is None


def score(value, version="2", **more):
    return {"value": value, "status": "value", "version": version, **more}


def test_function_rows_when_scores_are_stored_then_counts_means_parts_and_errors_are_theirs():
    """Two values of 0.25 and 0.75 and one error of a function; what was not scored counts nowhere."""
    records = {
        "warmup": [store("t", "1", 0.5, exact=score(0.0)), store("t", "2", 0.5, exact=score(0.5))],
        "final": [
            store("t", "1", 0.5, exact=score(0.25, parts={"valid": 1.0, "fields": 0.5, "odd": "x"})),
            store("u", "2", 0.5, exact=score(0.75, parts={"valid": 0.0})),
            store(
                "t", "3", None, exact={"value": None, "status": "error"}, other={"value": None, "status": "unscored"}
            ),
            store("t", "4", None, exact="no score"),
        ],
    }
    metrics = [train(1, **{"reward/exact": 0.3}), {"stage": "final", "step": 2, "reward/exact": 0.9}, train(2)]
    exact, other = make_function_rows(make_run(records=records, metrics=metrics))
    assert (exact["name"], exact["n"], exact["warmup"], exact["final"], exact["errors"]) == ("exact", 2, 0.25, 0.5, 1)
    assert (exact["versions"], exact["mixed"], exact["tasks"]) == (["2"], False, ["t", "u"])
    assert (exact["weight"], exact["seconds"], exact["trained"]) == (None, None, [(1, 0.3)])
    assert (exact["final_estimate"].n, exact["warmup_estimate"].n) == (2, 2)
    fields, valid = exact["parts"]
    assert (fields["name"], fields["warmup"], fields["final"]) == ("fields", None, 0.5)
    assert (valid["name"], valid["final"], valid["final_estimate"].n, valid["warmup_estimate"]) == (
        "valid",
        0.5,
        2,
        None,
    )
    assert (other["name"], other["n"], other["final"], other["final_estimate"], other["errors"]) == (
        "other",
        0,
        None,
        None,
        0,
    )


def test_function_rows_when_a_run_reports_on_its_functions_then_that_counts():
    """Weight, seconds and errors of the whole run stand above what the stored rows happen to show."""
    reported = {"exact": {"version": "3", "weight": 0.5, "errors": 7, "mean_seconds": 0.02}, "bare": {}}
    records = {"final": [store("t", "1", 0.5, exact=score(0.5, "2"), fuzzy=score(1.5, None))]}
    run = make_run(
        environment={"rewards": reported}, records=records, audit={"reward_versions": {"bare": "1", "planned": "4"}}
    )
    rows = {row["name"]: row for row in make_function_rows(run)}
    assert list(rows) == ["bare", "exact", "fuzzy", "planned"]
    assert [rows["exact"][key] for key in ("weight", "seconds", "errors", "versions")] == [0.5, 0.02, 7, ["2"]]
    assert [rows[name]["versions"] for name in ("bare", "planned")] == [["1"], ["4"]]
    assert [rows["planned"][key] for key in ("n", "warmup", "final", "errors", "parts")] == [None, None, None, 0, []]
    # What lies outside 0..1 has a mean and a count, and no interval that only shares have.
    assert rows["fuzzy"]["final_estimate"] == Estimate(1.5, 1, None, None, None)
    at_end = {"final": [store("t", "1", 0.5, f=score(0.5, parts={"valid": 1.0}))]}
    assert make_function_rows(make_run(records=at_end))[0]["parts"][0]["warmup"] is None
    only = make_function_rows(make_run(environment={"rewards": {"exact": {"version": "3"}}}))
    assert (only[0]["versions"], only[0]["mixed"]) == (["3"], False)


def test_function_rows_when_two_versions_scored_then_both_are_named_and_it_is_called_mixed():
    """A version with another fingerprint is another scorer."""
    first, last = score(0.5, "1", fingerprint="aa"), score(0.5, "1", fingerprint="bb")
    run = make_run(records={"warmup": [store("t", "1", 0.5, f=first)], "final": [store("t", "1", 0.5, f=last)]})
    (row,) = make_function_rows(run)
    assert (row["versions"], row["mixed"]) == (["1 (aa)", "1 (bb)"], True)


@pytest.mark.parametrize(("values", "known"), [((0.0, 1.0), True), ((-0.1, 1.0), False), ((0.0, 1.1), False)])
def test_function_rows_when_values_leave_0_to_1_then_they_have_no_interval(values, known):
    """At the bounds themselves there is one."""
    records = [store("t", str(number), 0.5, f=score(value)) for number, value in enumerate(values)]
    estimate = make_function_rows(make_run(records={"final": records}))[0]["final_estimate"]
    assert (estimate.low is not None) is known and (estimate.high is not None) is known and estimate.n == 2


def test_time_rows_when_a_run_took_its_time_then_stages_and_parts_have_their_seconds_and_shares():
    """30 s of warm-up and 90 s of GRPO; the steps of a resumed stage count where they say more than its end."""
    timings = [
        {"stage": "warmup", "step": 0, "stage_seconds": 30.0},
        train(1, step_time=40.0, reward_function_seconds=8.0),
        train(2, step_time=50.0, reward_function_seconds=4.0, evaluation_seconds=6.0, memory_bytes=9e9),
        train(2, stage_seconds=50.0, odd_seconds=-5.0),
        {"stage": "packing", "step": 0, "stage_seconds": 0.0},
    ]
    plan = {
        "seconds_estimated": {"sft_warmup": 25.0, "generation": 60.0, "training": 20.0, "evaluation": 7.0, "total": 1.0}
    }
    rows = make_time_rows(make_run(timings=timings, plan=plan))
    assert [(row["what"], row["said"], row["planned"], row["inner"]) for row in rows] == [
        ("SFT warm-up", "30 s", "25 s", False),
        ("GRPO", "1 min 30 s", "1 min 20 s", False),
        ("packing", "0 s", None, False),
        ("reward function", "12 s", None, True),
        ("held-out evaluations", "6 s", "7 s", True),
    ]
    assert [round(row["share"], 4) for row in rows] == [0.25, 0.75, 0.0, 0.1, 0.05]


def test_time_rows_when_parts_took_longer_than_their_stages_or_only_parts_are_known_then_no_share_is_above_1():
    """Parts that overlap are each shown whole; without a stage a share has nothing to be of."""
    timings = [train(1, stage_seconds=10.0, wait_seconds=25.0)]
    rows = make_time_rows(make_run(timings=timings))
    assert [(row["share"], row["planned"]) for row in rows] == [(1.0, None), (1.0, None)]
    only = make_time_rows(make_run(timings=[train(1, wait_seconds=0.25)]))
    assert [(row["what"], row["share"], row["planned"]) for row in only] == [("wait", 0.25, None)]
    assert make_time_rows(make_run()) == []


def test_time_rows_when_one_half_of_grpo_was_planned_then_that_half_stands():
    """A plan without generation has training alone."""
    (row,) = make_time_rows(
        make_run(timings=[train(1, stage_seconds=10.0)], plan={"seconds_estimated": {"training": 20.0}})
    )
    assert row["planned"] == "20 s"


PLAN = {
    "max_steps": 100,
    "prompts_per_step": 2,
    "completions_per_step": 16,
    "prompts_seen": 200,
    "sft_warmup": {"steps": 30},
    "tokens": {"total_expected": 500_000, "reference_mean": 88.4},
    "seconds_estimated": {"total": 640.0},
    "memory_bytes": {"peak": 3 * 1024**3},
}


def test_plan_rows_when_a_run_went_on_then_each_plan_stands_beside_what_happened():
    """40 of 100 steps: 80 prompts, 640 of 1,600 completions, and the tokens of the last step that counted them."""
    metrics = [
        {"stage": "warmup", "step": 0, "sft/step": 10}, {"stage": "warmup", "step": 0, "sft/step": 30},
        train(39, num_tokens=190_000, **{"completions/mean_length": 80.0}),
        train(40, num_tokens=200_000, **{"completions/mean_length": 100.0}), train(38), {"stage": "final", "step": 99, "num_tokens": 9},
    ]  # fmt: skip
    timings = [train(1, peak_memory_bytes=1024**3), train(2, peak_memory_bytes=2 * 1024**3), train(3)]
    run = make_run(plan=PLAN, metrics=metrics, timings=timings, status={"seconds": 100.0})
    assert [(row["what"], row["planned"], row["happened"]) for row in make_plan_rows(run)] == [
        ("SFT steps", "30", "30"),
        ("GRPO steps", "100", "40"),
        ("prompts seen", "200", "80"),
        ("completions", "1,600", "640"),
        ("tokens", "500,000", "200,000"),
        ("mean completion, tokens", "88.4", "90"),
        ("time", "10 min 40 s", "1 min 40 s"),
        ("peak memory", "3.00 GiB", "2.00 GiB"),
    ]
    notes = {row["what"]: row["note"] for row in make_plan_rows(run)}
    assert notes["peak memory"].startswith("happened: the whole process") and notes["time"] == ""
    run.environment = {"device": "cuda"}
    assert make_plan_rows(run)[-1]["note"] == ""


def test_plan_rows_when_all_was_sft_then_nothing_is_said_of_grpo():
    """A plan's steps of GRPO that the stages leave out were never meant."""
    run = make_run(plan=PLAN, config={"stages": ["sft"]}, metrics=[train(5)])
    shown = {row["what"]: row["planned"] for row in make_plan_rows(run)}
    assert list(shown) == ["SFT steps", "tokens", "mean completion, tokens", "time", "peak memory"]
    both = make_plan_rows(make_run(plan=PLAN, config={"stages": ["sft", "grpo"]}, metrics=[train(5)]))
    assert {row["what"]: row["happened"] for row in both}["GRPO steps"] == "5"


def test_plan_rows_when_only_a_plan_or_nothing_is_there_then_no_number_is_made_up():
    """What did not happen is a dash, and the memory of nothing has no note."""
    rows = make_plan_rows(make_run(plan=PLAN))
    assert {row["happened"] for row in rows} == {"–"} and rows[-1]["note"] == ""
    assert make_plan_rows(make_run()) == []
    unplanned = make_run(metrics=[train(5)], plan={"tokens": {"total_expected": "many"}})
    assert [(row["what"], row["planned"], row["happened"]) for row in make_plan_rows(unplanned)] == [
        ("GRPO steps", "–", "5")
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"), (True, "yes"), (False, "no"), (12345, "12,345"), (-(10**18) + 1, "-999,999,999,999,999,999"),
        (10**18, "1e+18"), (10**299, "1e+299"), (10**300, "a very large number"), (999.5, "999.5"), (1000.0, "1,000"), (1000.5, "1000"),
        (-20000.0, "-20,000"), (5.0, "5"), (0.00012345, "0.0001234"), (float("nan"), "nan"), (float("inf"), "inf"), ("a\nb", "a b"), ([], "none"), ([1, "x", None], "1, x, –"),
    ],
)  # fmt: skip
def test_flattened_value_when_it_is_plain_then_it_is_one_row_in_words(value, said):
    """Each kind of JSON value as the tables of settings write it."""
    assert flatten(value, "key") == [("key", said)]


def test_flattened_object_when_it_is_nested_then_names_are_dotted_and_counted():
    """Objects by name, lists of objects by number, the first twenty of them."""
    assert flatten({"a": {"b": 1, "c": [{"d": 2}, 3]}, "e": [1, 2]}) == [
        ("a.b", "1"),
        ("a.c[0].d", "2"),
        ("a.c[1]", "3"),
        ("e", "1, 2"),
    ]
    long = flatten({"a": [{"b": number} for number in range(22)]})
    assert (len(long), long[19], long[20]) == (21, ("a[19].b", "19"), ("a", "and 2 more"))
    assert len(flatten({"a": [{"b": number} for number in range(20)]})) == 20
    assert flatten({str(number): number for number in range(9)}, limit=3) == [("0", "0"), ("1", "1"), ("2", "2")]
    assert flatten([list(range(60)), 1], limit=1)[0][1].endswith(", 48, 49")


def test_flattened_object_when_compact_then_an_inner_object_of_plain_values_is_one_row():
    """The outermost object is never folded, nor one that holds objects itself."""
    value = {"train_tasks": {"a": 1, "b": 2}, "deep": {"x": {"y": 1}}, "empty": {}}
    assert flatten(value, compact=True) == [("train_tasks", "a 1, b 2"), ("deep.x", "y 1"), ("empty", "none")]
    assert flatten({"a": 1}, compact=True) == [("a", "1")]
    assert flatten({"a": {"b": 1}}) == [("a.b", "1")]


def test_further_sft_when_it_was_measured_then_with_what_is_known_of_its_noise():
    """With n and interval where they were kept, else as a bare mean of the whole or of the task."""
    means = [evaluate("warmup", 0, 0.3, t=0.3, u=0.3)]
    kept = {"estimates": {"t": {"mean": 0.5, "n": 40, "std": 0.1, "low": 0.47}, "u": {"mean": None}}}
    bare = {"mean": 0.4, "per_task": {"t": 0.5, "u": {"mean": 0.6}}}
    rows = {
        row["task"]: row["sft"] for row in make_task_rows(make_run(evaluations=means, sft_baseline={**bare, **kept}))
    }
    assert rows == {ALL: give(0.4, None, None), "t": Estimate(0.5, 40, 0.1, 0.47, None), "u": give(0.6, None, None)}
    rows = {row["task"]: row["sft"] for row in make_task_rows(make_run(evaluations=means, sft_baseline=bare))}
    assert rows["t"] == give(0.5, None, None)
