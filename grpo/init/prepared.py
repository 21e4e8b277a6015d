"""Everything a run on one's own rows needs, made of them, written beside the place to be, and proven before it is kept."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.config.sections import ModelSection
from grpo.init.columns import ColumnChoice, MadeRows
from grpo.init.config_text import Base, write_config
from grpo.init.databases import FOLDER
from grpo.init.lengths import Lengths, measure_lengths
from grpo.init.proposals import Proposal, instruct, speaks_portuguese
from grpo.init.prove import Proof, UnfitRows, prove_config
from grpo.init.split import Split, set_apart, split_rows
from rewards.errors import UserError
from rewards.types import Example

if TYPE_CHECKING:
    from callbacks.progress import Progress

FILES = ("train.jsonl", "held_out.jsonl", "schema.json", "left_out.jsonl")
DEFAULT_MODEL, PORTUGUESE_MODEL = "Qwen/Qwen2.5-0.5B-Instruct", "Polygl0t/Tucano2-qwen-0.5B-Instruct"
_SHOWN = 20


@dataclass
class Prepared:
    """What was made: `files` by name, texts or rows; `told` is a system turn that was added; `problems` rows left out."""

    rows: MadeRows
    choice: ColumnChoice
    proposal: Proposal
    model: str
    told: str | None
    split: Split
    lengths: Lengths
    proof: Proof
    files: dict[str, Any]
    problems: list[str]


@dataclass
class Preparation:
    """What is to be prepared: rows, the ids of rows that the user holds out, rewards, the config to build on, and the
    content of the databases that rows name.
    """

    options: argparse.Namespace
    rows: MadeRows
    choice: ColumnChoice
    examples: list[Example]
    held_out_ids: frozenset[str]
    proposal: Proposal
    base: Base
    problems: list[str] = field(default_factory=list)
    databases: dict[str, bytes] = field(default_factory=dict)

    def prepare(self, folder: Path, config_name: str, progress: Progress) -> Prepared:
        """Split, measure, write and prove; the files then stand in `folder`.

        Rows whose own reference does not earn full reward are left out with `--drop`, and it is all tried again without
        them. Raises `UserError`, with nothing written, where rows cannot be used or the dry run does not pass.
        """
        options, problems, examples = self.options, list(self.problems), self.examples
        while True:
            try:
                prepared = self._attempt(examples, problems, folder, config_name, progress)
            except UnfitRows as unfit:
                problems += [f"{self.rows.lines[row_id]}: {said}" for row_id, said in unfit.reasons.items()]
                if not options.drop:
                    self._refuse(problems)
                examples = [row for row in examples if row.id not in unfit.reasons]
                continue
            except UserError:
                if problems and not options.drop:
                    self._refuse(problems)
                raise
            return prepared

    def _attempt(
        self, examples: list[Example], problems: list[str], folder: Path, config_name: str, progress: Progress
    ) -> Prepared:
        options, proposal = self.options, self.proposal
        tasks = {row.task for row in examples}
        kinds = {task: kind for task, kind in proposal.kinds.items() if task in tasks}
        examples, told = _choose_system(options, self.choice, examples, replace(proposal, kinds=kinds))
        with progress.stage("prompts compared", len(examples), "rows") as bar:
            if self.held_out_ids:
                split = set_apart(examples, self.held_out_ids)
            else:
                split = split_rows(examples, seed=options.seed, held_out=options.held_out_rows, on_progress=bar.reach)
            bar.reach(len(examples))
        model = options.model or self.base.read("model", "name")
        model = model or (PORTUGUESE_MODEL if speaks_portuguese(examples) else DEFAULT_MODEL)
        lengths = measure_lengths(examples, ModelSection(name=model))
        if said := self.base.read("grpo", "max_completion_length"):
            lengths = replace(lengths, max_completion_length=said)
        text = write_config(options.data, model, split, lengths, proposal.rewards, options.seed, self.base)
        files: dict[str, Any] = {"train.jsonl": split.train, "held_out.jsonl": split.held_out, config_name: text}
        if proposal.schema is not None:
            files["schema.json"] = json.dumps(proposal.schema, ensure_ascii=False, indent=2) + "\n"
        named = {row.columns.get("database") for row in examples}
        files |= {name: content for name, content in self.databases.items() if name in named}
        if problems:
            files["left_out.jsonl"] = "".join(json.dumps({"reason": line}) + "\n" for line in problems)
        with _beside(folder) as staged:
            _write_files(staged, files)
            try:
                with progress.stage("answers scored, dry run", len(examples), "rows") as bar:
                    proof = prove_config(staged / config_name, bar.reach)
                    bar.reach(len(examples))
            except UserError as error:
                error.problems[:] = [line.replace(f"{staged}{os.sep}", "") for line in error.problems]
                raise
            if problems and not options.drop:
                self._refuse(problems)
            _keep(staged, folder, list(files))
        return Prepared(
            self.rows, self.choice, replace(proposal, kinds=kinds), model, told, split, lengths, proof, files, problems
        )

    def _refuse(self, problems: list[str]) -> None:
        count = f"{len(problems)} row{'s' if len(problems) > 1 else ''}"
        data = self.options.data
        raise UserError(
            [*shorten(problems), f"{data}: {count} cannot be used; fix them, or leave them out with --drop"]
        ) from None


def shorten(problems: list[str]) -> list[str]:
    """The first problems, and how many more there are."""
    rest = len(problems) - _SHOWN
    return [*problems[:_SHOWN], *([f"and {rest} more"] if rest > 1 else problems[_SHOWN:])]


def check_free(folder: Path, config_name: str, *, force: bool) -> None:
    """Raise `UserError` where something would be written over."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: a file of this name is there; give another folder")
    there = [str(path) for path in (folder / name for name in (*FILES, FOLDER, config_name)) if path.exists()]
    if there and not force:
        raise UserError(f"{', '.join(there)}: there already; give another --out, or --force to replace them")


def _choose_system(
    options: argparse.Namespace, choice: ColumnChoice, examples: list[Example], proposal: Proposal
) -> tuple[list[Example], str | None]:
    """The rows with the system turn that the user gave, or one that says the answer's form where nothing else does."""
    if options.system is not None:
        bare = [[turn for turn in row.prompt if turn["role"] != "system"] for row in examples]
        first = [{"role": "system", "content": options.system}] if options.system else []
        return [replace(row, prompt=[*first, *turns]) for row, turns in zip(examples, bare, strict=True)], None
    told_already = choice.form is not None or len(choice.prompt) > 1
    if told_already or choice.prompt[0].lower().startswith(("instru", "prompt")) or not choice.reference:
        return examples, None
    return instruct(examples, proposal.kinds, proposal)


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder beside the place to be, that is gone afterwards."""
    parent = folder.resolve().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=".init-", dir=parent))
    except OSError as error:
        raise UserError(f"--out: {parent} cannot be written ({error.strerror})") from None
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _write_files(folder: Path, files: Mapping[str, Any]) -> None:
    from grpo.data.rows import write_rows

    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        elif isinstance(content, str):
            (folder / name).write_text(content, encoding="utf-8")
        else:
            write_rows(folder / name, content)


def _keep(staged: Path, folder: Path, names: list[str]) -> None:
    """Move the proven files to their place, the config last: where it stands, all of it does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        if (staged / FOLDER).is_dir():
            os.replace(staged / FOLDER, folder / FOLDER)
            names = [name for name in names if Path(name).parent == Path()]
        for name in sorted(names, key=lambda name: name.endswith(".yaml")):
            os.replace(staged / name, folder / name)
        for name in FILES:
            if name not in names:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be written ({error.strerror})") from None
