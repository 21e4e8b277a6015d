"""The GRPO step: TRL's GRPOTrainer with our rollouts, our rewards and an exact, shared-prefix pass over the prompts.

Overridden of TRL 1.14.2 (a test compares the signatures): `_generate_single_turn`, `_get_per_token_logps_and_entropies`,
`_generate_and_score_completions`, `_compute_loss`, `_save_checkpoint`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from grpo.generation import generate
from grpo.policy import Policy
from grpo.sections import GrpoSection
from grpo.shared_prefix import grouped_logps, supports
from rewards.scoring import RewardHost, ScoredCompletion
from rewards.types import Completion, Example

Record = Callable[[int, Sequence[ScoredCompletion], Sequence[int], Sequence[float]], None]


class SharedPrefixTrainer(GRPOTrainer):
    """GRPO whose prompts pass through the policy once a group, in generation and in the loss.

    `record(step, scored, groups, advantages)` receives every scored batch, in the order of generation.
    `seconds` holds the wall-clock time of the parts of the present step.
    """

    _tag_names = ["trl", "grpo", "recompensa"]  # noqa: RUF012 (TRL reads the class attribute)

    def __init__(
        self,
        policy: Policy,
        examples: Sequence[Example],
        host: RewardHost,
        arguments: GRPOConfig,
        *,
        record: Record,
        callbacks: Sequence[TrainerCallback] = (),
    ):
        from datasets import Dataset

        self._policy = policy
        self._examples = examples
        self._host = host
        self._record = record
        self._scored: list[ScoredCompletion] = []
        self.seconds: dict[str, float] = defaultdict(float)
        self.fallback = supports(policy.model)  # a reason, or None where the prefix can be shared
        rows = Dataset.from_dict(
            {"prompt": [[dict(m) for m in e.prompt] for e in examples], "row": list(range(len(examples)))}
        )
        super().__init__(
            model=policy.model,
            reward_funcs=self._score,
            args=arguments,
            train_dataset=rows,
            processing_class=policy.tokenizer,
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)

    def _score(
        self, completions: list, completion_ids: list[list[int]], row: list[int], log_metric: Callable, **_: Any
    ) -> list:
        """The one reward TRL knows: the host's weighted mean, None where no function could score."""
        start = time.perf_counter()
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        pairs = [
            (self._examples[index], Completion(messages[0]["content"], truncated=ids[-1] not in ends))
            for messages, ids, index in zip(completions, completion_ids, row, strict=True)
        ]
        self._scored = self._host.score(pairs)
        values = defaultdict(list)
        for scored in self._scored:
            values[f"reward/{scored.example.task}"].append(scored.reward)
        for name, rewards in values.items():
            known = [r for r in rewards if r is not None]
            if known:
                log_metric(name, sum(known) / len(known))
        self.seconds["scoring"] += time.perf_counter() - start
        return [scored.reward for scored in self._scored]

    def _generate_and_score_completions(self, inputs: list) -> dict:
        output = super()._generate_and_score_completions(inputs)
        groups = [index // self.num_generations for index in range(len(self._scored))]
        self._record(self.state.global_step + 1, self._scored, groups, output["advantages"].tolist())
        return output

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs):
        start = time.perf_counter()
        if self.use_vllm or self.fallback or images is not None:
            result = super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs
            )
        else:
            model = self.accelerator.unwrap_model(self.model_wrapped)
            training = model.training
            model.eval()
            unique = prompt_ids[::num_generations]  # TRL repeats each prompt for its group
            generated = generate(
                model,
                unique,
                samples=num_generations,
                max_new_tokens=self.max_completion_length,
                temperature=self.args.temperature,
                top_p=self.args.top_p,
                top_k=self.args.top_k,
                repetition_penalty=self.args.repetition_penalty,
                eos_ids=self.eos_token_ids,
                pad_id=self._tokenizer.pad_token_id,
                # One seed a step: a resumed run draws the same completions without a generator state to restore.
                generator=torch.Generator(device=model.device).manual_seed(
                    self.args.seed * 1_000_003 + self.state.global_step * self.args.world_size + self.args.process_index
                ),
            )
            model.train(training)
            result = generated.completion_ids, None
        self.seconds["generation"] += time.perf_counter() - start
        return result

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False,
        compute_aux_loss=False, **kwargs,
    ):  # fmt: skip
        if self.fallback or compute_aux_loss or any(value is not None for value in kwargs.values()):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size=batch_size,
                compute_entropy=compute_entropy, compute_aux_loss=compute_aux_loss, **kwargs,
            )  # fmt: skip
        prompt_length = input_ids.size(1) - logits_to_keep
        logps, entropies = grouped_logps(
            model,
            input_ids[:, :prompt_length],
            attention_mask[:, :prompt_length],
            input_ids[:, prompt_length:],
            attention_mask[:, prompt_length:],
            temperature=self.temperature,
            compute_entropy=compute_entropy,
        )
        return logps, entropies, None

    def _compute_loss(self, model, inputs):
        start = time.perf_counter()
        loss = super()._compute_loss(model, inputs)
        self.seconds["loss_forward"] += time.perf_counter() - start
        return loss

    def _save_checkpoint(self, model, trial):
        # TRL also writes a model card, which looks the model up on the Hub; a checkpoint must not need a network.
        super(GRPOTrainer, self)._save_checkpoint(model, trial)


def trl_arguments(
    section: GrpoSection,
    *,
    directory: Path,
    seed: int,
    device: str,
    bf16: bool,
    gradient_checkpointing: bool,
    world_size: int = 1,
) -> GRPOConfig:
    """Our section in TRL's words. Every setting of the recipe is named, none is left to a default."""
    batch = section.trl_batch(world_size)
    return GRPOConfig(
        output_dir=str(directory),
        max_steps=section.max_steps,
        learning_rate=section.learning_rate,
        lr_scheduler_type=section.lr_scheduler_type,
        warmup_steps=section.lr_warmup_steps,
        per_device_train_batch_size=batch.per_device_train_batch_size,
        gradient_accumulation_steps=batch.gradient_accumulation_steps,
        num_generations=section.num_generations,
        num_iterations=section.num_iterations,
        max_completion_length=section.max_completion_length,
        temperature=section.temperature,
        top_p=section.top_p,
        top_k=section.top_k,
        repetition_penalty=section.repetition_penalty,
        beta=section.beta,
        epsilon=section.epsilon,
        loss_type=section.loss_type,
        scale_rewards=section.trl_scale_rewards,
        mask_truncated_completions=section.mask_truncated_completions,
        optim=section.optim,
        adam_beta2=section.adam_beta2,
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        disable_dropout=True,
        bf16=bf16,
        gradient_checkpointing=gradient_checkpointing,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=section.save_every_steps,
        save_total_limit=2,
        report_to="none",
        log_completions=False,
        disable_tqdm=True,
        seed=seed,
    )


def latest_checkpoint(directory: Path) -> Path | None:
    """The newest whole checkpoint, by step; None where there is none. `trainer_state.json` is written last."""
    found = [p for p in directory.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    return max(found, key=lambda p: int(p.name.rsplit("-", 1)[1]), default=None)


def device_name() -> str:
    """ "cuda" or "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"
