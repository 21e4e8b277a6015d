"""Rows in the columns of other trainers: what verl writes is read as it stands."""

from __future__ import annotations

import json

from grpo.init import columns as init_columns
from rewards.row_forms.columns import name_form, unify_form
from rewards.rows import read_rows

ROW = {
    "data_source": "openai/gsm8k",
    "prompt": [{"role": "user", "content": "6 x 12?"}],
    "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "72"},
    "extra_info": {"index": 0},
}


def test_rows_of_verl_when_read_then_the_ground_truth_is_the_reference_and_nothing_is_lost(tmp_path):
    """Text or structure; id and task as for any conversation."""
    other = {**ROW, "reward_model": {"style": "rule", "ground_truth": {"target": 24}}}
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (ROW, other)))
    first, second = read_rows(tmp_path / "rows.jsonl")
    assert (first.reference, second.reference) == ("72", '{"target": 24}')
    assert first.task == "default" and first.prompt == ROW["prompt"]
    assert first.columns["reward_model"] == ROW["reward_model"] and first.columns["extra_info"] == {"index": 0}
    assert name_form(ROW) == "verl" and "messages" in unify_form(ROW)


def test_init_when_an_answer_is_no_text_then_the_row_keeps_it_as_it_was():
    """A reward of the user's reads its fields; the reference is the text of it."""
    values = {"question": "Q", "answer": {"n": 1}}
    choice = init_columns.ColumnChoice(None, ("question",), ("answer",))
    row = init_columns._other_columns(values, choice, keep_answers=False, no_paths=False)
    assert row == {"answer": {"n": 1}}
    told = {"question": "Q", "answer": "x"}
    assert init_columns._other_columns(told, choice, keep_answers=False, no_paths=False) == {}
    assert init_columns._other_columns(told, choice, keep_answers=True, no_paths=False) == {"answer": "x"}
    truth = init_columns._read_reference(ROW, ("reward_model",), frozenset(), "here", [])
    assert truth == "72"
