"""Scoring a run's stored completions again, without a model, and comparing what was scored by one and the same version."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rewards.errors import UserError
from rewards.host.records import record_scores
from rewards.host.scoring import RewardHost
from rewards.host.verdicts import ScoredCompletion
from rewards.rows import make_example, read_objects, shorten
from rewards.statistics.changes import Change, stratified_change
from rewards.types import Completion, Example

ALL = "all"
_SHOWN = 3


class Stored(NamedTuple):
    """One stored completion: where it stands, what the policy wrote, and what it earned then."""

    place: str
    example: Example
    completion: Completion
    reward: float | None
    versions: Mapping[str, str]
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Rescored:
    """A file's completions and their new scores, in the file's order; `name` is `final`, `step-000050`, `train/step-000010`.

    `versions` are those of the functions that gave a value.
    """

    name: str
    stored: Sequence[Stored]
    scored: Sequence[ScoredCompletion]
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """Scores that failed."""
        return sum(outcome.status == "error" for scored in self.scored for outcome in scored.outcomes)

    def records(self) -> list[dict[str, Any]]:
        """The stored rows with the new scores in place of the old ones."""
        rows = []
        for stored, scored in zip(self.stored, self.scored, strict=True):
            rows.append({**stored.record, "reward": scored.reward, "scores": record_scores(scored)})
        return rows


class Verdicts(NamedTuple):
    """Rewards of one side of a comparison: by (task, id) the rewards of its completions, and the versions that gave them."""

    name: str
    rewards: Mapping[tuple[str, str], Sequence[float]]
    versions: Mapping[str, str]
    prompts: Mapping[tuple[str, str], Any]


class Passes(NamedTuple):
    """Paired examples by whether they pass: before and after, only after, only before, neither."""

    both: int
    gained: int
    lost: int
    neither: int


class TaskChange(NamedTuple):
    """The paired change of one task, or of all."""

    task: str
    n: int
    before: float | None
    after: float | None
    change: Change | None
    passes: Passes


def list_stored(run: Path, *, training: bool = False) -> dict[str, Path]:
    """The files of stored completions by name, in the order in which they were written; UserError when there are none.

    A single file stands for itself. `training` adds the rollouts, as `train/step-000010`.
    """
    if run.is_file():
        return {run.stem: run}
    order = {"before": 0, "warmup": 1, "start": 2, "final": 4, "judged": 5}
    evaluations = sorted((run / "eval").glob("*.jsonl"), key=lambda path: (order.get(path.stem, 3), path.stem))
    files = {path.stem: path for path in evaluations}
    if training:
        files |= {f"train/{path.stem}": path for path in sorted((run / "completions").glob("*.jsonl"))}
    if not files:
        raise UserError(
            f"{run}: no stored completions (eval/*.jsonl) there; give the folder of a run, or a file of them"
        )
    return files


def read_stored(
    path: Path,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
    references: Mapping[str, str | None] | None = None,
) -> list[Stored]:
    """The completions of a file; `columns` and `references` by id fill in what a row does not bring itself.

    UserError with every bad line.
    """
    rows: list[Stored] = []
    problems: list[str] = []
    try:
        for number, place, row in read_objects(str(path)):
            if isinstance(row, str):
                problems.append(row)
                continue
            if not isinstance(row.get("completion"), str):
                problems.append(f"{place}: no text under 'completion'; this is not a file of stored completions")
                continue
            name = str(row.get("id", number))
            if row.get("reference") is None and (references or {}).get(name) is not None:
                row = {**row, "reference": (references or {})[name]}
            try:
                example = make_example(row, place, number, path.resolve().parent)
            except UserError as error:
                problems += error.problems
                continue
            if extra := (columns or {}).get(name):
                example = replace(example, columns={**extra, **example.columns})
                row = {**row, "columns": dict(example.columns)}
            kept = row.get("scores")
            scores = kept if isinstance(kept, dict) else {}
            versions = {name: str(score["version"]) for name, score in scores.items() if _gave_value(score)}
            reward = row.get("reward")
            reward = float(reward) if isinstance(reward, int | float) and not isinstance(reward, bool) else None
            completion = Completion.from_row(row)
            rows.append(Stored(place, example, completion, reward, versions, row))
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror})")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8 ({error.reason})")
    if not rows and not problems:
        problems.append(f"{path}: no rows")
    if problems:
        raise UserError(shorten(problems, str(path)))
    return rows


def rescore(host: RewardHost, name: str, stored: Sequence[Stored]) -> Rescored:
    """Score stored completions with the host's functions; `find_unfit` says beforehand which rows lack something."""
    scored = host.score([(row.example, row.completion) for row in stored])
    versions = {
        outcome.function: outcome.version for row in scored for outcome in row.outcomes if outcome.status == "value"
    }
    return Rescored(name, stored, scored, versions)


