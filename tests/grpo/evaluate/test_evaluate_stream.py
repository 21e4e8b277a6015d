"""The rows in windows: killed at any write they end in the same bytes, and memory does not grow with them."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from functools import partial
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grpo.evaluate import journal as journals
from grpo.evaluate import row_stream as rows
from grpo.evaluate import windows
from grpo.evaluate.content import JournalContents
from grpo.evaluate.journal import Journal
from grpo.evaluate.summary import summarise_rows
from grpo.generation.answers import Settings, WrittenAnswer
from rewards.errors import UserError
from rewards.host.scoring import RewardHost
from rewards.types import Completion, Example


class Writer:
    """Answers that follow from the row and the sample, as long as `words` says."""

    takes_windows = False
    note = None
    context = 10_000

    def __init__(self, words=3):
        self.words, self.batches = words, []
        self.prompts = SimpleNamespace(prompt_ids=lambda prompt: [1] * len(prompt[0]["content"]))

    def write(self, examples, prompts, settings):
        self.batches.append([example.id for example in examples])
        return [
            [
                WrittenAnswer(Completion(f"{example.id} {sample} " * self.words, False), 3)
                for sample in range(settings.samples)
            ]
            for example in examples
        ]


def make_inputs(examples, *, samples=1, batch_size=2):
    """A request for these rows as the command makes it, without a model."""
    source = rows.RowSource("rows", lambda: iter(examples() if callable(examples) else examples))
    host = RewardHost([])
    return SimpleNamespace(
        rows=rows.survey(source, host, None),
        host=host,
        settings=Settings(1.0, 1.0, 0, 1.0, 8, samples, 1),
        config=SimpleNamespace(evaluation=SimpleNamespace(batch_size=batch_size)),
        keys=lambda: ((e.task, e.id, s) for e in source.open() for s in range(samples)),
    )


def make_examples(lengths):
    return [Example(f"r{n}", "t", [{"role": "user", "content": "x" * each}], "y", {}) for n, each in enumerate(lengths)]


def go_on(folder, inputs, writer):
    """One process: begin or resume, answer, put in order; returns the file of the rows."""
    journal = Journal(folder)
    try:
        if (folder / "evaluation.json").exists():
            journal.resume({"a": 1}, inputs.keys())
        journal.start({"a": 1})
        windows.answer_rows(inputs, writer, journal, SimpleNamespace(advance=lambda *_, **__: None))
    finally:
        journal.close()
    return folder / "rows.jsonl"


class Killed(BaseException):
    """Stands for a kill -9."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=23),
    samples=st.integers(1, 3),
    batch_size=st.integers(1, 5),
    kills=st.lists(st.tuples(st.integers(0, 6), st.integers(-1, 300)), max_size=6),
)
def test_rows_when_killed_at_any_write_then_none_is_lost_or_doubled(
    tmp_path_factory, monkeypatch, lengths, samples, batch_size, kills
):
    """Whatever part of whichever write reached the disk, the end has the bytes of an uninterrupted evaluation."""
    monkeypatch.setattr(windows, "BATCHES", 2)
    folder = tmp_path_factory.mktemp("killed")
    inputs = make_inputs(make_examples(lengths), samples=samples, batch_size=batch_size)
    whole = go_on(folder / "whole", inputs, Writer()).read_bytes()
    assert [json.loads(line)["id"] for line in whole.splitlines()] == [key[1] for key in list(inputs.keys())]
    settle, out = journals._settle, folder / "out"
    for writes, kept in kills:
        left = [writes]

        def kill(file, left=left, kept=kept):
            start = file.raw.seek(0, 2)
            settle(file)
            if left[0] == 0:
                if kept >= 0:  # else it is killed right after
                    file.truncate(min(start + kept, file.raw.seek(0, 2)))
                raise Killed
            left[0] -= 1

        with monkeypatch.context() as patched:
            patched.setattr(journals, "_settle", kill)
            try:
                go_on(out, inputs, Writer())
            except Killed:
                continue
    assert go_on(out, inputs, Writer()).read_bytes() == whole
    assert not (out / "pending.jsonl").exists()


def test_rows_when_resumed_then_only_batches_with_missing_rows_are_answered(tmp_path, monkeypatch):
    """Six rows in batches of two: the one whose second row is missing is answered again as a whole, longest first."""
    inputs = make_inputs(make_examples([1, 2, 3, 4, 5, 6]))
    writer = Writer()
    go_on(tmp_path / "whole", inputs, writer)
    assert writer.batches == [["r5", "r4"], ["r3", "r2"], ["r1", "r0"]]
    lines = (tmp_path / "whole" / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "evaluation.json").write_text('{"a": 1}')
    (tmp_path / "out" / "rows.jsonl").write_bytes(lines[0])
    (tmp_path / "out" / "pending.jsonl").write_bytes(b"".join(lines[4:]))
    contents = JournalContents(tmp_path / "out", ("rows.jsonl", "pending.jsonl"))
    contents.measure("rows.jsonl")
    contents.measure("pending.jsonl")
    contents.note()
    writer = Writer()
    assert go_on(tmp_path / "out", inputs, writer).read_bytes() == b"".join(lines)
    assert writer.batches == [["r3", "r2"], ["r1", "r0"]]


