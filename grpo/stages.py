"""The stages that need torch: make the policy, warm it up, train it, evaluate it. `grpo/run.py` lists them in order."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from callbacks import interrupt
from callbacks.best import BestCheckpoint
from callbacks.eval import HeldOutEvaluation, write_records
from callbacks.eval import make_callback as make_evaluation_callback
from callbacks.progress import Progress
from callbacks.task_scores import Estimate
from callbacks.tracking import Tracker
from grpo import environment
from grpo.config import RunConfig
from grpo.inputs import Inputs
from grpo.policy import Policy, load_policy, resolve_dtype
from grpo.run_directory import RunDirectory
from grpo.tokens import training_texts
from rewards.errors import UserError
from rewards.scoring import RewardHost
from rewards.types import Example
from sft_warmup.dataset import label_rows


class Interrupted(Exception):
    """A stop was asked for and a checkpoint is on disk."""


@dataclass
class Stages:
    """Everything the stages share."""

    config: RunConfig
    inputs: Inputs
    host: RewardHost
    directory: RunDirectory
    tracker: Tracker
    progress: Progress
    interruption: interrupt.Interruption
    device: str
    policy: Policy | None = None

    def __post_init__(self) -> None:
        self.best = BestCheckpoint(self.config.evaluation.task_floor_margin)
        self.effective: dict[str, Any] = {}
        self._previous: dict[str, Estimate] | None = None
        self._trainer: Any = None

    # -- the policy ------------------------------------------------------------------------------------------------

    def make_policy(self) -> None:
        """Make or load the policy, and check that SFT, GRPO and evaluation render its prompts alike."""
        self.policy = load_policy(
            self.config.model, texts=training_texts(self.inputs.taught), seed=self.config.seed, device=self.device
        )
        self._check_prompts()

    def restore_policy(self, checkpoint: Path | None = None) -> None:
        """Load what `checkpoint` holds, or what the warm-up left; the untrained policy where there was no warm-up."""
        source = checkpoint or (self.directory.sft if self.directory.sft.is_dir() else None)
        if source is None or self.config.model.lora is not None:
            self.make_policy()
        if source is None:
            return
        if self.config.model.lora is not None:
            from peft import load_peft_weights, set_peft_model_state_dict

            set_peft_model_state_dict(self.policy.model, load_peft_weights(str(source), device=self.device))
            return
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(source, dtype=resolve_dtype(self.config.model, self.device))
        self.policy = Policy(model.to(self.device), AutoTokenizer.from_pretrained(source))
        self._check_prompts()

    def replay_best(self) -> None:
        """Recall which evaluation was the best from the metrics that were kept."""
        self.best.replay(self._recorded())

    def was_evaluated(self, stage: str) -> bool:
        return any(row["stage"] == stage and "eval/mean_reward" in row for row in self._recorded())

    def _recorded(self) -> list[dict[str, Any]]:
        path = self.directory.path / "metrics.jsonl"
        return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []

    def _check_prompts(self) -> None:
        for example in {e.task: e for e in reversed(self.inputs.train)}.values():
            if example.reference is not None:
                self.policy.prompts.check(example.prompt, example.reference, where=f"task {example.task}")

    # -- the warm-up -----------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Supervised fine-tuning on demonstrations; leaves the policy in `sft/`."""
        from sft_warmup.train import make_sft_trainer

        section = self.config.sft_warmup
        rows = self.warmup_rows()
        trainer = make_sft_trainer(
            self.policy.model,
            self.policy.tokenizer,
            rows,
            section,
            directory=self.directory.path / "sft-trainer",
            seed=self.config.seed,
            device=self.device,
            bf16=self._bf16,
            gradient_checkpointing=self._checkpointing,
            callbacks=[
                interrupt.make_callback(self.interruption),
                follow := _make_follower(self._log_warmup),
            ],
        )
        start = time.perf_counter()
        with self.progress.stage("SFT warm-up", trainer.args.max_steps) as follow.bar:
            trainer.train()
        self.effective["sft"] = environment.effective_arguments(trainer.args)
        shutil.rmtree(self.directory.path / "sft-trainer", ignore_errors=True)
        if self.interruption.requested:
            raise Interrupted
        self.tracker.log_seconds(stage="warmup", step=0, stage_seconds=time.perf_counter() - start)
        self._save(self.directory.sft)

    def warmup_rows(self) -> Any:
        """The demonstrations as token rows; `UserError` when none is left."""
        conversations = (
            [*example.prompt, {"role": "assistant", "content": example.reference}] for example in self.inputs.warmup
        )
        rows, too_long = label_rows(
            conversations, self.policy.prompts.training_ids, max_tokens=self.config.model.max_sequence_length
        )
        if too_long:
            self.progress.warn(f"{too_long} demonstrations are longer than model.max_sequence_length and were left out")
        if not len(rows):
            raise UserError("sft_warmup: no demonstration is short enough; raise model.max_sequence_length")
        return rows

    def _log_warmup(self, step: int, logs: dict[str, Any]) -> None:
        if "loss" in logs:
            row = {f"sft/{key}": value for key, value in logs.items() if key != "epoch"}
            self.tracker.log({**row, "sft/step": step}, stage="warmup", step=0)

    # -- GRPO ------------------------------------------------------------------------------------------------------

    def train(self, *, resume_from: Path | None = None) -> None:
        """GRPO from the present policy, or from a checkpoint; checkpoints and the best policy are left on disk."""
        from transformers import set_seed

        from grpo.trainer import SharedPrefixTrainer, trl_arguments

        section = self.config.grpo
        set_seed(self.config.seed)
        arguments = trl_arguments(
            section,
            directory=self.directory.checkpoints,
            seed=self.config.seed,
            device=self.device,
            bf16=self._bf16,
            gradient_checkpointing=self._checkpointing,
        )
        wanted = environment.effective_arguments(arguments)
        self.policy.model.config.use_cache = True
        trainer = SharedPrefixTrainer(
            self.policy,
            self.inputs.train,
            self.host,
            arguments,
            record=self._record_completions,
            callbacks=[
                follow := _make_follower(self._log_training),
                interrupt.make_callback(self.interruption),
                make_evaluation_callback(self.evaluation(), max_steps=section.max_steps),
            ],
        )
        self._trainer = trainer
        self.effective["grpo"] = environment.effective_arguments(trainer.args)
        self.effective["changed_by_libraries"] = environment.changed_settings(wanted, self.effective["grpo"])
        for line in self.effective["changed_by_libraries"]:
            self.progress.warn(line)
        if trainer.fallback:
            self.progress.warn(f"prompts are not shared within a group: {trainer.fallback}")
        start = time.perf_counter()
        done = int(resume_from.name.rsplit("-", 1)[1]) if resume_from else 0
        with self.progress.stage("GRPO", section.max_steps, done=done) as follow.bar:
            trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        if trainer.state.global_step < section.max_steps:
            raise Interrupted
        self.tracker.log_seconds(stage="train", step=section.max_steps, stage_seconds=time.perf_counter() - start)

    def save_checkpoint(self) -> None:
        """Keep the present step, after a fault in the middle of training."""
        trainer = self._trainer
        if trainer is not None and trainer.state.global_step:
            trainer._save_checkpoint(trainer.model, None)

    def _log_training(self, step: int, logs: dict[str, Any]) -> None:
        if "loss" not in logs:
            return  # the Trainer's closing summary
        logs = {key: value for key, value in logs.items() if not key.startswith("rewards/")}
        self.tracker.log(logs, stage="train", step=step)
        seconds = {f"{name}_seconds": round(value, 4) for name, value in self._trainer.seconds.items()}
        self.tracker.log_seconds(stage="train", step=step, **seconds)
        self._trainer.seconds.clear()

    def _record_completions(
        self, step: int, scored: Sequence[Any], groups: Sequence[int], advantages: Sequence[float]
    ) -> None:
        if step % self.config.grpo.log_completions_every and step != 1:
            return
        write_records(
            self.directory.completions / f"step-{step:06d}.jsonl",
            (
                {**self.host.to_record(s), "stage": "train", "step": step, "group": group, "advantage": advantage}
                for s, group, advantage in zip(scored, groups, advantages, strict=True)
            ),
        )

    # -- evaluation ------------------------------------------------------------------------------------------------

    def evaluation(self) -> HeldOutEvaluation:
        """The held-out evaluation of the present policy."""
        from grpo.evaluate import make_generate

        self._generate = make_generate(
            self.policy, self.config.evaluation, max_completion_length=self.config.grpo.max_completion_length
        )
        return HeldOutEvaluation(
            examples=take_evenly(self.inputs.held_out, self.config.evaluation.max_examples),
            generate=self._answer,
            host=self.host,
            section=self.config.evaluation,
            directory=self.directory.evaluations,
            on_metrics=lambda stage, step, metrics: self.tracker.log(metrics, stage=stage, step=step),
            on_estimates=self._show_estimates,
            on_best=lambda step: self._save(self.directory.best),
            best=self.best,
        )

    def evaluate(self, stage: str, step: int) -> dict[str, Estimate]:
        start = time.perf_counter()
        estimates = self.evaluation().run(stage, step)
        self.tracker.log_seconds(stage=stage, step=step, evaluation_seconds=time.perf_counter() - start)
        return estimates

    def _answer(self, examples: Sequence[Example]) -> list[Any]:
        with self.progress.stage("held-out evaluation", len(examples), unit="rows") as bar:
            return self._generate(examples, bar.advance)

    def _show_estimates(self, stage: str, step: int, estimates: dict[str, Estimate]) -> None:
        titles = {"before": "before training", "warmup": "after the SFT warm-up", "final": f"at the end, step {step}"}
        self.progress.show_evaluation(
            titles.get(stage, f"step {step} of {self.config.grpo.max_steps}"),
            estimates,
            previous=self._previous,
            baseline=self.best.baseline if stage in ("train", "final") else None,
        )
        self._previous = estimates

    # -- the rest --------------------------------------------------------------------------------------------------

    @property
    def _bf16(self) -> bool:
        import torch

        return resolve_dtype(self.config.model, self.device) is torch.bfloat16

    @property
    def _checkpointing(self) -> bool:
        return self.config.model.checkpoints_gradients(self.device, self.policy.model.num_parameters())

    def _save(self, directory: Path) -> None:
        """Replace `directory` by the present policy; a reader never sees half of it for longer than two renames."""
        partial = directory.with_name(directory.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        self.policy.save(partial)
        old = directory.with_name(directory.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        if directory.exists():
            directory.rename(old)
        partial.rename(directory)
        shutil.rmtree(old, ignore_errors=True)


def take_evenly(rows: Sequence[Example], wanted: int | None) -> list[Example]:
    """At most `wanted` rows, spread evenly over the file, so that every task keeps its share."""
    if wanted is None or wanted >= len(rows):
        return list(rows)
    return [rows[index * len(rows) // wanted] for index in range(wanted)]


def _make_follower(on_log: Callable[[int, dict[str, Any]], None]) -> Any:
    """A transformers callback that moves the bar of its stage (`bar`, set once the stage is open) and hands logs on."""
    from transformers import TrainerCallback

    class Follow(TrainerCallback):
        bar: Any = None

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            logs = logs or {}
            on_log(state.global_step, logs)
            shown = "reward" if "reward" in logs else "loss"
            if shown in logs:
                self.bar.advance(state.global_step - self.bar.done, **{shown: logs[shown]})

    return Follow()
