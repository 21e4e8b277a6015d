"""Foreign text on a terminal, on a page and in JSON: nothing in it moves, hides, reorders or stacks what is shown."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.screen.command_line import print_json, print_problem
from rewards.screen.harmless_text import escape_json, hide_controls, make_harmless, make_label, make_visible
from rewards.screen.terminal import make_console

HOSTILE = "a\x1b[2J\x9b31mb\u202ec\u200bd\x07\x7f" + "e" + "\u0301" * 9


def is_harmless(text: str) -> bool:
    return all(character.isprintable() or character in "\n\t" for character in text)


@given(st.text(st.characters(codec=None), max_size=60))
def test_text_when_shown_then_every_character_is_printable(text):
    """Whatever it holds, on a terminal and on a page; marks do not climb."""
    for shown in (make_harmless(text), make_visible(text), make_label(text), hide_controls(text)):
        assert is_harmless(shown)
    assert len(hide_controls(text)) == len(text)


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_when_escaped_then_it_is_the_same_document(value):
    """Programs read what was meant, terminals obey nothing."""
    text = escape_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == value and is_harmless(text)


def test_marks_when_stacked_then_two_are_left():
    """More of them climb over the lines above."""
    for make in (make_harmless, make_visible, make_label):
        assert make("e" + "\u0301" * 9) == "e\u0301\u0301"


@pytest.mark.parametrize("terminal", [True, False])
def test_console_when_it_prints_foreign_text_then_only_its_own_codes_go_out(terminal):
    """In a text, in a cell of a table and in plain strings."""
    from rich.table import Table
    from rich.text import Text

    stream = io.StringIO()
    stream.isatty = lambda: terminal
    console = make_console(stream)
    table = Table()
    table.add_column("x")
    table.add_row(Text(HOSTILE))
    for shown in (Text(HOSTILE, "red"), HOSTILE, table):
        console.print(shown)
    out = stream.getvalue()
    assert "\x1b[2J" not in out and not set("\x9b\u202e\u200b\x07\x7f") & set(out)


def test_command_when_it_quotes_foreign_text_then_it_is_named(capsys):
    """On standard error and in --json."""
    print_problem(f"rows.jsonl:1: id {HOSTILE}\nand more")
    print_json({"id": HOSTILE})
    out, err = capsys.readouterr()
    assert is_harmless(out) and is_harmless(err) and json.loads(out) == {"id": HOSTILE} and len(err.splitlines()) == 2


def test_explain_when_the_completion_holds_escapes_then_none_reaches_the_terminal(capsys):
    """The whole text is shown, its places of repairs where they are."""
    from rewards.__main__ import main

    assert main(["explain", "--text", "{'nota': 4,5, 'x': '" + HOSTILE + "'}", "--reference", HOSTILE]) == 0
    assert is_harmless(capsys.readouterr().out)
