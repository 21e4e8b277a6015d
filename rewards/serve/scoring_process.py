"""What one scoring process of a server does: batches of completions in, one result an item out, until the pipe closes."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from typing import Any

import orjson

from rewards import frames
from rewards.config import RewardsSection, build_host
from rewards.host.scoring import RewardHost
from rewards.host.verdicts import ScoredCompletion
from rewards.plugins import load_rewards
from rewards.types import Completion, Example
from rewards.writing.writable import to_json

_REMEMBERED = 50_000
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Started by `rewards.serve.pool`; the pipes are its arguments."""
    asked, answered = int(sys.argv[1]), int(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the server ends it
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(EOFError, OSError):
        sections: dict[str, RewardsSection] = pickle.loads(frames.receive(asked))
        hosts = {name: ScoringBench(section) for name, section in sections.items()}
        frames.send(answered, orjson.dumps({name: judge.host.versions() for name, judge in hosts.items()}))
        while True:
            number, name, items = pickle.loads(frames.receive(asked))
            frames.send(answered, to_json([number, hosts[name].score(items)]))
    for judge in hosts.values():
        judge.host.close()
    os._exit(0)


class ScoringBench:
    """A host and the rows that it is known to take."""

    def __init__(self, section: RewardsSection):
        # The server counts the faults of all its processes together.
        self.host = build_host(section.model_copy(update={"error_budget": 1.0}), load_rewards(section.plugins))
        self._known: dict[bytes, str] = {}

    def score(self, items: Sequence[tuple[Example, str, bool]]) -> list[dict[str, Any]]:
        results: list[dict[str, Any] | None] = [None] * len(items)
        places, pairs = [], []
        for place, (example, text, truncated) in enumerate(items):
            if bad := self._find_problem(example):
                results[place] = {"status": "bad_row", "value": None, "reason": bad, "functions": {}}
            else:
                places.append(place)
                pairs.append((example, Completion(text, truncated)))
        for place, scored in zip(places, self.host.score(pairs), strict=True):
            results[place] = describe_item(scored, self.host)
        return [result for result in results if result is not None]

    def _find_problem(self, example: Example) -> str:
        row = [example.id, example.task, example.reference, dict(example.columns)]
        key = hashlib.sha1(to_json(row), usedforsecurity=False).digest()
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            lines = [
                f"reward '{entry.function.name}': {line}"
                for entry in self.host.functions_for(example.task)
                for line in self.host.problems(entry, example)
            ]
            self._known[key] = "; ".join(lines)
        return self._known[key]


def describe_item(scored: ScoredCompletion, host: RewardHost) -> dict[str, Any]:
    """One result: a number only where every function that applies gave one.

    A mean over the functions that happened not to fail would be another reward than the one that was asked for.
    """
    weights = {entry.function.name: entry.weight for entry in host.functions}
    functions = {
        each.function: {
            "status": each.status, "value": each.value, "weight": weights[each.function], "reason": each.reason,
            "parts": dict(each.parts), "seconds": round(each.seconds, 6),
        }
        for each in scored.outcomes
    }  # fmt: skip
    failed = [f"'{each.function}': {each.reason}" for each in scored.outcomes if each.status == "error"]
    if failed:
        return {"status": "error", "value": None, "reason": "; ".join(failed), "functions": functions}
    if scored.reward is None:
        said = "; ".join(dict.fromkeys(each.reason for each in scored.outcomes if each.reason))
        return {"status": "unscored", "value": None, "reason": said or "no function applies", "functions": functions}
    return {"status": "value", "value": scored.reward, "reason": "", "functions": functions}
