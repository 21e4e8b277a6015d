"""`python -m rewards explain`: what was read, each repair at its place, each part."""

from __future__ import annotations

import io
import json

import pytest

from rewards.__main__ import main
from rewards.commands.explain import show_place


def test_explain_when_a_text_needs_repairs_then_shows_value_places_and_parts(capsys):
    """The comma at 9 is named, and so is the wrong leaf."""
    text = "{'nota': 4,5, 'dias': 3}"
    code = main(["explain", "--text", text, "--reference", '{"nota": 4.5, "dias": 4}', "--reward", "field_f1"])
    shown = capsys.readouterr().out
    assert code == 0 and '"nota": 4.5' in shown
    assert any("decimal_comma" in line and "at 9" in line and "⟦4⟧,5" in line for line in shown.splitlines())
    assert "0.5000" in shown and "precision" in shown


def test_explain_when_on_a_terminal_then_colours_show_the_place(capsys, monkeypatch):
    """Brackets of our own would only disturb."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert main(["explain", "--text", "{'nota': 4,5}"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b[" in shown and "⟦" not in shown


def test_explain_when_asked_for_json_then_says_the_same(capsys):
    """Each repair with its place in context."""
    assert main(["explain", "--text", "nota: {'a': 4,5} ok", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["value"] == {"a": 4.5} and said["span"] == [6, 16]
    assert {"kind": "decimal_comma", "place": 12, "context": "nota: {'a': 4,5} ok"} in said["repairs"]


def test_explain_when_nothing_is_given_then_reads_standard_input(capsys, monkeypatch):
    """Bytes that are not UTF-8 are shown, not refused."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'\xff{"a": 1}')))
    assert main(["explain"]) == 0
    assert '"a": 1' in capsys.readouterr().out


def test_explain_when_no_json_is_there_then_says_so(capsys, tmp_path):
    """Square brackets of the text are text, not markup."""
    path = tmp_path / "answer.txt"
    path.write_text("[bold]nada[/bold]")
    assert main(["explain", "--file", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "no JSON found" in shown and "[bold]nada[/bold]" in shown


@pytest.fixture
def run_folder(tmp_path):
    score = {"value": 0.25, "status": "value", "reason": "wrong: b", "version": "7", "parts": {"fields": 0.25}}
    row = {
        "id": "e1", "task": "t", "prompt": [{"role": "user", "content": "?"}], "completion": '{"a": 1}',
        "reference": '{"a": 1}', "reward": 0.25, "scores": {"mine": score},
    }  # fmt: skip
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "final.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


def test_explain_when_a_stored_completion_is_named_then_shows_the_scores_of_the_time(capsys, run_folder):
    """And new ones when a reward is named."""
    assert main(["explain", str(run_folder), "--id", "e1"]) == 0
    shown = capsys.readouterr().out
    assert "mine version 7" in shown and "wrong: b" in shown
    assert main(["explain", str(run_folder), "--id", "e1", "--reward", "field_f1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["field_f1"]["value"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN"], "--id: "),
        (["RUN", "--id", "e2"], "did you mean e1?"),
        (["RUN", "--id", "another"], "it holds 1 completions, such as e1"),
        (["RUN", "--id", "e1", "--stage", "warmup"], "--stage: no stage 'warmup'; there are: final"),
        (["RUN", "--id", "e1", "--index", "1"], "--index: 1; 'e1' has 1 completions"),
        (["--text", "x", "--file", "y"], "give one of RUN, --text and --file"),
        (["--text", "x", "--id", "e1"], "--id: goes with RUN"),
        (["--file", "nowhere"], "--file: nowhere: cannot be read"),
        (["--text", "{}", "--reward", "field_f1"], "reward 'field_f1': reference: missing"),
    ],
)
def test_explain_when_misused_then_one_line_and_exit_2(capsys, run_folder, arguments, said):
    """What, and what to do."""
    code = main(["explain", *(str(run_folder) if part == "RUN" else part for part in arguments)])
    assert code == 2 and said in capsys.readouterr().err


def test_show_place_when_a_line_breaks_nearby_then_stays_on_one_line():
    """Line ends, tabs and the end of the text have signs of their own."""
    assert show_place("a\n\tb", 1) == ("a", "↵", "→b")
    assert show_place("ab", 2) == ("ab", "⏎", "")
