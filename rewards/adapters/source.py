"""Where an adapter gets its scores: from the rewards of a YAML file in this process, or from a server."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rewards.adapters.client import ScoreClient
from rewards.errors import RewardBudgetExceeded, UserError
from rewards.serve.incoming import make_example, read_label
from rewards.types import Example

VARIABLE = "RECOMPENSA_REWARDS"
"""A YAML file, or the URL of a server: for trainers that name a function and give it no arguments."""


class ScoringFailed(RuntimeError):
    """A completion has no score, and its trainer has no word for that: an exception, never a 0."""


@dataclass(frozen=True)
class CompletionVerdict:
    """What one completion got; `functions` has the value of each function, None where it gave none."""

    status: str
    value: float | None
    reason: str = ""
    functions: Mapping[str, float | None] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def number(self) -> float:
        """The value; raises ScoringFailed where there is none."""
        if self.value is None:
            raise ScoringFailed(f"{self.status}: {self.reason}")
        return self.value


class RewardSource:
    """Scores rows; may be shared by threads. `names` are the functions, once it is known which."""

    def __init__(self, config: str | Path | None = None, url: str | None = None, *, seconds: float = 120.0):
        given = str(config) if config is not None else None
        if given is None and url is None:
            given = os.environ.get(VARIABLE)
            if not given:
                raise UserError(f"no rewards: give config= or url=, or set {VARIABLE} to a YAML file or a server's URL")
        if given is not None and given.startswith(("http://", "https://")):
            given, url = None, given
        self._client = ScoreClient(url, seconds=seconds) if url is not None else None
        self._bench: Any = None
        self._section: Any = None
        self._lock = threading.Lock()
        self._tallies: dict[str, list[int]] = {}
        if given is not None:
            from rewards.serve.scorers import read_section
            from rewards.serve.scoring_process import ScoringBench

            self._section = read_section(Path(given))
            self._bench = ScoringBench(self._section)

    def score(self, rows: Sequence[tuple[Example, str, bool]]) -> list[CompletionVerdict]:
        """One verdict a row (example, completion, truncated), in order; raises RewardBudgetExceeded past the budget."""
        if not rows:
            return []
        if self._client is not None:
            results = self._client.score([_to_item(*row) for row in rows])
        else:
            results = self._bench.score(rows)
            self._count(results)
        return [
            CompletionVerdict(
                each["status"], each["value"], each["reason"],
                {name: said["value"] for name, said in each["functions"].items()}, each["functions"],
            )
            for each in results
        ]  # fmt: skip

    async def score_async(self, rows: Sequence[tuple[Example, str, bool]]) -> list[CompletionVerdict]:
        """The same beside the caller's event loop."""
        return await asyncio.to_thread(self.score, rows)

    def _count(self, results: Sequence[Mapping[str, Any]]) -> None:
        with self._lock:
            for each in results:
                for name, said in each["functions"].items():
                    tally = self._tallies.setdefault(name, [0, 0])
                    tally[0] += said["status"] != "unscored"
                    tally[1] += said["status"] == "error" and not said["reason"].startswith("network:")
                    scores, errors = tally
                    limit = self._section.error_budget * scores
                    if said["status"] == "error" and scores >= self._section.error_budget_minimum and errors > limit:
                        raise RewardBudgetExceeded(
                            f"reward '{name}': {errors} of {scores} scores failed, allowed is "
                            f"{self._section.error_budget:.1%}; last: {said['reason']}",
                            function=name,
                        )


@cache
def open_source(config: str | None = None, url: str | None = None, seconds: float = 120.0) -> RewardSource:
    """The source of these arguments, the same one each time in a process."""
    return RewardSource(config, url, seconds=seconds)


def make_row(columns: Mapping[str, Any], prompt: Any, reference: Any = None, task: str = "default") -> Example:
    """The example in a trainer's columns: the whole row under `row` where there is one, else what the columns say."""
    row = dict(columns)
    for name in ("row", "label", "info"):
        if name in row and isinstance(row[name], str | Mapping):
            row = {**{key: value for key, value in row.items() if key != name}, **read_label(row[name])}
    read = read_label(reference) if reference is not None else {}
    row = {**read, **row} if "reference" in row else {**row, **read}
    return make_example(row, prompt, task, "row")


def cut_answer(messages: Sequence[Any]) -> list[Any]:
    """The conversation without the answer at its end; what an assistant said before that belongs to the prompt."""
    turns = list(messages)
    return turns[:-1] if turns and turns[-1].get("role") == "assistant" else turns


def read_text(completion: Any) -> str:
    """The text of a completion: itself, or of the last message of a conversation."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Sequence) and completion and isinstance(completion[-1], Mapping):
        return str(completion[-1].get("content") or "")
    raise TypeError(f"a completion is a string or a list of messages, not {type(completion).__name__}")


def _to_item(example: Example, text: str, truncated: bool) -> dict[str, Any]:
    return {
        "id": example.id, "task": example.task, "prompt": [dict(turn) for turn in example.prompt],
        "reference": example.reference, "columns": dict(example.columns), "completion": text, "truncated": truncated,
    }  # fmt: skip
