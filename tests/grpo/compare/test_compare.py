"""`python -m grpo.compare`: what it reads, what it refuses, and the verdicts on recorded and on simulated runs."""

from __future__ import annotations

import json
import subprocess
import sys
from random import Random

import pytest
import yaml

from grpo.compare.__main__ import main
from grpo.compare.promotion import compare_runs
from grpo.compare.promotion_rules import load_rules
from grpo.compare.reading import make_cells, read_recorded
from grpo.compare.recorded import RecordedRun, Row
from rewards.errors import UserError
from rewards.statistics.changes import paired_change

SPLITS = {"in_distribution": 1455, "template_ood": 3503, "use_case_ood": 4341, "sector_ood": 4579, "adversarial": 33}
FIELD_F1 = (0.7956, 0.7865, 0.7907, 0.7697, 0.9697)
KEY_F1 = (0.9811, 0.9801, 0.9805, 0.9818, 1.0000)
FIELD_F1_CHANGE = (-0.0003, -0.0010, -0.0012, -0.0002, -0.0101)
KEY_F1_CHANGE = (-0.0014, -0.0015, -0.0018, -0.0009, -0.0303)


def make_row(id, task, reward, *, completion=None, version="1", columns=None, prompt="p", **more):
    """A stored completion as a run writes it."""
    return {
        "id": id, "task": task, "prompt": [{"role": "user", "content": prompt}], "completion": completion or f"{reward}",
        "reference": "r", "truncated": False, "reward": reward, "repairs": [], "step": 0, "stage": "final",
        "scores": {"f": {"value": reward, "status": "value", "reason": "", "version": version, "parts": {}}},
        **({"columns": columns} if columns else {}), **more,
    }  # fmt: skip


def write_run(folder, rows, stage="final", temperature=0.1, weight=1.0):
    """A run directory with one stage and what its config says of the evaluation."""
    (folder / "eval").mkdir(parents=True, exist_ok=True)
    (folder / "eval" / f"{stage}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluation = {
        "temperature": temperature, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "max_completion_length": None
    }  # fmt: skip
    rewards = {"functions": [{"name": "f", "weight": weight, "tasks": None, "options": {}}]}
    config = {"evaluation": evaluation, "grpo": {"max_completion_length": 64}, "rewards": rewards}
    (folder / "config.json").write_text(json.dumps({"config": config}))
    return folder


def draw_rows(seed, gain=0.0, tasks=("extraction", "sql_qa"), n=60, lost=None, **more):
    """Rewards around 0.5 by example, the same examples for every seed; `lost` names a task that falls by 0.3."""
    truth, noise = Random(0), Random(seed)
    rows = []
    for task in tasks:
        for number in range(n):
            base = truth.uniform(0.3, 0.7)
            value = base + noise.gauss(0.0, 0.08) + (gain if task != lost else -0.3)
            rows.append(make_row(f"{task}-{number}", task, min(1.0, max(0.0, value)), **more))
    return rows


def write_means(path, runs):
    """A file of recorded means."""
    path.write_text(json.dumps({"runs": runs}))
    return path


def compare(capsys, *arguments):
    """Exit code and JSON of the command."""
    code = main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else captured.err


# -- the recorded histories --------------------------------------------------------------------------------------------


def make_stages(path):
    """Stage 1 and stage 2 of the telecom recipe, as they were recorded: means and n, no std."""
    runs = []
    for name, shift in (("stage 1", 0), ("stage 2", 1)):
        results = {
            split: {
                "field_f1": {"value": round(f + shift * df, 4), "n": n},
                "key_f1": {"value": round(k + shift * dk, 4), "n": n},
            }
            for (split, n), f, df, k, dk in zip(
                SPLITS.items(), FIELD_F1, FIELD_F1_CHANGE, KEY_F1, KEY_F1_CHANGE, strict=True
            )
        }
        runs.append({"name": name, "results": results})
    return write_means(path, runs)


def test_compare_of_stage_2_is_not_promoted_and_the_adversarial_change_is_noise(tmp_path, capsys):
    """What its authors decided: diagnostic, not promoted; and 1 row of 33 is called noise."""
    code, found = compare(capsys, make_stages(tmp_path / "stages.json"))
    assert code == 1
    (verdict,) = found["verdicts"]
    assert not verdict["promoted"]
    assert any("no gain beyond the noise" in reason for reason in verdict["reasons"])
    assert any("key_f1 of adversarial" in line and "1 of 33 worse: noise" in line for line in verdict["noise"])
    assert set(found["did_training_hurt"]["stage 2"]["categories"].values()) == {"noise"}
    assert all(item["low"] < 0 < item["high"] for item in found["differences"] if item["delta"])