def find_unfit(host: RewardHost, stored: Iterable[Stored]) -> list[str]:
    """What the functions miss in the rows, a line each, with the number of rows and the first of them; [] when all fit."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in stored:
        for entry in host.functions_for(row.example.task):
            for line in host.problems(entry, row.example):
                places[entry.function.name, line].append(row.place)
    lines = [
        f"{found[0]}: reward '{function}': {line}" + (f" (and {len(found) - 1} more rows)" if len(found) > 1 else "")
        for (function, line), found in places.items()
    ]
    return [*shorten(lines, "rows"), "--rows FILE brings the columns of the rows that were answered"] if lines else []


def new_verdicts(rescored: Rescored, name: str = "") -> Verdicts:
    """What the completions earn now."""
    rewards = (scored.reward for scored in rescored.scored)
    return _collect(name or rescored.name, rescored.stored, rewards, rescored.versions)


def old_verdicts(name: str, stored: Sequence[Stored], *, different_versions: bool = False) -> Verdicts:
    """What the completions earned when they were stored; UserError when their scores are of different versions.

    The switch allows that; the version of such a function is then all of them with commas between.
    """
    versions: dict[str, set[str]] = defaultdict(set)
    for row in stored:
        for function, version in row.versions.items():
            versions[function].add(version)
    mixed = [f"'{function}' {', '.join(sorted(found))}" for function, found in versions.items() if len(found) > 1]
    if mixed and not different_versions:
        raise UserError(
            f"{name}: holds scores of different versions ({'; '.join(mixed)}), which have no common mean; "
            "rescore them with one version, or take them anyway with --allow-different-versions"
        )
    joined = {function: ", ".join(sorted(found)) for function, found in versions.items()}
    return _collect(name, stored, (row.reward for row in stored), joined)


def check_comparable(
    before: Verdicts, after: Verdicts, *, different_versions: bool = False, different_ids: bool = False
) -> None:
    """Refuse, by UserError, scores of different versions or of different examples; the switches allow either."""
    problems = []
    if not different_versions and dict(before.versions) != dict(after.versions):
        changed = [
            f"'{name}' {before.versions.get(name, 'absent')} and {after.versions.get(name, 'absent')}"
            for name in sorted({*before.versions, *after.versions})
            if before.versions.get(name) != after.versions.get(name)
        ]
        problems.append(
            f"{before.name} and {after.name}: scores of different versions: {'; '.join(changed)}; rescore both with one "
            "version, or compare them anyway with --allow-different-versions"
        )
    if not different_ids:
        missing = sorted(before.prompts.keys() ^ after.prompts.keys())
        other = sorted(
            key for key in before.prompts.keys() & after.prompts.keys() if before.prompts[key] != after.prompts[key]
        )
        for keys, said in ((missing, "only in one of the two"), (other, "with different prompts or references")):
            if keys:
                shown = ", ".join(id for _, id in keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
                problems.append(
                    f"{before.name} and {after.name}: {len(keys)} examples are {said} ({shown}); compare the same "
                    "examples, or those that both have with --allow-different-ids"
                )
    if problems:
        raise UserError(problems)


def compare(before: Verdicts, after: Verdicts, *, threshold: float) -> list[TaskChange]:
    """The change from one side to the other, for all and each task, paired by example.

    Several completions of one example count as their mean; it passes from `threshold` on. Examples that are not scored
    on both sides are left out.
    """
    tasks: dict[str, list[tuple[float, float]]] = {}
    for key in sorted(before.rewards.keys() & after.rewards.keys()):
        if before.prompts[key] == after.prompts[key]:
            tasks.setdefault(key[0], []).append((fmean(before.rewards[key]), fmean(after.rewards[key])))
    compared = [_compare_tasks(ALL, tasks, threshold)]
    if len(tasks) > 1:
        compared += [_compare_tasks(task, {task: pairs}, threshold) for task, pairs in tasks.items()]
    return compared


def _compare_tasks(name: str, tasks: Mapping[str, Sequence[tuple[float, float]]], threshold: float) -> TaskChange:
    pairs = [pair for each in tasks.values() for pair in each]
    passes = Counter((one >= threshold, other >= threshold) for one, other in pairs)
    return TaskChange(
        name,
        len(pairs),
        fmean(one for one, _ in pairs) if pairs else None,
        fmean(other for _, other in pairs) if pairs else None,
        stratified_change({task: [other - one for one, other in each] for task, each in tasks.items()})
        if pairs
        else None,
        Passes(passes[True, True], passes[False, True], passes[True, False], passes[False, False]),
    )


def _collect(
    name: str, stored: Sequence[Stored], rewards: Iterable[float | None], versions: Mapping[str, str]
) -> Verdicts:
    collected: dict[tuple[str, str], list[float]] = defaultdict(list)
    prompts = {}
    for row, reward in zip(stored, rewards, strict=True):
        key = (row.example.task, row.example.id)
        prompts[key] = ([dict(turn) for turn in row.example.prompt], row.example.reference)
        if reward is not None:
            collected[key].append(reward)
    return Verdicts(name, dict(collected), dict(versions), prompts)


def _gave_value(score: Any) -> bool:
    return isinstance(score, Mapping) and score.get("status", "value") == "value" and "version" in score
