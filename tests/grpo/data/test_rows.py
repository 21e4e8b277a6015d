"""Row files: what is read, what is refused, and that writing loses nothing."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grpo.data.rows import iterate_rows, read_rows, write_rows
from rewards.errors import UserError
from rewards.types import Example

GOOD = {"id": "a", "task": "t", "prompt": [{"role": "user", "content": "oi"}], "reference": "olá"}


def write_lines(path: Path, *rows: object) -> Path:
    """A file with one line a row; a row that is text is written as it stands."""
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def problems_of(path: Path) -> list[str]:
    """The problems that reading the file raises."""
    with pytest.raises(UserError) as caught:
        read_rows(path)
    return caught.value.problems


def test_rows_when_right_then_come_back_in_order_with_their_columns(tmp_path):
    """Everything beside the four keys is a column."""
    path = write_lines(tmp_path / "r.jsonl", GOOD, {**GOOD, "id": "b", "reference": None, "max_characters": 120})
    first, second = read_rows(path)
    assert (first.id, first.task, first.reference, first.columns) == ("a", "t", "olá", {})
    assert (second.id, second.reference, second.columns) == ("b", None, {"max_characters": 120})


def test_messages_when_given_then_the_last_turn_is_the_reference(tmp_path):
    """A `messages` row without id and task gets its line number and `default`."""
    turns = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "r"},
    ]
    (row,) = read_rows(write_lines(tmp_path / "r.jsonl", "", {"messages": turns, "extra": 1}))
    assert row == Example("2", "default", turns[:2], "r", {"extra": 1})


def test_database_when_relative_then_starts_at_the_folder_of_the_rows(tmp_path, monkeypatch):
    """The working directory has no say."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "c.db").touch()
    path = write_lines(tmp_path / "data" / "r.jsonl", {**GOOD, "database": "c.db"})
    monkeypatch.chdir(tmp_path)
    (row,) = read_rows(path.relative_to(tmp_path))
    assert row.columns["database"] == str((tmp_path / "data" / "c.db").resolve())


def test_file_when_missing_or_empty_then_one_line_says_so(tmp_path):
    """Neither is an empty data set."""
    assert problems_of(tmp_path / "no.jsonl") == [
        f"{tmp_path / 'no.jsonl'}: no such file; give the path of a JSON Lines file"
    ]
    (tmp_path / "e.jsonl").write_text("\n \n")
    assert ["the file is empty" in line for line in problems_of(tmp_path / "e.jsonl")] == [True]


def test_file_when_a_folder_then_one_line_says_so(tmp_path):
    """A path that cannot be opened is the user's mistake, not a traceback."""
    (line,) = problems_of(tmp_path)
    assert "cannot be read" in line


def test_problems_when_many_then_all_are_reported_together_with_their_lines(tmp_path):
    """One pass over the file finds everything."""
    path = write_lines(
        tmp_path / "r.jsonl",
        GOOD,
        "{nonsense}",
        {"id": "b", "prompt": []},
        {**GOOD, "reference": {"x": 1}},
        GOOD,
        [1],
        {**GOOD, "id": 3},
        {**GOOD, "id": "p", "prompt": "oi"},
        {**GOOD, "id": "q", "prompt": [{"role": "boss", "content": 1}]},
        {**GOOD, "id": "d", "database": "none.db"},
        {**GOOD, "id": "m", "messages": []},
    )
    found = problems_of(path)
    expected = [
        (2, "not JSON"),
        (3, "missing task, reference"),
        (3, "prompt: a list of at least one message is allowed, not an empty list"),
        (4, "reference: a string (or null) is allowed, not object; write the JSON as a string"),
        (4, "id 'a' is already used in line 1"),
        (5, "id 'a' is already used in line 1"),
        (6, "a JSON list; each line must be a JSON object"),
        (7, "id: a string that is not empty is allowed, not number"),
        (8, "prompt: a bare text"),
        (9, "prompt[0].role: 'boss' is not one of"),
        (9, "prompt[0].content: a string is allowed, not number"),
        (10, "database: no such file"),
        (11, "has messages and also prompt and reference"),
        (11, "messages: a list of at least one message"),
    ]
    assert len(found) == len(expected)
    for line, (number, text) in zip(found, expected, strict=True):
        assert line.startswith(f"{path}:{number}: ") and text in line