def test_compare_of_means_says_that_it_cannot_pair_and_what_it_assumed(tmp_path, capsys):
    """Aggregates give wider intervals, and the output says so."""
    _, found = compare(capsys, make_stages(tmp_path / "stages.json"))
    notes = " ".join(found["notes"])
    assert "not paired by example" in notes and "std that was not recorded" in notes and "adversarial (33)" in notes
    assert not any(item["paired"] for item in found["differences"])


def test_compare_when_tool_calling_is_the_same_for_all_then_the_scorer_is_to_blame(tmp_path, capsys):
    """ "All training hurts" with tool calling at 33.3 % for every model is an alarm about the scorer, not about training."""
    overall = {"base": 0.714, "v1": 0.679, "v2": 0.571, "v3": 0.536, "v4": 0.512, "v5": 0.321}
    runs = [
        {
            "name": name,
            "by": "task",
            "results": {"all": {"score": {"value": v, "n": 28}}, "tool_calling": {"score": 0.333}},
        }
        for name, v in overall.items()
    ]
    code, found = compare(capsys, write_means(tmp_path / "suite.json", runs), "--metric", "score")
    assert code == 1
    assert len(found["alarms"]) == 1 and "tool_calling is 0.333 for all 6 runs" in found["alarms"][0]
    assert all(any("scorer alarm" in reason for reason in verdict["reasons"]) for verdict in found["verdicts"])
    assert found["did_training_hurt"]["v1"]["categories"]["task:tool_calling"] == "cannot be told"
    main([str(tmp_path / "suite.json"), "--metric", "score"])
    assert capsys.readouterr().out.startswith("ALARM")


@pytest.mark.parametrize("std", [0.15, None])
def test_compare_of_personas_says_that_the_top_places_are_not_separable(tmp_path, capsys, std):
    """Nine models, 62 samples each, ROUGE-1 from 0.345 down in steps of 0.01 to 0.03: no winner."""
    values = (0.345, 0.335, 0.322, 0.301, 0.29, 0.28, 0.26, 0.25, 0.24)
    runs = [
        {"name": f"persona {number}", "results": {"all": {"rouge1": {"value": value, "n": 62, "std": std}}}}
        for number, value in enumerate(values)
    ]
    _, found = compare(capsys, write_means(tmp_path / "personas.json", runs))
    board = found["leaderboard"]
    assert board["places"][0]["run"] == "persona 0"
    assert "not separable" in board["statement"] or "no two" in board["statement"]
    assert all(place["best_place"] == 1 for place in board["places"][:4])
    assert board["tests"] == 36


# -- runs by example ---------------------------------------------------------------------------------------------------


def test_compare_when_everything_gained_then_promoted(tmp_path, capsys):
    """A clear gain in both tasks, by example: promoted, exit 0, and training helped."""
    write_run(tmp_path / "base", draw_rows(1))
    write_run(tmp_path / "new", draw_rows(2, gain=0.1))
    code, found = compare(capsys, tmp_path / "base", tmp_path / "new")
    assert code == 0 and found["verdicts"][0]["promoted"]
    assert set(found["did_training_hurt"]["new"]["categories"].values()) == {"helped"}
    assert all(item["paired"] for item in found["differences"])
    delta = next(item for item in found["differences"] if item["group"] == "all")
    assert delta["low"] < 0.1 < delta["high"]


def test_compare_when_one_task_fell_then_not_promoted_in_spite_of_the_mean(tmp_path, capsys):
    """A gain over all does not make up for a task that fell beyond the noise, which is named."""
    write_run(tmp_path / "base", draw_rows(1, n=80))
    rows = draw_rows(2, gain=0.25, n=80)
    for row in rows[80:]:
        row["reward"] = max(0.0, row["reward"] - 0.35)
        row["scores"]["f"]["value"] = row["reward"]
    write_run(tmp_path / "new", rows)
    code, found = compare(capsys, tmp_path / "base", tmp_path / "new")
    assert code == 1
    assert found["did_training_hurt"]["new"]["categories"]["task:sql_qa"] == "hurt"
    assert any("reward of sql_qa fell" in reason for reason in found["verdicts"][0]["reasons"])


