"""The verdict: floors, gains and falls, and how often it is wrong on simulated runs."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from grpo.compare.promotion import compare_runs
from grpo.compare.promotion_rules import load_rules
from rewards.statistics.changes import paired_change
from tests.grpo.compare.recorded_runs import compare, draw_rows, make_recorded, with_rules, write_means, write_run


def test_floor_when_a_task_ends_below_it_then_not_promoted():
    """A floor is a least mean of a group, whatever was gained."""
    random = Random(3)
    base = {"a": [random.uniform(0.1, 0.3) for _ in range(80)], "b": [random.uniform(0.4, 0.6) for _ in range(80)]}
    new = {task: [value + 0.1 + random.uniform(-0.02, 0.02) for value in values] for task, values in base.items()}
    runs = [make_recorded("base", base), make_recorded("new", new)]
    assert compare_runs(runs, load_rules()).verdicts[0].promoted
    (verdict,) = compare_runs(runs, with_rules(floors={"task:a": 0.5, "task:b": 0.5, "task:c": 0.1})).verdicts
    assert not verdict.promoted
    assert [finding.passed for finding in verdict.findings if finding.rule == "floors"] == [False, True, False]


def test_gain_when_a_minimum_is_asked_for_then_it_must_be_exceeded_beyond_the_noise():
    """A gain of 0.05 is a gain, and none of at least 0.05."""
    random = Random(4)
    base = [random.uniform(0.3, 0.6) for _ in range(200)]
    runs = [
        make_recorded("base", {"a": base}),
        make_recorded("new", {"a": [v + 0.05 + random.gauss(0, 0.05) for v in base]}),
    ]
    rules = load_rules()
    assert compare_runs(runs, rules).verdicts[0].promoted
    strict = rules.model_copy(update={"gain": rules.gain.model_copy(update={"at_least": 0.05})})
    (verdict,) = compare_runs(runs, strict).verdicts
    assert not verdict.promoted and "not more than 0.05" in verdict.reasons[0]


def test_falls_when_they_must_be_ruled_out_then_few_examples_do_not_promote():
    """With ruled_out the noise may leave no room for a fall: a task of 12 examples cannot be cleared."""
    random = Random(5)
    base = {"a": [random.uniform(0.3, 0.6) for _ in range(200)], "b": [0.5] * 12}
    new = {"a": [v + 0.1 for v in base["a"]], "b": [0.5 + (0.2, -0.2)[n % 2] for n in range(12)]}
    runs = [make_recorded("base", base), make_recorded("new", new)]
    rules = load_rules()
    assert compare_runs(runs, rules).verdicts[0].promoted
    strict = rules.model_copy(update={"falls": rules.falls.model_copy(update={"ruled_out": True, "allowed": 0.05})})
    (verdict,) = compare_runs(runs, strict).verdicts
    assert not verdict.promoted and "reward of b" in verdict.reasons[0] and "is possible" in verdict.reasons[0]


def test_falls_when_a_split_is_missing_or_without_n_then_it_is_not_taken_for_unhurt(tmp_path, capsys):
    """What was not recorded cannot be cleared: a lacking split, and a fall whose noise nobody knows."""
    cell = {"value": 0.5, "n": 4000}
    base = {"all": {"field_f1": cell}, "a": {"field_f1": cell}, "b": {"field_f1": 0.5}}
    new = {"all": {"field_f1": {"value": 0.7, "n": 4000}}, "b": {"field_f1": 0.2}}
    path = write_means(tmp_path / "r.json", [{"name": "base", "results": base}, {"name": "new", "results": new}])
    code, found = compare(capsys, path)
    reasons = " ".join(found["verdicts"][0]["reasons"])
    assert code == 1 and "field_f1 of a: new has none" in reasons and "field_f1 of b" in reasons


def test_gain_when_it_is_within_the_noise_then_the_examples_that_would_decide_are_counted():
    """An open verdict says what it would take."""
    random = Random(6)
    base = [random.uniform(0.2, 0.8) for _ in range(50)]
    new = [min(1.0, max(0.0, value + random.gauss(0.02, 0.15))) for value in base]
    change = paired_change([b - a for a, b in zip(base, new, strict=True)])
    (verdict,) = compare_runs([make_recorded("a", {"t": base}), make_recorded("b", {"t": new})], load_rules()).verdicts
    assert not verdict.promoted
    # With this many more the interval, which shrinks with the root of n, just leaves 0 out.
    half = (change.high - change.low) / 2 * (50 / (50 + verdict.further_examples)) ** 0.5
    assert half == pytest.approx(change.mean, rel=0.03)


def test_verdicts_of_equally_good_runs_are_false_in_less_than_5_percent():
    """Of 300 comparisons of three candidates that are no better than the baseline, under 5 % promote any of them."""
    random = Random(8)
    promoted = 0
    for _ in range(300):
        levels = {task: [random.betavariate(2, 3) for _ in range(40)] for task in ("a", "b", "c")}
        runs = [
            make_recorded(
                name,
                {
                    task: [min(1.0, max(0.0, level + random.gauss(0.0, 0.1))) for level in values]
                    for task, values in levels.items()
                },
            )
            for name in ("base", "x", "y", "z")
        ]
        promoted += any(verdict.promoted for verdict in compare_runs(runs, load_rules()).verdicts)
    assert promoted / 300 < 0.05


def test_verdicts_when_a_task_is_ruined_then_hardly_ever_promoted():
    """A run that gains 0.06 over all but loses 0.1 in a task of 60 is promoted in under 5 % of simulated comparisons."""
    random = Random(9)
    promoted = 0
    for _ in range(150):
        base = {task: [random.betavariate(3, 3) for _ in range(60)] for task in ("a", "b", "c", "d")}
        new = {
            task: [min(1.0, max(0.0, v + (-0.1 if task == "d" else 0.12) + random.gauss(0, 0.12))) for v in values]
            for task, values in base.items()
        }
        promoted += (
            compare_runs([make_recorded("base", base), make_recorded("new", new)], load_rules()).verdicts[0].promoted
        )
    assert promoted / 150 < 0.05


def test_constant_when_a_small_group_is_at_zero_then_it_is_named_and_stops_no_promotion():
    """Twelve examples that nobody gets right are few to blame the scorer for; sixty are not."""
    random = Random(6)
    base = [random.uniform(0.3, 0.6) for _ in range(200)]
    for few, promoted in ((12, True), (60, False)):
        runs = []
        for name, gain in (("base", 0.0), ("new", 0.1)):
            run = make_recorded(name, {"a": [value + gain for value in base], "rare": [0.0] * few})
            # Other texts, the same nothing.
            runs.append(replace(run, rows={key: replace(row, answer=f"{name}{key}") for key, row in run.rows.items()}))
        comparison = compare_runs(runs, load_rules())
        assert comparison.verdicts[0].promoted is promoted
        assert bool(comparison.alarms) is not promoted
        constant = next(each for each in comparison.constants if each.group == "task:rare")
        assert constant.value == 0.0 and ("too few examples" in constant.text) is promoted


@pytest.mark.parametrize(("stages", "promoted"), [([], False), (["sft", "grpo"], True)])
def test_verdict_when_runs_differ_in_their_seed_alone_then_only_trained_ones_are_promoted(
    tmp_path, capsys, stages, promoted
):
    """A better draw of untrained weights is no achievement; of two trained checkpoints the better one is still better."""
    for seed, gain in ((1, 0.0), (2, 0.1)):
        write_run(tmp_path / f"s{seed}", draw_rows(seed, gain=gain), name=f"s{seed}", seed=seed, stages=stages)
    code, found = compare(capsys, tmp_path / "s1", tmp_path / "s2")
    (verdict,) = found["verdicts"]
    assert (code, verdict["promoted"]) == (0 if promoted else 1, promoted)
    said = [finding["text"] for finding in verdict["findings"] if finding["rule"] == "training"]
    assert said == (
        []
        if promoted
        else ["s2 and s1 differ only in their seed and neither was trained: which one is better is chance"]
    )
    assert any("a better checkpoint, not a better recipe" in note for note in found["notes"]) == promoted


def test_verdict_when_another_model_was_not_trained_then_it_may_be_promoted(tmp_path, capsys):
    """A better base model is a choice, no draw of a seed; neither is a later stage of the same run another seed."""
    write_run(tmp_path / "a", draw_rows(1), seed=1, stages=[], model={"name": "a"})
    write_run(tmp_path / "b", draw_rows(2, gain=0.1), seed=2, stages=[], model={"name": "b"})
    assert compare(capsys, tmp_path / "a", tmp_path / "b")[0] == 0
    write_run(tmp_path / "c", draw_rows(1), stage="warmup", seed=1, stages=["sft", "grpo"])
    write_run(tmp_path / "c", draw_rows(2, gain=0.1), seed=1, stages=["sft", "grpo"])
    code, found = compare(capsys, tmp_path / "c")
    assert code == 0 and not any("another seed" in note for note in found["notes"])
