"""Score a run's stored completions again without a model, and compare its stages, what was stored, or two runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.discovery.plugin_files import is_path
from rewards.errors import UserError
from rewards.screen.command_line import print_json
from rewards.statistics.estimates import ALL, Estimate, estimate_mean, stratify
from rewards.writing.files import replacing
from rewards.writing.writable import to_line

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost
    from rewards.rescore import Rescored, Stored, TaskChange, Verdicts
    from rewards.types import Example

EXAMPLES = """\
examples:
  python -m rewards rescore runs/v4_1
  python -m rewards rescore runs/v4_1 --reward extraction:synonym_credit=0 --task extraction
  python -m rewards rescore runs/v4_1 --from before --to step-000050 --threshold 0.8
  python -m rewards rescore runs/v4_2_a --against runs/v4_1 --reward extraction --reward sql_qa --json
  python -m rewards rescore runs/v4_1 --stored --allow-different-versions
  python -m rewards rescore runs/v4_1 --reward field_f1 --task extraction --output rescored/

Without --reward the run's own functions are used, in the version that is installed now. Both sides of a comparison are
scored by the same version; only --stored sets new scores against those of the time, and refuses other versions.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the folder of a run, or one file of stored completions")
    parser.add_argument(
        "--reward", action="append", default=[], metavar="NAME[:k=v,...]", help="a function (repeatable)"
    )
    parser.add_argument(
        "--task", action="append", default=[], metavar="TASK", help="only rows of this task (repeatable)"
    )
    parser.add_argument("--from", dest="start", metavar="STAGE", help="the side before; warmup, or the first there is")
    parser.add_argument("--to", dest="end", metavar="STAGE", help="the side after; final, or the last there is")
    parser.add_argument("--against", metavar="RUN", help="another run; its --to stage is the side before")
    parser.add_argument("--stored", action="store_true", help="the side before is what was stored then, stage by stage")
    parser.add_argument("--training", action="store_true", help="score the training rollouts (completions/) too")
    parser.add_argument(
        "--rows",
        action="append",
        default=[],
        metavar="FILE",
        help="rows that bring missing columns and references, by id; read as a run reads them",
    )
    parser.add_argument(
        "--threshold", type=float, default=0.5, metavar="R", help="least reward with which an answer passes (0.5)"
    )
    parser.add_argument(
        "--timeout-seconds", type=float, default=2.0, metavar="S", help="time limit of a plugin for one completion (2)"
    )
    parser.add_argument("--allow-different-versions", action="store_true", help="with --stored: compare versions")
    parser.add_argument("--allow-different-ids", action="store_true", help="compare the examples that both sides have")
    parser.add_argument("--output", metavar="FOLDER", help="write the rows with their new scores there")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def run(options: argparse.Namespace) -> int:
    from rewards.rescore import check_comparable, compare, list_stored, new_verdicts, old_verdicts

    _check_numbers(options)
    asked = _read_asked(options.rows)
    files = list_stored(Path(options.run), training=options.training)
    found = _read_files(files, asked)
    with _make_host(options) as host:
        stages = _rescore_files(host, found, files, options.task)
        pairs: list[tuple[Verdicts, Verdicts]] = []
        if options.stored:
            allowed = options.allow_different_versions
            pairs = [
                (old_verdicts(f"{name} as stored", stage.stored, different_versions=allowed), new_verdicts(stage))
                for name, stage in stages.items()
            ]
        elif options.against:
            end = _pick(stages, options.end, "--to", ("judged", "final"), last=True)
            others = list_stored(Path(options.against))
            other = _pick(others, options.end, "--to", ("judged", "final"), last=True)
            one = {other: others[other]}
            rescored = _rescore_files(host, _read_files(one, asked), one, options.task)[other]
            pairs = [
                (
                    new_verdicts(rescored, f"{options.against}, {other}"),
                    new_verdicts(stages[end], f"{options.run}, {end}"),
                )
            ]
        elif len([name for name in stages if not name.startswith("train/")]) > 1:
            start = _pick(stages, options.start, "--from", ("start", "warmup", "before"))
            end = _pick(stages, options.end, "--to", ("judged", "final"), last=True)
            pairs = [(new_verdicts(stages[start]), new_verdicts(stages[end]))] if start != end else []
    for before, after in pairs:
        check_comparable(
            before, after,
            different_versions=options.allow_different_versions, different_ids=options.allow_different_ids,
        )  # fmt: skip
    compared = [
        (
            before, after,
            compare(before, after, threshold=options.threshold),
        )
        for before, after in pairs
    ]  # fmt: skip
    if options.output:
        _write(Path(options.output), stages)
    errors = sum(stage.errors for stage in stages.values())
    if options.json:
        print_json(_to_json(host, stages, compared, options))
    else:
        _show(host, stages, compared, options.threshold)
    if errors:
        print(f"{errors} scores are errors; they are left out of the means", file=sys.stderr)
    return 1 if errors else 0


