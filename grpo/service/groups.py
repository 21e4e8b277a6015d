"""Stored completions by group: an index of numbers and places in the file, and the texts of the groups that are looked at.

A step may hold ten thousand completions; the index keeps a few numbers of each, and what is shown is read from the file.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

ZERO_SPREAD = 1e-9
SORTS = ("order", "mean", "-mean", "spread", "-spread", "-truncated", "-length")
FILTERS = ("all", "zero", "mixed", "truncated", "errors")
_KEPT_INDEXES = 4
_STEP_FILE = re.compile(r"step-(\d+)\.jsonl\Z")
_EVALUATIONS = re.compile(r"(before|warmup|start|final|judged|step-\d+)\Z")


@dataclass(slots=True)
class CompletionGroup:
    """The completions of one prompt: their rewards (None where none was given), advantages, flags, and places in the file."""

    number: int
    id: str
    task: str
    rewards: list[float | None] = field(default_factory=list)
    advantages: list[float | None] = field(default_factory=list)
    truncated: list[bool] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)

    @property
    def known(self) -> list[float]:
        """The rewards that were given, each in 0..1."""
        return [value for value in self.rewards if value is not None]

    @property
    def mean(self) -> float | None:
        """The mean of the known rewards, in 0..1; None if there is none."""
        known = self.known
        return sum(known) / len(known) if known else None

    @property
    def spread(self) -> float:
        """Between the best and the worst of the group."""
        known = self.known
        return max(known) - min(known) if known else 0.0

    @property
    def is_zero_spread(self) -> bool:
        """Whether all its completions were paid alike: it teaches nothing."""
        return len(self.rewards) > 1 and self.spread <= ZERO_SPREAD


class StoredCompletions:
    """Reads the stored completions of runs; the indexes of the files looked at last are kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._indexes: OrderedDict[Path, tuple[tuple[int, int], list[CompletionGroup]]] = OrderedDict()

    def index(self, path: Path) -> list[CompletionGroup]:
        """The groups of a file in its order; none where there is no file."""
        try:
            stat = path.stat()
        except OSError:
            return []
        sign = (stat.st_mtime_ns, stat.st_size)
        with self._lock:
            kept = self._indexes.get(path)
            if kept is not None and kept[0] == sign:
                self._indexes.move_to_end(path)
                return kept[1]
            groups = _index(path)
            self._indexes[path] = sign, groups
            while len(self._indexes) > _KEPT_INDEXES:
                self._indexes.popitem(last=False)
            return groups

    def read(self, path: Path, group: CompletionGroup) -> list[dict[str, Any]]:
        """The stored completions of a group."""
        rows = []
        with suppress(OSError), path.open("rb") as file:
            for start, length in group.places:
                file.seek(start)
                row = _parse(file.read(length))
                if row is not None:
                    rows.append(row)
        return rows


def choose(
    groups: Sequence[CompletionGroup],
    *,
    sort: str = "order",
    only: str = "all",
    task: str | None = None,
    wanted: Callable[[CompletionGroup], bool] | None = None,
) -> list[CompletionGroup]:
    """The groups that pass a filter (one of FILTERS, and a task), in an order (one of SORTS)."""
    tests: dict[str, Callable[[CompletionGroup], bool]] = {
        "zero": lambda group: group.is_zero_spread,
        "mixed": lambda group: not group.is_zero_spread,
        "truncated": lambda group: any(group.truncated),
        "errors": lambda group: any(group.failed),
    }
    test = tests.get(only, lambda group: True)
    chosen = [group for group in groups if test(group) and (not task or group.task == task)]
    if wanted is not None:
        chosen = [group for group in chosen if wanted(group)]
    keys: dict[str, Callable[[CompletionGroup], Any]] = {
        "mean": lambda group: (group.mean is None, group.mean or 0.0),
        "spread": lambda group: group.spread,
        "truncated": lambda group: sum(group.truncated),
        "length": lambda group: sum(length for _, length in group.places),
    }
    key = keys.get(sort.removeprefix("-"))
    if key is not None:
        chosen.sort(key=key, reverse=sort.startswith("-"))
    return chosen


def search(store: StoredCompletions, path: Path, words: str) -> Callable[[CompletionGroup], bool]:
    """Whether a group has the words in its id, prompt or one of its completions, whatever their case."""
    wanted = words.casefold()

    def has(group: CompletionGroup) -> bool:
        if wanted in group.id.casefold():
            return True
        return any(wanted in _text_of(row).casefold() for row in store.read(path, group))

    return has


def list_steps(run: Path) -> list[int]:
    """The steps of training whose completions are stored, in order."""
    found = (_STEP_FILE.match(path.name) for path in (run / "completions").glob("step-*.jsonl"))
    return sorted(int(match[1]) for match in found if match)


def step_file(run: Path, step: int) -> Path:
    """The file of the completions of a training step."""
    return run / "completions" / f"step-{step:06d}.jsonl"


def list_evaluations(run: Path) -> list[str]:
    """The names of the stored evaluations in the order they are made."""
    names = [path.stem for path in (run / "eval").glob("*.jsonl") if _EVALUATIONS.match(path.stem)]
    order = {"before": -3.0, "warmup": -2.0, "start": -1.0, "final": 1e9, "judged": 2e9}
    return sorted(names, key=lambda name: (order.get(name, 0.0), name))


def evaluation_file(run: Path, name: str) -> Path | None:
    """The file of a stored evaluation; None for a name that none can have."""
    return run / "eval" / f"{name}.jsonl" if _EVALUATIONS.match(name) else None


def follow_prompt(run: Path, id: str) -> Iterator[tuple[int, Path, CompletionGroup]]:
    """Where a prompt was answered in training: step, file and group, in the order of the steps."""
    needle = orjson.dumps(id)
    for step in list_steps(run):
        path = step_file(run, step)
        with suppress(OSError):
            # Most files do not hold it: looking for its id costs less than reading them.
            if needle in path.read_bytes():
                for group in _index(path):
                    if group.id == id:
                        yield step, path, group


def _index(path: Path) -> list[CompletionGroup]:
    groups: dict[tuple[Any, str, str], CompletionGroup] = {}
    start = 0
    with suppress(OSError), path.open("rb") as file:
        for line in file:
            length = len(line)
            row = _parse(line) if line.endswith(b"\n") else None
            if row is not None:
                id, task = str(row.get("id")), str(row.get("task"))
                key = (row.get("group"), id, task)
                group = groups.get(key)
                if group is None:
                    group = groups[key] = CompletionGroup(len(groups), id, task)
                group.rewards.append(_number(row.get("reward")))
                group.advantages.append(_number(row.get("advantage")))
                group.truncated.append(row.get("truncated") is True)
                scores = row.get("scores")
                scores = scores.values() if isinstance(scores, dict) else ()
                group.failed.append(any(isinstance(each, dict) and each.get("status") == "error" for each in scores))
                group.places.append((start, length))
            start += length
    return list(groups.values())


def _parse(line: bytes) -> dict[str, Any] | None:
    with suppress(ValueError):
        row = orjson.loads(line)
        if isinstance(row, dict):
            return row
    return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text_of(row: dict[str, Any]) -> str:
    prompt = row.get("prompt")
    said = (
        " ".join(str(turn.get("content")) for turn in prompt if isinstance(turn, dict))
        if isinstance(prompt, list)
        else ""
    )
    return f"{said} {row.get('completion')}"
