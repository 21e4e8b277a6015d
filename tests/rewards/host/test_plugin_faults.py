"""Whatever a plugin does in its process, every completion keeps its own score, and the run its time, files and terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from rewards import limits
from rewards.config import FunctionSpec, RewardsSection, build_host
from rewards.host.supervisor import list_children
from rewards.plugins import load_rewards
from rewards.types import Completion, Example
from tests.timing import at_most

MARK = "RECOMPENSA_TESTS_OF"
PLUGIN = """
import ctypes, json, os, resource, signal, subprocess, sys, threading, time
from typing import ClassVar
from rewards import frames
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction, Score

HELD = []

def answers():
    # The pipe that answers go through: a plugin may find it, and ours is the last that was opened for writing.
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and "pipe" in os.readlink(f"/proc/self/fd/{name}"):
                found.append(int(name))
        except OSError:
            pass
    return found

def write_all(content):
    for descriptor in answers():
        try:
            os.write(descriptor, content)
        except OSError:
            pass

class Wild(RewardFunction):
    name: ClassVar[str] = "wild"
    version: ClassVar[str] = "1"
    def problems(self, example):
        if example.id == "hang": time.sleep(600)
        if example.id == "segfault": ctypes.string_at(0)
        if example.id == "exit": os._exit(0)
        if example.id == "ansi": return ["\\x1b]52;c;aGk=\\x07\\nsecond \\ud800"] + ["line"] * 500
        return []
    def __call__(self, example, completion):
        do, _, value = completion.text.partition(" ")
        if do == "fork": os.fork()
        if do == "forks":
            for _ in range(4): os.fork()
        if do == "c_fork": ctypes.CDLL(None).fork()
        if do == "orphan":
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0: time.sleep(600)
                os._exit(0)
            os.wait()
        if do == "own_session": subprocess.Popen(["sleep", "600"], start_new_session=True)
        if do == "own_session_exits":
            subprocess.Popen(["sleep", "600"], start_new_session=True); os._exit(3)
        if do == "half_frame": write_all(b"rcp1\\x00\\x00\\x10\\x00"); time.sleep(600)
        if do == "half_frame_exits": write_all(b"rcp1\\x00\\x00\\x10\\x00"); os._exit(0)
        if do == "garbage": write_all(b"x" * 5000)
        if do == "stale":
            content = json.dumps([1, [["value", 0.0, "", {}, 0.0, False]]]).encode()
            for descriptor in answers():
                try: frames.send(descriptor, content)
                except OSError: pass
        if do == "close": [os.close(descriptor) for descriptor in answers()]
        if do == "segfault": ctypes.string_at(0)
        if do == "memory": x = bytearray(3 << 30); return Score(1.0)
        if do == "memory_slow":
            kept = []
            while True: kept.append(bytearray(64 << 20))
        if do == "parent": os.kill(os.getppid(), signal.SIGTERM)
        if do == "group": signal.signal(signal.SIGTERM, signal.SIG_IGN); os.killpg(0, signal.SIGTERM)
        if do == "stop_supervisor":
            subprocess.Popen(["sleep", "600"], start_new_session=True); os.kill(os.getppid(), signal.SIGSTOP); time.sleep(600)
        if do == "kill_supervisor":
            subprocess.Popen(["sleep", "600"], start_new_session=True); os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)
        if do == "stop": os.kill(os.getpid(), signal.SIGSTOP)
        if do == "deaf":
            signal.signal(signal.SIGALRM, signal.SIG_IGN); signal.alarm(0)
            threading.Thread(target=time.sleep, args=(600,)).start(); time.sleep(600)
        if do == "alarm": signal.alarm(1)
        if do == "thread": threading.Thread(target=time.sleep, args=(600,), daemon=False).start()
        if do == "prints": print("\\x1b[2J noise" * 500_000)
        if do == "fd_prints": os.write(1, b"raw " * 500_000)
        if do == "recursion": return self(example, completion)
        if do == "text": return Score(0.5, "\\ud800\\x1b[2J", {"\\x1b]0;title\\x07": 0.5})
        if do == "huge": return Score(0.5, "x" * 50_000_000)
        if do == "exit_thread": threading.Thread(target=lambda: os._exit(5)).start(); time.sleep(600)
        if do == "becomes_another": os.execv("/bin/sleep", ["sleep", "600"])
        if do == "becomes_another_that_ends": os.execv("/bin/true", ["true"])
        if do == "exits": sys.exit("bye")
        if do == "interrupts": raise KeyboardInterrupt
        if do == "words_hang": raise type("Slow", (Exception,), {"__str__": lambda error: time.sleep(600)})()
        if do == "other_json": json.dumps = json.loads = lambda *_, **__: "owned"
        if do == "other_os": os.write = os.read = lambda *_: 0
        if do == "closes_all": os.closerange(0, 1000)
        if do == "traces": sys.settrace(lambda *_: 1 / 0)
        if do == "modules": sys.modules.clear()
        if do == "deaf_to_all": signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64)); time.sleep(600)
        if do == "writes_on": threading.Thread(target=lambda: [os.write(1, b"x" * 99) for _ in iter(int, 1)], daemon=True).start()
        if do == "no_files":
            for _ in iter(int, 1): HELD.append(os.open("/dev/null", os.O_RDONLY))
        if do == "no_files_left": resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        if do == "no_file_sizes": resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        if do == "no_seconds":
            resource.setrlimit(resource.RLIMIT_CPU, (0, 0))
            for _ in iter(int, 1): pass
        if do == "deep":
            sys.setrecursionlimit(10**9); f = lambda: f(); f()
        if do == "no_output": sys.stdout.close(); sys.stderr.close(); os.close(1); os.close(2)
        if do == "no_clock": time.monotonic = time.sleep = time.time = lambda *_: 0.0
        if do == "no_builtins": import builtins; builtins.len = builtins.print = builtins.isinstance = None
        if do == "at_exit": import atexit; atexit.register(time.sleep, 600); sys.exit(0)
        if do == "many_children":
            for _ in range(40): subprocess.Popen(["sleep", "600"], start_new_session=True)
        if do == "no_folder":
            os.mkdir("/tmp/recompensa-gone"); os.chdir("/tmp/recompensa-gone"); os.rmdir("/tmp/recompensa-gone")
        if do == "slow_number": return Score(type("Slow", (float,), {"__float__": lambda _: time.sleep(600)})(0.5))
        if do == "endless_parts": return Score(0.5, "", {str(n): 0.5 for n in range(200_000)})
        if do == "not_a_number": return Score(float("nan"))
        if do == "another_type": return {"value": 1.0}
        if do == "environ": os.environ.clear(); sys.path.clear(); sys.modules.pop("rewards", None)
        return Score(float(value))