def _check_numbers(options: argparse.Namespace) -> None:
    problems = []
    if not 0 < options.threshold <= 1:
        problems.append(f"--threshold: {options.threshold:g}; give a reward above 0, at most 1")
    if options.stored and options.against:
        problems.append("--stored: compares a run with itself; leave out --against")
    if problems:
        raise UserError(problems)


def _make_host(options: argparse.Namespace) -> RewardHost:
    from rewards.commands.selection import make_host

    if options.reward:
        plugins = [*_read_plugins(Path(options.run)), *options.plugin]
        return make_host(options.reward, plugins, timeout_seconds=options.timeout_seconds)
    return make_recorded_host(Path(options.run), options.plugin)


def make_recorded_host(run: Path, plugins: Sequence[str] = ()) -> RewardHost:
    """The host of the functions that a run's config.json names, without the fields that its audit masked.

    `run` may be a file of stored completions, which lies in eval/ or completions/ of its run. UserError when there is no
    config to read.
    """
    from pydantic import ValidationError

    from rewards.audit.masking import mask
    from rewards.config import RewardsSection, build_host

    folder = run.resolve().parents[1] if run.is_file() else run
    path = folder / "config.json"
    try:
        section = json.loads(path.read_text(encoding="utf-8"))["config"]["rewards"]
        recorded = RewardsSection.model_validate({**section, "error_budget": 1.0})
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        raise UserError(
            f"{path}: is not there, or does not name the run's rewards; name a function with --reward"
        ) from None
    masked = _read_masked(folder)
    for spec in recorded.functions:
        if spec.name in masked:
            spec.options = mask(spec.options, masked[spec.name])
    recorded = recorded.model_copy(update={"plugins": [*recorded.plugins, *plugins]})
    return build_host(recorded)


def _read_plugins(run: Path) -> list[str]:
    """The plugins that the run's config.json names and that are still there."""
    folder = run.resolve().parents[1] if run.is_file() else run
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8"))["config"]["rewards"]["plugins"]
        return [str(each) for each in named if not is_path(str(each)) or Path(each).exists()]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _read_masked(folder: Path) -> Mapping[str, Sequence[str]]:
    """By function the fields that the run's audit put into its options, which its config.json does not have."""
    try:
        return dict(json.loads((folder / "audit.json").read_text(encoding="utf-8")).get("masked") or {})
    except (OSError, ValueError, AttributeError):
        return {}


def _read_asked(paths: Sequence[str]) -> dict[str, Example]:
    """By id, the rows that were answered, read as a run reads them; task, prompt and reference may be left out."""
    from rewards.rows import read_rows

    asked: dict[str, Example] = {}
    for path in paths:
        for row in read_rows(path, needed=("id",)):
            if row.id in asked:
                raise UserError(f"{path}: id {row.id!r} also appears in an earlier --rows file; give each row once")
            asked[row.id] = row
    return asked


