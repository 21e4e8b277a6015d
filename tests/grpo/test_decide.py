"""`python -m grpo.decide` and the decision over a run's folder."""

import subprocess
import sys

import orjson
import pytest

from grpo.decide import decide_run, main, pair_evaluations, read_history
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
    """An empty file is no history."""
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
    assert "extends: v4_2_a.yaml" in (tmp_path / "next_config.yaml").read_text()


def test_decide_of_a_history_imports_no_training_library(tmp_path):
    """Deciding works on a machine without torch."""
    path = write(tmp_path / "metrics.jsonl", [make_row(1, 0.5)])
    code = (
        "import sys; from grpo.decide import main; "
        f"code = main(['--metrics', {str(path)!r}, '--config', 'v4_1.yaml']); "
        "bad = {'torch', 'transformers', 'trl', 'datasets', 'wandb', 'matplotlib'} & set(sys.modules); sys.exit(str(bad) if bad else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
