"""Whether runs may be compared at all: the same reward versions, the same examples, the same generation settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from grpo.compare.recorded import OFF_UNLESS_RECORDED, SAMPLING, Key, RecordedRun
from rewards.errors import UserError

ALLOWABLE = ("versions", "ids", "settings")
_SHOWN = 3


def check_likeness(runs: Sequence[RecordedRun], allowed: Collection[str] = ()) -> list[str]:
    """What could not be checked or was allowed to differ, a line each; UserError for every other difference.

    `allowed` holds names of ALLOWABLE. The first run is what the others are held against.
    """
    notes: list[str] = []
    problems: list[str] = []
    checks: tuple[tuple[str, Callable[[RecordedRun, RecordedRun], list[str]], str], ...] = (
        ("versions", _compare_versions, "rescore both with one version (python -m rewards rescore)"),
        ("ids", _compare_examples, "evaluate both on the same rows"),
        ("settings", _compare_settings, "evaluate both at the same settings"),
    )
    first, others = runs[0], runs[1:]
    for kind, check, advice in checks:
        for other in others:
            for line in check(first, other):
                if kind in allowed:
                    notes.append(f"{line} (allowed)")
                else:
                    problems.append(f"{line}; {advice}, or compare anyway with --allow-different {kind}")
    problems += _find_mixed_versions(runs) if "versions" not in allowed else []
    if problems:
        raise UserError(problems)
    return notes + _find_unrecorded(runs)


def shared_keys(runs: Iterable[RecordedRun]) -> set[Key] | None:
    """The examples that all runs answered to the same prompt and reference; None where some run has no rows."""
    shared: set[Key] | None = None
    questions: Mapping[Key, str] = {}
    for run in runs:
        if not run.rows:
            return None
        if shared is None:
            shared, questions = set(run.rows), {key: row.question for key, row in run.rows.items()}
        shared = {key for key in shared if key in run.rows and run.rows[key].question == questions[key]}
    return shared


def _compare_versions(first: RecordedRun, other: RecordedRun) -> list[str]:
    lines = []
    if first.versions is not None and other.versions is not None:
        mine, theirs = _fit(first.versions, other.versions)
        if mine != theirs:
            lines.append(f"reward versions differ: {_say_differences(first.name, mine, other.name, theirs)}")
            return lines
    if first.rewards is not None and other.rewards is not None and first.rewards != other.rewards:
        names = [
            name
            for name in sorted({*first.rewards, *other.rewards})
            if first.rewards.get(name) != other.rewards.get(name)
        ]
        lines.append(
            f"weights or options of the rewards differ: {first.name} and {other.name} disagree on {', '.join(names)}"
        )
    return lines


def _fit(mine: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Both sides as far as both say it: a run from before fingerprints were kept has versions alone."""

    def say(side: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
        return {
            name: found
            if " (" in other.get(name, " (")
            else ", ".join(one.partition(" (")[0] for one in found.split(", "))
            for name, found in side.items()
        }

    return say(mine, theirs), say(theirs, mine)


def _compare_examples(first: RecordedRun, other: RecordedRun) -> list[str]:
    if not first.rows or not other.rows:
        return []
    missing = sorted(first.rows.keys() ^ other.rows.keys())
    changed = sorted(
        key
        for key in first.rows.keys() & other.rows.keys()
        if first.rows[key].question != other.rows[key].question
    )  # fmt: skip
    lines = []
    for keys, said in ((missing, "are only in one of the two"), (changed, "have a different prompt or reference")):
        if keys:
            shown = ", ".join(name for _, name in keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
            lines.append(f"examples differ: {len(keys)} of {first.name} and {other.name} {said} ({shown})")
    return lines


def _compare_settings(first: RecordedRun, other: RecordedRun) -> list[str]:
    if first.settings is None or other.settings is None:
        return []
    mine, theirs = (
        {key: settings[key] for key in SAMPLING if key in settings} for settings in (first.settings, other.settings)
    )
    both = mine.keys() & theirs.keys()
    mine, theirs = (
        {key: value for key, value in side.items() if key in both}
        | {key: settings.get(key) for key in OFF_UNLESS_RECORDED}
        for side, settings in ((mine, first.settings), (theirs, other.settings))
    )
    if mine == theirs:
        return []
    return [f"generation settings differ: {_say_differences(first.name, mine, other.name, theirs)}"]


def _find_mixed_versions(runs: Sequence[RecordedRun]) -> list[str]:
    return [
        f"{run.name}: holds scores of different versions of {name} ({version}); rescore it with one version, or pass "
        "--allow-different versions"
        for run in runs
        for name, version in (run.versions or {}).items()
        if run.rows and ", " in version
    ]


def _find_unrecorded(runs: Sequence[RecordedRun]) -> list[str]:
    lines = []
    for said, lacking in (
        ("reward versions", [run.name for run in runs if run.versions is None]),
        ("generation settings", [run.name for run in runs if run.settings is None]),
        ("examples", [run.name for run in runs if not run.rows]),
    ):
        if lacking:
            lines.append(f"not checked, because they were not recorded: {said} of {_list_names(lacking)}")
    return lines


def _list_names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _say_differences(name: str, mine: Mapping[str, Any], other: str, theirs: Mapping[str, Any]) -> str:
    parts = [
        f"{key} is {_say(mine, key)} in {name} and {_say(theirs, key)} in {other}"
        for key in sorted({*mine, *theirs})
        if mine.get(key) != theirs.get(key) or (key in mine) != (key in theirs)
    ]
    return "; ".join(parts)


def _say(values: Mapping[str, Any], key: str) -> str:
    return str(values[key]) if key in values else "absent"
