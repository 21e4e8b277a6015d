"""`python -m grpo.decide` and the decision over a run's folder."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from callbacks.watch.watch import Watch
from grpo.decide.__main__ import main
from grpo.decide.decide_run import decide_run, pair_evaluations, read_schedule
from grpo.decide.history import read_history
from rewards.errors import UserError


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def make_row(step, mean, **more):
    return {"step": step, "eval/mean_reward": mean, "eval/mean_reward_n": 300, "eval/mean_reward_std": 0.25, **more}


def test_decide_as_json_has_the_promised_keys(tmp_path, capsys):
    """scenario, action, task, next_config, path and answers are there for other programs."""
    path = write(tmp_path / "metrics.jsonl", [make_row(0, 0.358), {"step": 3, "loss": 0.1}, make_row(600, 0.645)])
    assert main(["--metrics", str(path), "--config", "v4_1.yaml", "--json"]) == 0
    said = orjson.loads(capsys.readouterr().out)
    assert {"scenario", "action", "task", "next_config", "path", "answers"} <= said.keys()
    assert (said["scenario"], said["next_config"]) == ("A", "v4_2_a.yaml")
    assert {"value", "threshold", "n", "margin", "low", "high", "outcome"} <= said["path"][0].keys()


def test_decide_uses_the_rung_of_the_config(tmp_path, capsys):
    """The same history on the 3.7B's config leads to the 8B's."""
    path = write(tmp_path / "metrics.jsonl", [make_row(400, 0.645)])
    main(["--metrics", str(path), "--config", "v4_2_a.yaml", "--json"])
    assert orjson.loads(capsys.readouterr().out)["next_config"] == "qwen3_8b.yaml"


def test_decide_as_text_shows_the_path_and_the_questions(tmp_path, capsys):
    """A person reads the verdict first, then what it rests on."""
    path = write(tmp_path / "metrics.jsonl", [make_row(0, 0.358), make_row(600, 0.645)])
    assert main(["--metrics", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("A: 0.5B is exhausted")
    assert "Did it improve past step 130?" in out


def test_decide_on_the_embedded_profile_is_a_rehearsal(tmp_path, capsys):
    """The same numbers are judged against the run's own warm-up."""
    path = write(tmp_path / "metrics.jsonl", [make_row(0, 0.2, stage="warmup"), make_row(150, 0.4, stage="final")])
    main(["--metrics", str(path), "--profile", "embedded"])
    assert capsys.readouterr().out.startswith("Rehearsal: it learnt")


