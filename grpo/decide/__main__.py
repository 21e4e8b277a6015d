"""The decision after a run, or over any recorded history: `python -m grpo.decide --metrics metrics.jsonl`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from callbacks.config import DecisionSection
from callbacks.decision.decision import Decision, Node
from callbacks.decision.measures import Schedule
from callbacks.decision.tree import decide
from callbacks.evaluation.task_scores import ALL, Estimate, paired_difference
from callbacks.watch.rules import rename_metrics
from grpo.config.sections import ratio_to_steps
from grpo.decide.next_config import write_next_config
from grpo.ladder import find_rung
from rewards.errors import UserError

EXAMPLES = """examples:
  python -m grpo.decide --metrics runs/mine/metrics.jsonl --config v4_1.yaml
  python -m grpo.decide --metrics runs/mine/metrics.jsonl --profile embedded     against the run's own warm-up
  python -m grpo.decide --metrics history.jsonl --json | jq .scenario
  python -m grpo.decide --metrics history.jsonl --config v4_1.yaml --next-config next_config.yaml

A row needs "step" and "eval/mean_reward"; "eval/<task>" and the _n and _std of each make the decision sharper.
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m grpo.decide",
        description="Say what a recorded history calls for: A scale up, B restart from Base, C fix a task, or undecided.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--metrics", type=Path, required=True, help="metrics.jsonl, or the folder of a run that has one"
    )
    parser.add_argument("--config", help="a YAML file or shipped name; its thresholds and its rung are used")
    parser.add_argument(
        "--profile", choices=("gpu", "embedded"), default="gpu", help="embedded: judge it as a rehearsal"
    )
    parser.add_argument("--json", action="store_true", help="print the whole decision as JSON")
    parser.add_argument("--next-config", type=Path, metavar="PATH", help="write the config of the next run there")
    options = parser.parse_args(arguments)
    problems: list[str] = []
    section, settings, history = DecisionSection(), {}, []
    try:
        if options.config is not None:
            section, settings = _read_config(options.config)
    except UserError as error:
        problems += error.problems
    try:
        history = read_history(options.metrics)
    except UserError as error:
        problems += error.problems
    if problems:
        print("\n".join(f"error: {line}" for line in problems), file=sys.stderr)
        return 2
    rung, next_rung = find_rung((settings.get("model") or {}).get("name"), options.config)
    decision = decide(
        history,
        section,
        rung=rung,
        next_rung=next_rung,
        rehearsal=options.profile == "embedded",
        schedule=read_schedule(settings),
    )
    if options.next_config is not None:
        try:
            written = write_next_config(decision, options.config, options.next_config, config=settings)
        except OSError as error:
            print(f"error: --next-config {options.next_config}: cannot be written ({error.strerror})", file=sys.stderr)
            return 2
        if written is None:
            print("the decision names no next config: none was written", file=sys.stderr)
    if options.json:
        sys.stdout.write(orjson.dumps(decision.to_json(), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        print(describe_decision(decision))
    return 0


def decide_run(run_directory: Path | str, config: Any = None, *, rehearsal: bool = False) -> Decision:
    """Decide over a finished run and leave decision.json, and next_config.yaml where the tree names one, in its folder.

    `config` is the run's resolved config; by default the thresholds are the recipe's. The end is compared with the
    warm-up example by example where both evaluations were kept.
    """
    folder = Path(run_directory)
    saved = _read_json(folder / "config.json")
    settings = config.model_dump(mode="json") if config is not None else saved.get("config") or {}
    section = config.decision if config is not None else DecisionSection.model_validate(settings.get("decision") or {})
    source = saved.get("source")
    rung, next_rung = find_rung((settings.get("model") or {}).get("name"), source)
    decision = decide(
        read_history(folder / "metrics.jsonl"),
        section,
        rung=rung,
        next_rung=next_rung,
        rehearsal=rehearsal,
        paired=pair_evaluations(folder / "eval" / "warmup.jsonl", folder / "eval" / "final.jsonl"),
        schedule=read_schedule(settings),
    )
    target = folder / "decision.json"
    draft = target.with_name(target.name + ".draft")
    draft.write_bytes(orjson.dumps(decision.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    os.replace(draft, target)
    write_next_config(decision, source, folder / "next_config.yaml", config=settings)
    return decision


def read_schedule(settings: Mapping[str, Any]) -> Schedule | None:
    """The learning-rate schedule of resolved settings; None where they have none."""
    grpo = settings.get("grpo") or {}
    if not {"lr_scheduler_type", "max_steps", "learning_rate"} <= grpo.keys():
        return None
    steps = grpo.get("warmup_steps")
    if steps is None:
        steps = ratio_to_steps(grpo.get("warmup_ratio") or 0.0, grpo["max_steps"])
    return Schedule(grpo["lr_scheduler_type"], grpo["max_steps"], grpo["learning_rate"], steps)


def pair_evaluations(before: Path, after: Path) -> dict[str, Estimate]:
    """Paired differences after - before of two stored evaluations, for all and for each task; empty when one is missing."""
    rewards = [_read_rewards(path) for path in (before, after)]
    if not all(rewards):
        return {}
    tasks = sorted({task for task, _ in rewards[0]} & {task for task, _ in rewards[1]})
    differences = {ALL: paired_difference(*rewards)}
    for task in tasks:
        differences[task] = paired_difference(
            *({key: v for key, v in side.items() if key[0] == task} for side in rewards)
        )
    return differences


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; UserError with every line that cannot be read.

    Other trainers' names of metrics are read as ours. A last line without its end is one that is being written, or was
    when the run was killed, and is left out.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "metrics.jsonl"
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise UserError(f"--metrics {path}: cannot be read ({error.strerror}); give a metrics.jsonl") from error
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except ValueError:
            if number == len(lines) and not line.endswith(b"\n"):
                continue
            problems.append(f'{path}: line {number}: not JSON; each line is one object such as {{"step": 10, ...}}')
            continue
        row = _rename(row)
        problems += [f"{path}: line {number}: {problem}" for problem in _find_problems(row)]
        rows.append(row)
    if not rows and not problems:
        problems.append(f"{path}: holds no rows; give the metrics.jsonl of a run that has begun")
    if problems:
        raise UserError(problems)
    return rows


def describe_decision(decision: Decision) -> str:
    """The decision as lines for a terminal."""
    lines = [decision.title, f"  why:  {decision.reason}", f"  next: {decision.action}"]
    if decision.next_config:
        lines.append(f"  config: {decision.next_config}")
    lines += ["", "path"] + [f"  {_describe_node(node)}" for node in decision.path]
    lines += ["", "questions"] + [f"  {item['question']} {item['answer']}" for item in decision.answers.values()]
    if decision.routes:
        lines += ["", "routes"] + [f"  {task}: {rung}" for task, rung in decision.routes.items()]
    if decision.not_judged:
        lines += ["", "not judged"] + [f"  {line}" for line in decision.not_judged]
    return "\n".join(lines)


def _describe_node(node: Node) -> str:
    if node.value is None:
        return f"{node.question} {node.outcome}" + (f" ({node.note})" if node.note else "")
    cells = [f"{node.value:.3f} against {node.threshold:.3f}, margin {node.margin:+.3f}"]
    if node.low is not None and node.high is not None:
        cells.append(f"95 % {node.low:.3f} to {node.high:.3f}")
    if node.n is not None:
        cells.append(f"n {node.n}")
    if node.further_examples:
        cells.append(f"{node.further_examples} more examples would tell")
    if node.note:
        cells.append(node.note)
    return f"{node.question} {node.outcome} ({'; '.join(cells)})"


def _rename(row: Any) -> Any:
    """A row under the names used here, its step too."""
    if not isinstance(row, dict):
        return row
    row = rename_metrics(row)
    if "step" not in row:
        found = next((row[key] for key in ("global_step", "_step") if key in row), None)
        row |= {"step": found} if found is not None else {}
    return row


def _find_problems(row: Any) -> list[str]:
    if not isinstance(row, dict):
        return ['no object; each line is one object such as {"step": 10, ...}']
    evaluation = {key: value for key, value in row.items() if key.startswith("eval/")}
    if not evaluation:
        return []
    problems = []
    step = row.get("step")
    if isinstance(step, bool) or not isinstance(step, int | float) or step != int(step):
        problems.append(f'step is {step!r}; an evaluation row needs "step", a whole number')
    for key, value in evaluation.items():
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            continue
        problems.append(f"{key} is {value!r}; it must be a number")
    mean = row.get("eval/mean_reward")
    if isinstance(mean, int | float) and not 0.0 <= mean <= 1.0:
        problems.append(f"eval/mean_reward is {mean}; rewards lie in 0..1")
    return problems


def _read_config(name: str) -> tuple[DecisionSection, dict[str, Any]]:
    """The thresholds of a config and all that it resolves to."""
    from grpo.config.run_config import load_config

    config = load_config(name, profile=None)
    return config.decision, config.model_dump(mode="json")


def _read_rewards(path: Path) -> dict[tuple[str, str], float | None]:
    """Rewards of a stored evaluation by (task, id); empty when there is no such file."""
    try:
        rows: Iterable[Mapping[str, Any]] = [
            orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()
        ]
        return {(row["task"], row["id"]): row["reward"] for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
