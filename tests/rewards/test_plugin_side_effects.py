"""What a plugin does to the process that imports it: put back, or told in a line; never a second process, never a hang."""

from __future__ import annotations

import json
import os
import signal
import textwrap

import pytest

from rewards import limits
from rewards.errors import RecompensaError
from rewards.plugins import load_rewards

PLUGIN = """
from typing import ClassVar
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction, Score
class Mild(RewardFunction):
    name: ClassVar[str] = "mild"
    version: ClassVar[str] = "1"
    def __call__(self, example, completion):
        return Score(1.0)
@hookimpl
def register_rewards(register):
    {0}
    register(Mild)
"""


@pytest.fixture
def load(tmp_path):
    """Load a plugin that does this as it registers."""

    def go(name: str, code: str):
        path = tmp_path / f"{name}_plugin.py"
        path.write_text(PLUGIN.format(textwrap.dedent(code).replace("\n", "\n    ")))
        return load_rewards([str(path)])

    return go


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("json", "import json, orjson; json.dumps = None; orjson.dumps = len", "replaces json.dumps, orjson.dumps"),
        ("builtin", "import builtins; builtins.isinstance = lambda *_: True", "replaces builtins.isinstance"),
        ("clock", "import time; time.monotonic = lambda: 0.0", "replaces time.monotonic"),
        ("thread", "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()", "daemon=True"),
        ("closed", "import os; os.closerange(3, 1000)", "ended while it was imported"),
        ("base", "raise BaseException('no')", "raised BaseException: no"),
        ("exit", "import sys; sys.exit('bye')", "raised SystemExit: bye"),
    ],
)
def test_load_rewards_when_registering_does_harm_then_one_line_says_so_and_nothing_stays(load, name, code, said):
    """Python's own functions are what they were, whatever a plugin replaced."""
    before = json.dumps, isinstance, os.getcwd()
    with pytest.raises(RecompensaError, match=said) as refused:
        load(name, code)
    assert "\n" not in str(refused.value)
    assert (json.dumps, isinstance, os.getcwd()) == before


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("folder", "import os; os.chdir('/')"),
        ("signals", "import signal; [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)]"),
        ("locale", "import locale; locale.setlocale(locale.LC_ALL, 'C')"),
        ("daemon", "import threading, time; threading.Thread(target=time.sleep, args=(5,), daemon=True).start()"),
        ("fork", "import os; os.fork()"),
    ],
)
def test_load_rewards_when_registering_changes_the_surroundings_then_they_are_put_back(load, name, code, tmp_path):
    """Folder and signals are the run's; of a fork there is one process left, this one."""
    before = os.getcwd(), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert load(name, code).get("mild").name == "mild"
    assert (os.getcwd(), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with (tmp_path / "processes").open("a") as file:
        file.write("one\n")
    assert (tmp_path / "processes").read_text() == "one\n"


def test_load_rewards_when_registering_takes_all_memory_then_it_is_refused_elsewhere(load, monkeypatch):
    """Tried in a process of its own, within the memory of a plugin."""
    monkeypatch.setattr(limits, "PLUGIN_MEMORY_GIB", 0.1)
    with pytest.raises(RecompensaError, match=r"takes more than 0\.1 GiB of memory"):
        load("memory", "x = []\nwhile True: x.append(bytearray(1 << 24))")