def _read_files(files: Mapping[str, Path], asked: Mapping[str, Example]) -> dict[str, list[Stored]]:
    from rewards.rescore import read_stored

    columns = {name: example.columns for name, example in asked.items()}
    references = {name: example.reference for name, example in asked.items()}
    found, problems = {}, []
    for name, path in files.items():
        try:
            found[name] = read_stored(path, columns, references)
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(problems)
    return found


def _rescore_files(
    host: RewardHost, found: Mapping[str, Sequence[Stored]], files: Mapping[str, Path], tasks: Sequence[str]
) -> dict[str, Rescored]:
    """Rows of other tasks, and those that no function is for, are left out; UserError with everything that is wrong."""
    from rewards.commands.selection import give_task
    from rewards.rescore import find_unfit, rescore

    stored, problems = {}, []
    for name, path in files.items():
        rows = [row._replace(example=give_task(host, row.example)) for row in found[name]]
        stored[name] = [
            row for row in rows if (not tasks or row.example.task in tasks) and host.functions_for(row.example.task)
        ]
        if not stored[name]:
            there = ", ".join(sorted({row.example.task for row in rows}))
            problems.append(
                f"{path}: no row that {', '.join(host.names())} can score{' and --task allows' if tasks else ''}; "
                f"its tasks are {there}"
            )
    problems += find_unfit(host, [row for rows in stored.values() for row in rows])
    if problems:
        raise UserError(problems)
    return {name: rescore(host, name, rows) for name, rows in stored.items()}


def _pick(names: Mapping[str, Any], wanted: str | None, option: str, usual: Sequence[str], last: bool = False) -> str:
    evaluations = [name for name in names if not name.startswith("train/")] or list(names)
    if wanted is not None:
        if wanted not in names:
            raise UserError(f"{option}: no stage '{wanted}'; there are: {', '.join(names)}")
        return wanted
    for name in usual:
        if name in names:
            return name
    return evaluations[-1 if last else 0]


def _write(folder: Path, stages: Mapping[str, Rescored]) -> None:
    for name, stage in stages.items():
        path = folder / f"{name}.jsonl"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.writelines(map(to_line, stage.records()))
        except OSError as error:
            raise UserError(f"--output: {path}: cannot be written ({error.strerror})") from None