@hookimpl
def register_rewards(register):
    register(Wild)
"""
FAULTS = (
    "fork", "forks", "c_fork", "orphan", "own_session", "own_session_exits", "half_frame", "half_frame_exits", "garbage",
    "stale", "close", "segfault", "memory", "memory_slow", "parent", "group", "stop", "deaf", "alarm", "thread", "prints",
    "fd_prints", "recursion", "huge", "exit_thread", "environ",
    "stop_supervisor", "kill_supervisor",
    "becomes_another", "becomes_another_that_ends", "exits", "interrupts", "words_hang", "other_json", "other_os", "closes_all",
    "traces", "modules", "deaf_to_all", "writes_on",
    "no_files", "no_files_left", "no_file_sizes", "no_seconds", "deep", "no_output", "no_clock", "no_builtins", "at_exit",
    "many_children", "no_folder", "slow_number", "endless_parts", "not_a_number", "another_type",
)  # fmt: skip
LIMIT = 1.0


@pytest.fixture(scope="module")
def section(tmp_path_factory) -> RewardsSection:
    path = tmp_path_factory.mktemp("plugin") / "wild_plugin.py"
    path.write_text(textwrap.dedent(PLUGIN), encoding="utf-8")
    return RewardsSection(
        plugins=[str(path)],
        functions=[FunctionSpec(name="wild")],
        timeout_seconds=LIMIT,
        error_budget=1.0,
        memory_gib=1.0,
    )


@pytest.fixture(autouse=True)
def _mark(monkeypatch):
    """Processes of these tests carry the number of this one in their environment."""
    monkeypatch.setenv(MARK, str(os.getpid()))


@pytest.fixture
def host(section):
    with build_host(section, load_rewards(section.plugins)) as host:
        yield host


def example_of(name: str = "1") -> Example:
    return Example(name, "any", [], None)


def score(host, *texts: str):
    return [scored.outcomes[0] for scored in host.score([(example_of(), Completion(text)) for text in texts])]


@pytest.mark.parametrize("fault", FAULTS)
def test_scores_when_a_plugin_misbehaves_then_its_neighbours_keep_their_own(host, fault):
    """The scores after the fault are those of their completions, never a neighbour's, and the fault ends in time."""
    score(host, "fine 0.5")
    before = set(list_children(1)) | set(list_children(os.getpid()))
    with at_most(2 * (LIMIT + limits.PLUGIN_END_SECONDS) + 10, time.perf_counter):
        first, faulty, *after = score(host, "fine 0.25", f"{fault} 0.75", *(f"fine {at / 16}" for at in range(8)))
    assert first.value == 0.25 and faulty.value in (None, 0.75, 0.5)
    if faulty.value is None:
        assert faulty.status == "error" and faulty.reason
    values = [each.value for each in after]
    assert [value for value in values if value is not None] == [
        at / 16 for at, value in enumerate(values) if value is not None
    ]
    assert values.count(None) <= 2
    host.close()
    left = (set(list_children(1)) | set(list_children(os.getpid()))) - before
    assert not [process for process in left if _is_ours(process)]


