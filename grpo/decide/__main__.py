"""The decision after a run, or over any recorded history: `python -m grpo.decide --metrics metrics.jsonl`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from callbacks.config import DecisionSection
from callbacks.decision.decision import Decision, DecisionNode
from callbacks.decision.tree import decide
from grpo.decide.advice import list_commands
from grpo.decide.decide_run import check_one_scorer, choose_measure, read_paired, read_saved, read_schedule
from grpo.decide.history import read_history
from grpo.decide.more_rows import add_evaluation
from grpo.decide.next_config import write_next_config
from grpo.ladder import find_rung
from rewards.errors import UserError
from rewards.identity import ALLOW, read_identities
from rewards.screen.command_line import DONE, CommandParser, print_json, run_command, show_commands
from rewards.screen.harmless_text import make_harmless
from rewards.statistics.estimates import say_further
from rewards.writing.files import read_object

EXAMPLES = """examples:
  python -m grpo.decide runs/mine                                                by the run's own config and profile
  python -m grpo.decide --metrics runs/mine/metrics.jsonl --config v4_1.yaml     by another's thresholds
  python -m grpo.decide --metrics history.jsonl --profile embedded               against its own warm-up
  python -m grpo.decide runs/mine --with-evaluation evaluations/more-rows        on more rows of its judged checkpoint
  python -m grpo.decide runs/mine --with-evaluation evaluations/end --with-start evaluations/start    both on the same rows
  python -m grpo.decide --metrics history.jsonl --json | jq .scenario
  python -m grpo.decide --metrics history.jsonl --config v4_1.yaml --next-config next_config.yaml