def test_compare_of_columns_makes_a_group_of_each_split_and_layer(tmp_path, capsys):
    """Rows with `split` and `target_layer` are also compared by these; a column with one value makes no group."""
    rows = [
        make_row(f"{n}", "telecom", 0.5, columns={"split": "ood" if n % 2 else "test", "target_layer": "camara"})
        for n in range(20)
    ]
    write_run(tmp_path / "a", rows)
    write_run(tmp_path / "b", rows)
    _, found = compare(capsys, tmp_path / "a", tmp_path / "b")
    assert {item["group"] for item in found["differences"]} == {"all", "split:ood", "split:test"}


def test_compare_when_samples_repeat_an_example_then_their_mean_counts_once(tmp_path):
    """Several samples of a row are one example: n is the number of examples."""
    rows = [make_row("1", "t", value, sample=sample) for sample, value in enumerate((0.0, 1.0, 0.5))]
    write_run(tmp_path / "a", rows)
    (run,) = read_recorded([str(tmp_path / "a")])
    assert (run.cells["all", "reward"].value, run.cells["all", "reward"].n) == (0.5, 1)


def test_compare_of_one_run_holds_it_against_its_own_warm_up(tmp_path, capsys):
    """A finished run alone answers whether GRPO helped over what it started from."""
    write_run(tmp_path / "run", draw_rows(1), stage="before")
    write_run(tmp_path / "run", draw_rows(1), stage="warmup")
    write_run(tmp_path / "run", draw_rows(2, gain=0.1))
    code, found = compare(capsys, tmp_path / "run")
    assert code == 0 and found["baseline"] == "run@warmup"
    code, found = compare(capsys, f"{tmp_path / 'run'}@before", f"{tmp_path / 'run'}@warmup", tmp_path / "run")
    assert [verdict["promoted"] for verdict in found["verdicts"]] == [False, True]
    assert found["leaderboard"]["places"][0]["run"] == "run"


def test_compare_when_there_is_nothing_to_judge_then_exit_0(tmp_path, capsys):
    """One run without a baseline is shown and not judged."""
    code, found = compare(capsys, write_run(tmp_path / "run", draw_rows(1)))
    assert code == 0 and found["verdicts"] == []


def test_compare_when_rewards_are_equal_though_texts_differ_then_alarm(tmp_path, capsys):
    """A scorer that gives every model the same on every example is not to be trusted."""
    write_run(tmp_path / "a", draw_rows(1, completion="one"))
    write_run(tmp_path / "b", draw_rows(1, completion="other"))
    code, found = compare(capsys, tmp_path / "a", tmp_path / "b")
    assert code == 1 and "example by example, though 120 answers differ" in found["alarms"][0]


def test_compare_when_texts_are_equal_too_then_it_is_one_model_and_no_alarm(tmp_path, capsys):
    """The same texts earn the same: a note about the model, none about the scorer."""
    write_run(tmp_path / "a", draw_rows(1))
    write_run(tmp_path / "b", draw_rows(1))
    code, found = compare(capsys, tmp_path / "a", tmp_path / "b")
    assert code == 1 and found["alarms"] == []
    assert "one and the same model" in found["constants"][0]["text"]


def test_compare_when_all_is_right_everywhere_then_no_alarm(tmp_path, capsys):
    """A saturated metric tells nothing and accuses nobody."""
    for name in ("a", "b"):
        write_run(tmp_path / name, [make_row(f"{n}", "t", 1.0, completion=name) for n in range(20)])
    _, found = compare(capsys, tmp_path / "a", tmp_path / "b")
    assert found["alarms"] == [] and "cannot tell them apart" in found["constants"][0]["text"]


def test_compare_when_unscored_rows_are_there_then_they_are_left_out_and_counted(tmp_path, capsys):
    """A row without a reward has no place in a mean, and is not hidden."""
    rows = draw_rows(1)
    rows[0]["reward"], rows[0]["scores"]["f"]["value"] = None, None
    write_run(tmp_path / "a", rows)
    write_run(tmp_path / "b", draw_rows(2))
    _, found = compare(capsys, tmp_path / "a", tmp_path / "b")
    assert next(item for item in found["differences"] if item["group"] == "all")["n_before"] == 119
    assert any("without a reward" in note and "a (1)" in note for note in found["notes"])


# -- what is refused ---------------------------------------------------------------------------------------------------


