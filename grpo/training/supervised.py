"""The supervised stage of a run: demonstrations as tokens, the trainer, the held-out loss, and how the stage ends."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks import interrupt
from callbacks.evaluation.eval import make_callback as make_evaluation_callback
from callbacks.interrupt import Interrupted
from callbacks.watch import watch
from grpo.distributed import collectives, sharding, stand_ins
from grpo.engines.transformers import widen_adapters
from grpo.lifecycle.resume import RELIES_ON, ResumePoint, list_reliance, seal_checkpoint, seal_start
from grpo.lifecycle.run_directory import read_step
from grpo.machine import environment
from grpo.machine.device import measure_peak_memory
from grpo.machine.repeatable import repeatable
from grpo.training.endings import Stopped
from grpo.training.follower import make_follower
from grpo.training.held_out import evaluate_kept, take_evenly
from grpo.training.postponed import Postponed
from grpo.training.postponed import make_callback as make_catch_up
from rewards.errors import UserError
from rewards.types import Example
from sft_warmup.dataset import label_rows

if TYPE_CHECKING:
    from grpo.training.stages import Stages


def run_first_stage(stages: Stages, point: ResumePoint) -> None:
    """All that comes before GRPO: the policy, the evaluation before, the warm-up and those after it, from where the run stands."""
    config, record = stages.config, stages.record
    begun = point.checkpoint is not None or point.warmed
    if begun:
        record.resume(point.checkpoint)
        record.replay()
    if point.warmed:
        stages.restore_policy()
    else:
        stages.make_policy()
    record.write_environment(stages.device)
    if not begun and config.stages != []:  # without training its end is its start
        stages.evaluate("before", 0)
    if config.sft_warmup.enabled and not point.warmed:
        stages.warm_up(resume_from=point.checkpoint)
    if config.trains_grpo:
        stages.evaluate("warmup", 0)
        evaluate_kept(stages)
    record.write_environment(stages.device)
    seal_start(stages.directory)
    # Whoever is killed from here on begins GRPO from `sft/`.
    if stages.rank.is_main:
        shutil.rmtree(stages.directory.warmup_checkpoints, ignore_errors=True)


def run_supervised(stages: Stages, *, resume_from: Path | None = None) -> None:
    """Fine-tune the present policy on the demonstrations and leave it in `sft/`; raises Interrupted or Stopped.

    `resume_from` is a checkpoint of this stage. Where no GRPO follows, the held-out rows are answered as often as evaluation.every_steps says, and what is best is kept.
    """
    from sft_warmup.held_out import make_callback as make_loss_callback
    from sft_warmup.passes.counted_tokens import list_left_out
    from sft_warmup.train import make_sft_trainer

    config, record, section = stages.config, stages.record, stages.config.sft_warmup
    rows = token_rows(stages)
    held_out = held_out_rows(stages)
    alone = not config.trains_grpo
    # As the plan counted them: a row that turned out too long makes the stage no shorter.
    steps = section.steps(len(stages.inputs.warmup))
    postponed = Postponed()
    postponed.read(resume_from)

    def log(step: int, logs: dict[str, Any]) -> None:
        if not postponed.hold(step, logs, {}, {}):
            record.log_warmup(step, logs)

    def seal(checkpoint: Path) -> None:
        stages.policy.give_back_settings(checkpoint)
        seal_checkpoint(checkpoint, stages.directory.path)

    evaluation = stages.evaluation()
    half = stages.bf16 or stages.fp16
    follow = make_follower(log, record.report_rewards)
    trainer = make_sft_trainer(
        stages.policy.model,
        stages.policy.tokenizer,
        rows,
        section,
        directory=stages.directory.warmup_checkpoints,
        seed=config.seed,
        device=stages.device,
        bf16=stages.bf16,
        fp16=stages.fp16,
        gradient_checkpointing=stages.checkpointing,
        world_size=stages.rank.count,
        steps=steps,
        callbacks=[
            stand_ins.make_agreement(stages.interruption),
            interrupt.make_callback(stages.interruption),
            follow,
            *([make_loss_callback(held_out, section, record.log_held_out_loss, half)] if held_out is not None else []),
            *([make_evaluation_callback(evaluation, max_steps=steps, postpone=postponed.begin)] if alone else []),
            watch.make_callback(record.watch),
            make_catch_up(
                postponed,
                lambda step: evaluation.run("train", step),
                lambda step, logs, *_: record.log_warmup(step, logs),
            ),
        ],
        on_saved=seal,
    )
    widen_adapters(trainer.model, config.model)
    name = "SFT" if alone else "SFT warm-up"
    start = time.perf_counter()
    if resume_from and (line := sharding.check_checkpoint(resume_from, trainer)):
        stages.progress.warn(line)
    done = read_step(resume_from) if resume_from else 0
    with repeatable(stages.device), stages.progress.stage(name, trainer.args.max_steps, done=done) as follow.bar:
        trainer.train(str(resume_from) if resume_from else None)
    record.effective["sft"] = {**environment.effective_arguments(trainer.args), "left_out": list_left_out(trainer.way)}
    collectives.wait()
    ended_early = trainer.state.global_step < trainer.args.max_steps
    if ended_early and record.watch.stop is None:
        raise Interrupted
    record.write_environment(stages.device)  # with what the rewards have done so far
    # Only the end of the stage relies on the run's files: what a rule stopped is no place to go on to GRPO from.
    facts = {} if ended_early else {RELIES_ON: list_reliance(stages.directory.path, but="sft/")}
    stages.save(stages.directory.sft, trainer, facts=facts)
    if ended_early and record.watch.stop is not None:
        raise Stopped(record.watch.stop)
    stages.tracker.log_seconds(
        stage="warmup",
        step=0,
        stage_seconds=time.perf_counter() - start,
        step_seconds=follow.step_seconds,
        peak_memory_bytes=measure_peak_memory(stages.device),
    )


def token_rows(stages: Stages) -> Any:
    """The demonstrations as token rows; `UserError` when none is left."""
    rows, too_long = _label(stages, stages.inputs.warmup)
    if too_long:
        stages.progress.warn(f"{too_long} demonstrations are longer than model.max_sequence_length and were left out")
    if not len(rows):
        raise UserError("sft_warmup: no demonstration is short enough; raise model.max_sequence_length")
    return rows


def held_out_rows(stages: Stages) -> Any:
    """Held-out answers whose loss is measured as token rows, spread over the file; None where there is none to measure."""
    usable = [row for row in stages.inputs.held_out if row.reference is not None]
    if stages.config.sft_warmup.tasks is not None:
        usable = [row for row in usable if row.task in stages.config.sft_warmup.tasks]
    rows, _ = _label(stages, take_evenly(usable, stages.config.sft_warmup.held_out_rows))
    return list(rows) if len(rows) else None  # read often: a data set unpacks a row at each reading


def _label(stages: Stages, examples: Sequence[Example]) -> tuple[Any, int]:
    conversations: Iterable[Any] = (
        [*example.prompt, {"role": "assistant", "content": example.reference or ""}] for example in examples
    )
    return label_rows(
        conversations, stages.policy.prompts.training_ids, max_tokens=stages.config.model.max_sequence_length
    )
