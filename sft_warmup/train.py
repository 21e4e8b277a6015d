"""The warm-up itself: TRL's SFTTrainer over rows whose labels are already masked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft_warmup.batches import LengthBatches
from sft_warmup.checkpoints import make_callback, write_sums
from sft_warmup.config import SftWarmupSection
from sft_warmup.packing import check_packing, pack
from sft_warmup.passes.counted_tokens import Way, find_limit, find_way, only_counted
from sft_warmup.passes.token_rows import Blocks
from sft_warmup.trainer_arguments import trainer_arguments

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
    from trl import SFTTrainer

LOG_EVERY_STEPS = 10
CHECKPOINTS = 2
"""Kept at a time: where the newest is torn there is the one before it."""


def make_sft_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    section: SftWarmupSection,
    *,
    directory: Path,
    seed: int,
    device: str,
    bf16: bool,
    fp16: bool = False,
    gradient_checkpointing: bool,
    steps: int | None = None,
    world_size: int = 1,
    callbacks: Sequence[TrainerCallback] = (),
    on_saved: Callable[[Path], None] | None = None,
) -> SFTTrainer:
    """A trainer over `rows` (`input_ids`, `labels`, `length`, see `sft_warmup.dataset`), ready for `.train()`.

    Its checkpoints are in `directory`, and one that is resumed from gives the numbers of a stage that was never left.
    `on_saved(checkpoint)` is called by the first process once all files of one are there.

    Batches hold rows of like length, so that little of a step is padding. `section.batch_size` is shared out between
    `world_size` processes, which must divide it: a step sees the same rows however many there are. `steps` are by
    default those that the section makes of these rows. With `section.packing`
    a pass is one row, and no conversation of it sees another; a model that cannot keep them apart is a `UserError`.
    """
    from trl import SFTConfig, SFTTrainer

    steps = section.steps(len(rows)) if steps is None else steps
    arguments = SFTConfig(
        **section.trl_settings(steps, world_size),
        **trainer_arguments(
            directory, seed=seed, device=device, bf16=bf16, fp16=fp16, gradient_checkpointing=gradient_checkpointing
        ),
        # The stock loss: the chunked one patches the model's forward, which the GRPO stage then inherits.
        loss_type="nll",
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_steps=LOG_EVERY_STEPS,
        save_strategy="steps",
        save_steps=section.save_every_steps,
        save_total_limit=CHECKPOINTS,
    )

    if section.packing:
        check_packing(model, [rows[index] for index in range(min(2, len(rows)))])
    lengths = list(rows["length"])
    config = model.config.get_text_config()
    kept = getattr(config, "output_router_logits", None)

    blocks = Blocks()
    order = LengthBatches(lengths, section.batch_size, seed)

    class WarmupTrainer(SFTTrainer):
        resumed: Path | None = None
        tried = False
        way: Way | None = None

        def train(self, resume_from_checkpoint: str | None = None, **named: Any) -> Any:
            self.resumed = Path(resume_from_checkpoint) if resume_from_checkpoint else None
            try:
                return super().train(resume_from_checkpoint, **named)
            finally:
                # TRL has experts report how they were chosen, for its loss; a model that goes on so cannot generate.
                if kept is not None:
                    config.output_router_logits = kept

        def _run_epoch(self, **named: Any) -> None:
            # The Trainer takes a step before it looks whether any is left: one that was killed at its end would take one more.
            if self.state.global_step >= self.state.max_steps:
                self.control.should_training_stop = True
                return
            super()._run_epoch(**named)

        def _get_train_sampler(self, train_dataset: Any = None) -> LengthBatches:
            return order

        def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **named: Any) -> Any:
            if not self.tried:
                self.way = find_way(self.model, inputs, **self.limits(), half=bf16 or fp16, run=model)
                self.tried = True
            with only_counted(self.model, inputs, self.way, blocks) as shortened:
                return super().compute_loss(model, shortened, *arguments, **named)

        def limits(self) -> dict[str, bool]:
            # Layers that run again in the backward do so when the pass is over, and see what they saw without us.
            mask = not (section.packing or self.aux_loss_enabled or (gradient_checkpointing and device == "cpu"))
            return {"layer": not gradient_checkpointing, "mask": mask}

        def go_on(self, way: Way | None) -> None:
            """Compute passes as the stage did that is resumed, as far as that may be done here."""
            self.way, self.tried = way and way.within(find_limit(self.model, **self.limits())), True

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """Nothing: TRL's looks the model up on the Hub, and a checkpoint must not need a network."""

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            super()._save_checkpoint(model, trial)
            checkpoint = directory / f"checkpoint-{self.state.global_step}"
            write_sums(self, checkpoint)
            self.accelerator.wait_for_everyone()  # each process has files of its own in it
            if self.args.should_save and on_saved is not None:
                on_saved(checkpoint)

    trainer = WarmupTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[make_callback(lambda: (trainer, trainer.resumed) if trainer.resumed else None, order), *callbacks],
        **({"data_collator": pack} if section.packing else {}),
    )
    _remove_printer(trainer)
    return trainer


def _remove_printer(trainer: Any) -> None:
    """Without its progress bar the Trainer prints every log dict; ours go to metrics.jsonl."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