def refuse(capsys, *arguments):
    """The lines of a refusal, which must exit with 2 and show no traceback."""
    assert main([*map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and all(line.startswith("error: ") for line in error.splitlines())
    return error


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("versions", "reward versions differ: f is 1 in a and 2 in b"),
        ("weights", "weights or options of the rewards differ: a and b disagree on f"),
        ("settings", "temperature is 0.1 in a and 1.0 in b"),
        ("ids", "1 of a and b are only in one of the two (sql_qa-59)"),
        ("prompts", "120 of a and b have another prompt or reference"),
    ],
)
def test_compare_when_runs_are_unlike_then_one_line_and_only_allowed_by_name(tmp_path, capsys, kind, said):
    """Versions, examples and settings must agree; --allow-different with the right name goes on and notes it."""
    write_run(tmp_path / "a", draw_rows(1))
    rows = draw_rows(2, version="2" if kind == "versions" else "1", prompt="q" if kind == "prompts" else "p")
    write_run(
        tmp_path / "b",
        rows[:-1] if kind == "ids" else rows,
        temperature=1.0 if kind == "settings" else 0.1,
        weight=2.0 if kind == "weights" else 1.0,
    )
    name = {"weights": "versions", "prompts": "ids"}.get(kind, kind)
    error = refuse(capsys, tmp_path / "a", tmp_path / "b")
    assert said in error and f"--allow-different {name}" in error and len(error.splitlines()) == 1
    wrong = "ids" if name != "ids" else "settings"
    refuse(capsys, tmp_path / "a", tmp_path / "b", "--allow-different", wrong)
    code, found = compare(capsys, tmp_path / "a", tmp_path / "b", "--allow-different", name)
    assert code in (0, 1) and any("(allowed)" in note for note in found["notes"])


def test_compare_when_versions_are_mixed_inside_a_run_then_refused(tmp_path, capsys):
    """Scores of two versions have no common mean."""
    rows = draw_rows(1)
    rows[0]["scores"]["f"]["version"] = "0"
    write_run(tmp_path / "a", rows)
    write_run(tmp_path / "b", rows)
    assert "different versions of f (0, 1)" in refuse(capsys, tmp_path / "a", tmp_path / "b")


def test_compare_when_inputs_cannot_be_read_then_every_one_is_named(tmp_path, capsys):
    """All that is wrong comes at once: a missing path, a missing stage, a file that is none of ours."""
    write_run(tmp_path / "run", draw_rows(1))
    (tmp_path / "bad.jsonl").write_text("{}\nnot json\n")
    (tmp_path / "bad.json").write_text('{"name": "x"}')
    (tmp_path / "percent.json").write_text('{"results": {"all": {"score": 71.4}}}')
    error = refuse(
        capsys, tmp_path / "nowhere", f"{tmp_path / 'run'}@warmup", tmp_path / "bad.jsonl", tmp_path / "bad.json",
        tmp_path / "percent.json", tmp_path,
    )  # fmt: skip
    assert "nowhere: no such file or folder" in error
    assert "no evaluation 'warmup'; there are: final" in error
    assert "bad.jsonl:1: no stored completion" in error and "bad.jsonl:2" in error
    assert "bad.json: no results in it" in error
    assert "71.4 % is 0.714" in error
    assert "neither a run" in error


def test_compare_when_no_metric_is_shared_then_what_is_there_is_named(tmp_path, capsys):
    """Without a common metric nothing can gain; the line says which there are."""
    path = write_means(
        tmp_path / "r.json", [{"name": n, "results": {"all": {"accuracy": {"value": 0.5, "n": 9}}}} for n in "ab"]
    )
    assert "they share: accuracy; choose one with --metric" in refuse(capsys, path)
    assert compare(capsys, path, "--metric", "accuracy")[0] == 1


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"gains": {}}, "gains: no such rule; did you mean gain?"),
        ({"falls": {"alowed": 0.1}}, "falls.alowed: no such rule; did you mean allowed?"),
        ({"adjust": "bonferroni"}, "adjust: 'bonferroni' is not allowed; allowed: 'holm', 'bh' or 'none'"),
        ({"floors": {"extraction": 0.2}}, "name a group as all, task:NAME"),
        ({"falls": {"groups": ["tasks"]}}, "tasks: no such kind of group"),
    ],
)
def test_compare_when_rules_are_wrong_then_the_key_is_named(tmp_path, capsys, rules, said):
    """A misspelt rule is an error, never silently left out."""
    write_run(tmp_path / "a", draw_rows(1))
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    assert said in refuse(capsys, tmp_path / "a", tmp_path / "a", "--rules", tmp_path / "rules.yaml")


def test_compare_when_an_unknown_difference_is_allowed_then_refused(tmp_path, capsys):
    """--allow-different takes three words."""
    assert "allowed: versions, ids, settings" in refuse(capsys, tmp_path, "--allow-different", "everything")


