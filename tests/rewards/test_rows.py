"""The one reader of rows against files that are broken, huge, endless or hostile."""

import json
import os

import pytest

from rewards import rows
from rewards.errors import UserError
from rewards.rows import is_deeper, read_rows

GOOD = {"id": "a", "task": "t", "prompt": [{"role": "user", "content": "oi"}], "reference": "olá"}


def problems_of(path):
    with pytest.raises(UserError) as caught:
        read_rows(path)
    return caught.value.problems


def line_with(**changes):
    return json.dumps({**GOOD, **changes}).encode() + b"\n"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (line_with(note="\ud83d"), "note: half of a character"),
        (line_with(id="\ud83d"), "id: half of a character"),
        (line_with(prompt=[{"role": "user", "content": "\udc00"}]), "half of a character"),
        (line_with(reference="\ud83d"), "half of a character"),
        (line_with(**{"\ud83d": 1}), "half of a character"),
        (line_with(number=2**64), "a whole number of more than 64 bits"),
        (line_with()[:-2] + b', "number": 1e999}\n', "a number beyond every float"),
        (line_with()[:-2] + b', "deep": ' + b"[" * 900 + b"]" * 900 + b"}\n", "more than 200 levels"),
        (line_with()[:-2] + b', "deep": ' + b"[" * 90_000 + b"]" * 90_000 + b"}\n", "nested too deep"),
        (line_with(reference="[" * 900 + "]" * 900), "reference: JSON of more than 200 levels"),
        (line_with(task="all"), "task: 'all' holds the mean over all tasks"),
        (b"\x1f\x8b\x08\x00", "compressed; unpack it first: gunzip -k"),
        (b"PAR1\x15\x04", "a Parquet file; make rows of it"),
        ('{"a": 1}\n'.encode("utf-16"), "UTF-16"),
        (b"[\n" + line_with() + b"]\n", "one JSON document over many lines"),
    ],
)
def test_line_when_it_could_not_be_used_later_then_one_line_says_so_now(tmp_path, raw, said):
    """File and line, whatever a run would stumble over."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(raw)
    (line,) = problems_of(path)
    assert line.startswith(f"{path}:1: ") and said in line


def test_line_when_it_is_endless_then_is_skipped_without_being_read_whole(tmp_path, monkeypatch):
    """The rows after it are still judged."""
    monkeypatch.setattr(rows, "LONGEST_LINE", 1000)
    path = tmp_path / "r.jsonl"
    path.write_bytes(line_with(note="x" * 5_000) + b"{}\n")
    long, short = problems_of(path)
    assert long.startswith(f"{path}:1: a line of ") and short.startswith(f"{path}:2: missing id")


def test_file_when_it_starts_with_a_mark_then_is_read(tmp_path):
    """Windows editors write one."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line_with())
    assert [row.id for row in read_rows(path)] == ["a"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_file_when_it_is_a_pipe_or_a_device_then_is_refused_at_once(tmp_path):
    """Reading would never end, or never begin."""
    os.mkfifo(tmp_path / "fifo")
    for path in (str(tmp_path / "fifo"), "/dev/zero"):
        assert problems_of(path) == [
            f"{path}: not a regular file (a pipe or a device); write its rows into a file and give that"
        ]


def test_depth_when_brackets_stand_in_texts_then_they_do_not_count():
    """A text of brackets is flat."""
    assert not is_deeper(json.dumps(["[" * 500]), 200)
    assert is_deeper("[" * 201 + "]" * 201, 200) and not is_deeper("[" * 200 + "]" * 200, 200)
