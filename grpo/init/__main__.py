"""From one's own data to a run: `python -m grpo.init data.jsonl` writes rows, a split, a schema, rewards and a config."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.data.sources import FoundRecords
from grpo.init.columns import ColumnChoice, MadeRows
from grpo.init.lengths import Lengths
from grpo.init.proposals import Proposal
from grpo.init.prove import Proof
from grpo.init.split import Split
from rewards.errors import UserError
from rewards.screen.command_line import CommandParser, print_json, run_command, show_commands
from rewards.screen.harmless_text import make_harmless

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig

EXAMPLES = """\
examples:
  python -m grpo.init invoices.jsonl
  python -m grpo.init tickets.csv --prompt texto --reference categoria
  python -m grpo.init products.csv --prompt text --reference name,price      an answer of several columns is a JSON object
  python -m grpo.init calls.parquet --model Qwen/Qwen3-0.6B --out calls
  python -m grpo.init owner/name --split train                               a data set of the Hub
  python -m grpo.init invoices.jsonl --extends from_trl.yaml                 settings of a training with TRL, translated

It reads JSON Lines, a JSON array, CSV and Parquet; rows with messages, conversations, prompt and completion, input and
output, instruction and response, question and answer, text and label, and their like. Nothing is written unless every
reference earns full reward and a dry run passes.
"""
_FILES = ("train.jsonl", "held_out.jsonl", "schema.json", "left_out.jsonl")
DEFAULT_MODEL, PORTUGUESE_MODEL = "Qwen/Qwen2.5-0.5B-Instruct", "Polygl0t/Tucano2-qwen-0.5B-Instruct"
_SHOWN, _MANY = 20, 2_000


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m grpo.init`; 0 written, 2 something of the data must change first."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.init",
        "Turn your own data into everything a run needs: rows, a held-out split, a schema, rewards with reasons, a config.",
        EXAMPLES,
    )
    parser.add_argument("data", help="a file of rows, or a Hub data set as owner/name")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: a folder of the data's name)")
    parser.add_argument("--prompt", type=_split_names, default=[], metavar="COLUMN,...", help="what is asked")
    parser.add_argument("--reference", type=_split_names, default=[], metavar="COLUMN,...", help="the right answer")
    parser.add_argument("--system", metavar="TEXT", help="a system turn for every row; '' for none at all")
    parser.add_argument("--task", metavar="NAME", help="the task's name (default: that of the data)")
    parser.add_argument("--model", help=f"the model to be trained (default: {DEFAULT_MODEL}, or one of Portuguese)")
    parser.add_argument(
        "--extends",
        type=Path,
        metavar="CONFIG",
        help="a config whose model and settings are taken, such as one of `config from-trl`",
    )
    parser.add_argument("--held-out-rows", type=int, metavar="N", help="rows to hold out (default: a fifth, 40 to 320)")
    parser.add_argument("--seed", type=int, default=42, help="of the split and of the run (default: 42)")
    parser.add_argument("--split", default="train", help="of a Hub data set (default: train)")
    parser.add_argument("--subset", help="of a Hub data set")
    parser.add_argument("--drop", action="store_true", help="leave unusable rows out; they go into left_out.jsonl")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    return parser


def run(options: argparse.Namespace) -> int:
    from callbacks.progress import Progress
    from grpo.config.sections import ModelSection
    from grpo.data.sources import read_source
    from grpo.init.columns import choose_columns, make_rows, name_task, unify_records
    from grpo.init.config_text import write_config
    from grpo.init.lengths import measure_lengths
    from grpo.init.proposals import instruct, propose_rewards, sort_by_kind, speaks_portuguese
    from grpo.init.prove import find_unfit, prove_config
    from grpo.init.split import split_rows

    name = name_task(options.data)
    folder = options.out or Path(name if name != "default" else "my_data")
    config_path = folder / f"{name if name != 'default' else 'my_data'}.yaml"
    _check_free(folder, config_path, force=options.force)
    found = unify_records(read_source(options.data, split=options.split, subset=options.subset))
    if not found.records:
        raise UserError(found.problems or [f"{options.data}: no rows"])
    progress = Progress(stream=sys.stderr, quiet=len(found.records) <= _MANY, line_seconds=5)
    choice = choose_columns(found, options.prompt, options.reference)
    rows = make_rows(found, choice, task=options.task or name)
    if not rows.examples:
        raise UserError([*_shorten(found.problems + rows.problems), f"{options.data}: no row can be used"])
    examples, kinds = sort_by_kind(rows.examples)
    proposal = propose_rewards(examples, kinds)
    with progress.stage("answers scored", len(examples), "rows") as bar:
        unfit = find_unfit(examples, proposal.rewards, proposal.schema, bar.reach)
    problems = found.problems + rows.problems + [f"{rows.lines[row_id]}: {said}" for row_id, said in unfit.items()]
    if problems and not options.drop:
        count = f"{len(problems)} row{'s' if len(problems) > 1 else ''}"
        raise UserError(
            [*_shorten(problems), f"{options.data}: {count} cannot be used; fix them, or leave them out with --drop"]
        )
    examples = [row for row in examples if row.id not in unfit]
    kinds = {task: kind for task, kind in kinds.items() if any(row.task == task for row in examples)}
    examples, told = _choose_system(options, choice, examples, kinds, proposal, instruct)
    extends, extended = _read_extended(options, folder)
    known = extended.model.name if extended is not None and "name" in extended.model.model_fields_set else None
    model = options.model or known or (PORTUGUESE_MODEL if speaks_portuguese(examples) else DEFAULT_MODEL)
    with progress.stage("prompts compared", len(examples), "rows") as bar:
        split = split_rows(examples, seed=options.seed, held_out=options.held_out_rows, on_progress=bar.reach)
        bar.reach(len(examples))
    lengths = measure_lengths(examples, ModelSection(name=model))
    if extended is not None:
        lengths = replace(lengths, max_completion_length=extended.grpo.max_completion_length)
    named = None if known == model else model
    text = write_config(options.data, named, split, lengths, proposal.rewards, options.seed, extends)
    files: dict[str, Any] = {"train.jsonl": split.train, "held_out.jsonl": split.held_out, config_path.name: text}
    if proposal.schema is not None:
        files["schema.json"] = json.dumps(proposal.schema, ensure_ascii=False, indent=2) + "\n"
    if problems:
        files["left_out.jsonl"] = "".join(json.dumps({"reason": line}) + "\n" for line in problems)
    with _stage(folder) as staged:
        _write_files(staged, files)
        try:
            with progress.stage("dry run", len(examples), "rows") as bar:
                proof = prove_config(staged / config_path.name)
                bar.reach(len(examples))
        except UserError as error:
            raise UserError([line.replace(f"{staged}{os.sep}", "") for line in error.problems]) from None
        _keep(staged, folder, list(files))
    summary = _summarise(
        options,
        model,
        found,
        choice,
        rows,
        proposal,
        split,
        lengths,
        proof,
        told,
        folder,
        config_path,
        list(files),
        problems,
    )
    if options.json:
        print_json(summary)
    else:
        _show(summary)
    return 0


def _choose_system(
    options: argparse.Namespace,
    choice: ColumnChoice,
    examples: list[Any],
    kinds: dict[str, str],
    proposal: Proposal,
    instruct: Any,
) -> tuple[list[Any], str | None]:
    """The rows with the system turn that the user gave, or one that says the answer's form where nothing else does."""
    if options.system is not None:
        bare = [[turn for turn in row.prompt if turn["role"] != "system"] for row in examples]
        first = [{"role": "system", "content": options.system}] if options.system else []
        return [replace(row, prompt=[*first, *turns]) for row, turns in zip(examples, bare, strict=True)], None
    if choice.form is not None or len(choice.prompt) > 1 or choice.prompt[0].lower().startswith(("instru", "prompt")):
        return examples, None
    return instruct(examples, kinds, proposal)


