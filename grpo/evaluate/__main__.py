"""The policy's answers to held-out rows: those of a run's stages, and of any model by `python -m grpo.evaluate`."""

from __future__ import annotations

import argparse
import io
import sys
import time
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks.interrupt import terminable
from grpo.distributed.collectives import on_main
from grpo.distributed.first_process import complain, only_first_process_prints
from grpo.distributed.launch import launch, starts_processes
from grpo.distributed.process_group import ProcessLost, join, process_group
from grpo.distributed.rank import find_rank
from rewards.errors import UserError
from rewards.screen.command_line import (
    DONE,
    INTERRUPTED,
    CommandParser,
    add_overrides,
    end_process,
    print_json,
    refuse_idle,
    run_command,
)

if TYPE_CHECKING:
    from callbacks.progress import Progress
    from grpo.config.run_config import RunConfig
    from grpo.evaluate.journal import Journal
    from grpo.evaluate.request import Inputs


EXAMPLES = """\
MODEL is a model on the Hub, a local folder, the folder of a LoRA adapter (merged into its base, unless that is loaded
in 4 bits), the folder of a finished run (its best policy, its config, its held-out rows), or URL#MODEL of a server with
OpenAI's chat completions (its key in OPENAI_API_KEY).

examples:
  python -m grpo.evaluate --model runs/v4_1 --out evaluations/v4_1
  python -m grpo.evaluate --model runs/v4_1 --task extraction --prompt "Chegou em dois dias, nota 10!"
  python -m grpo.evaluate --model Polygl0t/Tucano2-qwen-0.5B-Instruct --data runs/v4_1 --config v4_1 --out evaluations/zero_shot
  python -m grpo.evaluate --model adapters/stage2 --data rows/test.jsonl --config qwen3_8b --samples 8 --set evaluation.temperature=0.7
  python -m grpo.evaluate --model http://127.0.0.1:8000/v1#qwen --data runs/v4_1 --config v4_1 --out evaluations/served
  python -m grpo.evaluate --model runs/v4_1 --out evaluations/v4_1 --resume
  python -m grpo.evaluate --model runs/v4_1 --data rows/large.jsonl --out evaluations/large --processes 8
  torchrun --nproc_per_node 8 -m grpo.evaluate --model runs/v4_1 --data rows/large.jsonl --out evaluations/large
  python -m grpo.compare evaluations/zero_shot evaluations/v4_1

exit codes: 0 done · 1 failed · 2 bad input · 75 interrupted or out of disk, resume with --resume
"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: _run_together(arguments), complain)


def _run_together(arguments: list[str] | None) -> int:
    from grpo.engines.engine import EngineFailed
    from grpo.evaluate.journal import WritingFailed

    with only_first_process_prints():
        options = make_parser().parse_args(arguments)
    if options.task is not None and options.prompt is None:
        raise UserError("--task: only for --prompt; rows carry their own task, so choose the rows with --data instead")
    if options.prompt is not None:
        why = "not with --prompt, whose one answer is printed; leave it out"
        refuse_idle(options, why, data=None, out=None, samples=1, limit=None, resume=False)
    if options.processes is not None and starts_processes(options.processes):
        if options.prompt is not None:
            raise UserError("--processes: one prompt is answered by one process; leave it out")
        return launch("grpo.evaluate", sys.argv[1:] if arguments is None else arguments, options.processes)
    try:
        with terminable(), process_group():
            return run(options)
    except ProcessLost:
        complain(
            "error: another process has died, its own output says why; the rows so far are kept, resume with --resume"
        )
        return INTERRUPTED
    except (WritingFailed, EngineFailed) as error:
        complain(f"error: {error}")
        return INTERRUPTED
    except KeyboardInterrupt as stop:
        # All processes got the signal: nobody waits for another to say so.
        if not find_rank().local:
            print(str(stop) or "stopped before the first answer", file=sys.stderr, flush=True)
        return INTERRUPTED


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.evaluate",
        "Answer rows with any model and write every metric of the answers, row by row.",
        EXAMPLES,
    )
    parser.add_argument(
        "--model", required=True, help="a Hub name, a model's or adapter's folder, a run, or URL#MODEL of a server"
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", help="answer this one prompt and print the answer (-: standard input)"
    )
    parser.add_argument("--task", help="with --prompt: the task of the run that it is asked as")
    parser.add_argument("--data", help="a JSON Lines file, or a run for its held-out rows (default: the config's)")
    parser.add_argument("--config", help="a YAML file or shipped name: rewards and sampling (default: the run's own)")
    add_overrides(parser)
    parser.add_argument(
        "--profile", choices=("auto", "gpu", "small", "embedded"), default="gpu",
        help="overlay of --config; gpu (the default): the recipe as it is written, on any machine",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where it is written (default: evaluations/<model>-<data>)"
    )
    parser.add_argument("--samples", type=int, default=1, metavar="K", help="answers to each row (1)")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="only the first N rows; of a file with a column split, N of each"
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="share the rows among N processes: GPUs, or cores of a processor"
    )
    parser.add_argument("--resume", action="store_true", help="resume the evaluation in --out where it was interrupted")
    parser.add_argument("--json", action="store_true", help="print evaluation.json, and nothing else")
    parser.add_argument("--quiet", action="store_true", help="only warnings and the last line")
    return parser


def run(options: argparse.Namespace) -> int:
    from callbacks.progress import Progress
    from grpo.evaluate.journal import Journal
    from grpo.evaluate.request import prepare
    from grpo.machine.environment import prepare_threads

    if options.prompt is not None:
        from grpo.evaluate.single_prompt import answer_prompt

        return answer_prompt(options)
    rank = find_rank()
    quiet, stream = options.quiet or options.json, sys.stderr if options.json else None
    # What another process would show is what the first one shows.
    progress = Progress(quiet=quiet, stream=stream) if rank.is_main else Progress(quiet=True, stream=io.StringIO())
    inputs = prepare(options, rank.count)
    threads = prepare_threads(inputs.config.threads)
    device = "cpu" if inputs.source.kind == "endpoint" else _find_device(inputs.config)
    join(device)
    with inputs.host:
        folder = options.out or Path("evaluations") / f"{inputs.source.name}-{_name_data(options.data)}"
        journal = Journal(folder)
        described = {"name": folder.resolve().name, **inputs.to_json()}
        on_main(lambda: journal.resume(described, inputs.keys()) if options.resume else journal.claim())
        try:
            if inputs.rows.unrewarded:
                progress.warn(
                    f"{inputs.rows.unrewarded} rows are of a task that no reward function is for; their reward is none"
                )
            if on_main(lambda: journal.done) < inputs.rows.count * inputs.settings.samples:
                # What libraries print must not stand in the JSON.
                with redirect_stdout(sys.stderr) if options.json else nullcontext():
                    _answer_all(inputs, journal, folder, progress, threads, device)
            summary = on_main(lambda: _summarise(inputs, journal, folder))
        except KeyboardInterrupt:
            if journal.begun or not rank.is_main:
                raise KeyboardInterrupt("stopped; the rows so far are kept, resume with --resume") from None
            raise
        finally:
            journal.close()
    if rank.is_main:
        _show(summary, folder, progress, as_json=options.json)
    return DONE


def _answer_all(inputs: Inputs, journal: Journal, folder: Path, progress: Progress, threads: int, device: str) -> None:
    """Load the policy and answer what the journal lacks."""
    from grpo.evaluate.backends import choose, open_writer

    rank, rows = find_rank(), inputs.rows
    if inputs.source.kind == "endpoint":
        progress.say(f"asking {inputs.source.location}")
    else:
        choose(inputs.config).prepare()
        _prepare_torch(threads)
        several = f", {rank.count} processes" if rank.count > 1 else ""
        progress.say(f"loading {inputs.source.location} on {device}{several}")
    from grpo.evaluate.windows import answer_rows, measure_prompts

    with open_writer(inputs.source, inputs.config, device) as writer:
        with progress.stage("prompts", rows.count, unit="rows") as bar:
            longest = measure_prompts(writer, rows, inputs.settings, bar)
        writer.start(longest)
        if writer.note:
            progress.warn(writer.note)
        # Described again: which commit of a Hub model it is may be known only now that it was loaded.
        on_main(lambda: journal.start({"name": folder.resolve().name, **inputs.to_json()}))
        done, started = on_main(lambda: journal.done + len(journal.waiting)), time.perf_counter()
        try:
            total = rows.count * inputs.settings.samples
            with progress.stage("evaluation", total, unit="answers", done=done) as bar:
                errors = answer_rows(inputs, writer, journal, bar)
        finally:
            if rank.is_main:
                answers, seconds = journal.done + len(journal.waiting) - done, time.perf_counter() - started
                journal.note_timing({"answers": answers, "seconds": round(seconds, 1), "processes": rank.count})
    for name, count in errors.items():
        progress.warn(f"{name} could not be measured on {count} answers; they are left out of it")


def _prepare_torch(threads: int) -> None:
    import torch

    from grpo.engines.packages import quieten_libraries

    quieten_libraries()
    torch.set_num_threads(threads)


def _summarise(inputs: Inputs, journal: Journal, folder: Path) -> dict[str, Any]:
    from grpo.evaluate.markdown import write_markdown
    from grpo.evaluate.summary import summarise_rows
    from grpo.machine.environment import describe

    summary = {
        "name": folder.resolve().name,
        **inputs.to_json(),
        "finished": True,
        **summarise_rows(journal.read(), inputs.settings.samples),
        "environment": describe(),
    }
    journal.finish(summary, write_markdown(summary))
    return summary


def _show(summary: dict[str, Any], folder: Path, progress: Any, *, as_json: bool) -> None:
    from grpo.evaluate.markdown import describe_counts
    from grpo.evaluate.summary import estimates_by_function, estimates_by_task

    if as_json:
        print_json(summary)
        return
    estimates = estimates_by_task(summary["results"])
    if estimates:
        functions = estimates_by_function(summary["results"])
        progress.show_evaluation(f"reward of {summary['name']}", estimates, functions=functions)
    for name, cell in summary["results"].get("all", {}).items():
        if name != "reward" and "/" not in name and "." not in name:
            ends = "" if cell["low"] is None else f"  {cell['low']:.4f} to {cell['high']:.4f}"
            progress.say(f"  {name:18} {cell['value']:.4f}{ends}  n {cell['n']}")
    for name, text in describe_counts(summary["counts"]):
        progress.say(f"  {name}: {text}")
    for failure in summary["failures"]:
        progress.say(f"  failure: {failure['kind']}, {failure['count']}")
    progress.say(f"everything is in {folder}; read {folder / 'evaluation.md'}", always=True)


def _name_data(data: str | None) -> str:
    return "held_out" if data is None or Path(data).is_dir() else Path(data).stem


def _find_device(config: RunConfig) -> str:
    """ "cuda", "mps" or "cpu"; UserError where there are more processes than devices, which would share one's memory."""
    from grpo.machine.device import choose_device

    device = choose_device(config.model.device, "gpu" if config.model.embedded else "small")
    if device.kind == "cuda" and find_rank().local_count > device.count:
        raise UserError(
            f"device: {find_rank().local_count} processes on {device.count} CUDA devices; start torchrun with "
            f"--nproc_per_node {device.count}"
        )
    return device.kind


if __name__ == "__main__":
    end_process(main())
