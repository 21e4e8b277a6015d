"""The command `python -m grpo.export`: a trained policy as files that answer anywhere, proved against its run."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rewards.errors import UserError
from rewards.screen.command_line import DONE, CommandParser, print_json, run_command

if TYPE_CHECKING:
    from callbacks.progress import Progress
    from grpo.export.export import Exported, Request

EXAMPLES = """\
RUN is the folder of a run (its best policy), of a model or of an adapter, or a model on the Hub.

formats: adapter (as it is), safetensors (merged), gguf-f32, gguf-f16, gguf-bf16, gguf-q8_0; merged and gguf are short
for safetensors and gguf-f16. Without --format: the adapter where there is one, safetensors, gguf-f16 and gguf-q8_0.

examples:
  python -m grpo.export runs/v4_1 --to exports/v4_1
  python -m grpo.export runs/v4_1 --sft --to exports/warmup --format safetensors
  python -m grpo.export runs/v4_1 --step 400 --to exports/step400 --format gguf-q8_0
  python -m grpo.export runs/v4_1 --to exports/v4_1 --dtype bfloat16 --push my-org/v4_1
  python -m grpo.export runs/sql --add runs/json=0.5 --to exports/both
  python -m grpo.export runs/v4_1 --to exports/quick --proof-rows 0
  python -m grpo.export runs/v4_1 --to exports/served --format safetensors --vllm
  python -m grpo.chat exports/v4_1

exit codes: 0 done · 1 the check or the proof failed, or no space: nothing is left · 2 bad input
"""
SHORT = {
    "f32": "gguf-f32",
    "merged": "safetensors",
    "gguf": "gguf-f16",
    "f16": "gguf-f16",
    "bf16": "gguf-bf16",
    "q8_0": "gguf-q8_0",
}


def main(arguments: list[str] | None = None) -> int:
    """The command `python -m grpo.export`; returns the exit code."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.export",
        "Write a trained policy as files for transformers, vLLM, llama.cpp and Ollama, and prove that they answer as it did.",
        EXAMPLES,
    )
    parser.add_argument("model", metavar="RUN", help="a run, a model's or adapter's folder, or a Hub name")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder for the files")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--best", action="store_true", help="the best policy of the run (the default)")
    which.add_argument("--sft", action="store_true", help="what the SFT warm-up left")
    which.add_argument("--step", type=int, metavar="N", help="the checkpoint of step N")
    parser.add_argument(
        "--format", dest="formats", action="append", metavar="FORMAT", help="what to write (repeatable, or with commas)"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="type of the merged weights (default: as they were trained)"
    )
    parser.add_argument(
        "--proof-rows", type=int, default=64, metavar="N", help="held-out rows that the files must answer (64; 0: none)"
    )
    parser.add_argument("--vllm", action="store_true", help="prove the merged model in vLLM too, where it is installed")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="what merges and answers"
    )
    parser.add_argument(
        "--add", action="append", default=[], metavar="RUN[=W]", help="add another run's adapter, W times (1); same base only"
    )  # fmt: skip
    parser.add_argument("--push", metavar="ORG/NAME", help="send the files to this repository on the Hub, private")
    parser.add_argument("--public", action="store_true", help="with --push: a public repository")
    parser.add_argument("--json", action="store_true", help="print export.json, and nothing else")
    parser.add_argument("--quiet", action="store_true", help="only warnings and the last lines")
    return parser


def run(options: argparse.Namespace) -> int:
    from callbacks.interrupt import terminable
    from callbacks.progress import Progress
    from grpo.export.adding import read_added
    from grpo.export.choice import choose
    from grpo.export.export import export
    from grpo.export.push import check_name, push

    formats = read_formats(options.formats)
    if options.proof_rows < 0:
        raise UserError(f"--proof-rows {options.proof_rows}: give 0 or more")
    if options.vllm and not options.proof_rows:
        raise UserError("--vllm: is a proof; give --proof-rows 1 or more")
    if options.public and not options.push:
        raise UserError("--public: requires --push")
    _require_packages()
    if options.push:
        check_name(options.push)
    part = "sft" if options.sft else ("best" if options.best else None)
    choice = choose(options.model, step=options.step, part=part)
    added = [read_added(text, choice) for text in options.add]
    if added:
        # No run has judged the sum: it is held against itself, unmerged.
        choice = replace(choice, step=None, stage=None)
    progress = Progress(quiet=options.quiet or options.json, stream=sys.stderr if options.json else None)
    request = _make_request(options, choice, formats)
    request = replace(request, added=added, vllm=options.vllm, repository=options.push)
    # What libraries print must not stand in the JSON.
    with terminable(), redirect_stdout(sys.stderr) if options.json else nullcontext():
        result = export(request, progress)
    for note in result.notes:
        progress.say(note, always=not options.json)
    if options.push:
        address = push(result.folder, options.push, public=options.public, say=progress.say)
        progress.say(f"sent to {address}", always=not options.json)
        result.record["pushed"] = address
    _show(result, progress, as_json=options.json)
    return DONE


def read_formats(given: list[str] | None) -> list[str] | None:
    """The formats by their full names, each once; UserError for one that is not known."""
    from grpo.export.export import FORMATS
    from rewards.screen.nearest import nearest

    if given is None:
        return None
    names = [SHORT.get(word.strip(), word.strip()) for text in given for word in text.split(",") if word.strip()]
    if "all" in names:
        names = list(FORMATS)
    wrong = [name for name in names if name not in FORMATS]
    if wrong or not names:
        word = wrong[0] if wrong else ""
        raise UserError(f"--format {word}: not a format{nearest(word, [*FORMATS, *SHORT, 'all'])}")
    return list(dict.fromkeys(names))


def _require_packages() -> None:
    from grpo.engines.packages import is_installed

    if missing := [name for name in ("torch", "transformers", "peft", "safetensors") if not is_installed(name)]:
        raise UserError(f"exporting needs {', '.join(missing)}: pip install torch==2.13.0 && pip install -e '.[train]'")


def _make_request(options: argparse.Namespace, choice: object, formats: list[str] | None) -> Request:
    from grpo.engines.packages import quieten_libraries
    from grpo.export.choice import PolicyToExport
    from grpo.export.held_rows import Request
    from grpo.machine.device import choose_device
    from grpo.machine.environment import prepare_threads, require_torch_device

    assert isinstance(choice, PolicyToExport)
    threads = prepare_threads(choice.config.threads)
    wanted = choice.config.model.device if options.device == "auto" else options.device
    device = choose_device(wanted, "gpu" if choice.config.model.embedded else "small").kind
    require_torch_device(device)
    import torch

    quieten_libraries()
    torch.set_num_threads(threads)
    return Request(choice, options.to, formats, options.proof_rows, options.dtype, device, threads)


def _show(result: Exported, progress: Progress, *, as_json: bool) -> None:
    if as_json:
        print_json(result.record)
        return
    for title, line in result.record["serve"]:
        progress.say(f"{title}: {line}")
    proved = [proof for proof in result.proofs if proof.passed]
    said = f"proved: {', '.join(proof.file for proof in proved)}" if proved else "not proved"
    progress.say(f"exported to {result.folder} ({said}); read {result.folder / 'README.md'}", always=True)


if __name__ == "__main__":
    sys.exit(main())
