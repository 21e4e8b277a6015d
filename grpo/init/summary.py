"""What was found, proposed and proven, as one object for programs and as lines for people."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from grpo.data.sources import FoundRecords
from grpo.init.prepared import Prepared


def summarise(
    options: argparse.Namespace, found: FoundRecords, prepared: Prepared, folder: Path, config_path: Path
) -> dict[str, Any]:
    """Everything that `show` says, and what a program may want to know besides."""
    rows, proposal, split, lengths, proof = (
        prepared.rows, prepared.proposal, prepared.split, prepared.lengths, prepared.proof
    )  # fmt: skip
    command = ["python", "-m", "grpo.run", "--config", str(config_path)]
    for override in proof.overrides:
        command += ["--set", override]
    return {
        "source": options.data,
        "form": found.form,
        "columns": str(prepared.choice),
        "rows": len(rows.examples),
        "left_out": prepared.problems,
        "tasks": {
            task: {"kind": kind, "answers": proposal.about.get(kind, kind)} for task, kind in proposal.kinds.items()
        },
        "system": prepared.told,
        "split": {
            "train": len(split.train),
            "held_out": len(split.held_out),
            "seed": options.seed,
            "similarity": split.similarity,
            "kept_together": split.joined,
            "given": options.held_out,
        },
        "lengths": {
            "prompt_median": lengths.prompt_median,
            "prompt_longest": lengths.prompt_longest,
            "answer_median": lengths.answer_median,
            "answer_longest": lengths.answer_longest,
            "max_completion_length": lengths.max_completion_length,
            "exact": lengths.exact,
            "counted_by": lengths.source,
        },
        "model": prepared.model,
        "schema": proposal.schema,
        "rewards": [
            {
                "name": reward.name,
                "weight": reward.weight,
                "options": reward.options,
                "tasks": reward.tasks,
                "reason": reward.reason,
            }
            for reward in proposal.rewards
        ],
        "proof": {
            "references": proof.audit["references"] - proof.audit["without_reference"],
            "full_reward": proof.audit["references"]
            - proof.audit["without_reference"]
            - len({failed["id"] for failed in proof.audit["gold_failures"]}),
            "judging": proof.audit["judging"],
            "dry_run": "passed",
            "profile": proof.profile,
        },
        "notes": [*found.notes, *rows.notes, *proposal.notes],
        "warnings": proof.audit["warnings"],
        "folder": str(folder),
        "files": sorted({Path(name).parts[0] for name in prepared.files}),
        "config": str(config_path),
        "next": shlex.join([*command, "--dry-run"]),
        "then": shlex.join(command),
    }


def write_lines(summary: dict[str, Any]) -> list[str]:
    """The summary for a person, a line a finding."""
    lengths, split, proof = summary["lengths"], summary["split"], summary["proof"]
    lines = [f"{summary['source']}: {summary['rows']} rows of {summary['form']}; {summary['columns']}"]
    for task, found in summary["tasks"].items():
        lines.append(_line(f"task {task}", found["answers"]))
    if summary["system"]:
        lines.append(
            _line(
                "system turn",
                f"{summary['system'][:150]}  (added: no row says what is wanted; --system '' leaves it out)",
            )
        )
    lines.append(_line("split", _say_split(split)))
    about = "" if lengths["exact"] else "about "
    counted = lengths["counted_by"]
    measured = counted if lengths["exact"] else f"{counted}: {summary['model']} is not on this machine"
    answers = f"answers to {about}{lengths['answer_longest']}" if lengths["answer_longest"] else "no answers"
    lines.append(
        _line(
            "lengths",
            f"prompts to {about}{lengths['prompt_longest']} tokens, {answers} ({measured}); "
            f"max_completion_length {lengths['max_completion_length']}",
        )
    )
    for reward in summary["rewards"]:
        only = f" for {', '.join(reward['tasks'])}" if reward["tasks"] else ""
        weight = "" if reward["weight"] is None else f", weight {reward['weight']:g}"
        lines.append(_line("reward", f"{reward['name']}{weight}{only}: {reward['reason']}"))
    if proof["judging"]:
        proven = f"{proof['full_reward']} of {proof['references']} references earn full reward; "
    else:
        proven = "no function is held to reference answers; "
    lines.append(_line("proven", f"{proven}dry run passed (profile {proof['profile']})"))
    if summary["left_out"]:
        lines.append(_line("left out", f"{len(summary['left_out'])} rows, in left_out.jsonl"))
    lines += [_line("note", note) for note in summary["notes"]]
    lines += [_line("warning", warning) for warning in summary["warnings"]]
    lines += [
        f"wrote {summary['folder']}/: {', '.join(summary['files'])}",
        f"next: {summary['next']}",
        f"then: {summary['then']}",
    ]
    return lines


def _say_split(split: dict[str, Any]) -> str:
    if split["given"]:
        dropped = (
            f"; {split['kept_together']} near-duplicates of those left out of training"
            if split["kept_together"]
            else ""
        )
        return f"{split['train']} to train on, {split['held_out']} held out as given by {split['given']}{dropped}"
    together = f"; {split['kept_together']} near-duplicates kept on one side" if split["kept_together"] else ""
    if split["similarity"] > 0.9:
        together += f" (prompts are of one mould: only those {split['similarity']:.0%} alike count as the same)"
    return f"{split['train']} to train on, {split['held_out']} held out, seed {split['seed']}{together}"


def _line(name: str, text: str) -> str:
    return f"  {name:<11} {text}"