def _read_extended(options: argparse.Namespace, folder: Path) -> tuple[str | None, RunConfig | None]:
    """The config to extend, as a config in that folder calls it, and what it says; None without."""
    if options.extends is None:
        return None, None
    from grpo.config.loading import load_config

    if not options.extends.is_file():
        raise UserError(
            f"--extends {options.extends}: no such file; `python -m grpo.config from-trl FILE --output` writes one"
        )
    return os.path.relpath(options.extends.resolve(), folder.resolve()), load_config(options.extends, [], None)


def _check_free(folder: Path, config_path: Path, *, force: bool) -> None:
    """Raise `UserError` where something would be written over."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: a file of this name is there; give another folder")
    there = [str(path) for path in (*(folder / name for name in _FILES), config_path) if path.exists()]
    if there and not force:
        raise UserError(f"{', '.join(there)}: there already; give another --out, or --force to replace them")


class _stage:
    """A folder beside the place to be, that is gone afterwards."""

    def __init__(self, folder: Path):
        self._parent = folder.resolve().parent

    def __enter__(self) -> Path:
        try:
            self._parent.mkdir(parents=True, exist_ok=True)
            self._path = Path(tempfile.mkdtemp(prefix=".init-", dir=self._parent))
        except OSError as error:
            raise UserError(f"--out: {self._parent} cannot be written ({error.strerror})") from None
        return self._path

    def __exit__(self, *fault: Any) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def _write_files(folder: Path, files: dict[str, Any]) -> None:
    from grpo.data.rows import write_rows

    for name, content in files.items():
        if isinstance(content, str):
            (folder / name).write_text(content, encoding="utf-8")
        else:
            write_rows(folder / name, content)


def _keep(staged: Path, folder: Path, names: list[str]) -> None:
    """Move the proven files to their place, the config last: where it stands, all of it does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(names, key=lambda name: name.endswith(".yaml")):
            os.replace(staged / name, folder / name)
        for name in _FILES:
            if name not in names:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be written ({error.strerror})") from None


