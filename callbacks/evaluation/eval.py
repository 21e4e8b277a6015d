"""The held-out evaluation: our own rows, our own means; before training, after the warm-up, every N steps, at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from callbacks.config import EvaluationSection
from callbacks.evaluation.best import BestCheckpoint
from callbacks.evaluation.endings import TaskEndings, count_endings
from callbacks.evaluation.pairs import name_evaluation_file
from callbacks.evaluation.task_scores import evaluation_metrics, function_metrics, summarise, summarise_functions
from callbacks.interrupt import Interrupted
from rewards.host.verdicts import ScoredCompletion
from rewards.statistics.estimates import Estimate
from rewards.types import Completion, Example
from rewards.writing.files import replacing
from rewards.writing.writable import to_line

Generate = Callable[[Sequence[Example], str, int, bool], list[Completion]]
"""(examples, stage, step, stoppable) to one completion each; raises `Interrupted` where a stop was asked for, if stoppable."""


class Host(Protocol):
    """What scores completions: a `RewardHost`, or one whose work several processes share."""

    def score(self, pairs: Sequence[tuple[Example, Completion]]) -> Sequence[ScoredCompletion]: ...

    def to_record(self, scored: ScoredCompletion) -> dict[str, Any]: ...


@dataclass
class HeldOutEvaluation:
    """Scores the policy on held-out rows and keeps every row it scored.

    `generate` answers each example once at the section's settings; `on_metrics(stage, step, metrics)` receives the
    numbers, `on_estimates` those of the tasks and of the functions, and how the completions ended; `on_best(step)` is
    called when this step is the best so far, by the held-out mean with a floor a task. Without a `directory` no row is kept.
    """

    examples: Sequence[Example]
    generate: Generate
    host: Host
    section: EvaluationSection
    directory: Path | None
    on_metrics: Callable[[str, int, dict[str, Any]], None]
    on_estimates: Callable[[str, int, dict[str, Estimate], dict[str, Estimate], dict[str, TaskEndings]], None]
    on_best: Callable[[int], None]
    best: BestCheckpoint

    def run(self, stage: str, step: int, *, stoppable: bool = True) -> dict[str, Estimate]:
        """Evaluate now. `stage` is `before`, `warmup`, `train`, `final` or `judged`; the same rows each time.

        Raises `Interrupted` between two batches of answers, before anything is written, where a stop was asked for.
        """
        completions = self.generate(self.examples, stage, step, stoppable)
        scored = self.host.score(list(zip(self.examples, completions, strict=True)))
        self._write(stage, step, scored)
        estimates = summarise([(s.example.task, s.reward) for s in scored])
        functions = summarise_functions(scored)
        metrics = {**evaluation_metrics(estimates), **function_metrics(functions)}
        metrics["eval/truncated_ratio"] = sum(c.truncated for c in completions) / max(1, len(completions))
        if self.section.stop_repetition is not None:
            metrics["eval/repeated_ratio"] = sum(c.repeated for c in completions) / max(1, len(completions))
        metrics["eval/unscored"] = sum(s.reward is None for s in scored)
        rewards = {(s.example.task, s.example.id): s.reward for s in scored}
        if stage in ("train", "final") and (noise := self.best.measure_noise(rewards)) is not None:
            metrics["eval/noise"] = noise
        self.on_metrics(stage, step, metrics)
        endings = count_endings(
            (example.task, written.truncated, written.repeated)
            for example, written in zip(self.examples, completions, strict=True)
        )
        self.on_estimates(stage, step, estimates, functions, endings)
        if stage == "warmup":
            self.best.start(estimates, rewards)
        elif stage in ("train", "final") and self.best.consider(step, estimates, rewards).is_best:
            self.on_best(step)
        return estimates

    def _write(self, stage: str, step: int, scored: Sequence[Any]) -> None:
        if self.directory is None:
            return
        write_records(
            self.directory / name_evaluation_file(stage, step),
            ({**self.host.to_record(s), "stage": stage, "step": step} for s in scored),
        )


def write_records(path: Path, records: Any) -> None:
    """Write JSON Lines so that the file is either complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        for record in records:
            file.write(to_line(record))


def make_callback(
    evaluation: HeldOutEvaluation, *, max_steps: int, every: int = 1, postpone: Callable[[int], None] | None = None
) -> Any:
    """A transformers callback that evaluates every `section.every_steps` steps; the last step is left to `final`.

    A stop ends an evaluation too, where the step can be a checkpoint's, one of `every`: training ends with one, and
    `postpone(step)` is told that this evaluation is still to come.
    """
    from transformers import TrainerCallback

    class EvaluateEverySteps(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            step = state.global_step
            if step % evaluation.section.every_steps == 0 and step < max_steps:
                try:
                    evaluation.run("train", step, stoppable=postpone is not None and step % every == 0)
                except Interrupted:
                    assert postpone is not None
                    postpone(step)
                    control.should_save = control.should_training_stop = True
            return control

    return EvaluateEverySteps()
