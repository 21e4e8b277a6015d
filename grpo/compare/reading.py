"""What a comparison reads of a run: its rewards and metrics by example, or recorded means, and how they came about."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import fsum, isfinite, sqrt
from pathlib import Path
from typing import Any

import orjson

from callbacks.evaluation.judged import JUDGED, find_judged
from grpo.compare.recorded import (
    ALL,
    OFF_UNLESS_RECORDED,
    REWARD,
    SAMPLING,
    SPLIT_COLUMNS,
    Key,
    RecordedRun,
    Row,
    kind_of,
)
from rewards.errors import UserError
from rewards.statistics.changes import Cell
from rewards.writing.files import read_object

_SHOWN = 3
_OF_ONE_RUN = ("name", "seed", "threads", "tracking")
"""What two runs of one recipe may differ in."""


def read_recorded(arguments: Sequence[str], stage: str | None = None) -> list[RecordedRun]:
    """The runs that the arguments name, `PATH` or `PATH@STAGE`; UserError with everything that cannot be read.

    Without a stage it is the judged checkpoint of a run, in runs of earlier versions the last step (`final`). A path is the
    folder of a run, a folder of `python -m grpo.evaluate`, a file of either, or a JSON file of means.
    """
    found: list[RecordedRun] = []
    problems: list[str] = []
    for argument in arguments:
        path, wanted = _split_stage(argument)
        try:
            found += _read_path(path, wanted or stage, explicit=wanted is not None)
        except UserError as error:
            problems += error.problems
        except OSError as error:
            problems.append(f"{error.filename or path}: cannot be read ({error.strerror})")
    if problems:
        raise UserError(problems)
    return _name_apart(found)


def list_stages(path: Path) -> list[str]:
    """The stages of a run's stored evaluations, in the order of the run."""
    order = {"before": 0, "warmup": 1, "start": 2, "final": 4, "judged": 5}
    return sorted((file.stem for file in (path / "eval").glob("*.jsonl")), key=lambda name: (order.get(name, 3), name))


def read_rows(path: Path) -> tuple[dict[Key, Row], dict[str, str], int]:
    """Rows by example, the versions that gave values, and the number of unscored completions; UserError with bad lines."""
    problems: list[str] = []
    samples: dict[Key, list[dict[str, float]]] = defaultdict(list)
    groups: dict[Key, tuple[str, ...]] = {}
    questions: dict[Key, str] = {}
    answers: dict[Key, Any] = {}
    seen: set[tuple[str, str, int]] = set()
    versions: dict[str, set[str]] = defaultdict(set)
    unscored = 0
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            key = (str(row["task"]), str(row["id"]))
            values = _values_of(row, versions)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path}:{number}: not a stored completion ({type(error).__name__}: {error})")
            continue
        sample = (*key, int(row.get("sample") or 0))
        if sample in seen:
            problems.append(f"{path}:{number}: example {key[1]!r} of task {key[0]!r} appears twice")
            continue
        seen.add(sample)
        if row.get("reward") is None:
            unscored += 1
        samples[key].append(values)
        groups.setdefault(key, _groups_of(row, key[0]))
        questions.setdefault(key, _fingerprint([row.get("prompt"), row.get("reference")]))
        answers.setdefault(key, hashlib.sha256()).update(str(row.get("completion")).encode())
    if not samples and not problems:
        problems.append(f"{path}: no rows")
    if any(task == ALL for task, _ in samples):
        problems.append(f"{path}: a task is called {ALL!r}, which means all tasks together; rename it")
    if problems:
        rest = len(problems) - _SHOWN
        raise UserError(problems[:_SHOWN] + ([f"{path}: and {rest} more bad lines"] if rest > 0 else []))
    rows = {
        key: Row(_mean_values(given), groups[key], questions[key], answers[key].hexdigest()[:16])
        for key, given in samples.items()
    }
    return rows, {name: ", ".join(sorted(each)) for name, each in versions.items()}, unscored


