"""The warm-up itself: TRL's SFTTrainer over rows whose labels are already masked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft_warmup.batches import LengthBatches
from sft_warmup.config import SftWarmupSection
from sft_warmup.packing import check_packing, pack

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
    from trl import SFTTrainer

LOG_EVERY_STEPS = 10


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
) -> SFTTrainer:
    """A trainer over `rows` (`input_ids`, `labels`, `length`, see `sft_warmup.dataset`), ready for `.train()`.

    Batches hold rows of like length, so that little of a step is padding. `section.batch_size` is shared out between
    `world_size` processes, which must divide it: a step sees the same rows however many there are. `steps` are by
    default those that the section makes of these rows. With `section.packing`
    a pass is one row, and no conversation of it sees another; a model that cannot keep them apart is a `UserError`.
    """
    from trl import SFTConfig, SFTTrainer

    steps = section.steps(len(rows)) if steps is None else steps
    arguments = SFTConfig(
        output_dir=str(directory),
        max_steps=steps,
        learning_rate=section.learning_rate,
        lr_scheduler_type=section.lr_scheduler_type,
        warmup_steps=section.lr_warmup_steps_of(steps),
        per_device_train_batch_size=section.rows_a_pass(world_size),
        gradient_accumulation_steps=section.batch_size // world_size // section.rows_a_pass(world_size),
        weight_decay=section.weight_decay,
        adam_beta2=section.adam_beta2,
        max_grad_norm=section.max_grad_norm,
        # The stock loss: the chunked one patches the model's forward, which the GRPO stage then inherits.
        loss_type="nll",
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        bf16=bf16,
        fp16=fp16,
        gradient_checkpointing=gradient_checkpointing,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        logging_steps=LOG_EVERY_STEPS,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        log_level_replica="error",
        seed=seed,
    )

    if section.packing:
        check_packing(model, [rows[index] for index in range(min(2, len(rows)))])
    lengths = list(rows["length"])
    config = model.config.get_text_config()
    kept = getattr(config, "output_router_logits", None)

    class WarmupTrainer(SFTTrainer):
        def train(self, *given: Any, **named: Any) -> Any:
            try:
                return super().train(*given, **named)
            finally:
                # TRL has experts report how they were chosen, for its loss; a model that goes on so cannot generate.
                if kept is not None:
                    config.output_router_logits = kept

        def _get_train_sampler(self, train_dataset: Any = None) -> LengthBatches:
            return LengthBatches(lengths, section.batch_size, seed)

    trainer = WarmupTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=list(callbacks),
        **({"data_collator": pack} if section.packing else {}),
    )
    _remove_printer(trainer)
    return trainer


def _remove_printer(trainer: Any) -> None:
    """Without its progress bar the Trainer prints every log dict; ours go to metrics.jsonl."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
