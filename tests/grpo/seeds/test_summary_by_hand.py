"""The numbers of a group of seeds, from folders of a few rows: means, gains, winners and what one seed is shown with."""

from __future__ import annotations

import json

import pytest

from grpo.compare.__main__ import main as compare
from grpo.seeds.group import create_group
from grpo.seeds.summary import compare_groups, find_held_out_loss, read_result, show_summary, summarise_group
from rewards.errors import UserError
from rewards.statistics.student import t_quantile


def write_rows(path, rewards):
    """Rows of (task, id): reward."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"task": task, "id": name, "reward": reward} for (task, name), reward in rewards.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def finish(folder, start, end, *, step=4, stage="judged"):
    write_rows(folder / "eval" / "warmup.jsonl", start)
    write_rows(folder / "eval" / f"{stage}.jsonl", end)
    (folder / "judged.json").write_text(json.dumps({"step": step, "estimated_anew": True}))
    (folder / "status.json").write_text(json.dumps({"stage": "done", "finished": True}))


def rewards_of(**tasks):
    return {(task, str(place)): reward for task, rewards in tasks.items() for place, reward in enumerate(rewards)}


def test_result_of_a_run_when_tasks_moved_apart_then_each_has_its_mean_gain_and_interval(tmp_path):
    """The mean of all is over rows, not over tasks; what was not scored counts nowhere."""
    start, end = rewards_of(a=[0.2, 0.4, None], b=[0.9, 0.9]), rewards_of(a=[0.6, 0.8, 0.1], b=[0.5, 0.5], c=[1.0])
    finish(tmp_path, start, end)
    found = read_result(tmp_path)
    assert found["mean"] == pytest.approx({"all": 3.5 / 6, "a": 0.5, "b": 0.5, "c": 1.0})
    assert found["start"] == pytest.approx({"all": 0.6, "a": 0.3, "b": 0.9})
    assert found["gain"] == pytest.approx({"all": 3.5 / 6 - 0.6, "a": 0.2, "b": -0.4})
    assert [found["interval"][name]["n"] for name in ("all", "a", "b", "c")] == [6, 3, 2, 1]
    assert found["start_interval"]["a"]["n"] == 2 and found["gain_interval"]["all"]["n"] == 4
    assert "c" not in found["gain_interval"] and found["held_out_loss"] is None
    assert found["judged"]["step"] == 4


def test_result_of_a_run_when_the_judged_rows_were_kept_then_the_start_on_those_counts(tmp_path):
    """The warm-up answered others."""
    finish(tmp_path, rewards_of(a=[0.9, 0.9]), rewards_of(a=[0.6, 0.8]))
    write_rows(tmp_path / "eval" / "start.jsonl", rewards_of(a=[0.2, 0.4]))
    assert read_result(tmp_path)["gain"]["a"] == pytest.approx(0.4)
    write_rows(tmp_path / "eval" / "judged.jsonl", rewards_of(a=[None]))
    assert read_result(tmp_path) is None
    (tmp_path / "eval" / "judged.jsonl").unlink()
    assert read_result(tmp_path) is None


def test_fallen_tasks_when_one_lost_beyond_its_noise_then_it_is_named(tmp_path):
    """Ten rows that each lost 0.5, give or take a little."""
    lost = [0.5 + 0.01 * (place % 2) for place in range(10)]
    finish(tmp_path, rewards_of(a=[0.9] * 10, b=[0.5] * 10), rewards_of(a=[0.9 - each for each in lost], b=[0.6] * 10))
    assert read_result(tmp_path)["fallen"] == ["a"]


def test_held_out_loss_when_it_was_measured_then_the_least_and_the_last_are_told(tmp_path):
    """With the interval of the least; a run without any has none."""
    rows = [{"stage": "warmup", "step": 0, "sft/step": step, "sft/held_out_loss": loss, "sft/held_out_loss_n": 8, "sft/held_out_loss_low": loss - 0.1, "sft/held_out_loss_high": loss + 0.1} for step, loss in ((1, 0.9), (2, 0.5), (3, 0.7))]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {"stage": "train", "step": 1}])
    )
    assert find_held_out_loss(tmp_path) == {"least": 0.5, "step": 2, "n": 8, "low": 0.4, "high": 0.6, "last": 0.7}
    assert find_held_out_loss(tmp_path / "none") is None


def make_group(folder, means, *, seeds=(1, 2, 3), grid=(), spread=0.0):
    """Runs that begin at 0.2 and whose two tasks end at these means, `spread` below and above."""
    group = create_group(
        folder, config="v4_1.yaml", profile="embedded", overrides=[], seeds=list(seeds), grid=list(grid)
    )
    for member, mean in zip(group.members, means, strict=True):
        if mean is not None:
            finish(
                member.folder,
                rewards_of(a=[0.2] * 4, b=[0.2] * 4),
                rewards_of(a=[mean - spread] * 4, b=[mean + spread] * 4),
            )
    return group


def test_setting_when_some_seeds_are_done_then_only_they_count_and_few_are_said_to_be_few(tmp_path):
    """0.5 and 0.7 of three seeds: 0.6, sd 0.141, t(1) = 12.706."""
    entry = summarise_group(make_group(tmp_path / "g", [0.5, None, 0.7], spread=0.1))["settings"][0]
    assert (entry["done"], entry["values"], [row["state"] for row in entry["seeds"]]) == (2, pytest.approx([0.5, 0.7]), ["done", "waiting", "done"])  # fmt: skip
    whole = entry["mean"]["all"]
    assert (whole["mean"], whole["sd_over_seeds"], whole["n"]) == (pytest.approx(0.6), pytest.approx(0.02**0.5), 2)
    assert list(entry["mean"]) == ["all", "a", "b"] and entry["scores"] == {
        "a": pytest.approx([0.4, 0.6]),
        "b": pytest.approx([0.6, 0.8]),
    }
    assert entry["gain"]["b"]["mean"] == pytest.approx(0.5)
    assert (
        entry["mean_over_tasks"]["value"] == pytest.approx(0.6)
        and entry["note"] == "2 seeds: fewer than 5 say little of how a recipe varies"
    )
    alone = summarise_group(make_group(tmp_path / "h", [0.5, None, None]))["settings"][0]
    assert "mean_over_tasks" not in alone and alone["mean"]["all"]["low"] is None
    many = summarise_group(make_group(tmp_path / "i", [0.5] * 5, seeds=range(5)))
    assert "note" not in many["settings"][0] and "winner" not in many


GRID = ["grpo.learning_rate=1e-6,2e-6,3e-6"]


def against(tmp_path, means):
    """What is said of the winner over the other settings of a grid of three, three seeds each."""
    group = make_group(tmp_path / "grid", means, grid=GRID)
    winner = summarise_group(group)["winner"]
    return winner, {other["setting"][0]: other["said"] for other in winner["against"]}


def test_winner_when_others_are_near_or_far_then_it_is_told_of_each_whether_the_seeds_bear_it_out(tmp_path):
    """Gains of 0.09, 0.11, 0.13 are clear even of having been chosen among three; 0.0, 0.1, 0.2 are within the noise."""
    winner, said = against(tmp_path, [0.69, 0.71, 0.73, 0.6, 0.6, 0.6, 0.69, 0.61, 0.53])
    assert winner["setting"] == ["grpo.learning_rate=1e-6"] and winner["mean"] == pytest.approx(0.71)
    assert said["grpo.learning_rate=2e-6"] == ": clear of noise, also for being the best of 3"
    assert said["grpo.learning_rate=3e-6"] == ": within the noise of the seeds"
    assert [other["difference"]["mean"] for other in winner["against"]] == pytest.approx([0.1, 0.11]), "best first"
    assert all(other["paired_by_seed"] for other in winner["against"])


def test_winner_when_it_is_clear_of_one_but_not_of_two_then_being_chosen_is_what_is_missing(tmp_path):
    """t(2) is 4.303 at 95 % and 6.205 for two comparisons: a gain of 5 standard errors lies between."""
    sd = 0.02 * 3**0.5
    steps = [0.1 - sd, 0.1, 0.1 + sd]  # a mean of 0.1 with a standard error of 0.02
    assert t_quantile(2) < 5 < t_quantile(2, 1 - 0.025 / 2)
    _, said = against(tmp_path, [0.5 + each for each in steps] + [0.5] * 3 + [0.3] * 3)
    assert said["grpo.learning_rate=2e-6"] == ": clear of noise alone, not yet for being the best of 3"


def test_winner_when_there_are_two_settings_then_a_clear_gain_needs_no_correction(tmp_path, capsys):
    """And one seed of each shows nothing."""
    group = make_group(tmp_path / "two", [0.69, 0.71, 0.73, 0.6, 0.6, 0.6], grid=["grpo.learning_rate=1e-6,2e-6"])
    summary = summarise_group(group)
    (other,) = summary["winner"]["against"]
    assert other["said"] == "" and other["difference"]["mean"] == pytest.approx(0.11)
    show_summary(summary)
    shown = capsys.readouterr().out
    assert (
        "grpo.learning_rate=1e-6: 3 of 3 seeds done" in shown and "winner: grpo.learning_rate=1e-6, mean 0.710" in shown
    )
    assert "  over grpo.learning_rate=2e-6: +0.110 (+0.060 to +0.160)" in shown
    alone = make_group(tmp_path / "one", [0.7, 0.6], seeds=[1], grid=["grpo.learning_rate=1e-6,2e-6"])
    assert summarise_group(alone)["winner"]["against"][0]["said"] == ": within the noise of the seeds"
    half = make_group(tmp_path / "half", [None, 0.6], seeds=[1], grid=["grpo.learning_rate=1e-6,2e-6"])
    assert "winner" not in summarise_group(half) and summarise_group(half)["settings"][0]["done"] == 1


def test_seed_when_its_run_has_not_ended_then_its_numbers_do_not_count_yet(tmp_path):
    """Though it has judged a checkpoint already."""
    group = make_group(tmp_path / "g", [0.5, 0.9, 0.7])
    (group.members[1].folder / "status.json").write_text(json.dumps({"stage": "final", "finished": False}))
    entry = summarise_group(group)["settings"][0]
    assert (entry["done"], entry["values"]) == (2, pytest.approx([0.5, 0.7]))
    make_group(tmp_path / "h", [0.6, 0.6, 0.8])
    assert compare_groups(tmp_path / "g", tmp_path / "h")["difference"]["mean"] == pytest.approx(0.1)


def test_recipes_when_seeds_differ_then_they_are_not_paired_and_too_few_are_refused(tmp_path):
    """Two recipes without a seed in common are compared by their two means."""
    make_group(tmp_path / "one", [0.5, 0.52, 0.54])
    make_group(tmp_path / "two", [0.7, 0.72, 0.74], seeds=(7, 8, 9))
    found = compare_groups(tmp_path / "one", tmp_path / "two")
    assert (found["paired_by_seed"], found["difference"]["mean"]) == (False, pytest.approx(0.2))
    assert found["probability_of_improvement"]["value"] == 1.0 and set(found["tasks"]) == {"a", "b"}
    assert [mean["mean"] for mean in found["mean"]] == pytest.approx([0.52, 0.72])
    make_group(tmp_path / "few", [0.5, None, None])
    with pytest.raises(UserError, match="1 seeds are done"):
        compare_groups(tmp_path / "one", tmp_path / "few")
    make_group(tmp_path / "grid", [0.5] * 9, grid=GRID)
    with pytest.raises(UserError, match="a grid of 3 settings"):
        compare_groups(tmp_path / "grid", tmp_path / "one")
    assert compare([str(tmp_path / "one"), str(tmp_path / "few")]) == 2


def test_summary_when_it_is_shown_then_each_seed_has_its_start_end_gain_and_n(tmp_path, capsys):
    """A run that is not done has its state; the note and the winner stand below."""
    show_summary(summarise_group(make_group(tmp_path / "g", [0.5, None, 0.7], spread=0.1)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "v4_1.yaml: 2 of 3 seeds done"
    first, second = lines[3].split(), lines[4].split()
    assert (first[0], first[1], first[-2:], "8" in first, "+0.300" in first) == (
        "1",
        "0.200",
        ["step", "4"],
        True,
        True,
    )
    assert second == ["2", "waiting"]
    assert any(
        line.startswith("  all          mean 0.600") and "; gain +0.400" in line and "sd over seeds 0.141" in line
        for line in lines
    )
    assert lines[-1] == "  note: 2 seeds: fewer than 5 say little of how a recipe varies"
