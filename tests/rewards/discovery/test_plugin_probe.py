"""A plugin that hangs, crashes or prints while it is imported or registers costs a line, not the process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rewards import limits, plugins
from rewards.discovery import plugin_files
from rewards.errors import PluginError
from rewards.plugins import load_rewards
from tests.rewards.test_plugins import GOOD, FakePoint, make_function, make_plugin
from tests.timing import at_most

HANGS = "import time\ntime.sleep(600)\n"
PLUGINS = {
    "hangs at import": (HANGS, "does not come to an end"),
    "hangs in registering": (GOOD.replace("register(Good)", "import time; time.sleep(600)"), "does not come to an end"),
    "leaves at import": ("import os\nos._exit(0)\n", "ended while it was imported (exit code 0)"),
    "leaves in registering": (GOOD.replace("register(Good)", "import os; os._exit(7)"), "(exit code 7)"),
    "crashes": ("import ctypes\nctypes.string_at(0)\n", "ended by signal 11"),
    "kills itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "ended by signal 9"),
    "hangs in C": ("import re\nre.match('(a+)+$', 'a' * 60 + 'b')\n", "does not come to an end"),
}


@pytest.fixture(params=["fork", "apart"])
def way(request, monkeypatch):
    """Both ways of trying a plugin: a fork, and, where this process has threads, a new process."""
    monkeypatch.setattr(threading, "active_count", lambda: 1 if request.param == "fork" else 2)
    if request.param == "fork":
        monkeypatch.setitem(sys.modules, "torch", None)
        monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(limits, "PLUGIN_START_SECONDS", 2.0)
    return request.param


@pytest.mark.parametrize("kind", PLUGINS)
def test_load_rewards_when_a_plugin_does_not_return_then_it_is_one_line(way, kind, tmp_path):
    """Named in the configuration, so the command stops; within the limit, and by itself."""
    source, said = PLUGINS[kind]
    path = tmp_path / "wild_import.py"
    path.write_text(source)
    with at_most(15, time.perf_counter), pytest.raises(PluginError) as caught:
        load_rewards([str(path)])
    (line,) = caught.value.problems
    assert said in line and "\n" not in line and str(path) in line


def test_load_rewards_when_an_installed_plugin_is_broken_and_unused_then_nobody_is_stopped(monkeypatch):
    """Its problem is told where the reward functions are listed, and to whoever asks for a name that is not there."""
    point = FakePoint("broken", "some-dist", ImportError("no such thing"))
    monkeypatch.setattr(
        "importlib.metadata.entry_points",
        lambda group: [point, FakePoint("ok", "d", make_plugin(make_function("fine")))],
    )
    registry = load_rewards()
    assert "fine" in registry and len(registry.broken) == 1 and "some-dist" in registry.broken[0]
    with pytest.raises(PluginError, match=r"installed plugins are broken: .*some-dist"):
        registry.get("not_there")


def test_load_rewards_when_a_plugin_prints_then_standard_output_stays_clean(tmp_path, capfd):
    """At import and in registering, from Python and below it: a few labelled lines on standard error."""
    path = tmp_path / "loud_plugin.py"
    path.write_text(
        "import os\nprint('\\x1b[2J noise\\n' * 100_000)\nos.write(1, b'raw')\n"
        + GOOD.replace("register(Good)", "register(Good); print('more')")
    )
    assert "good" in load_rewards([str(path)])
    out, err = capfd.readouterr()
    assert out == "" and "\x1b" not in err and len(err) < 5_000
    assert f"[plugin {plugin_files.module_name_of(str(path))}]" in err and "more lines" in err


def test_score_when_a_plugin_prints_at_import_then_its_json_can_be_read(tmp_path):
    """The command as a user runs it, standard output into a file."""
    path = tmp_path / "loud_plugin.py"
    path.write_text("print('hello')\n" + GOOD)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "1", "completion": "x", "reference": null}\n')
    words = [sys.executable, "-m", "rewards", "score", "--plugin", str(path), "--reward", "good", "--input", str(rows)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=Path(plugins.__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 and done.stdout.startswith('{"id": "1"')


def test_build_host_when_200_000_options_are_unknown_then_their_problems_are_few():
    """35 MB of lines help nobody."""
    from rewards.config import FunctionSpec, RewardsSection, build_host

    section = RewardsSection(functions=[FunctionSpec(name="push", options={f"option_{n}": n for n in range(200_000)})])
    with pytest.raises(Exception) as caught:
        build_host(section)
    assert len(str(caught.value)) < 20_000 and "more" in str(caught.value)


def test_probe_when_it_has_forked_then_no_process_is_left(tmp_path):
    """The plugin tried in a fork, with a child of its own."""
    path = tmp_path / "with_child.py"
    path.write_text("import subprocess\nchild = subprocess.Popen(['sleep', '611'])\n" + GOOD)
    assert "good" in load_rewards([str(path)])
    sys.modules[plugin_files.module_name_of(str(path))].child.kill()
    sys.modules[plugin_files.module_name_of(str(path))].child.wait()
    left = [each for each in Path("/proc").glob("[0-9]*/cmdline") if _read(each).startswith(b"sleep\x00611")]
    assert not left, os.getpid()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
