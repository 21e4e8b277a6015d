"""`python -m grpo.data`: what it prints, and how it answers a mistake."""

import json

import pytest

from grpo.data.__main__ import main


def test_command_when_run_then_writes_the_shop_and_shows_two_rows_of_each_task(tmp_path, capsys):
    """One line a file, then the samples."""
    assert main(["--out", str(tmp_path / "s"), "--warmup-rows", "40", "--instructions", "short"]) == 0
    shown = capsys.readouterr().out
    assert "1,480 rows: 592 extraction, 592 sql_qa, 148 insights, 148 push" in shown
    assert "warmup.jsonl  40 rows" in shown and shown.count("    -> ") == 8
    assert (tmp_path / "s" / "commerce.db").is_file()


def test_command_when_json_is_asked_for_then_prints_nothing_else(tmp_path, capsys):
    """The whole output is one JSON object."""
    assert main(["--out", str(tmp_path / "s"), "--seed", "9", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["files"]["held_out"]["rows"] == 320 and summary["orders"] == 1000
    assert [len(rows) for rows in summary["samples"].values()] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--warmup-rows", "-1"], "--warmup-rows: "),
        (["--olist", "/nonexistent/olist"], "no such folder"),
    ],
)
def test_command_when_the_user_errs_then_one_line_and_exit_code_2(tmp_path, capsys, arguments, text):
    """Nothing half-made stays behind."""
    assert main(["--out", str(tmp_path / "s"), *arguments]) == 2
    shown = capsys.readouterr()
    assert text in shown.err and shown.err.count("\n") == 1 and shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_command_when_the_directory_cannot_be_made_then_one_line(tmp_path, capsys):
    """A file stands where the folder should be."""
    (tmp_path / "f").write_text("x")
    assert main(["--out", str(tmp_path / "f" / "s")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_when_asked_for_then_shows_examples(capsys):
    """Each option in use."""
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0 and "examples:" in capsys.readouterr().out