def _to_json(
    host: RewardHost,
    stages: Mapping[str, Rescored],
    compared: Sequence[tuple[Verdicts, Verdicts, Sequence[TaskChange]]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    return {
        "rewards": host.versions(),
        "threshold": options.threshold,
        "stages": [{**_summarise(name, stage), "figures": _figures(host, stage)} for name, stage in stages.items()],
        "comparisons": [
            {
                "before": before.name,
                "after": after.name,
                "versions": {"before": dict(before.versions), "after": dict(after.versions)},
                "tasks": [
                    {
                        "task": row.task, "n": row.n, "before": row.before, "after": row.after,
                        "delta": row.change and row.change.mean, "low": row.change and row.change.low,
                        "high": row.change and row.change.high, "p": row.change and row.change.p,
                        **row.passes._asdict(),
                    }
                    for row in rows
                ],
            }
            for before, after, rows in compared
        ],
    }  # fmt: skip


def _summarise(name: str, stage: Rescored) -> dict[str, Any]:
    rewards = [scored.reward for scored in stage.scored]
    new = _estimate(stage, rewards)
    old = _estimate(stage, [row.reward for row in stage.stored])
    return {
        "stage": name,
        "completions": len(stage.stored),
        "scored": sum(reward is not None for reward in rewards),
        "mean": new.mean, "n": new.n, "low": new.low, "high": new.high,
        "stored_mean": old.mean, "stored_n": old.n, "stored_low": old.low, "stored_high": old.high,
        "stored_versions": _join_versions(stage),
        "errors": stage.errors,
    }  # fmt: skip


def _estimate(stage: Rescored, rewards: Sequence[float | None]) -> Estimate:
    """Over examples, within tasks, as an evaluation has it; several completions of one example count as their mean."""
    by_example: dict[tuple[str, str], list[float]] = {}
    for row, reward in zip(stage.stored, rewards, strict=True):
        if reward is not None:
            by_example.setdefault((row.example.task, row.example.id), []).append(reward)
    by_task: dict[str, list[float]] = {}
    for (task, _), values in by_example.items():
        by_task.setdefault(task, []).append(sum(values) / len(values))
    every = [value for values in by_task.values() for value in values]
    return stratify({ALL: estimate_mean(every), **{task: estimate_mean(values) for task, values in by_task.items()}})


def _figures(host: RewardHost, stage: Rescored) -> dict[str, dict[str, float]]:
    """By function the figures that are not means of scores, such as the BLEU of a corpus."""
    found = {}
    for entry in host.functions:
        pairs = [(row.example, row.completion) for row in stage.stored if entry.applies_to(row.example.task)]
        if figures := host.figures(entry, pairs):
            found[entry.function.name] = figures
    return found


def _join_versions(stage: Rescored) -> dict[str, str]:
    """By function the version of the stored scores, or all of them with commas between."""
    found: dict[str, set[str]] = {}
    for row in stage.stored:
        for name, version in row.versions.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def _show(
    host: RewardHost,
    stages: Mapping[str, Rescored],
    compared: Sequence[tuple[Verdicts, Verdicts, Sequence[TaskChange]]],
    threshold: float,
) -> None:
    from rich.table import Table

    from rewards.screen.terminal import make_console

    console = make_console()
    versions = ", ".join(f"{name} {version}" for name, version in host.versions().items())
    table = Table(title=f"scored by {versions}", title_justify="left")
    for head in ("stage", "completions", "scored", "mean, 95 % interval", "n", "stored mean", "stored versions"):
        table.add_column(head, justify="left" if head.startswith(("stage", "stored v")) else "right")
    for name, stage in stages.items():
        shown = _summarise(name, stage)
        stored = ", ".join(f"{function} {version}" for function, version in shown["stored_versions"].items())
        numbers = (shown["completions"], shown["scored"])
        means = (
            _say(shown[f"{side}mean"])
            + ("" if shown[f"{side}low"] is None else f" ({shown[f'{side}low']:.4f} to {shown[f'{side}high']:.4f})")
            for side in ("", "stored_")
        )
        mean, stored_mean = means
        table.add_row(name, *map(str, numbers), mean, str(shown["n"]), stored_mean, stored)
    console.print(table)
    for name, stage in stages.items():
        for function, figures in _figures(host, stage).items():
            said = ", ".join(f"{figure} {value:.4f}" for figure, value in figures.items())
            console.print(f"{name}, {function}: {said}")
    for before, after, rows in compared:
        table = Table(title=f"from {before.name} to {after.name}, paired by example", title_justify="left")
        for head in ("task", "n", "before", "after", "change", "95 % interval", "gained", "lost", "p"):
            table.add_column(head, justify="left" if head == "task" else "right")
        for row in rows:
            low, high = (row.change.low, row.change.high) if row.change else (None, None)
            decided = low is not None and high is not None and (low > 0 or high < 0)
            table.add_row(
                row.task, str(row.n), _say(row.before), _say(row.after), _say(row.change.mean if row.change else None, "+.4f"),
                "" if low is None else f"{low:+.4f} to {high:+.4f}{'' if decided else ' (0 is inside)'}",
                str(row.passes.gained), str(row.passes.lost), _say(row.change.p if row.change else None, ".3g"),
            )  # fmt: skip
        console.print(table)
    if compared:
        console.print(
            f"gained and lost: examples that pass (reward of {threshold:g} or more) only after, only before; "
            "interval and p: of the mean change, as python -m grpo.compare gives them",
            style="dim",
        )


def _say(value: float | None, form: str = ".4f") -> str:
    return "none" if value is None else format(value, form)
