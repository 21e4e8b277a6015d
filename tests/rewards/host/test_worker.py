"""Plugins in their own process: hangs, crashes and prints cost one score."""

from __future__ import annotations

import textwrap
import time

import pytest

from rewards.config import FunctionSpec, RewardsSection, build_host
from rewards.plugins import load_rewards
from rewards.types import Completion, Example
from tests.timing import at_most, stopwatch

PLUGIN = """
import os, sys, time
from typing import ClassVar
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction, Score

class Moody(RewardFunction):
    name: ClassVar[str] = "moody"
    version: ClassVar[str] = "2"
    value: float = 0.5
    def __call__(self, example, completion):
        text = completion.text
        if text == "sleep": time.sleep(60)
        if text == "spin":
            while True: pass
        if text == "regex":
            import re
            re.match(r"(a+)+$", "a" * 40 + "b")
        if text == "exit": os._exit(7)
        if text == "leave": sys.exit(3)
        if text == "raise": raise KeyError("what")
        if text == "print": print("noise" * 1000)
        if text == "loads": return Score(float("torch" in sys.modules))
        if text == "process": return Score(1.0, str(os.getpid()))
        if text == "nothing": return None
        return Score(self.value, example.columns.get("note", ""), {"json": float(completion.extraction.value is not None)})

@hookimpl
def register_rewards(register):
    register(Moody)
"""
EXAMPLE = Example("e1", "any", [], None, {"note": "from the row"})


@pytest.fixture
def host(tmp_path):
    """A host whose one function runs in a worker with half a second per completion."""
    path = tmp_path / "moody_plugin.py"
    path.write_text(textwrap.dedent(PLUGIN), encoding="utf-8")
    section = RewardsSection(
        plugins=[str(path)],
        functions=[FunctionSpec(name="moody", options={"value": 0.75})],
        timeout_seconds=0.5,
        error_budget=1.0,
    )
    with build_host(section, load_rewards(section.plugins)) as host:
        yield host


def score(host, *texts: str):
    return [scored.outcomes[0] for scored in host.score([(EXAMPLE, Completion(text)) for text in texts])]


def test_worker_when_the_function_behaves_then_gives_its_score_with_options_and_columns(host):
    """Options, columns and parts cross the process boundary; nothing starts before it is needed."""
    assert host.report()["moody"]["worker_starts"] == 0
    outcome, none, loads = score(host, "{}", "nothing", "loads")
    assert (outcome.value, outcome.reason, outcome.parts) == (0.75, "from the row", {"json": 1.0})
    assert none.status == "unscored" and loads.value == 0.0
    assert host.report()["moody"]["worker_starts"] == 1


def test_worker_when_one_completion_hangs_then_costs_the_limit_once_and_order_is_kept(host):
    """A hang, in Python or in C, is killed; the next completion gets a fresh process."""
    score(host, "warm")
    with stopwatch(time.perf_counter) as spent:
        outcomes = score(host, "a", "spin", "b", "regex", "c", "sleep", "d")
    assert [outcome.value for outcome in outcomes] == [0.75, None, 0.75, None, 0.75, None, 0.75]
    assert all(outcomes[at].reason.startswith("timeout: ") for at in (1, 3, 5))
    assert host.report()["moody"]["faults"] == {"timeout": 3}
    assert 1.5 <= spent.seconds < 30


def test_worker_when_the_function_crashes_or_raises_then_says_how(host):
    """The end of the process, sys.exit and an exception are three different faults."""
    died, left, raised, fine, printed = score(host, "exit", "leave", "raise", "fine", "print")
    assert died.reason.startswith("died: ") and "exit code 7" in died.reason
    assert left.reason.startswith("SystemExit") and raised.reason == "KeyError: 'what'"
    assert fine.value == printed.value == 0.75


def test_worker_when_the_function_prints_then_standard_output_stays_clean(host, capfd):
    """A command's JSON is not mixed with what a plugin prints."""
    score(host, "print")
    assert capfd.readouterr().out == ""


def test_worker_when_the_host_is_closed_then_the_process_ends_and_can_start_again(host):
    """Closing leaves no process behind."""
    import os

    (first,) = score(host, "process")
    host.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(first.reason), 0)
    (second,) = score(host, "process")
    assert second.reason != first.reason


TWO = """
import asyncio, time
from typing import ClassVar
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction, Score

class Slow(RewardFunction):
    name: ClassVar[str] = "slow"
    version: ClassVar[str] = "1"
    def __call__(self, example, completion):
        time.sleep(0.1)
        return Score(1.0)

class Slower(Slow):
    name: ClassVar[str] = "slower"

class Asks(RewardFunction):
    name: ClassVar[str] = "asks"
    version: ClassVar[str] = "1"
    async def __call__(self, example, completion):
        if completion.text == "hang":
            await asyncio.sleep(60)
        if completion.text == "block":
            time.sleep(60)
        await asyncio.sleep(0.1)
        return Score(float(completion.text))

@hookimpl
def register_rewards(register):
    for kind in (Slow, Slower, Asks):
        register(kind)
"""


def make_host(tmp_path, *names: str):
    path = tmp_path / "two_plugin.py"
    path.write_text(textwrap.dedent(TWO), encoding="utf-8")
    functions = [FunctionSpec(name=name) for name in names]
    section = RewardsSection(plugins=[str(path)], functions=functions, timeout_seconds=0.5, error_budget=1.0)
    return build_host(section, load_rewards(section.plugins))


def test_workers_when_there_are_two_then_they_work_side_by_side(tmp_path):
    """Ten completions of 0.1 s each cost one second, not two."""
    with make_host(tmp_path, "slow", "slower") as host:
        score(host, "warm")
        with stopwatch(time.perf_counter) as spent:
            outcomes = score(host, *("x" * 10))
        assert 0.9 < spent.seconds < 1.8
    assert all(outcome.value == 1.0 for outcome in outcomes)


def test_worker_when_its_function_is_asynchronous_then_calls_overlap_and_order_is_kept(tmp_path):
    """Sixteen waits of 0.1 s take little more than one."""
    with make_host(tmp_path, "asks") as host:
        score(host, "0")
        with at_most(1.0, time.perf_counter):
            outcomes = score(host, *(str(at / 16) for at in range(16)))
    assert [outcome.value for outcome in outcomes] == [at / 16 for at in range(16)]


def test_worker_when_one_of_several_under_way_hangs_then_only_that_one_is_blamed(tmp_path):
    """One that waits for ever is given up; one that blocks the loop is killed, and the others are asked again."""
    with make_host(tmp_path, "asks") as host:
        first, hung, third = score(host, "0.25", "hang", "0.75")
        before, blocked, after = score(host, "0.25", "block", "0.75")
    assert (first.value, third.value, before.value, after.value) == (0.25, 0.75, 0.25, 0.75)
    assert hung.reason == blocked.reason == "timeout: took longer than 0.5 s"