def _is_ours(process: int) -> bool:
    """A worker, or what a plugin left running, of these tests and not of others that run beside them."""
    try:
        said, environment = (Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ"))
    except OSError:
        return False
    mark = f"{MARK}={os.environ[MARK]}".encode()
    return (b"worker_loop" in said or said.startswith(b"sleep\x00600")) and mark in environment.split(b"\0")


def test_prints_when_a_plugin_is_loud_then_few_of_them_are_shown_with_its_name(host, capfd):
    """Five megabytes become a few labelled lines, without what a terminal would obey."""
    score(host, "prints 0.5", "fd_prints 0.5", "fine 0.5")
    host.close()
    out, err = capfd.readouterr()
    assert out == "" and len(err) < 3 * limits.PLUGIN_OUTPUT_BYTES and "\x1b" not in err
    assert "[plugin wild]" in err and "the rest is dropped" in err


def test_answers_when_one_carries_another_number_then_it_is_dropped_and_counted(host):
    """The first question's number, written by the plugin itself before its answer."""
    score(host, "fine 0.5")
    outcomes = score(host, "stale 0.75", "fine 0.25")
    assert [each.value for each in outcomes] == [0.75, 0.25]
    assert host.report()["wild"]["stray_answers"] >= 1


@pytest.mark.parametrize(("row", "word"), [("hang", "timeout"), ("segfault", "died"), ("exit", "died")])
def test_problems_when_a_plugin_hangs_or_dies_in_it_then_it_is_one_line(host, row, word):
    """`problems()` runs in the plugin's process too, within the time limit of a completion."""
    with at_most(LIMIT + limits.PLUGIN_END_SECONDS + 10, time.perf_counter):
        (line,) = host.problems(host.functions[0], example_of(row))
    assert word in line and host.problems(host.functions[0], example_of()) == []


def test_problems_when_they_hang_on_every_row_then_the_function_is_asked_no_more(host):
    """A thousand rows cost three time limits."""
    lines = [line for _ in range(1000) for line in host.problems(host.functions[0], example_of("exit"))]
    assert len(lines) == limits.PLUGIN_FAULTS and "asked no more" in lines[-1]


def test_problems_when_a_plugin_writes_anything_then_lines_are_short_few_and_harmless(host):
    """500 lines with escapes become 21."""
    lines = host.problems(host.functions[0], example_of("ansi"))
    assert (
        len(lines) == limits.PROBLEM_LINES + 1 and lines[0] == "␛]52;c;aGk=␇ second \ufffd" and lines[-1] == "and more"
    )


def test_workers_when_the_run_is_killed_then_nothing_of_them_is_left(tmp_path, section):
    """SIGKILL gives nobody time to clear up: the supervisor sees its life line cut."""
    program = (
        "import sys, os, signal; from rewards.config import *; from rewards.plugins import load_rewards;"
        "from rewards.types import *; from tests.rewards.host.test_plugin_faults import *;"
        "s = RewardsSection(plugins=[sys.argv[1]], functions=[FunctionSpec(name='wild')], error_budget=1.0);"
        "h = build_host(s, load_rewards(s.plugins)); score(h, 'orphan 0.5', 'own_session 0.5');"
        "print(h._workers['wild']._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, section.plugins[0]], capture_output=True, timeout=120)
    supervisor = int(done.stdout)
    for _ in range(200):
        if not Path(f"/proc/{supervisor}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{supervisor}").exists()
    assert not [process for process in list_children(1) if _is_ours(process)]
