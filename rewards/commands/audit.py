"""Check rows and rewards before a run spends anything on them: gold answers, strictness, derivability, leaks, alarms."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.errors import UserError
from rewards.screen.command_line import CONSOLE_VARIABLE, print_json
from rewards.siblings import command_words

if TYPE_CHECKING:
    from rewards.audit.audit import Audit
    from rewards.plugins import Registry
    from rewards.types import Example

EXAMPLES = """\
examples:
  python -m rewards audit --config v4_1.yaml
  python -m rewards audit --config my.yaml --set data.train=other.jsonl --json
  python -m rewards audit --data train.jsonl --held-out held_out.jsonl --reward field_f1:ignore_fields=[id]
  python -m rewards audit --data train.jsonl
  python -m rewards audit --data train.jsonl --drop bad.jsonl

Without --reward the functions are those made for the tasks of the rows, and field_f1 for other JSON answers.
Exit code 2: a run on these rows and rewards would be wasted.
"""

_SHOWN_FIELDS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", metavar="FILE", help="a configuration: its rows and its rewards")
    what.add_argument("--data", metavar="FILE", help="training rows as JSON Lines")
    parser.add_argument("--held-out", metavar="FILE", help="with --data: the held-out rows")
    parser.add_argument(
        "--reward", action="append", default=[], metavar="NAME[:k=v,...]", help="with --data: a function (repeatable)"
    )
    parser.add_argument(
        "--drop", metavar="FILE", help="with --data: leave unusable rows out, and write them there with the reasons"
    )
    parser.add_argument(
        "--clean", metavar="FILE", help="with --drop: where the other rows go (default: DATA.clean.jsonl)"
    )
    parser.add_argument("--force", action="store_true", help="with --drop: replace files that are there")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="with --config: one setting")
    parser.add_argument("--profile", metavar="NAME", help="with --config: auto, gpu, small or embedded")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def run(options: argparse.Namespace, read: Callable[[str], list[Example]] | None = None) -> int:
    """Audit what the options name; `read` takes the place of the reader of JSON Lines where other forms are known."""
    with_data = {
        "--held-out": options.held_out, "--reward": options.reward, "--plugin": options.plugin, "--drop": options.drop,
        "--clean": options.clean,
    }  # fmt: skip
    with_config = {"--set": options.set, "--profile": options.profile}
    misplaced = [name for name, value in (with_data if options.config else with_config).items() if value]
    if misplaced:
        home = "--data; a configuration names its own" if options.config else "--config"
        raise UserError(f"{', '.join(misplaced)}: goes with {home}")
    return _audit_config(options) if options.config else _audit_files(options, read)


def _audit_config(options: argparse.Namespace) -> int:
    """Asked of the package that owns configurations, in a process of its own: this one imports none of the others."""
    words = ["--config", options.config, *(part for setting in options.set for part in ("--set", setting))]
    words += ["--profile", options.profile] if options.profile else []
    words += ["--json"] if options.json else []
    environment = {CONSOLE_VARIABLE: "0", **os.environ}
    return subprocess.run(command_words("preflight", *words), env=environment, check=False).returncode


def _audit_files(options: argparse.Namespace, read: Callable[[str], list[Example]] | None) -> int:
    from rewards.audit.audit import audit_rows
    from rewards.commands.selection import make_host
    from rewards.plugins import load_rewards
    from rewards.rows import read_rows

    if options.drop:
        return _drop_rows(options)
    if options.clean:
        raise UserError("--clean: requires --drop FILE, which says where the other rows go")
    problems, rows = [], []
    for path in filter(None, (options.data, options.held_out)):
        try:
            rows.append((read or read_rows)(path))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(problems)
    train, held_out = rows[0], rows[1] if len(rows) > 1 else []
    registry = load_rewards(options.plugin)
    rewards = options.reward or choose_rewards(registry, [*train, *held_out])
    with make_host(rewards, options.plugin, registry=registry) as host:
        return report_audit(audit_rows(host, train, held_out), as_json=options.json)


def _drop_rows(options: argparse.Namespace) -> int:
    """Leave the rows of no use out, and audit the others."""
    from rewards.audit.audit import audit_rows
    from rewards.audit.cleaning import choose_dropped, write_lines
    from rewards.commands.selection import make_host
    from rewards.plugins import load_rewards
    from rewards.rows import parse_file, read_rows, shorten

    data = Path(options.data)
    clean, drop = Path(options.clean or data.with_suffix(".clean.jsonl")), Path(options.drop)
    _check_targets(data, clean, drop, force=options.force)
    parsed = list(parse_file(data))
    if not any(line.example is not None for line in parsed):
        raise UserError(shorten([problem for line in parsed for problem in line.problems], str(data)))
    held_out = read_rows(options.held_out) if options.held_out else []
    registry = load_rewards(options.plugin)
    rows = [line.example for line in parsed if line.example is not None]
    rewards = options.reward or choose_rewards(registry, [*rows, *held_out])
    with make_host(rewards, options.plugin, registry=registry) as host:
        kept, dropped = choose_dropped(host, parsed, held_out)
    write_lines(drop, (json.dumps(line.to_json()).encode() for line in dropped))
    write_lines(clean, (line.raw for line in kept))
    said = f"{len(dropped)} of {len(parsed)} rows left out, with their reasons in {drop}; the other {len(kept)} are in {clean}"
    print(said, file=sys.stderr if options.json else sys.stdout)
    with make_host(rewards, options.plugin, registry=registry) as host:
        train = [line.example for line in kept if line.example is not None]
        return report_audit(audit_rows(host, train, held_out), as_json=options.json)


def _check_targets(data: Path, clean: Path, drop: Path, *, force: bool) -> None:
    places = {"the rows": data, "--clean": clean, "--drop": drop}
    resolved = [path.resolve() for path in places.values()]
    if len(set(resolved)) < len(resolved):
        raise UserError(f"--drop {drop}, --clean {clean}: both need a file of their own, beside {data}")
    there = [str(path) for path in (clean, drop) if path.exists()]
    if there and not force:
        raise UserError(f"{' and '.join(there)}: there already; give other names, or --force to replace them")


def choose_rewards(registry: Registry, rows: Sequence[Example]) -> list[str]:
    """The functions made for the tasks of the rows; `field_f1` where a task has none and its answers are JSON.

    Raises UserError when nothing fits.
    """
    tasks = {row.task for row in rows}
    chosen = [entry.name for entry in registry if tasks.intersection(entry.tasks) and not _needs_options(entry)]
    served = {task for entry in registry if entry.name in chosen for task in entry.tasks}
    others = [row.reference for row in rows if row.task not in served and row.reference is not None]
    if others and all(reference.lstrip()[:1] in ("{", "[") for reference in others):
        chosen.append("field_f1")
    if not chosen:
        raise UserError(
            f"--reward: no reward function is made for the tasks {', '.join(sorted(tasks))}; "
            f"name one of {', '.join(registry.names())}"
        )
    return chosen


def _needs_options(entry: Any) -> bool:
    return any(option.is_required() for option in entry.function.model_fields.values())


def report_audit(audit: Audit, *, as_json: bool) -> int:
    """Print the audit, and give the exit code: 0 passed, 2 a run would be wasted."""
    if as_json:
        print_json(audit.to_json())
    else:
        show_audit(audit)
    return 0 if audit.passed else 2


def show_audit(audit: Audit) -> None:
    """A table on standard output, below it what was found wrong."""
    from rich.table import Table
    from rich.text import Text

    from rewards.screen.terminal import make_console

    console = make_console()
    facts = audit.facts
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    failing = len({failure["id"] for failure in facts["gold_failures"]})
    scored = facts["references"] - facts["without_reference"]
    versions = ", ".join(
        f"{name} {version}" for name, version in facts["reward_versions"].items() if name in facts["judging"]
    )
    held = f"{scored - failing} of {scored} references pass ({versions})" if versions else "no function judges content"
    table.add_row("gold self-test", _mark(bool(versions) and not failing, warn=not failing), held)
    others = [name for name in facts["reward_versions"] if name not in facts["judging"]]
    if others:
        table.add_row("not held to it", "", ", ".join(others))
    for task, kinds in facts["strictness"].items():
        said = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        table.add_row(f"strictness, {task}", _mark(set(said.split()[1::2]) <= {"strict"}, warn=True), said)
    for task, shares in facts["derivability"].items():
        missing = shares["underivable"] + shares["made_up"]
        said = f"{shares['stated']:.0%} stated, {shares['inferable']:.0%} inferable, {missing:.0%} neither"
        said += f", of {shares['leaves']:,} leaves{_say_missing(facts['underivable_fields'].get(task, {}))}"
        table.add_row(f"derivability, {task}", _mark(not missing, warn=True), said)
    for name, fields in facts["masked"].items():
        table.add_row(f"left out of {name}", _mark(False, warn=True), ", ".join(fields))
    for task, means in facts["probes"].items():
        table.add_row(f"rewards, {task}", _mark(bool(means["spread"]), warn=True), _say_probes(means))
    if facts["held_out_tasks"]:
        counts = facts["near_duplicates"]
        said = ", ".join(f"{count['held_out']} at {threshold}" for threshold, count in counts.items())
        leaked = counts["0.95"]["same_answer"]
        held = sum(facts["held_out_tasks"].values())
        table.add_row("near duplicates", _mark(not leaked, warn=True), f"{said}, of {held} held-out rows")
    console.print(table)
    for line in audit.warnings:
        console.print(Text.assemble(("warning: ", "yellow"), line), soft_wrap=True)
    for line in audit.errors:
        console.print(Text.assemble(("error: ", "bold red"), line), soft_wrap=True)
    verdict = ("passed", "bold green") if audit.passed else ("failed: a run would be wasted", "bold red")
    console.print(Text.assemble("audit ", verdict))


def _mark(good: bool, warn: bool = False) -> Any:
    from rich.text import Text

    if good:
        return Text("ok", "green")
    return Text("look", "yellow") if warn else Text("failed", "red")


def _say_missing(shares: Mapping[str, float]) -> str:
    """The fields that follow least from the prompts."""
    worst = sorted(shares.items(), key=lambda found: -found[1])[:_SHOWN_FIELDS]
    if not worst:
        return ""
    more = f" and {len(shares) - len(worst)} more fields" if len(shares) > len(worst) else ""
    return f"; not in the prompt: {', '.join(f'{name} {share:.0%}' for name, share in worst)}{more}"


def _say_probes(means: Mapping[str, Any]) -> str:
    names = {
        "gold": "right", "other": "another row's", "changed": "half changed", "part": "cut in half",
        "noise": "no meaning", "empty": "empty",
    }  # fmt: skip
    said = ", ".join(
        f"{name} {means[kind]:.2f}{_say_ends(means, kind)}" for kind, name in names.items() if means[kind] is not None
    )
    spread = "" if means["spread"] is None else f"; spread {means['spread']:.2f}{_say_ends(means, 'spread')}"
    if means["flat_rows"]:
        spread += f", none at all in {means['flat_rows']:.0%}{_say_ends(means, 'flat_rows')} of the rows"
    return f"{said}{spread}"


def _say_ends(means: Mapping[str, Any], name: str) -> str:
    """The interval and n of one of the numbers."""
    found = means["estimates"][name]
    form = ".0%" if name == "flat_rows" else ".2f"
    return f" ({found['low']:{form}} to {found['high']:{form}}, n {found['n']})" if found["low"] is not None else ""
