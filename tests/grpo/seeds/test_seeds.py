"""Groups of seeds: folders, resuming, the summary, and two recipes against each other."""

import json
from types import SimpleNamespace

import pytest

from grpo.compare.__main__ import main as compare
from grpo.run import main as run_main
from grpo.seeds import runner
from grpo.seeds.group import create_group, open_group, read_grid
from grpo.seeds.summary import show_summary, summarise_group
from rewards.errors import UserError


def finish(folder, start, end):
    """What a run leaves that is done: the rewards of two tasks at its start and of its judged checkpoint."""
    (folder / "eval").mkdir(parents=True)
    for name, values in (("warmup", start), ("judged", end)):
        rows = [{"task": task, "id": str(i), "reward": value} for task in "ab" for i, value in enumerate(values)]
        (folder / "eval" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "judged.json").write_text(json.dumps({"step": 4, "estimated_anew": True, "seed": 1}))
    (folder / "status.json").write_text(json.dumps({"stage": "done", "finished": True}))


def make_group(folder, ends, grid=()):
    group = create_group(
        folder, config="v4_1.yaml", profile="embedded", overrides=["grpo.max_steps=4"], seeds=[1, 2, 3], grid=list(grid)
    )
    for member, end in zip(group.members, ends, strict=True):
        finish(member.folder, [0.2, 0.4], [end, end])
    return group


def test_group_when_made_then_each_seed_has_a_folder_and_the_same_command_finds_it_again(tmp_path):
    """A second call with the same words continues; with others it is refused."""
    group = make_group(tmp_path / "g", [0.5, 0.6, 0.7])
    assert [member.folder.name for member in group.members] == ["seed-1", "seed-2", "seed-3"]
    assert open_group(tmp_path / "g") == group and {member.state for member in group.members} == {"done"}
    with pytest.raises(UserError, match="another group"):
        create_group(tmp_path / "g", config="v4.yaml", profile="embedded", overrides=[], seeds=[1], grid=[])


def test_summary_when_three_seeds_are_done_then_mean_sd_and_gain_are_those_computed_by_hand(tmp_path):
    """Means 0.5, 0.6, 0.7: mean 0.6, sd 0.1, gain 0.3 over the start of 0.3."""
    entry = summarise_group(make_group(tmp_path / "g", [0.5, 0.6, 0.7]))["settings"][0]
    assert entry["mean"]["all"]["mean"] == pytest.approx(0.6)
    assert entry["mean"]["all"]["sd_over_seeds"] == pytest.approx(0.1)
    assert entry["gain"]["a"]["mean"] == pytest.approx(0.3)
    assert entry["interquartile_mean"]["low"] <= 0.6 <= entry["interquartile_mean"]["high"]
    assert "fewer than 5" in entry["note"]


def test_grid_when_summarised_then_the_winner_is_corrected_for_being_chosen(tmp_path):
    """The best setting leads, and its corrected mean is no higher than its own."""
    group = make_group(tmp_path / "g", [0.5, 0.6, 0.55, 0.6, 0.5, 0.56], grid=["grpo.learning_rate=1e-6,5e-6"])
    winner = summarise_group(group)["winner"]
    assert winner["setting"] == ["grpo.learning_rate=5e-6"]
    assert winner["corrected_mean"] < winner["mean"]


