"""What a completion makes a reward say can be stored, shown and tracked, whatever it is; what had to be changed says so."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack, redirect_stdout

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callbacks.evaluation.eval import write_records
from callbacks.tracking.rows import make_table, read_records
from grpo.report.samples import make_visible
from rewards.commands.explain import _show, _to_json
from rewards.host.records import make_record
from rewards.host.scoring import RewardHost
from rewards.host.verdicts import make_error, read_score
from rewards.plugins import load_rewards
from rewards.sample_rows import find_options, open_samples
from rewards.screen.command_line import print_json
from rewards.types import Completion, Example, RewardFunction, Score
from rewards.writing.writable import MARK, clean_message, make_writable, to_document, to_line

HALF, ESCAPE = "\ud800", "\x1b]52;c;aGk=\x07"

PIECES = st.one_of(
    st.sampled_from([
        HALF, "\udfff", ESCAPE, "\x00", "\x1b[2J", "\u202e", "\u2028", "\ufeff", "9" * 5_000, "-" + "1" * 4_301, "1e99999",
        "[" * 400, '{"a":' * 300, "NaN", "```json", "```", "<think>", "</think>", '{"\\ud800": 1}', '"\\udfff"',
        "SELECT COUNT(*) FROM orders", "'\ud800'", "e\u0301" + "\u0301" * 50, '{"nota": 5, "x": "', "\u0000\u001f", "\\u0000",
    ]),
    st.text(st.characters(), max_size=12),
)  # fmt: skip
HOSTILE = st.lists(PIECES, max_size=6).map("".join)


@pytest.fixture(scope="module")
def judges():
    """Every reward of ours with one of its sample rows and a host that asks it."""
    with ExitStack() as stack:
        found = []
        for entry in load_rewards():
            if not entry.isolated:
                rows = stack.enter_context(open_samples(entry))
                function = entry.function.model_validate(find_options(entry))
                found.append((function, rows[0], stack.enter_context(RewardHost([function]))))
        yield found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=HOSTILE)
def test_rewards_when_a_completion_is_hostile_then_every_writer_and_view_can_hold_what_they_say(judges, text, tmp_path):
    """All rewards; files, tables of a tracker, terminal, JSON and the page of a report."""
    records = []
    for function, example, host in judges:
        completion = Completion(text)
        (scored,) = host.score([(example, completion)])
        assert scored.outcomes[0].status != "error", (function.name, scored.outcomes[0].reason)
        assert scored.outcomes[0].reason.encode() is not None and ESCAPE[:2] not in scored.outcomes[0].reason
        record = make_record(scored)
        records.append(record)
        with redirect_stdout(io.StringIO()) as shown:
            _show(example, completion, completion.extraction, record["scores"])
            print_json(_to_json(example, completion, completion.extraction, record["scores"]))
        assert "\x1b" not in shown.getvalue() and "\x07" not in shown.getvalue() and "\u202e" not in shown.getvalue()
        shown.getvalue().encode()
        for row in (make_visible(record["completion"]), make_visible(record["scores"][function.name]["reason"])):
            row.encode("utf-8", "replace")
    write_records(tmp_path / "rows.jsonl", records)
    stored = read_records(tmp_path / "rows.jsonl")
    assert len(stored) == len(records)
    if HALF not in text and "\udfff" not in text:
        assert [row["completion"] for row in stored if MARK not in row] == [
            row["completion"] for row, kept in zip(records, stored, strict=True) if MARK not in kept
        ]
    json.dumps(make_table(stored), ensure_ascii=False).encode()


def test_to_line_when_a_row_can_be_written_then_it_is_as_it_was():
    """No mark, the same bytes as before."""
    row = {"id": "é", "n": 2**63, "at": [1.5, None, {"a": "\x1b"}]}
    assert to_line(row) == orjson.dumps(row) + b"\n"


@pytest.mark.parametrize(
    ("row", "written", "places"),
    [
        ({"a": HALF + "x"}, {"a": "\ufffdx"}, ["a"]),
        ({"a": {HALF: 1, "\udc00": 2}}, {"a": {"\ufffd": 1, "\ufffd\ufffd": 2}}, ["a key of a"]),
        ({"a": [1, 2**70]}, {"a": [1, str(2**70)]}, ["a[1]"]),
        ({"a": 10**6_000}, {"a": "(a whole number of 19932 bits)"}, ["a"]),
        ({"a": object}, {"a": "<class 'object'>"}, ["a"]),
    ],
)
def test_to_line_when_a_row_cannot_be_written_then_it_fits_and_says_where(row, written, places):
    """Halves of characters, big integers, values of no JSON."""
    assert orjson.loads(to_line(row)) == {**written, MARK: places}


def test_to_line_when_a_row_is_deeper_than_any_writer_then_its_depth_ends():
    """900 levels become 200 and a text."""
    deep: list = []
    for _ in range(900):
        deep = [deep]
    line = to_line({"columns": deep})
    assert b"deeper than 200 levels" in line and orjson.loads(line)[MARK]
    assert orjson.loads(to_document(deep))
    assert make_writable({"a": 1}) == ({"a": 1}, [])


def test_print_json_when_a_number_has_thousands_of_digits_then_it_is_shown_all_the_same(capsys):
    """Python refuses to write more than 4,300 digits."""
    print_json({"n": 10**5_000, "s": HALF})
    assert "16610 bits" in capsys.readouterr().out


class Talker(RewardFunction):
    """Says what it is given."""

    name = "talker"
    version = "1"

    def __call__(self, example: Example, completion: Completion) -> Score:
        raise ValueError(completion.text)


def test_outcomes_when_a_function_says_anything_then_it_is_one_bounded_harmless_text():
    """Reasons, names of parts, wrong values and messages of exceptions alike."""

    class Silent:
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    function = Talker()
    said = [
        read_score(function, Score(0.5, ESCAPE + HALF, {ESCAPE * 100: 0.5})),
        read_score(function, Score(10**5_000)),
        read_score(function, Score(Silent())),
        read_score(function, Score(0.5, "", {HALF: Silent()})),
        read_score(function, Score(0.5, Silent())),
        read_score(function, Score(0.5, "x" * 10_000_000)),
        read_score(function, Score(0.5, "", {str(number): 1.0 for number in range(10_000)})),
        make_error(function, "\x1b[2J"),
        RewardHost([function]).score([(Example("1", "t", [], None), Completion(HALF + ESCAPE))])[0].outcomes[0],
    ]
    for outcome in said:
        for text in (outcome.reason, *outcome.parts):
            assert "\x1b" not in text and HALF not in text and len(text) < 4_200
    assert said[0].reason == "␛]52;c;aGk=␇\ufffd" and [each.status for each in said[1:4]] == ["error"] * 3
    assert clean_message("não\té\nok") == "não\té\nok"
