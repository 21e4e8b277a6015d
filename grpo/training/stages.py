"""The stages that need torch: make the policy, warm it up, train it, evaluate it. `grpo/run.py` lists them in order."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from callbacks import interrupt
from callbacks.config import EvaluationSection
from callbacks.evaluation.eval import HeldOutEvaluation
from callbacks.evaluation.eval import make_callback as make_evaluation_callback
from callbacks.evaluation.judged import JUDGED
from callbacks.interrupt import Interrupted
from callbacks.progress import Progress
from callbacks.tracking.tracking import Tracker
from callbacks.watch import watch
from grpo.config.run_config import RunConfig
from grpo.config.sections import GrpoSection
from grpo.data.run_rows import RunRows
from grpo.distributed import collectives, sharding, stand_ins
from grpo.distributed import rank as ranks
from grpo.engines.choose import choose_engine
from grpo.engines.engine import Engine
from grpo.lifecycle.run_directory import ANSWERED, RunDirectory, read_step
from grpo.machine import environment
from grpo.machine.device import measure_peak_memory
from grpo.machine.repeatable import repeatable
from grpo.policy.counting import count_weights
from grpo.policy.loading import Policy, resolve_dtype
from grpo.policy.tokenizer import training_texts
from grpo.training import recorder, zero3
from grpo.training.answered import Answered, mark_weights
from grpo.training.endings import Stopped
from grpo.training.follower import make_follower
from grpo.training.held_out import choose_rows
from grpo.training.kept_policy import copy_folder, describe_policy, replace_folder
from grpo.training.postponed import Postponed
from grpo.training.postponed import make_callback as make_catch_up
from grpo.training.row_order import make_callback as make_row_order
from rewards.errors import UserError
from rewards.host.scoring import RewardHost
from rewards.statistics.estimates import Estimate
from rewards.types import Example
from rewards.writing.manifests import find_damage


@dataclass
class Stages:
    """The state that all stages share."""

    config: RunConfig
    inputs: RunRows
    host: RewardHost
    directory: RunDirectory
    tracker: Tracker
    progress: Progress
    interruption: interrupt.Interruption
    device: Literal["cuda", "mps", "cpu"]
    engine: Engine | None = None

    def __post_init__(self) -> None:
        self.policy: Policy  # once it is made or restored
        self._engine = self.engine or choose_engine(self.config.model)
        self.rank = ranks.find_rank()
        # What a run says of itself lies where its numbers do, also when it takes its policy from another's folder.
        written = RunDirectory(self.tracker.run_directory) if self.rank.is_main else self.directory
        self.record = recorder.RunRecord(self.config, self.host, written, self.tracker, self.progress)
        self._trainer: Any = None
        self._logged_step = 0
        self._postponed = Postponed()

    # -- the policy ------------------------------------------------------------------------------------------------

    def make_policy(self) -> None:
        """Make or load the policy, and check that SFT, GRPO and evaluation render its prompts alike."""
        self.policy = self._engine.load(
            texts=training_texts(self.inputs.taught), seed=self.config.seed, device=self.device
        )
        self._count_weights()
        self._check_prompts()

    def _count_weights(self) -> None:
        """Note how many weights there are and are trained; `UserError` for none, a warning where the plan counted others."""
        from grpo.plan.memory_estimate import find_shape, trained_parameters

        self.record.policy = counted = count_weights(self.policy.model)
        if not counted["trainable_parameters"]:
            raise UserError("model: none of its weights is trained; give model.lora, or lora: null for all of them")
        shape, _ = find_shape(self.config.model)
        planned = trained_parameters(shape, self.config.model) if shape is not None else None
        # The tokenizer of an embedded policy has as many tokens as its few rows give: fewer than were planned at most.
        smaller = self.config.model.embedded is not None and planned and counted["trainable_parameters"] < planned
        if planned is not None and not smaller and abs(planned - counted["trainable_parameters"]) > 0.02 * planned:
            self.progress.warn(
                f"{counted['trainable_parameters']:,} weights are trained, not the {planned:,} of the plan; its memory and "
                "time are off by as much"
            )

    def restore_policy(self, checkpoint: Path | None = None) -> None:
        """Load the policy from `checkpoint`, else from the warm-up; without a warm-up, the untrained policy."""
        source = checkpoint or (self.directory.sft if self.directory.sft.is_dir() else None)
        if source is None or self.config.model.lora is not None:
            self.make_policy()
        if source is None:
            return
        if self.config.model.lora is not None:
            self._restore_adapter(source)
            return
        self.policy = self._engine.restore(source, device=self.device)
        # Where a tokenizer was read from is nothing to write down with it.
        for key in ("is_local", "local_files_only"):
            self.policy.tokenizer.init_kwargs.pop(key, None)
        self._check_prompts()

    def take_up(self, folder: Path) -> None:
        """Replace the current policy by that of a folder; by the untrained one if there is no such folder."""
        if (
            (source := folder if folder.is_dir() else None)
            and self.config.model.lora is not None
            and not sharding.is_sharded(self.policy.model)
        ):
            self._restore_adapter(source)
            return
        del self.policy  # not two at once on the device
        self._trainer = None
        gc.collect()
        self.restore_policy(source)

    def _restore_adapter(self, source: Path) -> None:
        from peft import load_peft_weights, set_peft_model_state_dict

        set_peft_model_state_dict(self.policy.model, load_peft_weights(str(source), device=self.device))

    def _check_prompts(self) -> None:
        for example in {e.task: e for e in reversed(self.inputs.train)}.values():
            self.policy.prompts.check(example, demonstrations=self.config.sft_warmup.enabled)

    # -- the warm-up -----------------------------------------------------------------------------------------------

    def warm_up(self, *, resume_from: Path | None = None) -> None:
        """Supervised fine-tuning on demonstrations, from a checkpoint of it or from the start; leaves the policy in `sft/`."""
        from grpo.training.supervised import run_supervised

        self._stop_where_asked()
        run_supervised(self, resume_from=resume_from)
        if sharding.is_sharded(self.policy.model) and self.config.trains_grpo:
            # GRPO's trainer spreads the weights in its own way, over whole ones.
            self.restore_policy()

    # -- GRPO ------------------------------------------------------------------------------------------------------

    def train(self, *, resume_from: Path | None = None) -> None:
        """GRPO from the present policy, or from a checkpoint; checkpoints and the best policy are left on disk."""
        from transformers import set_seed

        from grpo.training.micro_batch import fit_passes
        from grpo.training.trl_arguments import drop_unavailable, trl_arguments

        self._stop_where_asked()
        section = fit_passes(self.config, self.policy, self.inputs.train, self.device, self.rank.count)
        set_seed(self.config.seed)
        for line in drop_unavailable(self.config.trl)[1]:
            self.progress.warn(line)
        arguments = trl_arguments(
            section,
            directory=self.directory.checkpoints,
            seed=self.config.seed,
            device=self.device,
            bf16=self.bf16,
            fp16=self.fp16,
            gradient_checkpointing=self.checkpointing,
            world_size=self.rank.count,
            engine=self._engine.arguments(),
            handed=self.config.trl,
        )
        # Unsloth changes settings as they are made: what the config says comes last.
        wanted = environment.effective_arguments(arguments) | section.trl_settings(self.rank.count)
        self.policy.model.config.use_cache = True
        with self._engine.serving(self.policy, self.directory.path, device=self.device):
            self._train(section, arguments, wanted, resume_from)

    def _train(self, section: GrpoSection, arguments: Any, wanted: dict[str, Any], resume_from: Path | None) -> None:
        from grpo.training.ahead_trainer import AheadTrainer
        from grpo.training.trainer import SharedPrefixTrainer

        postponed = self._postponed
        postponed.read(resume_from)
        evaluation = self.evaluation()
        trainer = (AheadTrainer if section.one_step_ahead else SharedPrefixTrainer)(
            self.policy,
            self.inputs.train,
            self.host,
            arguments,
            record=self.record.log_completions,
            callbacks=[
                follow := make_follower(self._log_training, self.record.report_rewards),
                stand_ins.make_agreement(self.interruption),
                interrupt.make_callback(self.interruption, every=section.num_iterations),
                make_evaluation_callback(
                    evaluation, max_steps=section.max_steps, every=section.num_iterations, postpone=postponed.begin
                ),
                watch.make_callback(self.record.watch, every=section.num_iterations),
                make_row_order(),
                make_catch_up(postponed, lambda step: evaluation.run("train", step), self._log_postponed),
            ],
        )
        self._trainer = trainer
        if resume_from is not None and self.config.model.lora is not None:
            # Where a checkpoint holds the adapter of a reference policy too, the Trainer would load that one alone.
            self._restore_adapter(resume_from)
        self._engine.attach(trainer)
        self.record.effective["grpo"] = environment.effective_arguments(trainer.args)
        self.record.effective["changed_by_libraries"] = environment.changed_settings(
            wanted, self.record.effective["grpo"]
        )
        for line in self.record.effective["changed_by_libraries"]:
            self.progress.warn(line)
        if trainer.fallback:
            self.progress.warn(f"prompts are not shared within a group: {trainer.fallback}")
        if resume_from and (line := sharding.check_checkpoint(resume_from, trainer)):
            self.progress.warn(line)
        self.record.write_environment(self.device)
        start = time.perf_counter()
        done = read_step(resume_from) if resume_from else 0
        with repeatable(self.device), self.progress.stage("GRPO", section.max_steps, done=done) as follow.bar:
            trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        if trainer.state.global_step < section.max_steps:
            if self.record.watch.stop is not None:
                raise Stopped(self.record.watch.stop)
            raise Interrupted
        self.tracker.log_seconds(
            stage="train",
            step=section.max_steps,
            stage_seconds=time.perf_counter() - start,
            peak_memory_bytes=measure_peak_memory(self.device),
        )

    def save_checkpoint(self) -> None:
        """Save the last complete step after a fault during training; does nothing if training cannot be continued from
        it.
        """
        trainer, step = self._trainer, self._logged_step
        # A step is whole once its row is logged, which comes after its evaluation.
        if not step or step != trainer.state.global_step or step % self.config.grpo.num_iterations:
            return
        if not (self.directory.checkpoints / f"checkpoint-{step}").exists():
            trainer._save_checkpoint(trainer.model, None)

    def _log_training(self, step: int, logs: dict[str, Any]) -> None:
        if "loss" not in logs:
            return  # the Trainer's closing summary
        if not self._postponed.hold(step, logs, self._trainer.seconds, self.record.note_step()):
            self._engine.observe(self.record.log_training(step, logs, self._trainer.seconds))
            self._logged_step = step
        self._trainer.seconds.clear()

    def _log_postponed(self, step: int, logs: dict[str, Any], seconds: dict[str, float], noted: dict[str, Any]) -> None:
        self.record.recall_step(noted)
        self._engine.observe(self.record.log_training(step, logs, seconds))
        self._logged_step = step

    # -- evaluation ------------------------------------------------------------------------------------------------

    def evaluation(self, *, anew: bool = False) -> HeldOutEvaluation:
        """The held-out evaluation of the current policy; `anew`: with random numbers, and rows, that had no part in
        choosing it.
        """
        section, examples = choose_rows(self.inputs.held_out, self.config.evaluation, anew=anew)
        return HeldOutEvaluation(
            examples=examples,
            generate=partial(self._answer, section),
            host=stand_ins.SharedHost(self.host),
            section=section,
            directory=self.directory.evaluations if self.rank.is_main else None,
            on_metrics=self.record.log_evaluation,
            on_estimates=self.record.show_estimates,
            on_best=self._keep_best,
            best=self.record.best,
        )

    def evaluate(self, stage: str, step: int) -> dict[str, Estimate]:
        """Answer and score the held-out rows at this step and log how long it took; means with their intervals, by
        name.
        """
        start = time.perf_counter()
        estimates = self.evaluation(anew=stage in ("start", JUDGED)).run(stage, step)
        self.tracker.log_seconds(
            stage=stage,
            step=step,
            evaluation_seconds=time.perf_counter() - start,
            peak_memory_bytes=measure_peak_memory(self.device),
        )
        if stage == "warmup":
            self._keep_best(0)
        return estimates

    def _answer(
        self, section: EvaluationSection, examples: Sequence[Example], stage: str, step: int, stoppable: bool
    ) -> list[Any]:
        from grpo.generation.answers import prepare_answers

        batches, answer = prepare_answers(
            self.policy, examples, section,
            max_completion_length=self.config.grpo.max_completion_length, processes=self.rank.count,
        )  # fmt: skip
        with (
            self.progress.stage("held-out evaluation", len(examples), unit="rows") as bar,
            sharding.whole_weights(self.policy.model, self._trainer, zero3.gather),
        ):
            asked = {"stage": stage, "step": step, "settings": section.model_dump(mode="json"), "rows": len(examples)}
            kept = self._recall_answers(asked) if len(batches) > 1 else None
            answers: dict[int, Any] = collectives.on_main(lambda: dict(kept.answers) if kept else {})
            for batch in batches:
                if not all(place in answers for place in batch):
                    if stoppable:
                        self._stop_where_asked()
                    written = collectives.share_out(answer, batch)
                    answers.update(zip(batch, written, strict=True))
                    if kept:
                        kept.add(batch, written)
                bar.advance(len(batch))
        return [answers[place] for place in range(len(examples))]

    def _recall_answers(self, asked: dict[str, Any]) -> Answered | None:
        """What an evaluation that was cut short has left of its answers, if it was this one; only the first process keeps any."""
        if not self.rank.is_main:
            return None
        kept = Answered(self.directory.evaluations / ANSWERED, {**asked, "weights": mark_weights(self.policy.model)})
        kept.recall(self.policy.prompts.style)
        return kept

    # -- the rest --------------------------------------------------------------------------------------------------

    def _stop_where_asked(self) -> None:
        """Between two stages, and between two batches of an evaluation, all that was reached is on disk."""
        if collectives.any_of(self.interruption.requested):
            raise Interrupted

    @property
    def bf16(self) -> bool:
        """Whether training runs in bfloat16."""
        import torch

        return resolve_dtype(self.config.model, self.device) is torch.bfloat16

    @property
    def fp16(self) -> bool:
        """Whether training runs in float16."""
        return self.config.model.dtype == "float16"

    @property
    def checkpointing(self) -> bool:
        """Whether gradients are checkpointed: activations are recomputed to save memory."""
        return self.config.model.checkpoints_gradients(self.device, self.policy.model.num_parameters())

    def _keep_best(self, step: int) -> None:
        """Leave the present policy in `best/` with a note of what it is; the warm-up's is there already, in `sft/`."""
        note = describe_policy(self.config.model, step, self.config.last_step(len(self.inputs.warmup)))
        self.save(self.directory.best, note=note, copied=self.directory.sft if step == 0 else None)

    def renew_best(self) -> None:
        """If `best/` should hold what GRPO began with and is damaged, write it again, from `sft/` or from the loaded
        policy.
        """
        if self.record.best.step == 0 and collectives.on_main(lambda: find_damage(self.directory.best)):
            self._keep_best(0)

    def save(
        self, directory: Path, trainer: Any = None, note: dict[str, Any] | None = None, copied: Path | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Replace `directory` by the current policy, or by a copy of a folder that already holds it."""
        there = copied is not None and copied.is_dir()
        weights = None if there else sharding.whole_state(self.policy.model, trainer or self._trainer)
        if self.rank.is_main:
            save = (
                (lambda folder: copy_folder(copied, folder))
                if there
                else lambda folder: self.policy.save(folder, weights)
            )
            replace_folder(directory, save, note, facts)
        collectives.wait()