def test_last_line_when_half_written_then_is_named_as_such(tmp_path):
    """A crash while writing leaves a line without its end."""
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD)[:20])
    (line,) = problems_of(path)
    assert line.startswith(f"{path}:2: half-written last line")


def test_last_line_when_only_its_line_end_is_missing_then_is_read(tmp_path):
    """Many editors write no final line end."""
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(GOOD))
    assert len(read_rows(path)) == 1


@pytest.mark.parametrize(
    "bad", [b'{"id": NaN}\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n", b'{"id": ' + b"9" * 5000 + b"}\n"]
)
def test_line_when_hostile_then_is_one_problem(tmp_path, bad):
    """NaN, other encodings, deep nesting and endless numbers are refused, not crashed on."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(bad)
    assert all(line.startswith(f"{path}:1: ") for line in problems_of(path))


def test_problems_when_very_many_then_the_rest_is_counted(tmp_path):
    """Twenty lines are enough to see what is wrong."""
    found = problems_of(write_lines(tmp_path / "r.jsonl", *["x"] * 50))
    assert len(found) == 21 and found[-1].endswith("and 30 more problems")


def test_iteration_when_a_late_line_is_bad_then_the_rows_before_it_arrive(tmp_path):
    """The file is streamed."""
    rows = iterate_rows(write_lines(tmp_path / "r.jsonl", GOOD, "x"))
    assert next(rows).id == "a"
    with pytest.raises(UserError):
        next(rows)


def test_writing_when_it_fails_then_the_old_file_stays_and_nothing_else(tmp_path):
    """The file appears whole or not at all."""
    path = write_lines(tmp_path / "r.jsonl", GOOD)
    before = path.read_bytes()

    def rows():
        yield Example("x", "t", [], "r")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_rows(path, rows())
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["r.jsonl"]


def test_database_when_written_then_is_relative_so_that_the_folder_can_move(tmp_path):
    """Reading a moved folder finds the moved database."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c.db").touch()
    rows = read_rows(write_lines(tmp_path / "a" / "r.jsonl", {**GOOD, "database": "c.db"}))
    write_rows(tmp_path / "a" / "s.jsonl", rows)
    (tmp_path / "a").rename(tmp_path / "b")
    (row,) = read_rows(tmp_path / "b" / "s.jsonl")
    assert row.columns["database"] == str((tmp_path / "b" / "c.db").resolve())


text = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
whole = st.integers(-(2**63), 2**64 - 1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(text, text | st.none(), st.dictionaries(st.sampled_from(["x", "y"]), text | whole)),
        min_size=1,
    )
)
def test_rows_when_written_and_read_then_are_the_same(tmp_path_factory, drawn):
    """Any text survives, line separators and quotes among it."""
    rows = [
        Example(str(index), "t", [{"role": "user", "content": content}], reference, columns)
        for index, (content, reference, columns) in enumerate(drawn)
    ]
    path = tmp_path_factory.mktemp("rows") / "r.jsonl"
    assert write_rows(path, rows) == len(rows)
    assert read_rows(path) == rows


def test_database_when_many_rows_name_it_then_it_is_looked_up_once(tmp_path, monkeypatch):
    """Thousands of rows share a database: a walk through the file system for each took most of the reading."""
    (tmp_path / "shop.sqlite").write_bytes(b"")
    path = write_lines(tmp_path / "r.jsonl", *({**GOOD, "id": str(n), "database": "shop.sqlite"} for n in range(50)))
    resolved, resolve = [], Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda self, *rest: resolved.append(self) or resolve(self, *rest))
    rows = read_rows(path)
    assert {row.columns["database"] for row in rows} == {str(tmp_path / "shop.sqlite")}
    assert len(resolved) == 1