A row needs "step" and "eval/mean_reward"; "eval/<task>" and the _n and _std of each make the decision sharper.
"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.decide",
        "Say what to do next, given a recorded history: A scale up, B restart from Base, C fix a task, or undecided.",
        EXAMPLES,
    )
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="the folder of a run")
    parser.add_argument("--metrics", type=Path, help="metrics.jsonl, or the folder of a run that has one")
    parser.add_argument("--config", help="a YAML file or shipped name; its thresholds and its rung are used")
    parser.add_argument(
        "--profile",
        choices=("gpu", "small", "embedded"),
        help="embedded: judge it as a rehearsal (default: the run's own)",
    )
    parser.add_argument(
        ALLOW, action="store_true", help="decide even if start and end of the run were scored by different rewards"
    )
    parser.add_argument(
        "--with-evaluation", type=Path, metavar="PATH",
        help="judge the run's judged checkpoint by this evaluation of it (a folder of grpo.evaluate or its rows.jsonl)",
    )  # fmt: skip
    parser.add_argument(
        "--with-start", type=Path, metavar="PATH",
        help="beside --with-evaluation: what GRPO began with (RUN/sft) on the same rows, so that the change is paired",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the whole decision as JSON")
    parser.add_argument("--next-config", type=Path, metavar="PATH", help="write the config of the next run there")
    return parser


def run(options: argparse.Namespace) -> int:
    if (options.run is None) == (options.metrics is None):
        raise UserError("give the folder of a run, or --metrics with a recorded history")
    options.metrics = options.run or options.metrics
    problems: list[str] = []
    settings: dict[str, Any] = {}
    section, history = DecisionSection(), []
    folder = options.metrics if options.metrics.is_dir() else options.metrics.parent
    saved = read_saved(folder) if options.config is None else {}
    source, profile = options.config, options.profile or saved.get("profile") or "gpu"
    try:
        if options.config is not None:
            section, settings = _read_config(options.config)
        elif saved:
            settings, source = saved["config"], saved.get("source")
            section = _read_section(folder, settings)
    except UserError as error:
        problems += error.problems
    try:
        history = read_history(options.metrics)
    except UserError as error:
        problems += error.problems
    if problems:
        raise UserError(problems)
    rung, next_rung = find_rung((settings.get("model") or {}).get("name"), source)
    identities = read_identities(read_object(folder / "audit.json").get("reward_identities"))
    mixed = check_one_scorer(folder, allowed=options.allow_changed_rewards) if saved or options.metrics.is_dir() else ()
    section, incomparable = choose_measure(section or DecisionSection(), identities)
    paired = read_paired(folder) if saved or options.metrics.is_dir() else {}
    if options.with_evaluation is not None:
        history, paired = add_evaluation(
            folder, history, options.with_evaluation, options.allow_changed_rewards, start=options.with_start
        )
    elif options.with_start is not None:
        raise UserError(
            "--with-start: requires --with-evaluation, which has the judged checkpoint's answers to its rows"
        )
    decision = decide(
        history,
        section,
        rung=rung,
        next_rung=next_rung,
        rehearsal=profile == "embedded",
        schedule=read_schedule(settings),
        # Another history beside the evaluations of a run is not theirs.
        **paired,
    )
    decision = replace(decision, not_judged=(*mixed, *incomparable, *decision.not_judged))
    commands = list_commands(decision, folder) if saved else []
    if options.next_config is not None:
        try:
            written = write_next_config(decision, source, options.next_config, config=settings)
        except OSError as error:
            raise UserError(f"--next-config {options.next_config}: cannot be written ({error.strerror})") from None
        if written is None:
            print("the decision names no next config: none was written", file=sys.stderr)
    if options.json:
        print_json({**decision.to_json(), "commands": commands})
    else:
        print(make_harmless(show_commands(describe_decision(decision, commands)), 100_000, one_line=False))
    return DONE


def describe_decision(decision: Decision, commands: Sequence[str] = ()) -> str:
    """The decision as lines for a terminal; `commands` are those that follow its advice."""
    lines = [decision.title, f"  why:  {decision.reason}", f"  next: {decision.action}"]
    lines += [f"    {command}" for command in commands]
    if decision.next_config:
        lines.append(f"  config: {decision.next_config}")
    lines += ["", "path"] + [f"  {_describe_node(node)}" for node in decision.path]
    lines += ["", "questions"] + [f"  {item['question']} {item['answer']}" for item in decision.answers.values()]
    if decision.routes:
        lines += ["", "routes"] + [f"  {task}: {rung}" for task, rung in decision.routes.items()]
    if decision.not_judged:
        lines += ["", "not judged"] + [f"  {line}" for line in decision.not_judged]
    return "\n".join(lines)


def _describe_node(node: DecisionNode) -> str:
    if node.value is None:
        return f"{node.question} {node.outcome}" + (f" ({node.note})" if node.note else "")
    value = f"{node.value:+.3f}" if node.of_change else f"{node.value:.3f}"
    cells = [f"{value}, threshold {node.threshold:.3f}, margin {node.margin:+.3f}"]
    if node.low is not None and node.high is not None:
        cells.append(f"95 % {node.low:.3f} to {node.high:.3f}")
    if node.n is not None:
        cells.append(f"n {node.n}")
    further = say_further((node.further_examples, node.further_examples_80))
    if further:
        cells.append(f"needs {further}")
    if node.note:
        cells.append(node.note)
    return f"{node.question} {node.outcome} ({'; '.join(cells)})"


def _read_section(folder: Path, settings: dict[str, Any]) -> DecisionSection:
    """The thresholds that a run wrote down."""
    try:
        return DecisionSection.model_validate(settings.get("decision") or {})
    except ValueError as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(f"{folder / 'config.json'}: section decision cannot be read ({said}); give --config") from None


def _read_config(name: str) -> tuple[DecisionSection, dict[str, Any]]:
    """The thresholds of a config and all that it resolves to."""
    from grpo.config.loading import load_config

    config = load_config(name, profile=None)
    return config.decision, config.model_dump(mode="json")


if __name__ == "__main__":
    sys.exit(main())
