"""Files in UTF-16 and UTF-32 are called what they are, by every reader of rows and settings."""

import json

import pytest

from grpo.config.yaml_layer import read_source
from grpo.data.records import read_records
from grpo.data.sources import read_source as read_data
from rewards.errors import UserError
from rewards.row_forms.coding import find_wide_coding
from rewards.rows import parse_file
from rewards.writing.yaml_files import read_yaml

MARKS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "utf-32-le": b"\xff\xfe\0\0", "utf-32-be": b"\0\0\xfe\xff"}
ROW = json.dumps({"id": "1", "text": "ação 🚀"}, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("marked", [True, False], ids=["mark", "no mark"])
@pytest.mark.parametrize("coding", MARKS)
def test_readers_when_a_file_is_not_utf8_then_they_name_its_coding(coding, marked, tmp_path):
    """One line, not a heap of bad JSON; what makes rows of foreign files reads it."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes((MARKS[coding] if marked else b"") + (ROW * 3).encode(coding))
    name = coding[:6].upper()
    (parsed,) = parse_file(path)
    assert parsed.problems == [f"{path}:1: {name}; save the file as UTF-8"]
    assert [record.problem for record in read_records([str(path)])] == [f"{name}; save the file as UTF-8"]
    assert read_source(path).problems == [f"{path}: {name}; save the file as UTF-8"]
    with pytest.raises(UserError, match=f"{name}; save the file as UTF-8"):
        read_yaml(path)
    found = read_data(str(path))
    assert [record.values["text"] for record in found.records] == ["ação 🚀"] * 3
    assert found.notes == [f"the file is {name}; its rows are written as UTF-8"]


@pytest.mark.parametrize("marked", [True, False], ids=["mark", "no mark"])
@pytest.mark.parametrize("coding", MARKS)
def test_readers_when_a_table_or_a_first_empty_line_is_not_utf8_then_they_name_its_coding(coding, marked, tmp_path):
    """CSV's first cell begins with a letter, not a bracket; half of an empty first line's end stands in the second line."""
    mark, name = (MARKS[coding] if marked else b""), coding[:6].upper()
    table = tmp_path / "rows.csv"
    table.write_bytes(mark + "id,text\n1,ação\n".encode(coding))
    with pytest.raises(UserError, match=f"rows.csv: {name}; save the file as UTF-8"):
        list(read_records([str(table)]))
    path = tmp_path / "rows.jsonl"
    path.write_bytes(mark + ("\n" + ROW).encode(coding))
    assert [record.problem for record in read_records([str(path)])] == [f"{name}; save the file as UTF-8"]
    problems = [problem for parsed in parse_file(path) for problem in parsed.problems]
    assert len(problems) == 1 and problems[0].endswith(f": {name}; save the file as UTF-8")


@pytest.mark.parametrize(
    "start", [b"", b"{", b'{"a"', b"\0\0\0\0", b"\xef\xbb\xbf{", b"a\0\0b", "é{".encode(), b"\n\n\n\n"]
)
def test_find_wide_coding_when_it_is_utf8_or_nothing_then_none(start):
    """Zeros alone, one in the wrong place, a text that begins with a letter beyond ASCII."""
    assert find_wide_coding(start) is None
