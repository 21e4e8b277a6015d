"""The report: whole, self-contained, safe against what a policy writes, tolerant of what is missing."""

import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser

import orjson
import pytest

from grpo.report import write_report
from grpo.report.__main__ import main
from grpo.report.run_files import read_run
from grpo.report.samples import choose_samples, make_visible
from grpo.report.tables import make_task_rows
from rewards.errors import UserError
from tests.timing import at_most


class Page(HTMLParser):
    """What a browser would make of the page: its tags, their attributes and the text of each."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self._open, self.unclosed = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory, write_run):
    folder = write_run(tmp_path_factory.mktemp("runs") / "v4_1")
    with at_most(10, time.perf_counter):
        write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run):
    return Page((run / "report.html").read_text(encoding="utf-8"))


def test_report_of_a_long_run_is_small_and_the_same_every_time(run):
    """600 steps and thousands of completions stay under 5 MB, and a second build gives the same bytes."""
    paths = write_report(run)
    first = [path.read_bytes() for path in paths]
    write_report(run)
    assert [path.read_bytes() for path in paths] == first
    assert len(first[0]) < 5_000_000


def test_report_loads_nothing_from_anywhere(page):
    """No script, no frame, no address to fetch, tables to save aside; a policy of the page forbids it as well."""
    assert not {"script", "iframe", "img", "link", "object", "embed", "form", "base"} & set(page.tags)
    outward = [(tag, name, value) for tag, name, value in page.attributes if name in ("href", "src", "xlink:href", "action", "style") and ("//" in value or "data:" in value) and not (tag == "a" and value.startswith("data:text/csv;"))]  # fmt: skip
    assert outward == []
    assert any("default-src 'none'" in value for _, _, value in page.attributes)


def test_report_shows_hostile_completions_as_text_only(tmp_path, hostile_texts):
    """No completion, reason, id or task adds an element or a handler, yet each can be read as it was written."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "eval").mkdir()
    rows = [
        {"id": text, "task": "t", "completion": text, "reference": text, "reward": n / 10, "repairs": [text],
         "prompt": [{"role": "user", "content": text}], "scores": {text: {"value": 0.5, "reason": text, "version": text}}}
        for n, text in enumerate(hostile_texts)
    ]  # fmt: skip
    (tmp_path / "eval" / "final.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    page = Page(write_report(tmp_path)[0].read_text(encoding="utf-8"))
    text = "".join(page.text)
    assert not {"script", "img"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.tags.count("h1") == 1
    assert page.unclosed == []
    for hostile in hostile_texts:
        assert make_visible(hostile) in text
    for character in "\u202e\u202c\x1b\x07\x00":
        assert character not in text


def test_report_puts_the_verdict_first(page):
    """Heading, reason and next step come before any table."""
    first = page.tags.index("table")
    assert "h1" in page.tags[:first]
    text = " ".join("".join(page.text).split())
    assert text.index("Next ") < text.index("How the decision was reached") < text.index("Task by task")


def test_report_has_a_curve_for_all_and_for_each_task_in_scheme_colours(run, page):
    """Five curves and seven health charts; a drawing names no colour of its own, only the page's style does."""
    body = (run / "report.html").read_text(encoding="utf-8").split("</style>")[1]
    assert page.tags.count("figure") == 5 + 7
    assert all('class="line"' in drawing for drawing in body.split("<figure")[1:])
    assert not [value for _, name, value in page.attributes if name in ("fill", "stroke", "color")]
    identifiers = [value for _, name, value in page.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))


def test_report_names_thresholds_and_the_best_checkpoint(page):
    """The lines of the decision are drawn and named."""
    text = "".join(page.text)
    for name in ("scale up at 0.55", "floor 0.25", "best checkpoint", "further SFT"):
        assert name in text


def test_report_in_markdown_has_no_live_markup_of_the_run(tmp_path, write_run):
    """A name that holds a table cell or HTML stays one cell of text."""
    folder = write_run(tmp_path / "run", steps=100)
    saved = orjson.loads((folder / "config.json").read_bytes())
    saved["config"]["name"] = "<b>x</b> | [y](http://z)\n# head"
    (folder / "config.json").write_bytes(orjson.dumps(saved))
    text = write_report(folder)[1].read_text(encoding="utf-8")
    first = text.splitlines()[0]
    assert first.startswith("# \\<b\\>x\\</b\\> \\| \\[y\\](http://z) \\# head")
    assert "\n# head" not in text


def test_report_of_a_rehearsal_says_so(tmp_path, write_run):
    """The small policy's numbers are never taken for the model's."""
    html = write_report(write_run(tmp_path / "run", rehearsal=True, steps=100))[0].read_text(encoding="utf-8")
    assert "Rehearsal:" in html
    assert "scale up at" not in html
    assert "warm-up +33%" in html


@pytest.mark.parametrize(
    "missing",
    ["decision.json", "metrics.jsonl", "eval", "environment.json", "plan.json", "audit.json", "timings.jsonl", "status.json", "config.json", "sft_baseline.json"],
)  # fmt: skip
def test_report_without_a_piece_is_written_and_says_what_is_missing(tmp_path, run, missing):
    """Any one piece may be gone."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("completions"))
    target = folder / missing
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    text = "".join(Page(write_report(folder)[0].read_text(encoding="utf-8")).text)
    assert missing == "sft_baseline.json" or f"{missing.split('/')[0]}" in text.split("What is not here")[1]


def test_report_of_a_run_just_begun_is_written(tmp_path):
    """A config alone is enough for a page."""
    (tmp_path / "config.json").write_text("{}")
    html = write_report(tmp_path)[0].read_text(encoding="utf-8")
    assert "No decision was made" in html


def test_report_of_a_run_that_is_not_over_says_so_far_in_both_forms(tmp_path, write_run):
    """A table that says "at the end" would promise that nothing more comes."""
    folder = write_run(tmp_path / "run", steps=100)
    for name in ("eval/final.jsonl", "decision.json"):
        (folder / name).unlink()
    lines = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_bytes(
        b"".join(each for each in lines if orjson.loads(each)["stage"] not in ("final", "judged"))
    )
    for path in write_report(folder):
        text = path.read_text(encoding="utf-8")
        assert "so far" in text
        # The note of what is missing names the evaluation, not the run.
        assert "at the end" not in text.replace("the completions at the end are those of step-", ""), path


def test_report_with_broken_lines_counts_them(tmp_path):
    """Half-written rows are left out and counted."""
    (tmp_path / "config.json").write_text("not json")
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1, "stage": "train", "reward": 0.5}\n[1]\n{"st')
    notes = read_run(tmp_path).notes
    assert "metrics.jsonl: 2 of 3 lines could not be read and were left out" in notes
    assert "config.json is not JSON and was left out" in notes
    write_report(tmp_path)


def test_report_of_no_run_is_one_line_and_exit_code_2(tmp_path, capsys):
    """A wrong folder is the user's mistake."""
    assert main([str(tmp_path)]) == 2
    assert main([str(tmp_path / "none")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    with pytest.raises(UserError):
        write_report(tmp_path)


def test_report_command_prints_where_it_wrote(run, capsys):
    """Both paths, one a line."""
    assert main([str(run)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(run / "report.html"), str(run / "report.md")]


def test_task_rows_pair_the_change_by_example(run):
    """The change of the table is the mean of the differences, with the paired interval."""
    row = make_task_rows(read_run(run))[0]
    assert row["task"] == "all"
    assert row["change"].mean == pytest.approx(row["final"].mean - row["warmup"].mean)
    assert (
        row["change"].high - row["change"].low
        < row["final"].high - row["final"].low + row["warmup"].high - row["warmup"].low
    )


def test_samples_are_spread_over_the_tasks_and_ordered():
    """One of each task before a second of any; the change is from the same row's warm-up."""
    final = [{"id": str(n), "task": task, "reward": n / 10, "completion": "x"} for task in "ab" for n in range(5)]
    warmup = [{**record, "reward": 0.2} for record in final]
    samples = choose_samples(warmup, final, count=2)
    assert [(s.task, s.id) for s in samples["best"]] == [("a", "4"), ("b", "4")]
    assert [(s.task, s.id) for s in samples["worst"]] == [("a", "0"), ("b", "0")]
    assert samples["gained"][0].change == pytest.approx(0.2)
    assert samples["lost"][0].change == pytest.approx(-0.2)


def test_samples_of_records_with_holes_are_tolerated():
    """Missing columns, null rewards and odd types do not stop a report."""
    records = [
        {},
        {"reward": None},
        {"reward": 0.5, "prompt": "text", "scores": [], "completion": None},
        {"reward": True},
    ]
    assert len(choose_samples(records, records)["best"]) == 1


def test_visible_text_names_what_hides_and_says_what_it_cut():
    """Direction marks, controls and zero-width characters are named; the rest stays."""
    assert make_visible("a\u202eb\x00c\u200bd\ne") == "a⟨U+202E⟩b␀c⟨U+200B⟩d\ne"
    assert make_visible("x" * 10, limit=4) == "xxxx … (6 more characters)"


def test_report_command_sends_the_report_where_it_is_asked_to(tmp_path, write_run, monkeypatch, capsys):
    """--send hands both files to the run's own trackers, and says so in one line where there is none."""
    folder = write_run(tmp_path / "run", steps=100)
    sent = []
    monkeypatch.setattr(
        "callbacks.tracking.tracking.publish_files", lambda folder, section, paths, **_: sent.append(list(paths))
    )
    assert main([str(folder), "--send"]) == 0
    assert sent == [[folder / "report.html", folder / "report.md"]]
    saved = orjson.loads((folder / "config.json").read_bytes())
    saved["config"]["tracking"] = {"wandb": "off"}
    (folder / "config.json").write_bytes(orjson.dumps(saved))
    assert main([str(folder), "--send"]) == 2
    assert "tracked nowhere" in capsys.readouterr().err


def test_report_starts_without_the_libraries_of_training():
    """Neither torch nor a plotting library is needed for a report, nor a tracker."""
    code = (
        "import sys, grpo.report.__main__; "
        "bad = {'torch', 'transformers', 'trl', 'datasets', 'wandb', 'matplotlib', 'mlflow', 'numpy'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_report_when_a_file_of_completions_is_large_then_rows_are_taken_evenly_and_it_says_so(
    write_run, tmp_path, monkeypatch
):
    """A million rows must not be held together: the page shows a few of them."""
    from grpo.report import run_files

    run = write_run(tmp_path / "run", steps=40)
    path = run / "eval" / "final.jsonl"
    line = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(b"".join(line.replace(b'"id":"', b'"id":"%d-' % at, 1) for at in range(100)) + line[:20])
    monkeypatch.setattr(run_files, "RECORD_BYTES", len(line) * 11)
    read = run_files.read_run(run)
    assert 9 <= len(read.records["final"]) <= 11
    (note,) = [note for note in read.notes if note.startswith("eval/final.jsonl is large")]
    assert note.endswith("of its rows one in 10 is looked at")
    before = sum(len(file.read_bytes().splitlines()) for file in run.rglob("*.jsonl") if file.parent != run)
    assert read.stored_completions == before, "also the last line, which has no end"