def test_grid_when_sft_measured_the_held_out_loss_then_each_setting_has_its_least(tmp_path, capsys):
    """By hand: the least of 0.9, 0.5 and 0.6 at step 20, the mean over seeds, and the setting that it is least for."""
    group = make_group(tmp_path / "g", [0.5] * 6, grid=["sft_warmup.learning_rate=1e-4,2e-4"])
    for place, member in enumerate(group.members):
        losses = [(10, 0.9), (20, 0.5 + 0.1 * (place < 3)), (30, 0.8)]
        rows = [{"stage": "warmup", "step": 0, "sft/step": step, "sft/held_out_loss": loss} for step, loss in losses]
        (member.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = summarise_group(group)
    found = {entry["setting"][0]: entry["held_out_loss"]["mean"] for entry in summary["settings"]}
    assert found == {
        "sft_warmup.learning_rate=1e-4": pytest.approx(0.6),
        "sft_warmup.learning_rate=2e-4": pytest.approx(0.5),
    }
    row = summary["settings"][0]["seeds"][0]["held_out_loss"]
    assert (row["step"], row["last"]) == (20, 0.8)
    show_summary(summary)
    assert "least held-out loss: sft_warmup.learning_rate=2e-4, 0.500" in capsys.readouterr().out


def test_runner_when_a_group_is_continued_then_done_runs_are_left_and_begun_ones_resumed(tmp_path, monkeypatch):
    """Only what is missing is run, by the commands that a person would type."""
    group = make_group(tmp_path / "g", [0.5, 0.6, 0.7])
    for number, status in ((1, {"stage": "grpo", "finished": False}), (2, None)):
        path = group.members[number].folder / "status.json"
        path.unlink() if status is None else path.write_text(json.dumps(status))
    started = []
    monkeypatch.setattr(
        runner.subprocess,
        "Popen",
        lambda words: started.append(words[3:]) or SimpleNamespace(poll=lambda: 0, returncode=0),
    )
    assert runner._run_members(group, 1, quiet=False) == 0
    assert [words[:2] for words in started] == [
        ["--resume", str(group.members[1].folder)],
        ["--config", "v4_1.yaml"],
    ]
    assert "seed=3" in started[1]


def test_runner_when_one_run_is_interrupted_then_the_rest_waits_for_a_resume(tmp_path, monkeypatch):
    """Whoever stopped one run meant the group: exit code 75, nothing further begins."""
    group = create_group(tmp_path / "g", config="v4_1.yaml", profile="embedded", overrides=[], seeds=[1, 2, 3], grid=[])
    started = []
    monkeypatch.setattr(
        runner.subprocess,
        "Popen",
        lambda words: started.append(words) or SimpleNamespace(poll=lambda: 75, returncode=75),
    )
    assert (runner._run_members(group, 1, quiet=True), len(started)) == (75, 1)


def test_compare_when_given_two_groups_then_seeds_are_the_unit(tmp_path, capsys):
    """Paired by seed: 0.1 higher in every one of three seeds is better, and the answer says what was compared."""
    make_group(tmp_path / "one", [0.5, 0.6, 0.7])
    make_group(tmp_path / "other", [0.61, 0.7, 0.79])
    assert compare([str(tmp_path / "one"), str(tmp_path / "other"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["compares"], found["unit"], found["paired_by_seed"]) == ("recipes", "seeds", True)
    assert found["difference"]["mean"] == pytest.approx(0.1)
    assert compare([str(tmp_path / "other"), str(tmp_path / "one")]) == 1
    assert "seeds are the unit" in capsys.readouterr().out


def test_grid_when_written_badly_then_one_line_says_how(capsys):
    """A grid needs a key and two values; a group is not followed."""
    assert read_grid("a.b=1, 2") == ["a.b=1", "a.b=2"]
    with pytest.raises(UserError, match="two or more"):
        read_grid("a.b=1")
    with pytest.raises(SystemExit) as ended:
        run_main(["--config", "v4_1.yaml", "--seeds", "2", "--follow"])
    assert ended.value.code == 2
    assert "--follow: not with --seeds" in capsys.readouterr().err


def test_seeds_when_only_planned_then_every_run_is_named(tmp_path, capsys):
    """A dry run of a grid of seeds lists its folders and starts nothing."""
    arguments = ["--config", "v4_1.yaml", "--profile", "embedded", "--seeds", "2", "--grid", "grpo.beta=0.0,0.1"]
    assert run_main([*arguments, "--run-dir", str(tmp_path / "g"), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("(waiting)") == 4 and "grpo.beta=0.1 seed 43" in shown


@pytest.mark.parametrize(
    ("given", "seeds"), [("3", [42, 43, 44]), ("7,11", [7, 11]), ("7,", [7]), ("7,7", None), ("a,b", None), ("0", None)]
)
def test_seeds_when_counted_or_named_then_those_are_run(given, seeds, capsys):
    """A number is how many, a list is which; the same seed twice would count one run double."""
    import argparse

    from grpo.seeds.group import choose_seeds
    from grpo.seeds.options import add_group_options

    parser = argparse.ArgumentParser()
    add_group_options(parser)
    if seeds is None:
        with pytest.raises(SystemExit):
            parser.parse_args(["--seeds", given])
        assert "--seeds" in capsys.readouterr().err
        return
    assert choose_seeds(parser.parse_args(["--seeds", given]), 42) == seeds