def test_rows_when_there_are_ten_times_as_many_then_memory_stays(tmp_path):
    """Of 600 more rows, whose prompts and answers are 2 MB, less than 0.3 MB stays: their ids, to be told apart."""

    def write_rows(count):
        path = tmp_path / f"{count}.jsonl"
        with path.open("w") as file:
            for n in range(count):
                turns = [{"role": "user", "content": "x" * 2000}]
                file.write(json.dumps({"id": f"{n}", "task": "t", "prompt": turns, "reference": None}) + "\n")
        return path

    def measure(count):
        inputs = make_inputs(rows.find_file(write_rows(count)).open, batch_size=1)
        tracemalloc.start()
        go_on(tmp_path / f"out{count}", inputs, Writer(words=200))
        summarise_rows(Journal(tmp_path / f"out{count}").read(), 1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    measure(64)  # what is imported and cached once
    assert measure(900) - measure(300) < 3e5


def test_measure_prompts_when_some_are_too_long_then_the_first_three_and_their_number_are_named():
    """All rows are looked at before the first answer."""
    inputs = make_inputs(make_examples([3, 9, 9, 2, 9, 9]))
    writer, stage = Writer(), SimpleNamespace(advance=lambda: None)
    assert windows.measure_prompts(writer, inputs.rows, inputs.settings, stage) == 17
    writer.context = 16
    with pytest.raises(UserError, match=r"context of 16: r1 \(9\), r2 \(9\), r4 \(9\) and 1 more"):
        windows.measure_prompts(writer, inputs.rows, inputs.settings, stage)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("r.jsonl.gz", gzip.compress(b"{}\n", mtime=0), "compressed; unpack it first: gunzip -k"),
        ("r.jsonl", b"", "the file is empty"),
        ("r.jsonl", b"\n{\n", r"r.jsonl:2: not JSON"),
        ("r.jsonl", b"caf\xe9\n", "not UTF-8"),
        ("r.jsonl", b'{"completion": "", "scores": {}}\ncaf\xe9\n', "not UTF-8"),
        (
            "r.jsonl",
            b'{"completion": "", "scores": {}, "prompt": 3}\n',
            "r.jsonl:1: 'prompt' is not a list of messages",
        ),
    ],
)
def test_find_file_of_bad_rows_names_the_place(tmp_path, name, content, said):
    """What is wrong, in which line, what to do."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        list(rows.find_file(tmp_path / name).open())


def test_find_file_of_a_bad_file_names_every_bad_row(tmp_path):
    """A file that is no more than a few megabytes is looked through to its end."""
    good = {"id": "1", "task": "t", "prompt": [{"role": "user", "content": "x"}], "reference": "y"}
    lines = [json.dumps(good), "{", json.dumps(good), "[]"]
    (tmp_path / "r.jsonl").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(UserError) as fault:
        list(rows.find_file(tmp_path / "r.jsonl").open())
    assert [problem.partition(": ")[0].rpartition(":")[2] for problem in fault.value.problems] == ["2", "3", "4"]


def test_read_stored_of_several_samples_gives_each_example_once(tmp_path):
    """Another evaluation's rows are rows to answer, whatever its number of samples."""
    line = {"task": "t", "prompt": [], "reference": "y", "completion": "z", "scores": {}, "columns": {"split": "a"}}
    (tmp_path / "r.jsonl").write_text("".join(json.dumps({"id": each, **line}) + "\n" for each in "aabba"))
    found = list(rows.find_file(tmp_path / "r.jsonl").open())
    assert [(example.id, example.columns) for example in found] == [("a", {"split": "a"}), ("b", {"split": "a"})]


def test_survey_when_limited_then_later_rows_are_not_even_read(tmp_path):
    """The first rows of a large file can be looked at although something is wrong further on."""
    good = {"id": "1", "task": "t", "prompt": [{"role": "user", "content": "x"}], "reference": "y"}
    (tmp_path / "r.jsonl").write_text(json.dumps(good) + "\n{\n")
    find = partial(rows.survey, rows.find_file(tmp_path / "r.jsonl"), RewardHost([]))
    assert find(1).count == 1
    with pytest.raises(UserError, match=r"r\.jsonl:2"):
        find(None)