# -- rules -------------------------------------------------------------------------------------------------------------


def make_recorded(name, rewards):
    """A run of rewards by task, in memory."""
    rows = {
        (task, f"{number}"): Row({"reward": value}, (f"task:{task}",), "q", f"{name}{number}{value}")
        for task, values in rewards.items()
        for number, value in enumerate(values)
    }
    return RecordedRun(name, name, rows, make_cells(rows))


def with_rules(**changes):
    """The shipped rules with some of them changed."""
    return load_rules().model_copy(update=changes)


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


def test_compare_when_a_name_holds_control_codes_then_none_reaches_the_terminal(tmp_path, capsys):
    """Names of runs, tasks and splits are read from files and shown as text."""
    results = {"all": {"reward": {"value": 0.5, "n": 90}}, "split:\x1b[31mred": {"reward": {"value": 0.4, "n": 50}}}
    path = write_means(tmp_path / "r.json", [{"name": name, "results": results} for name in ("\x1b]0;a\x07", "b")])
    main([str(path)])
    assert "\x1b" not in capsys.readouterr().out


def test_gain_when_it_is_within_the_noise_then_the_examples_that_would_decide_are_counted():
    """An open verdict says what it would take."""
    random = Random(6)
    base = [random.uniform(0.2, 0.8) for _ in range(50)]
    new = [min(1.0, max(0.0, value + random.gauss(0.02, 0.15))) for value in base]
    change = paired_change([b - a for a, b in zip(base, new, strict=True)])
    (verdict,) = compare_runs([make_recorded("a", {"t": base}), make_recorded("b", {"t": new})], load_rules()).verdicts
    assert not verdict.promoted
    # With so many more the interval, which shrinks with the root of n, just leaves 0 out.
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


# -- reading -----------------------------------------------------------------------------------------------------------


def test_read_recorded_of_an_evaluation_takes_its_metrics_settings_and_name(tmp_path):
    """What grpo.evaluate wrote is a run with metrics of its own; an unfinished one is refused."""
    folder = tmp_path / "evaluation"
    folder.mkdir()
    rows = [make_row(f"{n}", "t", 0.5, metrics={"parse": 1.0, "exact": 0.0}) for n in range(3)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = {
        "name": "zero shot",
        "finished": True,
        "settings": {"temperature": 0.0},
        "rewards": {"f": {"weight": 1.0}},
    }
    (folder / "evaluation.json").write_text(json.dumps(summary))
    (run,) = read_recorded([str(folder)])
    assert run.name == "zero shot" and run.settings == {"temperature": 0.0}
    assert run.cells["all", "parse"].value == 1.0 and run.versions == {"f": "1"}
    (folder / "evaluation.json").write_text(json.dumps({**summary, "finished": False}))
    with pytest.raises(UserError, match="not finished"):
        read_recorded([str(folder)])


def test_read_recorded_when_names_are_shared_then_they_are_told_apart(tmp_path):
    """Two runs called alike keep names of their own."""
    for parent in ("x", "y"):
        write_run(tmp_path / parent / "run", draw_rows(1))
    runs = read_recorded([str(tmp_path / "x" / "run"), str(tmp_path / "y" / "run"), str(tmp_path / "y" / "run")])
    assert len({run.name for run in runs}) == 3


def test_read_means_without_all_pools_the_splits():
    """The mean over all is that of the splits by their sizes: (0.5 * 10 + 0.8 * 30) / 40."""
    from grpo.compare.reading_means import _add_totals
    from rewards.statistics.changes import Cell

    cells = {("split:a", "m"): Cell(0.5, 10, 0.1), ("split:b", "m"): Cell(0.8, 30, 0.1), ("split:a", "k"): Cell(0.5)}
    _add_totals(cells)
    assert cells["all", "m"].value == pytest.approx(0.725) and cells["all", "m"].n == 40
    assert ("all", "k") not in cells


def test_compare_when_started_then_torch_is_not_imported(tmp_path):
    """A comparison starts without torch, transformers or matplotlib."""
    write_run(tmp_path / "a", draw_rows(1))
    write_run(tmp_path / "b", draw_rows(2, gain=0.1))
    code = (
        "import sys; from grpo.compare.__main__ import main; code = main(sys.argv[1:]);"
        "assert not {'torch', 'transformers', 'matplotlib', 'numpy'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a"), str(tmp_path / "b")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "b: promoted" in done.stdout and "Holm's correction" in done.stdout
