"""The policy's answers to held-out rows: those of a run's stages, and of any model by `python -m grpo.evaluate`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks.config import EvaluationSection
from rewards.errors import RecompensaError, UserError
from rewards.types import Completion, Example

if TYPE_CHECKING:
    from grpo.evaluation.inputs import Inputs
    from grpo.evaluation.journal import Journal
    from grpo.policy import Policy

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 75

EXAMPLES = """\
MODEL is a model on the Hub, a local folder, the folder of a LoRA adapter (merged into its base), or the folder of a
finished run (its best policy, its config, its held-out rows).

examples:
  python -m grpo.evaluate --model runs/v4_1 --out evaluations/v4_1
  python -m grpo.evaluate --model Polygl0t/Tucano2-qwen-0.5B-Instruct --data runs/v4_1 --config v4_1 --out evaluations/zero_shot
  python -m grpo.evaluate --model adapters/stage2 --data rows/test.jsonl --config qwen3_8b --samples 8 --set evaluation.temperature=0.7
  python -m grpo.evaluate --model runs/v4_1 --out evaluations/v4_1 --resume
  python -m grpo.compare evaluations/zero_shot evaluations/v4_1

exit codes: 0 done · 1 failed · 2 bad input · 75 interrupted, go on with --resume
"""


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        return run(options)
    except UserError as error:
        print("\n".join(f"error: {line}" for line in error.problems), file=sys.stderr)
        return BAD_INPUT
    except RecompensaError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("stopped; the rows so far are kept, go on with --resume", file=sys.stderr)
        return INTERRUPTED


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m grpo.evaluate",
        description="Answer rows with any model and write every metric of the answers, row by row.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="a Hub name, a model's or adapter's folder, or a run")
    parser.add_argument("--data", help="a JSON Lines file, or a run for its held-out rows (default: the config's)")
    parser.add_argument("--config", help="a YAML file or shipped name: rewards and sampling (default: the run's own)")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting (repeatable)",
    )
    parser.add_argument(
        "--profile", choices=("auto", "gpu", "embedded"), default="gpu",
        help="overlay of --config; gpu (the default): the recipe as it is written, on any machine",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where it is written (default: evaluations/<model>-<data>)"
    )
    parser.add_argument("--samples", type=int, default=1, metavar="K", help="answers to each row (1)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N rows")
    parser.add_argument("--resume", action="store_true", help="go on where an evaluation in --out was interrupted")
    parser.add_argument("--json", action="store_true", help="print evaluation.json, and nothing else")
    parser.add_argument("--quiet", action="store_true", help="only warnings and the last line")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    from callbacks.progress import Progress
    from grpo.evaluation.inputs import prepare
    from grpo.evaluation.journal import Journal

    inputs = prepare(options)
    with inputs.host:
        folder = options.out or Path("evaluations") / f"{inputs.source.name}-{_name_data(options.data, inputs)}"
        journal = Journal(folder)
        described = {"name": folder.resolve().name, **inputs.to_json()}
        journal.resume(described) if options.resume else journal.claim()
        progress = Progress(quiet=options.quiet or options.json, stream=sys.stderr if options.json else None)
        if inputs.unrewarded:
            progress.warn(
                f"{inputs.unrewarded} rows are of a task that no reward function is for; their reward is none"
            )
        from grpo.environment import prepare_threads

        threads = prepare_threads(inputs.config.threads)
        seconds = _answer_all(inputs, journal, described, progress, threads)
        summary = _summarise(inputs, journal, described, seconds)
    _show(summary, folder, progress, as_json=options.json)
    return DONE


def _answer_all(inputs: Inputs, journal: Journal, described: dict[str, Any], progress: Any, threads: int) -> float:
    """Answer what the journal lacks, batch by batch; a batch of which rows are missing is generated as a whole.

    So no answer depends on where an evaluation was interrupted, not even by rounding.
    """
    wanted = {(e.task, e.id, sample) for e in inputs.examples for sample in range(inputs.settings.samples)}
    if wanted <= journal.rows.keys():
        return 0.0
    _require_torch()
    import torch

    from grpo.evaluation.answers import answer_batch, find_fallback, plan_batches
    from grpo.evaluation.inputs import check_lengths
    from grpo.evaluation.measures import Measurer
    from grpo.evaluation.source import load_source
    from grpo.run import quieten_libraries

    quieten_libraries()
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    progress.say(f"loading {inputs.source.location} on {device}")
    policy = load_source(inputs.source, inputs.config, device)
    settings, measurer = inputs.settings, Measurer()
    prompts = [policy.prompts.prompt_ids(example.prompt) for example in inputs.examples]
    check_lengths(prompts, inputs.examples, settings, policy.model.config.get_text_config().max_position_embeddings)
    if reason := find_fallback(policy):
        progress.warn(f"answers are written by transformers, slower and batch by batch: {reason}")
    batches = plan_batches(
        [len(prompt) for prompt in prompts], batch_size=inputs.config.evaluation.batch_size, samples=settings.samples
    )
    journal.start(described)
    started = time.perf_counter()
    with progress.stage("evaluation", len(wanted), unit="answers", done=len(journal.rows)) as bar:
        for batch in batches:
            examples = [inputs.examples[index] for index in batch]
            missing = [
                (e.task, e.id, sample)
                for e in examples
                for sample in range(settings.samples)
                if (e.task, e.id, sample) not in journal.rows
            ]
            if not missing:
                continue
            answers = answer_batch(policy, examples, [prompts[index] for index in batch], settings)
            pairs = [
                (example, answer) for example, given in zip(examples, answers, strict=True) for answer in given
            ]  # fmt: skip
            scored = inputs.host.score([(example, answer.completion) for example, answer in pairs])
            records = [
                _record(inputs.host, measurer, score, answer.tokens, place % settings.samples)
                for place, (score, (_, answer)) in enumerate(zip(scored, pairs, strict=True))
            ]
            journal.append(records)
            rewards = [row["reward"] for row in journal.rows.values() if row["reward"] is not None]
            bar.advance(len(missing), reward=sum(rewards) / len(rewards) if rewards else None)
    for name, count in measurer.errors.items():
        progress.warn(f"{name} could not be measured on {count} answers; they are left out of it")
    return time.perf_counter() - started


def _record(host: Any, measurer: Any, scored: Any, tokens: int, sample: int) -> dict[str, Any]:
    """The stored-completion row with what an evaluation adds."""
    from grpo.evaluation.failures import name_failure
    from grpo.evaluation.stripping import strip_answer

    example, completion = scored.example, scored.completion
    completion.extraction  # noqa: B018 - read here so that the row names the repairs whatever the rewards looked at
    row = host.to_record(scored)
    metrics = measurer.measure(example, completion, row["scores"])
    return {
        **row,
        "repairs": row["repairs"] if "parse" in metrics else [],
        "stage": "evaluation",
        "step": 0,
        "sample": sample,
        "tokens": tokens,
        "metrics": metrics,
        "stripped": list(strip_answer(completion.text).kinds),
        "failure": name_failure(example, completion, scored.reward, metrics),
    }


def _summarise(inputs: Inputs, journal: Journal, described: dict[str, Any], seconds: float) -> dict[str, Any]:
    from grpo.environment import describe
    from grpo.evaluation.summary import summarise_rows, write_markdown

    order = [(e.task, e.id, sample) for e in inputs.examples for sample in range(inputs.settings.samples)]
    rows = [journal.rows[key] for key in order]
    summary = {
        **described,
        "finished": True,
        **summarise_rows(rows, inputs.settings.samples),
        "environment": describe(),
        "seconds": round(seconds, 1),
    }
    journal.finish(order, summary)
    journal.write_text("evaluation.md", write_markdown(summary))
    return summary


def _show(summary: dict[str, Any], folder: Path, progress: Any, *, as_json: bool) -> None:
    from grpo.evaluation.summary import describe_counts, estimates_by_task

    if as_json:
        import orjson

        sys.stdout.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    estimates = estimates_by_task(summary["results"])
    if estimates:
        progress.show_evaluation(f"reward of {summary['name']}", estimates)
    for name, cell in summary["results"].get("all", {}).items():
        if name != "reward" and "/" not in name and "." not in name:
            progress.say(f"  {name:18} {cell['value']:.4f}  n {cell['n']}")
    for name, text in describe_counts(summary["counts"]):
        progress.say(f"  {name}: {text}")
    for failure in summary["failures"]:
        progress.say(f"  failure: {failure['kind']}, {failure['count']}")
    progress.say(f"everything is in {folder}; read {folder / 'evaluation.md'}", always=True)


def _name_data(data: str | None, inputs: Inputs) -> str:
    return "held_out" if data is None or Path(data).is_dir() else Path(data).stem


def _require_torch() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"evaluating needs {', '.join(missing)}: pip install torch==2.13.0 && pip install 'recompensa[train]'"
        )


def make_generate(
    policy: Policy, section: EvaluationSection, *, max_completion_length: int
) -> Callable[[Sequence[Example], Callable[[int], None]], list[Completion]]:
    """A function from examples to one completion each, in order; it calls its second argument with the rows just done.

    Its random numbers come from `section.seed` and the row, so that an evaluation neither depends on nor disturbs
    training, and is the same however many processes share it.
    """
    from grpo.evaluation.answers import Settings, answer_batch, answer_plainly, plan_batches
    from grpo.shared_prefix import supports

    settings = Settings(
        temperature=section.temperature,
        top_p=section.top_p,
        top_k=section.top_k,
        repetition_penalty=section.repetition_penalty,
        max_completion_length=section.max_completion_length or max_completion_length,
        samples=1,
        seed=section.seed,
    )
    answer_rows = answer_plainly if policy.fallback or supports(policy.model) else answer_batch

    def answer(examples: Sequence[Example], advance: Callable[[int], None]) -> list[Completion]:
        prompts = [policy.prompts.prompt_ids(example.prompt) for example in examples]
        answers: list[Completion | None] = [None] * len(prompts)
        for batch in plan_batches([len(ids) for ids in prompts], batch_size=section.batch_size, samples=1):
            rows = answer_rows(policy, [examples[i] for i in batch], [prompts[i] for i in batch], settings)
            for index, row in zip(batch, rows, strict=True):
                answers[index] = row[0].completion
            advance(len(batch))
        return answers

    return answer


if __name__ == "__main__":
    sys.exit(main())