def _summarise(
    options: argparse.Namespace,
    model: str,
    found: FoundRecords,
    choice: ColumnChoice,
    rows: MadeRows,
    proposal: Proposal,
    split: Split,
    lengths: Lengths,
    proof: Proof,
    told: str | None,
    folder: Path,
    config_path: Path,
    files: list[str],
    problems: list[str],
) -> dict[str, Any]:
    command = ["python", "-m", "grpo.run", "--config", str(config_path)]
    for override in proof.overrides:
        command += ["--set", override]
    return {
        "source": options.data,
        "form": found.form,
        "columns": str(choice),
        "rows": len(rows.examples),
        "left_out": problems,
        "tasks": {
            task: {"kind": kind, "answers": proposal.about.get(kind, kind)} for task, kind in proposal.kinds.items()
        },
        "system": told,
        "split": {
            "train": len(split.train),
            "held_out": len(split.held_out),
            "seed": options.seed,
            "similarity": split.similarity,
            "kept_together": split.joined,
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
        "model": model,
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
            "references": proof.audit["references"],
            "full_reward": proof.audit["references"] - len({failed["id"] for failed in proof.audit["gold_failures"]}),
            "dry_run": "passed",
            "profile": proof.profile,
        },
        "notes": [*found.notes, *rows.notes, *proposal.notes],
        "warnings": proof.audit["warnings"],
        "folder": str(folder),
        "files": sorted(files),
        "config": str(config_path),
        "next": shlex.join([*command, "--dry-run"]),
        "then": shlex.join(command),
    }


def _show(summary: dict[str, Any]) -> None:
    """The summary as lines."""
    lengths, split, proof = summary["lengths"], summary["split"], summary["proof"]
    about = "" if lengths["exact"] else "about "
    measured = (
        lengths["counted_by"]
        if lengths["exact"]
        else f"{lengths['counted_by']}: {summary['model']} is not on this machine"
    )
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
    together = f"; {split['kept_together']} near-duplicates kept on one side" if split["kept_together"] else ""
    if split["similarity"] > 0.9:
        together += f" (prompts are of one mould: only those {split['similarity']:.0%} alike count as the same)"
    lines.append(
        _line("split", f"{split['train']} to train on, {split['held_out']} held out, seed {split['seed']}{together}")
    )
    lines.append(
        _line(
            "lengths",
            f"prompts to {about}{lengths['prompt_longest']} tokens, answers to {about}{lengths['answer_longest']} ({measured}); "
            f"max_completion_length {lengths['max_completion_length']}",
        )
    )
    for reward in summary["rewards"]:
        only = f" for {', '.join(reward['tasks'])}" if reward["tasks"] else ""
        lines.append(_line("reward", f"{reward['name']}, weight {reward['weight']:g}{only}: {reward['reason']}"))
    lines.append(
        _line(
            "proven",
            f"{proof['full_reward']} of {proof['references']} references earn full reward; dry run passed (profile {proof['profile']})",
        )
    )
    if summary["left_out"]:
        lines.append(_line("left out", f"{len(summary['left_out'])} rows, in left_out.jsonl"))
    lines += [_line("note", note) for note in summary["notes"]]
    lines += [_line("warning", warning) for warning in summary["warnings"]]
    lines += [
        f"wrote {summary['folder']}/: {', '.join(summary['files'])}",
        f"next: {summary['next']}",
        f"then: {summary['then']}",
    ]
    print(show_commands(make_harmless("\n".join(lines), 100_000, one_line=False)))


def _line(name: str, text: str) -> str:
    return f"  {name:<11} {text}"


def _split_names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _shorten(problems: Sequence[str]) -> list[str]:
    rest = len(problems) - _SHOWN
    return [*problems[:_SHOWN], *([f"and {rest} more"] if rest > 1 else problems[_SHOWN:])]


if __name__ == "__main__":
    sys.exit(main())
