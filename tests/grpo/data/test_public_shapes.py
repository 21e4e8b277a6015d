"""Rows in the shapes that public data sets have: each is read as it is meant, or refused in a line that says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grpo.data.any_rows import read_any_rows
from grpo.data.sources import read_source
from grpo.init.columns import choose_columns, make_rows, unify_records
from tests.grpo.data.test_tools import ask, write

QUESTION, GOOD, BAD = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}, "No."
TOOL = {"name": "count", "description": "Counts.", "parameters": {"what": {"type": "str"}}}
CALL = {"name": "count", "arguments": {"what": "sheep"}}
SHAPES: dict[str, dict[str, Any]] = {
    "TRL's preference": {"prompt": "Why?", "chosen": "So.", "rejected": BAD},
    "TRL's preference of messages": {"prompt": [QUESTION], "chosen": [GOOD], "rejected": [{**GOOD, "content": BAD}]},
    "whole conversations": {"chosen": [QUESTION, GOOD], "rejected": [QUESTION, {**GOOD, "content": BAD}]},
    "a prompt beside whole conversations": {"prompt": "Why?", "chosen": [QUESTION, GOOD], "rejected": [QUESTION, GOOD]},
    "ShareGPT's preference": {"conversations": [{"from": "human", "value": "Why?"}], "chosen": {"from": "gpt", "value": "So."},
                              "rejected": {"from": "gpt", "value": BAD}},
    "OpenAI's preference": {"input": {"messages": [QUESTION]}, "preferred_output": [GOOD], "non_preferred_output": [GOOD]},
    "parts with a value": {"messages": [{"role": "user", "content": [{"type": "text", "value": "Why?"}]}, GOOD]},
    "Alpaca, numbered": {"id": 7, "instruction": "Why?", "input": "", "output": "So."},
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_row_when_in_a_public_shape_then_the_wanted_answer_is_the_reference(tmp_path, capsys, name):
    """A run, the validation and the statistics read the same question and the same answer."""
    path = write(tmp_path / "rows.jsonl", [SHAPES[name]])
    (example,) = read_any_rows(path)
    assert (example.prompt, example.reference) == ([QUESTION], "So.")
    assert ask(capsys, "validate", path) == (0, {"rows": 1, "bad": 0, "problems": []})
    _, found = ask(capsys, "stats", path)
    assert found["roles"] == {"user": 1, "assistant": 1} and "unknown" not in found["forms"]


@pytest.mark.parametrize("as_text", [True, False])
def test_row_when_in_xlams_shape_then_its_calls_are_the_reference(tmp_path, as_text):
    """`answers` and `tools` come as JSON text or as lists; an empty list calls nothing."""
    spell = json.dumps if as_text else list
    rows = [
        {"id": 0, "query": "Sheep?", "answers": spell([CALL]), "tools": spell([TOOL])},
        {"id": 1, "query": "Thanks!", "answers": spell([]), "tools": spell([TOOL])},
    ]
    path = tmp_path / "xlam.json"
    path.write_text(json.dumps(rows))
    called, none = read_any_rows(path)
    assert called.id == "0" and '"arguments": {"what": "sheep"}' in (called.reference or "")
    assert '"count"' in called.prompt[0]["content"] and called.prompt[-1]["content"] == "Sheep?"
    assert none.reference == "[]"


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "<image>Who?"}, GOOD], "images": ["1.jpg"]},
        {"chosen": "\n\nHuman: Why?\n\nAssistant: So.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."},
        {"question": "Why?", "answer": "So."},
    ],
)
def test_row_when_it_cannot_be_meant_as_text_then_it_is_refused(tmp_path, capsys, row):
    """Pictures, texts that hold both sides of a talk, and columns whose meaning only their names tell."""
    code, found = ask(capsys, "validate", write(tmp_path / "rows.jsonl", [row] * 30))
    assert code == 2 and found["bad"] == 30
    assert len(found["problems"]) == 3 and found["kinds"][0]["times"] == 30


def test_validate_when_answers_are_marked_as_unwanted_then_it_says_so(tmp_path, capsys):
    """KTO's `label`: rows with false hold what a policy should not say; the filter it names takes them out."""
    rows = [{"messages": [QUESTION, GOOD], "label": number < 3} for number in range(5)]
    path = write(tmp_path / "rows.jsonl", rows)
    assert ask(capsys, "validate", path)[1]["unwanted_answers"] == 2
    _, found = ask(capsys, "filter", path, "--out", str(tmp_path / "kept.jsonl"), "--where", "label=true")
    assert (found["kept"], found["removed"]) == (3, 2)
    assert ask(capsys, "stats", path, "--by", "label")[1]["columns"]["label"]["false"]["rows"] == 2