def make_cells(rows: Mapping[Key, Row]) -> dict[tuple[str, str], Cell]:
    """The means of every metric for all and for each group; a kind with one value only is `all` again and left out."""
    collected: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows.values():
        for metric, value in row.values.items():
            for group in (ALL, *row.groups):
                collected[group, metric].append(value)
    kinds: dict[str, set[str]] = defaultdict(set)
    for group, _ in collected:
        kinds[kind_of(group)].add(group)
    kept = {kind for kind, names in kinds.items() if len(names) > 1 or kind == ALL}
    return {key: cell_of(values) for key, values in collected.items() if kind_of(key[0]) in kept}


def cell_of(values: Sequence[float]) -> Cell:
    """Mean, count and sample standard deviation (None for a single value) of at least one value."""
    n = len(values)
    mean = fsum(values) / n
    std = sqrt(fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else None
    return Cell(mean, n, 0.0 if std is not None and std < 1e-12 else std)


def _split_stage(argument: str) -> tuple[Path, str | None]:
    path, at, stage = argument.rpartition("@")
    if at and path and stage and "/" not in stage and not Path(argument).exists():
        return Path(path), stage
    return Path(argument), None


def _read_path(path: Path, stage: str | None, *, explicit: bool) -> list[RecordedRun]:
    if path.is_file():
        if path.suffix == ".json":
            from grpo.compare.reading_means import read_means

            return read_means(path)
        return [_read_file(path)]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder; give the folder of a run, or of an evaluation")
    if (path / "rows.jsonl").is_file() and not explicit:
        return [_read_evaluation(path)]
    if (path / "eval").is_dir():
        return [_read_run(path, stage)]
    for name in ("evaluation.json", "results.json"):
        if (path / name).is_file():
            return _read_path(path / name, stage, explicit=False)
    raise UserError(
        f"{path}: neither a run (eval/*.jsonl) nor an evaluation (rows.jsonl); a folder with results.json will do too"
    )


def _read_run(path: Path, wanted: str | None) -> RecordedRun:
    stage = wanted or find_stage(path)
    file = path / "eval" / f"{stage}.jsonl"
    if not file.is_file():
        there = ", ".join(list_stages(path)) or "none"
        raise UserError(f"{path}: no evaluation {stage!r}; there are: {there} (PATH@STAGE or --stage picks one)")
    name = path.resolve().name + (f"@{wanted}" if wanted else "")
    if stage == JUDGED:
        name += f" ({find_judged(path).name})"
    return _read_stored(name, file, path)


def find_stage(path: Path) -> str:
    """The stage that a run's folder means: its judged checkpoint, else its last step."""
    return JUDGED if (path / "eval" / f"{JUDGED}.jsonl").is_file() else "final"


def _read_file(path: Path) -> RecordedRun:
    if path.name == "rows.jsonl":
        return _read_evaluation(path.parent)
    inside = path.resolve().parent.name in ("eval", "completions")
    run = path.resolve().parents[1] if inside else path.resolve().parent
    name = f"{run.name}@{path.stem}" if inside else path.stem
    return _read_stored(name, path, run)


def _read_stored(name: str, file: Path, run: Path) -> RecordedRun:
    """Stored completions of a run, with what its config says about how they were generated."""
    recorded = _from_rows(name, file, *_read_config(run))
    config = read_object(run / "config.json").get("config")
    if isinstance(config, dict):
        recorded.recipe = _fingerprint({key: value for key, value in config.items() if key not in _OF_ONE_RUN})
        recorded.seed = config.get("seed")
        recorded.trained = file.stem != "before" and config.get("stages") != []
    return recorded


def _read_evaluation(path: Path) -> RecordedRun:
    summary = read_object(path / "evaluation.json")
    if summary.get("finished") is False:
        raise UserError(f"{path}: this evaluation is not finished; resume with python -m grpo.evaluate ... --resume")
    rewards = summary.get("rewards")
    settings = summary.get("settings")
    name = str(summary.get("name") or path.resolve().name)
    return _from_rows(
        name,
        path / "rows.jsonl",
        settings if isinstance(settings, dict) else None,
        rewards if isinstance(rewards, dict) else None,
    )


def _from_rows(name: str, path: Path, settings: dict[str, Any] | None, rewards: Any) -> RecordedRun:
    rows, versions, unscored = read_rows(path)
    return RecordedRun(name, str(path), rows, make_cells(rows), versions, rewards, settings, unscored)


def _read_config(run: Path) -> tuple[dict[str, Any] | None, Any]:
    """The sampling of a run's evaluation and its reward functions; None where its config does not say."""
    config = read_object(run / "config.json").get("config")
    if not isinstance(config, dict) or not isinstance(config.get("evaluation"), dict):
        return None, None
    names = (*SAMPLING, *OFF_UNLESS_RECORDED)
    settings = {name: config["evaluation"].get(name) for name in names if name in config["evaluation"]}
    if settings.get("max_completion_length") is None:
        settings["max_completion_length"] = (config.get("grpo") or {}).get("max_completion_length")
    rewards = config.get("rewards")
    return {**settings, "samples": 1}, describe_rewards(rewards) if isinstance(rewards, dict) else None


def describe_rewards(section: Mapping[str, Any]) -> dict[str, Any]:
    """What of a rewards section can change a reward: weight, tasks and options of each function."""
    return {
        _without_folder(str(entry.get("name"))): {key: entry.get(key) for key in ("weight", "tasks", "options")}
        for entry in section.get("functions") or []
        if isinstance(entry, Mapping)
    }


def _without_folder(name: str) -> str:
    """`trl:/anywhere/rewards.py:f` as `trl:rewards.py:f`: its code is compared by fingerprint, not by where it lies."""
    prefix, colon, target = name.partition(":")
    return f"{prefix}:{Path(target).name}" if colon else name


def _values_of(row: Mapping[str, Any], versions: dict[str, set[str]]) -> dict[str, float]:
    values = {}
    if row["reward"] is not None:
        values[REWARD] = float(row["reward"])
    for name, score in (row.get("scores") or {}).items():
        if score.get("value") is not None:
            values[f"{REWARD}/{name}"] = float(score["value"])
            versions[name].add(name_scorer(score))
            values.update({f"{name}.{part}": float(value) for part, value in (score.get("parts") or {}).items()})
    values.update({name: float(value) for name, value in (row.get("metrics") or {}).items() if value is not None})
    bad = next((name for name, value in values.items() if not (isfinite(value) and 0.0 <= value <= 1.0)), None)
    if bad is not None:
        raise ValueError(f"{bad} is {values[bad]}, outside 0..1")
    return values


def name_scorer(score: Mapping[str, Any]) -> str:
    """The scorer of a stored score as an identity is written: its version, and its fingerprint where that was kept."""
    version, fingerprint = str(score.get("version")), score.get("fingerprint")
    return f"{version} ({fingerprint})" if isinstance(fingerprint, str) else version


def _groups_of(row: Mapping[str, Any], task: str) -> tuple[str, ...]:
    columns = {**row, **(row.get("columns") or {})}
    named = [(kind, columns.get(kind)) for kind in SPLIT_COLUMNS]
    return (f"task:{task}", *(f"{kind}:{value}" for kind, value in named if isinstance(value, str) and value))


def _mean_values(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    if len(samples) == 1:
        return dict(samples[0])
    collected: dict[str, list[float]] = defaultdict(list)
    for values in samples:
        for metric, value in values.items():
            collected[metric].append(value)
    return {metric: fsum(values) / len(values) for metric, values in collected.items()}


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _name_apart(runs: Iterable[RecordedRun]) -> list[RecordedRun]:
    """The runs with names of their own: those that share one are called by their paths, or numbered."""
    runs = list(runs)
    counts: dict[str, int] = defaultdict(int)
    for run in runs:
        counts[run.name] += 1
    for run in runs:
        if counts[run.name] > 1:
            parts = Path(run.place).parts
            run.name = "/".join(parts[-4:-1] if parts[-2:-1] == ("eval",) else parts[-3:-1]) or run.place
    taken: set[str] = set()
    for run in runs:
        name, number = run.name, 2
        while run.name in taken:
            run.name, number = f"{name} ({number})", number + 1
        taken.add(run.name)
    return runs
