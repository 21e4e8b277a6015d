"""The commands that follow a decision's advice to ask more rows, each ready to be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

from callbacks.decision.decision import Decision
from callbacks.evaluation.judged import find_judged

MORE = "more.jsonl"
"""Stands for a file of rows that neither training nor an evaluation of the run has seen."""


def list_commands(decision: Decision, folder: Path) -> list[str]:
    """What evaluates the judged checkpoint on more rows and decides on them; none where no number of rows is advised.

    Where what is open is a change since the start, the start answers the same rows, so that the change is paired. Where
    the judged checkpoint is that start, the change is one of weights that were not kept, and no rows can tell it.
    """
    open_nodes = [node for node in decision.path if node.outcome == "within noise"]
    judged = find_judged(folder)
    if not decision.further_examples or (not judged.step and all(node.of_change for node in open_nodes)):
        return []
    # A path of the run as a command names it, whatever folder it was started from.
    whole, here = folder.resolve(), Path.cwd()
    place = str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)
    name = whole.name
    end, start = f"evaluations/{name}-more", f"evaluations/{name}-more-start"
    began = "sft" if (folder / "sft").is_dir() else None
    paired = bool(began and judged.step and any(node.of_change for node in open_nodes))
    evaluate = ["python", "-m", "grpo.evaluate", "--model"]
    commands = [[*evaluate, place, "--data", MORE, "--out", end]]
    if paired:
        commands.append([*evaluate, f"{place}/{began}", "--data", MORE, "--out", start])
    decide = ["python", "-m", "grpo.decide", place, "--with-evaluation", end]
    commands.append([*decide, "--with-start", start] if paired else decide)
    return [shlex.join(words) for words in commands]