def test_init_when_a_column_called_sql_holds_no_text_then_the_query_is_the_answer(tmp_path):
    """Spider's `sql` is the parsed query; BIRD's `SQL` is the text."""
    rows = [{"db_id": "d", "question": f"How many {n}?", "query": f"SELECT {n}", "sql": {"from": []}} for n in range(3)]
    made = read_made(tmp_path, rows)
    assert [example.reference for example in made.examples] == ["SELECT 0", "SELECT 1", "SELECT 2"]
    made = read_made(tmp_path, [{"question": "How many?", "SQL": "SELECT 1", "evidence": ""}])
    assert made.examples[0].reference == "SELECT 1"


def test_init_when_rows_are_preferences_or_calls_then_a_note_says_how_they_were_read(tmp_path):
    """The same rows as a run reads."""
    path = write(tmp_path / "rows.jsonl", [SHAPES["ShareGPT's preference"]] * 2)
    found = unify_records(read_source(str(path)))
    assert "what was chosen is the answer" in found.notes[0]
    assert [row.reference for row in make_rows(found, choose_columns(found)).examples] == ["So.", "So."]
    path = write(tmp_path / "calls.jsonl", [{"query": "Sheep?", "answers": json.dumps([CALL]), "tools": [TOOL]}])
    assert "xLAM" in unify_records(read_source(str(path))).notes[0]


def test_audit_when_the_source_is_no_json_lines_then_it_is_read_as_by_a_run(tmp_path, capsys):
    """A document, a table and a folder."""
    rows = [{"instruction": f"Say {n}", "input": "", "output": json.dumps({"n": n})} for n in range(12)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "rows.csv").write_text(
        "prompt,completion\n" + "".join(f'Say {n},"{{""n"": {n}}}"\n' for n in range(12))
    )
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "a.jsonl", rows)
    for name in ("rows.json", "rows.csv", "folder"):
        code, found = ask(capsys, "audit", "--data", str(tmp_path / name), "--reward", "field_f1")
        assert code == 0, found


def test_filter_when_an_answer_is_too_short_to_tell_its_language_then_the_question_tells_or_it_is_kept(
    tmp_path, capsys
):
    """'42' is no Arabic."""
    pytest.importorskip("py3langid")
    long = "Quantos pedidos foram entregues com atraso no estado de São Paulo?"
    rows = [
        {"prompt": "1+1", "completion": "2"}, {"prompt": long, "completion": "42"},
        {"prompt": "How many orders came late in the state of New York?", "completion": "42"},
    ]  # fmt: skip
    path = write(tmp_path / "rows.jsonl", rows)
    _, found = ask(capsys, "filter", path, "--out", str(tmp_path / "k.jsonl"), "--language", "pt")
    assert found["kept"] == 2 and found["reasons"] == {"language en": 1}


def test_tokens_when_a_row_lists_functions_then_they_count_as_a_run_tells_them(tmp_path, capsys):
    """In a system turn of their own, unless the row's names them all."""
    row = {"messages": [QUESTION, GOOD], "tools": [TOOL]}
    path = write(tmp_path / "rows.jsonl", [row])
    (example,) = read_any_rows(path)
    told = -(-len("\n".join(["Why?", example.prompt[0]["content"]])) // 4)
    assert abs(ask(capsys, "stats", path)[1]["tokens"]["prompt"]["max"] - told) <= 1
    _, found = ask(capsys, "filter", path, "--out", str(tmp_path / "k.jsonl"), "--max-tokens", "20")
    assert found["removed"] == 1
    named = {"messages": [{"role": "system", "content": "You have count."}, QUESTION, GOOD], "tools": [TOOL]}
    assert ask(capsys, "stats", write(tmp_path / "named.jsonl", [named]))[1]["tokens"]["prompt"]["max"] == 5


def read_made(folder: Path, rows: list[dict[str, Any]]) -> Any:
    found = unify_records(read_source(str(write(folder / "rows.jsonl", rows))))
    return make_rows(found, choose_columns(found))