def test_decide_with_bad_rows_lists_all_of_them_and_exits_2(tmp_path, capsys):
    """Every problem of the file in one go, one line each, no traceback."""
    path = tmp_path / "metrics.jsonl"
    lines = [
        b"{",
        b"[1]",
        orjson.dumps({"eval/mean_reward": 0.5}),
        orjson.dumps(make_row(5, 47.6)),
        orjson.dumps(make_row(5, "x")),
        b"{}",
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert main(["--metrics", str(path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.split("line ")[1][0] for line in errors] == list("12345")


def test_decide_without_a_file_or_with_an_unknown_config_exits_2(tmp_path, capsys):
    """Both are a user's mistake, said in one line."""
    assert main(["--metrics", str(tmp_path / "none.jsonl")]) == 2
    path = write(tmp_path / "metrics.jsonl", [make_row(1, 0.5)])
    assert main(["--metrics", str(path), "--config", "v4_11.yaml"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_history_with_a_half_written_last_line_leaves_it_out(tmp_path):
    """A run that is being written can be judged."""
    path = write(tmp_path / "metrics.jsonl", [make_row(1, 0.5)])
    with path.open("ab") as file:
        file.write(b'{"step": 2, "ev')
    assert len(read_history(path)) == 1


def test_history_without_rows_is_refused(tmp_path):
    """An empty file is not a history."""
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(UserError, match="no rows"):
        read_history(tmp_path)


def test_pairs_of_two_evaluations_are_made_by_task_and_id(tmp_path):
    """Rows are paired by task and id, whatever their order."""
    rows = [
        {"task": "a", "id": "1", "reward": 0.1},
        {"task": "a", "id": "2", "reward": 0.3},
        {"task": "b", "id": "1", "reward": None},
    ]
    before = write(tmp_path / "warmup.jsonl", rows)
    after = write(tmp_path / "final.jsonl", [{**row, "reward": 0.5} for row in reversed(rows)])
    paired = pair_evaluations(before, after)
    assert (paired["all"].n, paired["all"].mean) == (2, pytest.approx(0.3))
    assert (paired["a"].n, paired["b"].n) == (2, 0)
    assert pair_evaluations(before, tmp_path / "none.jsonl") == {}


def test_decide_run_leaves_decision_and_next_config_in_the_folder(tmp_path):
    """A run above 0.55 leaves a decision and a config of the next rung."""
    write(tmp_path / "metrics.jsonl", [make_row(0, 0.358, stage="warmup"), make_row(600, 0.645, stage="final")])
    settings = {"model": {"name": "Polygl0t/Tucano2-qwen-0.5B-Instruct"}, "decision": {"scale_at": 0.6}}
    (tmp_path / "config.json").write_bytes(orjson.dumps({"source": "v4_1.yaml", "profile": "gpu", "config": settings}))
    decision = decide_run(tmp_path)
    assert orjson.loads((tmp_path / "decision.json").read_bytes())["scenario"] == decision.scenario == "A"
    assert decision.path[0].threshold == 0.6
    text = (tmp_path / "next_config.yaml").read_text()
    assert "extends: v4_1.yaml" in text and "Tucano2-qwen-3.7B" in text
    assert "scale_at: 0.6  # as this run had it" in text


def test_decide_of_a_history_imports_no_training_library(tmp_path):
    """Deciding works on a machine without torch."""
    path = write(tmp_path / "metrics.jsonl", [make_row(1, 0.5)])
    code = (
        "import sys; from grpo.decide.__main__ import main; "
        f"code = main(['--metrics', {str(path)!r}, '--config', 'v4_1.yaml']); "
        "bad = {'torch', 'transformers', 'trl', 'datasets', 'wandb', 'matplotlib'} & set(sys.modules); sys.exit(str(bad) if bad else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- the recorded histories --------------------------------------------------------------------------------------------

HISTORIES = Path(__file__).parents[2] / "histories"


def replay(capsys, name, *arguments):
    """What the command says of a recorded history, as JSON."""
    assert main(["--metrics", str(HISTORIES / name), "--json", *arguments]) == 0
    return orjson.loads(capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [("--config", "v4.yaml"), ("--config", "v4_1.yaml"), ()])
def test_decide_of_v4_when_replayed_then_the_plateau_is_the_schedules(capsys, arguments):
    """V4 stood still while its rate went to 1.5e-10: its recorded rates say so whatever config is named."""
    said = replay(capsys, "v4.jsonl", *arguments)
    assert (said["scenario"], said["cause"], said["next_config"]) == ("undecided", "schedule", "v4_1.yaml")
    assert "schedule" in said["title"]
    assert [node["name"] for node in said["path"]][-1] == "schedule"


def test_decide_of_v4_when_its_rates_are_not_recorded_then_its_config_tells_and_v4_1_gives_b(tmp_path, capsys):
    """The same numbers under a constant rate are scenario B: the model cannot write the JSON."""
    rows = [row for row in read_history(HISTORIES / "v4.jsonl") if "learning_rate" not in row]
    path = str(write(tmp_path / "metrics.jsonl", rows))
    assert replay(capsys, path, "--config", "v4.yaml")["cause"] == "schedule"
    said = replay(capsys, path, "--config", "v4_1.yaml")
    assert (said["scenario"], said["cause"], said["next_config"]) == ("B", None, "v4_2_b.yaml")


def test_decide_of_v4_1_when_replayed_then_it_scales_up(capsys):
    """0.64 at the end exhausts the rung, and the questions are answered with their numbers."""
    said = replay(capsys, "v4_1.jsonl", "--config", "v4_1.yaml")
    assert (said["scenario"], said["next_config"], said["cause"]) == ("A", "v4_2_a.yaml", None)
    assert said["answers"]["lowest_task"]["task"] == "sql_qa"
    assert said["path"][0]["interval"] == [said["path"][0]["low"], said["path"][0]["high"]]


def test_watch_rules_of_the_recorded_histories_when_replayed_then_v4_stops_and_v4_1_does_not():
    """The recipe's own table would have stopped V4 for extraction at step 100 and for the plateau at 200."""
    stops = Watch()
    stops.replay(read_history(HISTORIES / "v4.jsonl"))
    assert [(event.rule, event.step) for event in stops.events if event.action == "stop"] == [
        ("extraction", 100),
        ("plateau", 200),
    ]
    sound = Watch()
    assert sound.replay(read_history(HISTORIES / "v4_1.jsonl")) == []


def test_audit_of_the_hermes_gold_when_scored_as_strict_json_then_the_run_is_stopped_before_it_begins():
    """None of the 50 gold answers was strict JSON, so no model could score; read as calls, all of them can be."""
    from grpo.data.rows import read_rows
    from rewards.audit.audit import audit_rows
    from rewards.config import RewardsSection, build_host

    rows = read_rows(HISTORIES / "hermes_gold.jsonl")
    audits = {}
    for name in ("json_valid", "tool_call"):
        with build_host(RewardsSection.model_validate({"functions": [{"name": name}]})) as host:
            audits[name] = audit_rows(host, rows)
    assert not audits["json_valid"].passed
    assert len(audits["json_valid"].facts["gold_failures"]) == 50
    assert audits["tool_call"].facts["gold_failures"] == []
    assert any("50 literal" in line for line in audits["tool_call"].warnings)


# -- the issue's own rows, other names, more options -------------------------------------------------------------------


def test_decide_of_rows_as_the_recipe_writes_them_when_replayed_then_b(tmp_path, capsys):
    """A plateau at 0.476 with extraction at 0.17, n and std recorded, under V4.1's constant rate."""
    stuck = {"eval/extraction": 0.17, "eval/extraction_n": 75, "eval/extraction_std": 0.2}
    rows = [make_row(step, 0.476, **stuck) for step in (130, 200, 400, 600)]
    said = replay(capsys, str(write(tmp_path / "metrics.jsonl", rows)), "--config", "v4_1.yaml")
    assert (said["scenario"], said["next_config"]) == ("B", "v4_2_b.yaml")


def test_decide_of_rows_without_n_and_std_when_replayed_then_it_says_what_it_could_not_judge(tmp_path, capsys):
    """The means alone decide, and the JSON lists what they cannot tell."""
    rows = [{"step": step, "eval/mean_reward": mean} for step, mean in ((0, 0.36), (600, 0.6))]
    said = replay(capsys, str(write(tmp_path / "metrics.jsonl", rows)), "--config", "v4_1.yaml")
    assert said["scenario"] == "A"
    assert said["path"][0]["interval"] is None
    assert any("n or std was not recorded" in line for line in said["not_judged"])


def test_history_with_other_trainers_names_when_read_then_it_is_ours(tmp_path):
    """Exports of W&B and older versions are replayed without rewriting them."""
    path = write(
        tmp_path / "metrics.jsonl", [{"train/global_step": 5, "eval_reward": 0.4, "train/learning_rate": 1e-6}]
    )
    assert read_history(path)[0] == {"global_step": 5, "step": 5, "eval/mean_reward": 0.4, "learning_rate": 1e-6}


def test_decide_with_next_config_when_one_follows_then_it_is_written(tmp_path, capsys):
    """The replay of a history leaves the same file a run would."""
    target = tmp_path / "next.yaml"
    replay(capsys, "v4_1.jsonl", "--config", "v4_1.yaml", "--next-config", str(target))
    assert "Tucano2-qwen-3.7B" in target.read_text()
    assert main(["--metrics", str(HISTORIES / "v4_1.jsonl"), "--next-config", str(tmp_path / "no" / "x.yaml")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_schedule_of_settings_when_read_then_the_rise_is_in_steps():
    """A ratio is turned into steps as training does; settings without a schedule have none."""
    grpo = {"lr_scheduler_type": "cosine", "max_steps": 200, "learning_rate": 2e-6, "warmup_ratio": 0.1}
    assert read_schedule({"grpo": grpo}).warmup_steps == 20
    assert read_schedule({"grpo": {**grpo, "warmup_steps": 7}}).warmup_steps == 7
    assert read_schedule({}) is None
