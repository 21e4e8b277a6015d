"""The stages that need torch: make the policy, warm it up, train it, evaluate it. `grpo/run.py` lists them in order."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from callbacks import interrupt, watch
from callbacks.best import BestCheckpoint
from callbacks.eval import HeldOutEvaluation, write_records
from callbacks.eval import make_callback as make_evaluation_callback
from callbacks.progress import Progress
from callbacks.task_scores import Estimate
from callbacks.tracking import Tracker
from grpo import distributed, environment
from grpo.config import RunConfig
from grpo.engines import Engine, choose_engine
from grpo.inputs import Inputs
from grpo.policy import Policy, resolve_dtype
from grpo.run_directory import RunDirectory
from grpo.sections import GrpoSection
from grpo.tokens import training_texts
from rewards.errors import UserError
from rewards.scoring import RewardHost
from rewards.types import Example
from sft_warmup.dataset import label_rows


class Interrupted(Exception):
    """A stop was asked for and a checkpoint is on disk."""


class Stopped(Exception):
    """A watch rule ended the run and a checkpoint is on disk."""

    def __init__(self, event: watch.Event):
        self.event = event
        super().__init__(event.text)


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
    engine: Engine | None = None

    def __post_init__(self) -> None:
        self.engine = self.engine or choose_engine(self.config.model)
        self.rank = distributed.find_rank()
        self.best = BestCheckpoint(self.config.evaluation.task_floor_margin)
        self.effective: dict[str, Any] = {}
        self._previous: dict[str, Estimate] | None = None
        self._trainer: Any = None
        self._repetition: float | None = None
        self._reward_counts = (0, 0)
        grpo, decision = self.config.grpo, self.config.decision
        self.watch = watch.Watch(
            decision.watch,
            beta=grpo.beta,
            recipe=decision.relative_to == "thresholds",
            settings={"max_completion_length": grpo.max_completion_length, "max_steps": grpo.max_steps},
        )

    # -- the policy ------------------------------------------------------------------------------------------------

    def make_policy(self) -> None:
        """Make or load the policy, and check that SFT, GRPO and evaluation render its prompts alike."""
        self.policy = self.engine.load(
            texts=training_texts(self.inputs.taught), seed=self.config.seed, device=self.device
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
        self.policy = self.engine.restore(source, device=self.device)
        self._check_prompts()

    def replay_best(self) -> None:
        """Recall which evaluation was the best from the metrics that were kept."""
        self.best.replay(self._recorded())

    def was_evaluated(self, stage: str) -> bool:
        return any(row["stage"] == stage and "eval/mean_reward" in row for row in self._recorded())

    def _recorded(self) -> list[dict[str, Any]]:
        """The rows of metrics so far, for every process: all of them have to ask."""
        return distributed.on_main(self._read_metrics)

    def _read_metrics(self) -> list[dict[str, Any]]:
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
            world_size=self.rank.count,
            callbacks=[
                distributed.make_agreement(self.interruption),
                interrupt.make_callback(self.interruption),
                follow := _make_follower(self._log_warmup),
            ],
        )
        start = time.perf_counter()
        with self.progress.stage("SFT warm-up", trainer.args.max_steps) as follow.bar:
            trainer.train()
        self.effective["sft"] = environment.effective_arguments(trainer.args)
        distributed.wait()
        if self.rank.is_main:
            shutil.rmtree(self.directory.path / "sft-trainer", ignore_errors=True)
        if distributed.any_of(self.interruption.requested):
            raise Interrupted
        self.tracker.log_seconds(stage="warmup", step=0, stage_seconds=time.perf_counter() - start)
        self._save(self.directory.sft, trainer)
        if distributed.is_sharded(self.policy.model):
            # GRPO's trainer spreads the weights in its own way, over whole ones.
            self.restore_policy()

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

        from grpo.trainer import trl_arguments

        section = self.config.grpo
        set_seed(self.config.seed)
        arguments = trl_arguments(
            section,
            directory=self.directory.checkpoints,
            seed=self.config.seed,
            device=self.device,
            bf16=self._bf16,
            gradient_checkpointing=self._checkpointing,
            world_size=self.rank.count,
            engine=self.engine.arguments(),
        )
        # Unsloth changes settings as they are made: what the config says comes last.
        wanted = environment.effective_arguments(arguments) | section.trl_settings(self.rank.count)
        # What a resumed run has been told already comes out of its metrics again.
        events = self.watch.replay(self._recorded())
        if self.rank.is_main:
            watch.write_events(self.directory.path / watch.EVENTS_FILE, events)
        self.policy.model.config.use_cache = True
        with self.engine.serving(self.policy, self.directory.path, device=self.device):
            self._train(section, arguments, wanted, resume_from)

    def _train(self, section: GrpoSection, arguments: Any, wanted: dict[str, Any], resume_from: Path | None) -> None:
        from grpo.trainer import SharedPrefixTrainer

        trainer = SharedPrefixTrainer(
            self.policy,
            self.inputs.train,
            self.host,
            arguments,
            record=self._record_completions,
            callbacks=[
                follow := _make_follower(self._log_training),
                distributed.make_agreement(self.interruption),
                interrupt.make_callback(self.interruption),
                make_evaluation_callback(self.evaluation(), max_steps=section.max_steps),
                watch.make_callback(self.watch),
            ],
        )
        self._trainer = trainer
        self.engine.attach(trainer)
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
            if self.watch.stop is not None:
                raise Stopped(self.watch.stop)
            raise Interrupted
        self.tracker.log_seconds(
            stage="train",
            step=section.max_steps,
            stage_seconds=time.perf_counter() - start,
            peak_memory_bytes=measure_peak_memory(self.device),
        )

    def save_checkpoint(self) -> None:
        """Keep the present step, after a fault in the middle of training."""
        trainer = self._trainer
        if trainer is not None and trainer.state.global_step:
            trainer._save_checkpoint(trainer.model, None)

    def _log_training(self, step: int, logs: dict[str, Any]) -> None:
        if "loss" not in logs:
            return  # the Trainer's closing summary
        logs = {key: value for key, value in logs.items() if not key.startswith("rewards/")}
        if self._repetition is not None:
            logs["completions/repetition"] = self._repetition
        logs |= self._count_reward_errors()
        self.tracker.log(logs, stage="train", step=step)
        self._watch(logs, "train", step)
        self.engine.observe(logs)
        seconds = {f"{name}_seconds": round(value, 4) for name, value in self._trainer.seconds.items()}
        self.tracker.log_seconds(stage="train", step=step, **seconds)
        self._trainer.seconds.clear()

    def _count_reward_errors(self) -> dict[str, float]:
        """The share of scores that failed since the last step; nothing where none did."""
        report = self.host.report().values()
        counts = distributed.gather([sum(function[key] for function in report) for key in ("errors", "values")])
        errors, scores = (sum(each) for each in zip(*counts, strict=True))
        before, self._reward_counts = self._reward_counts, (errors, scores + errors)
        failed, made = errors - before[0], scores + errors - before[1]
        return {"reward_errors": failed / made} if failed > 0 and made > 0 else {}

    def _watch(self, row: dict[str, Any], stage: str, step: int) -> None:
        """Judge a row that was just logged; what comes of it is kept, tracked and shown."""
        events = self.watch.observe(row, stage=stage, step=step)
        if not events:
            return
        if self.rank.is_main:
            watch.append_events(self.directory.path / watch.EVENTS_FILE, events)
        self.tracker.log({f"watch/{event.rule}": event.value for event in events}, stage=stage, step=step)
        for event in events:
            self.tracker.alert(event.rule, event.text, level=event.action)
            self.progress.warn(event.text)

    def _record_completions(
        self, step: int, scored: Sequence[Any], groups: Sequence[int], advantages: Sequence[float]
    ) -> None:
        if self.rank.count > 1:
            scored, advantages = distributed.concatenate(scored), distributed.concatenate(advantages)
            groups = [index // self.config.grpo.num_generations for index in range(len(scored))]
        self._repetition = watch.measure_repetition(s.completion.text for s in scored)
        if not self.rank.is_main or (step % self.config.grpo.log_completions_every and step != 1):
            return
        write_records(
            path := self.directory.completions / f"step-{step:06d}.jsonl",
            (
                {**self.host.to_record(s), "stage": "train", "step": step, "group": group, "advantage": advantage}
                for s, group, advantage in zip(scored, groups, advantages, strict=True)
            ),
        )
        self.tracker.log_completions(path, stage="train", step=step)

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
            host=distributed.SharedHost(self.host),
            section=self.config.evaluation,
            directory=self.directory.evaluations if self.rank.is_main else None,
            on_metrics=self._log_evaluation,
            on_estimates=self._show_estimates,
            on_best=lambda step: self._save(self.directory.best),
            best=self.best,
        )

    def evaluate(self, stage: str, step: int) -> dict[str, Estimate]:
        start = time.perf_counter()
        estimates = self.evaluation().run(stage, step)
        self.tracker.log_seconds(stage=stage, step=step, evaluation_seconds=time.perf_counter() - start)
        return estimates

    def _log_evaluation(self, stage: str, step: int, metrics: dict[str, Any]) -> None:
        self.tracker.log(metrics, stage=stage, step=step)
        self._watch(metrics, stage, step)
        name = f"step-{step:06d}" if stage == "train" else stage
        self.tracker.log_completions(self.directory.evaluations / f"{name}.jsonl", stage=stage, step=step)
        if stage != "before" and self.rank.is_main:
            self.tracker.log_margins(self._ask_tree(), stage=stage, step=step)

    def _ask_tree(self) -> Sequence[Any]:
        """The nodes that the decision would pass if the run ended now; none where that cannot be told."""
        from callbacks.decision_tree import decide
        from grpo.ladder import find_rung

        try:
            rung, next_rung = find_rung(self.config.model.name)
            return decide(self._read_metrics(), self.config.decision, rung=rung, next_rung=next_rung).path
        except Exception as fault:  # a number to look at must not end the run
            self.progress.warn(f"the margins of the decision are not tracked at this step: {fault}")
            return ()

    def _answer(self, examples: Sequence[Example]) -> list[Any]:
        with (
            self.progress.stage("held-out evaluation", len(examples), unit="rows") as bar,
            distributed.whole_weights(self.policy.model, self._trainer),
        ):
            return distributed.share_out(lambda share: self._generate(share, bar.advance), examples)

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

    def _save(self, directory: Path, trainer: Any = None) -> None:
        """Replace `directory` by the present policy; a reader never sees half of it for longer than two renames."""
        weights = distributed.whole_state(self.policy.model, trainer or self._trainer)
        if self.rank.is_main:
            self._replace(directory, weights)
        distributed.wait()

    def _replace(self, directory: Path, weights: dict[str, Any] | None) -> None:
        partial = directory.with_name(directory.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        self.policy.save(partial, weights)
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


def measure_peak_memory(device: str) -> int:
    """The most bytes held so far: by tensors on a CUDA device, else by the whole process with its libraries."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    import resource
    import sys

    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


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
