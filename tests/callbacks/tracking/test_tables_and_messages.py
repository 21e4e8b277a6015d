"""What trackers are shown of completions, and the messages that a resumed run tells them again, by hand."""

from __future__ import annotations

from math import isnan, nan
from pathlib import Path

import pytest

from callbacks.tracking.curves import name_curve
from callbacks.tracking.messages import Messages
from callbacks.tracking.rows import make_table, read_records


def test_table_when_completions_were_trained_on_then_group_and_advantage_come_before_the_scores():
    """One column a function, empty where it did not score; long texts are cut, halves of pairs replaced."""
    rows = [
        {"step": 1, "id": "a", "task": "t", "reward": 0.5, "prompt": [{"content": "one"}, {"content": "two"}, 3], "completion": "x" * 9000, "truncated": False,
         "repairs": ["cut", 2], "scores": {"g": {"value": 1}, "f": {"value": None}}, "group": 3, "advantage": -0.5},
        {"id": "b", "scores": {"f": {"value": 0.25}, "g": "odd"}, "reference": {"k": 1}, "completion": "\ud800"},
        {"id": "c", "scores": 5},
    ]  # fmt: skip
    columns, found = make_table(rows)
    assert columns[-4:] == ["group", "advantage", "score/f", "score/g"] and len(columns) == 13
    cells = [dict(zip(columns, row, strict=True)) for row in found]
    assert (cells[0]["prompt"], len(cells[0]["completion"]), cells[0]["repairs"], cells[0]["truncated"]) == (
        "one\n\ntwo",
        8000,
        "cut, 2",
        False,
    )
    assert [cells[0][key] for key in ("group", "advantage", "score/f", "score/g", "step", "reward")] == [
        3,
        -0.5,
        None,
        1.0,
        1,
        0.5,
    ]
    assert (cells[1]["score/f"], cells[1]["score/g"], cells[1]["reference"], cells[1]["repairs"], cells[1]["step"]) == (
        0.25,
        None,
        '{"k": 1}',
        "",
        None,
    )
    assert cells[1]["completion"] != "\ud800" and cells[2]["score/f"] is None
    assert make_table([{"id": "a"}])[0] == [
        "step",
        "id",
        "task",
        "reward",
        "prompt",
        "completion",
        "reference",
        "truncated",
        "repairs",
    ]
    assert make_table([])[1] == []


def test_records_when_lines_are_broken_then_the_others_are_read(tmp_path):
    """Objects only."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1}\n[2]\nbroken\n{"id": 3}\n')
    assert read_records(path) == [{"id": 1}, {"id": 3}]


@pytest.mark.parametrize(
    ("key", "stage", "curve"),
    [("loss", "train", "loss"), ("sft/loss", "warmup", "warmup/sft/loss"), ("eval/a", "final", "eval/a"), ("decision/x", "before", "decision/x"), ("eval_by_function/f", "warmup", "eval_by_function/f")],
)  # fmt: skip
def test_curve_when_a_number_is_held_out_then_all_stages_share_it(key, stage, curve):
    """Others of a stage but training have their own."""
    assert name_curve(key, stage) == curve


def test_messages_when_a_run_is_resumed_then_they_are_those_that_were_told(tmp_path):
    """Numbered by line, with NaN where JSON had to write null, and paths where the folder is now."""
    path = tmp_path / "told.jsonl"
    told = Messages(path, tmp_path)
    assert told.earlier == []
    assert told.add("train", 1, "log", ({"loss": nan, "reward": 0.5}, 1)) == 0
    assert told.add("train", 1, "log_completions", (tmp_path / "completions" / "a.jsonl", 1)) == 1
    assert told.add("final", 2, "alert", ("kl", Path("/elsewhere/x"))) == 2
    told.close()
    assert b"completions/a.jsonl" in path.read_bytes() and str(tmp_path).encode() not in path.read_bytes()
    again = Messages(path, tmp_path / "moved")
    (log, (numbers, step)), completions, alert = again.earlier
    assert (log, step, numbers["reward"], isnan(numbers["loss"])) == ("log", 1, 0.5, True)
    assert completions == ("log_completions", (tmp_path / "moved" / "completions" / "a.jsonl", 1))
    assert alert == ("alert", ("kl", "/elsewhere/x")) and again.add("final", 3, "log", ({}, 3)) == 3
    with pytest.raises(TypeError):
        again.add("final", 4, "log", (object(),))
    again.close()
