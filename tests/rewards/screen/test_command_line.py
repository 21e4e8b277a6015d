"""The frame of every command, in terminals that are not like the one it was written in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewards.screen.command_line import BAD_INPUT, run_command

ASCII = {**os.environ, "PYTHONIOENCODING": "ascii"}


def start(*words: str):
    return subprocess.run([sys.executable, "-m", *words], env=ASCII, capture_output=True, timeout=120)


def test_plan_when_the_terminal_is_not_unicode_then_its_frame_is_ascii():
    """A console of another century, a log of a scheduler: no traceback, and nothing but question marks neither."""
    done = start("grpo.plan", "--config", "v4_1.yaml")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode("ascii")
    assert shown.startswith("+- plan of v4_1, profile embedded -") and "?" not in shown


def test_json_when_the_terminal_is_not_unicode_then_it_is_escaped_and_the_same():
    """What a program reads must not depend on the locale that a scheduler gave it."""
    text = "Ótimo 😀 — não"
    done = start("rewards", "explain", "--text", json.dumps({"a": text}, ensure_ascii=False), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode("ascii"))["value"] == {"a": text}


def test_help_when_the_terminal_is_not_unicode_then_it_is_shown():
    """Its exit codes stand between dots that ASCII lacks."""
    done = start("grpo.run", "--help")
    assert done.returncode == 0 and rb"0 done \u00b7 1 failed" in done.stdout


def test_command_when_a_path_begins_with_an_unknown_user_then_is_bad_input(capsys):
    """pathlib raises a bare RuntimeError, which was a traceback."""
    assert run_command(lambda: len(str(Path("~nobody-of-that-name/x").expanduser()))) == BAD_INPUT
    assert capsys.readouterr().err.startswith("error: a path begins with ~ and a user")


@pytest.mark.parametrize(
    ("module", "extra"), [("torch", "'.[train]'"), ("fastapi.routing", "'.[serve]'"), ("jinja2", "."), ("bitsandbytes", "'.[quant]'")]
)  # fmt: skip
def test_command_when_a_package_of_an_extra_is_missing_then_one_line_says_how_to_install_it(
    module, extra, capsys, monkeypatch
):
    """The extra that brings least else; no traceback."""
    asked = [
        "jinja2>=3",
        *(f"{name}>=1; extra == 'train'" for name in ("torch", "trl")),
        "fastapi>=1; extra == 'serve'",
    ]
    asked += [f"{name}>=1; extra == 'quant'" for name in ("torch", "trl", "bitsandbytes")]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: [*asked, "fastapi>=1; extra == 'test'"])

    def work():
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    assert run_command(work) == 2
    assert capsys.readouterr().err == (
        f"error: {module.partition('.')[0]} is not installed, and this needs it: pip install -e {extra}\n"
    )


def test_command_when_a_module_of_nobody_is_missing_then_it_is_our_fault():
    """A name that no extra has is a slip in the code, and shows where."""

    def work():
        raise ModuleNotFoundError("No module named 'no_such'", name="no_such")

    with pytest.raises(ModuleNotFoundError):
        run_command(work)
