"""One prompt answered: by a run as its own evaluation would, by a model alone, and what is refused."""

from __future__ import annotations

import io
import json
import shutil

import pytest

pytest.importorskip("torch")

from grpo.evaluate.__main__ import main


@pytest.fixture
def run(folder, shop, whole, tmp_path):
    """A finished run with a best policy and rows in files."""
    from grpo.config.loading import load_config

    config = load_config(folder / "config.yaml", profile="gpu").model_dump(mode="json")
    config["data"] |= {"source": "files", "train": str(shop.train), "held_out": str(folder / "rows.jsonl")}
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"profile": "gpu", "source": "config.yaml", "config": config}))
    shutil.copytree(folder / "policy", path / "best")
    return path


def test_prompt_when_a_held_out_row_asks_it_then_the_answer_is_the_evaluations(run, read, whole, capsys):
    """The same messages, sampling and random numbers, for every task."""
    rows = {row["task"]: row for row in read(whole / "rows.jsonl")}
    for task, row in rows.items():
        assert main(["--model", str(run), "--task", task, "--prompt", row["prompt"][-1]["content"]]) == 0
        assert capsys.readouterr().out.rstrip("\n") == row["completion"].rstrip("\n")


def test_prompt_when_it_is_new_then_it_is_asked_as_the_task_asks_and_always_answered_alike(run, capsys, monkeypatch):
    """From the command line or standard input, twice the same."""
    answers = []
    for given in ("Chegou tudo quebrado.", "-"):
        monkeypatch.setattr("sys.stdin", io.StringIO("Chegou tudo quebrado.\n"))
        assert main(["--model", str(run), "--task", "extraction", "--prompt", given]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] and answers[0].strip()


def test_prompt_when_the_model_is_no_run_then_it_is_a_users_message(folder, capsys):
    """A folder needs a config for its sampling, and no rows; --json has the answer beside what was asked."""
    arguments = ["--model", str(folder / "policy"), "--config", str(folder / "config.yaml"), "--prompt", "Olá"]
    assert main(arguments) == 0
    answer = capsys.readouterr().out
    assert answer.strip()
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] == answer.removesuffix("\n") and told["prompt"] == [{"role": "user", "content": "Olá"}]


def test_prompt_when_a_folder_is_asked_without_a_config_then_its_likeliest_answer_is_printed(folder, capsys):
    """One question needs nothing but the model; without a draw the answer is always the same."""
    answers = []
    for _ in range(2):
        arguments = [
            "--model",
            str(folder / "policy"),
            "--prompt",
            "Olá",
            "--set",
            "evaluation.max_completion_length=12",
        ]
        assert main(arguments) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] and answers[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prompt", "x"], "--task: not given, and this run has several"),
        (["--prompt", "x", "--task", "poetry"], "--task poetry: this run has no such task"),
        (["--prompt", "", "--task", "push"], "--prompt: the text is empty"),
        (["--prompt", "x " * 600, "--task", "push"], "beyond the context"),
    ],
)
def test_prompt_when_it_cannot_be_asked_then_one_line_says_why(run, capsys, arguments, said):
    """The tasks are listed, an empty text is none, a long one is not cut."""
    assert main(["--model", str(run), *arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert said in line
