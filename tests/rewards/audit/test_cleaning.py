"""`rewards audit --drop`: rows of no use are left out with their reasons, the others stay byte for byte."""

import json

import pytest

from rewards.__main__ import main


def make_row(name, reference, **more):
    return {"id": name, "task": "t", "prompt": [{"role": "user", "content": f"{name} pays {len(name)}"}], "reference": reference, **more}  # fmt: skip


@pytest.fixture
def files(tmp_path):
    """Four sound rows and four of no use: not JSON, an id again, a wrong answer, a held-out prompt."""
    sound = [make_row(name, json.dumps({"who": name, "pays": len(name), "discount": 0})) for name in ("Ana", "Bo", "Cleo", "Dario")]  # fmt: skip
    broken = make_row("Eve", '{"who": "Eve",}')
    leaked = make_row("Fay", '{"who": "Fay"}')
    lines = [json.dumps(row) for row in (*sound, sound[0], broken, leaked)]
    (tmp_path / "t.jsonl").write_text("\n".join([*lines[:2], "nonsense", *lines[2:]]), encoding="utf-8")
    (tmp_path / "h.jsonl").write_text(json.dumps({**leaked, "id": "held"}) + "\n", encoding="utf-8")
    return tmp_path


def test_audit_when_told_to_drop_then_keeps_the_rest_as_it_was(files, capsys):
    """The cleaned file passes, what was left out says why, the file itself is untouched."""
    before = (files / "t.jsonl").read_bytes()
    arguments = ["audit", "--data", str(files / "t.jsonl"), "--held-out", str(files / "h.jsonl"), "--drop", str(files / "bad.jsonl")]  # fmt: skip
    assert main(arguments) == 0
    assert "4 of 8 rows left out" in capsys.readouterr().out
    dropped = [json.loads(line) for line in (files / "bad.jsonl").read_text().splitlines()]
    assert [(row["line"], "row" in row) for row in dropped] == [(3, False), (6, True), (7, True), (8, True)]
    said = ["not JSON", "already used", "not strict JSON", "held-out row 'held' has this prompt"]
    assert all(words in row["reasons"][0] for words, row in zip(said, dropped, strict=True))
    kept = (files / "t.clean.jsonl").read_bytes().splitlines()
    assert kept == [before.splitlines()[at] for at in (0, 1, 3, 4)]
    assert (files / "t.jsonl").read_bytes() == before


def test_audit_when_the_files_are_there_then_does_not_write_over_them(files, capsys):
    """Neither the reasons of last time nor the data itself."""
    arguments = ["audit", "--data", str(files / "t.jsonl"), "--drop"]
    (files / "bad.jsonl").write_text("mine", encoding="utf-8")
    assert main([*arguments, str(files / "bad.jsonl")]) == 2
    assert "there already" in capsys.readouterr().err and (files / "bad.jsonl").read_text() == "mine"
    assert main([*arguments, str(files / "t.jsonl"), "--force"]) == 2
    assert "a file of their own" in capsys.readouterr().err


def test_audit_when_a_run_would_refuse_a_row_then_refuses_it_too(tmp_path, capsys):
    """One reader: a bare prompt, a missing id and a reference that is not text."""
    rows = [{"prompt": "oi", "reference": "{}"}, make_row("Ana", {"who": "Ana"})]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["audit", "--data", str(tmp_path / "t.jsonl"), "--reward", "json_valid"]) == 2
    said = capsys.readouterr().err
    assert "t.jsonl:1: missing id, task" in said and "t.jsonl:2: reference: a string" in said
