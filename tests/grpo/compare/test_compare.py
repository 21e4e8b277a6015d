"""`python -m grpo.compare`: the verdicts on recorded runs, and what is said beside them."""

from __future__ import annotations

import json

import pytest

from grpo.compare.__main__ import main
from grpo.compare.reading import read_recorded
from tests.grpo.compare.recorded_runs import compare, draw_rows, make_row, make_stages, write_means, write_run


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
    assert "the same model" in found["constants"][0]["text"]


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


def test_compare_when_a_task_is_a_layer_too_then_its_noise_is_said_once(tmp_path, capsys):
    """Rows whose task is their target_layer, as TMF921's, are grouped twice; one line tells both."""
    rows = [make_row(f"{n}", "ab"[n % 2], 1.0, columns={"target_layer": "ab"[n % 2]}) for n in range(12)]
    write_run(tmp_path / "a", rows)
    write_run(tmp_path / "b", [{**rows[0], "reward": 0.0}, *rows[1:]])
    main([str(tmp_path / "a"), str(tmp_path / "b")])
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  reward of a ")]
    assert len(said) == 1


def test_compare_when_a_function_of_trl_pays_no_answer_yet_then_it_is_noted_and_no_alarm(tmp_path, capsys):
    """A format that no policy keeps yet is no broken scorer; where its file lies does not matter."""
    for folder, gain in (("a", 0.0), ("b", 0.1)):
        rows = draw_rows(1, gain)
        for number, row in enumerate(rows):
            row["completion"] = f"{folder} {number}"
            row["scores"] = {"form": {**row["scores"]["f"], "value": 0.0}, "f": row["scores"]["f"]}
        write_run(tmp_path / folder, rows)
        config = json.loads((tmp_path / folder / "config.json").read_text())
        config["config"]["rewards"]["functions"].append(
            {"name": f"trl:/home/{folder}/rewards.py:form", "weight": 1.0, "tasks": None, "options": {}}
        )
        (tmp_path / folder / "config.json").write_text(json.dumps(config))
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    said = capsys.readouterr().out
    assert "ALARM" not in said and "reward/form is 0.000 for both runs" in said
