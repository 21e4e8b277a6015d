"""Measures the report of a long run, seconds and bytes, and what the bookkeeping of evaluations costs a short one."""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from callbacks.config import DecisionSection, EvaluationSection, TrackingSection
from callbacks.decision.tree import decide
from callbacks.evaluation.best import BestCheckpoint
from callbacks.evaluation.eval import HeldOutEvaluation, write_records
from callbacks.tracking.tracking import Tracker
from grpo.decide.history import read_history
from grpo.ladder import RUNGS
from grpo.report import write_report
from rewards.host.records import make_record
from rewards.host.verdicts import Outcome, ScoredCompletion
from rewards.types import Completion, Example

TASKS = ("extraction", "sql_qa", "insights", "push")
TEXT = (
    '{"customer": "Ana", "product": "cafeteira", "sentiment": "negativo", "sentiment_score": 1.5, "delivery_days": 12} '
)


def load_maker() -> ModuleType:
    """The tests' maker of run directories: the benchmark and the tests look at the same runs."""
    place = Path(__file__).parent.parent / "tests" / "grpo" / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("report_runs", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure_report(folder: Path, repeats: int) -> tuple[float, int, int]:
    """Seconds (the slowest of the repeats), bytes of the page, stored completions."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        page, _ = write_report(folder)
        seconds.append(time.perf_counter() - start)
    stored = sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.jsonl") if path.parent != folder)
    return max(seconds), page.stat().st_size, stored


class StoredHost:
    """Scores nothing: what is left of an evaluation is its bookkeeping."""

    def score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[ScoredCompletion]:
        return [
            ScoredCompletion(
                example,
                completion,
                tuple(
                    Outcome(
                        task,
                        "2",
                        "value" if task == example.task else "unscored",
                        0.5 if task == example.task else None,
                    )
                    for task in TASKS
                ),
                0.5 + 0.4 * (len(example.id) % 2),
            )
            for example, completion in pairs
        ]

    to_record = staticmethod(make_record)


def measure_bookkeeping(folder: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds the training's thread spends on rows, files, means, margins and trackers; and all seconds until they end."""
    folder.mkdir()
    prompt = [{"role": "system", "content": "Você é um assistente da loja."}, {"role": "user", "content": TEXT * 3}]
    examples = [Example(f"{n:04d}" + "x" * (n % 7), TASKS[n % 4], prompt, TEXT) for n in range(options.rows)]
    host, section, begun = StoredHost(), DecisionSection(), time.perf_counter()
    spent = 0.0
    with Tracker(folder, TrackingSection(wandb=options.wandb), notify=lambda _: None) as tracker:

        def log(stage: str, step: int, metrics: dict[str, Any]) -> None:
            tracker.log(metrics, stage=stage, step=step)
            name = f"step-{step:06d}" if stage == "train" else stage
            tracker.log_completions(folder / "eval" / f"{name}.jsonl", stage=stage, step=step)
            path = decide(read_history(folder / "metrics.jsonl"), section, rung=RUNGS[0], next_rung=RUNGS[1]).path
            tracker.log_margins(path, stage=stage, step=step)

        evaluation = HeldOutEvaluation(
            examples, lambda rows, *_: [Completion(TEXT) for _ in rows], host, EvaluationSection(), folder / "eval",
            log, lambda *_: None, lambda _: None, BestCheckpoint(),
        )  # fmt: skip
        group = host.score([(example, Completion(TEXT)) for example in examples[:64]])
        row = {f"metric/{number}": number / 7 for number in range(28)}
        for step in range(options.steps + 1):
            start = time.perf_counter()
            if step:
                tracker.log({**row, "reward": 0.5, "step_time": 0.6}, stage="train", step=step)
            if step and step % 10 == 0:
                path = folder / "completions" / f"step-{step:06d}.jsonl"
                write_records(
                    path,
                    (
                        {**make_record(one), "stage": "train", "step": step, "group": 0, "advantage": 0.0}
                        for one in group
                    ),
                )
                tracker.log_completions(path, stage="train", step=step)
            if step % options.every == 0:
                evaluation.run("warmup" if step == 0 else "final" if step == options.steps else "train", step)
            spent += time.perf_counter() - start
    return spent, time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300, help="steps of the run whose bookkeeping is measured")
    parser.add_argument("--every", type=int, default=50, help="steps between two of its evaluations")
    parser.add_argument("--rows", type=int, default=320, help="held-out rows of an evaluation")
    parser.add_argument("--run-seconds", type=float, default=300.0, help="what such a run takes in all")
    parser.add_argument("--wandb", default="offline", choices=("offline", "off"))
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="report-benchmark-"))
    try:
        folder = load_maker().write_synthetic_run(place / "long", steps=600, stored_every=1)
        seconds, size, stored = measure_report(folder, options.repeats)
        print(f"report of 600 steps, {stored:,} stored completions: {seconds:.2f} s, {size / 1e6:.2f} MB")
        spent, whole = measure_bookkeeping(place / "short", options)
        print(
            f"bookkeeping of {options.steps} steps and {options.steps // options.every + 1} evaluations of {options.rows} rows "
            f"(W&B {options.wandb}): {spent:.2f} s in the training's thread, {100 * spent / options.run_seconds:.2f} % of a run of "
            f"{options.run_seconds:.0f} s; {whole:.2f} s until the trackers ended"
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
