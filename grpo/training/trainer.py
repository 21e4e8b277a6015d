"""The GRPO step: TRL's GRPOTrainer with our rollouts, our rewards and an exact, shared-prefix pass over the prompts.

Overridden of TRL 1.14.2 (a test compares the signatures): `_prepare_inputs`, `_generate_and_score_completions`,
`_tokenize_prompts`, `_generate_single_turn`, `_get_per_token_logps_and_entropies`, `_compute_loss`, `training_step`, `_save_checkpoint`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import gcd
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer
from trl.trainer.utils import nanstd, shuffle_sequence_dict, split_tensor_dict

from grpo.distributed.collectives import together
from grpo.distributed.sharding import whole_weights
from grpo.generation.generate import generate
from grpo.generation.speculation import EarlierCompletions
from grpo.lifecycle.resume import seal_checkpoint
from grpo.policy.loading import Policy
from grpo.policy.prefix_support import supports
from grpo.policy.shared_prefix import grouped_logps
from grpo.training import zero3
from grpo.training.ahead import BatchAhead
from grpo.training.dynamic_sampling import Rollouts, draw_until_rewards_differ, find_flat_groups, read_rewards
from grpo.training.random_numbers import make_generator
from grpo.training.recorded_loss import begin_for_loss, find_recorded
from grpo.training.reward_columns import make_column, shares_of_weights
from grpo.training.step import Step
from grpo.training.trl_arguments import StepArguments
from grpo.training.trl_habits import copied_reference, kept_adapter_dropout, unparsed_responses
from rewards.errors import UserError
from rewards.host.scoring import RewardHost
from rewards.host.verdicts import ScoredCompletion
from rewards.types import Example

Record = Callable[[int, Sequence[ScoredCompletion], Sequence[int], Sequence[float]], None]


class SharedPrefixTrainer(GRPOTrainer):
    """GRPO whose prompts pass through the policy once a group, in generation and in the loss.

    Completions whose advantage makes their loss exactly zero pass through neither forward nor backward.
    `record(step, scored, groups, advantages)` receives every scored batch, in the order of generation. `now` is the
    batch at hand.
    """

    _tag_names = ["trl", "grpo", "recompensa"]  # noqa: RUF012 (TRL reads the class attribute)
    ahead: BatchAhead | None = None  # the next batch, where it is written already

    def __init__(
        self,
        policy: Policy,
        examples: Sequence[Example],
        host: RewardHost,
        arguments: StepArguments,
        *,
        record: Record,
        callbacks: Sequence[TrainerCallback] = (),
    ):
        from datasets import Dataset

        self._policy = policy
        self._examples = examples
        self._host = host
        self._record = record
        self.now = Step()
        self._earlier = EarlierCompletions()
        self.fallback = policy.fallback or supports(policy.model)  # a reason, or None where the prefix can be shared
        rows = Dataset.from_dict(
            {"prompt": [[dict(m) for m in e.prompt] for e in examples], "row": list(range(len(examples)))}
        )
        self._sums_rewards = arguments.multi_objective_aggregation == "sum_then_normalize"
        rewards: Any = self._score
        if not self._sums_rewards:
            rewards = [make_column(self, place, name) for place, name in enumerate(host.names())]
            arguments.reward_weights = shares_of_weights(host)
        with copied_reference(policy.model), kept_adapter_dropout(policy.model):
            super().__init__(
                model=policy.model,
                reward_funcs=rewards,
                args=arguments,
                train_dataset=rows,
                processing_class=policy.tokenizer,
                callbacks=list(callbacks),
            )
        self.remove_callback(PrinterCallback)
        waits = self.use_vllm and arguments.vllm_mode == "server" and arguments.world_size > 1
        if arguments.dynamic_sampling and waits:
            raise UserError(
                "grpo.dynamic_sampling: a vLLM server waits for all processes, which would not all have a prompt to "
                "replace; set it to 0, or use one process or vLLM in colocate mode"
            )

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds of the parts since they were last cleared."""
        return self.now.seconds

    @property
    def _skips(self) -> bool:
        """Whether a completion with advantage zero adds exactly nothing to loss and gradients."""
        return not (
            self.fallback
            or self.beta
            or self._entropy_bonus_enabled
            or self.aux_loss_enabled
            or self.top_entropy_quantile < 1
            # Its weight of a completion is logged whatever the advantage, and moves from pass to pass.
            or (self.loss_type == "vespo" and (self.num_iterations > 1 or self.use_vllm))
        )

    # -- a generation batch ----------------------------------------------------------------------------------------

    def _prepare_inputs(self, generation_batch):
        if not self.model.training or self.fallback:
            inputs = super()._prepare_inputs(generation_batch)
            self.now.loss_start = time.perf_counter()
            return inputs
        cuts = self.args.steps_per_generation
        if self._step % (cuts * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(generation_batch)
            # TRL shuffles first, which scatters the completions of a prompt over all micro-batches. Where one generation
            # batch is one optimiser step, as in a run, the order changes no gradient.
            if cuts > self.args.gradient_accumulation_steps:
                batch = shuffle_sequence_dict(batch)
            self._buffered_inputs: Any = split_tensor_dict(batch, cuts)
        self.now.loss_start = time.perf_counter()
        return self._buffered_inputs[self._step % cuts]

    def training_step(self, model, inputs, num_items_in_batch):
        """One backward pass; frees the recording once the last step of its batch is done."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self._step % self.args.steps_per_generation == 0:
            self.now.recording = None
        self.seconds["loss"] += time.perf_counter() - self.now.loss_start
        return loss

    def _generate_and_score_completions(self, inputs: list) -> dict:
        training = self.model.training
        self.now = step = self.now.following()
        if training and self.args.dynamic_sampling:
            inputs = self._draw_until_rewards_differ(inputs)
        step.defers_logps = deferred = training and self._skips and not self.use_vllm
        try:
            with unparsed_responses(self._tokenizer):
                output = super()._generate_and_score_completions(inputs)
        finally:
            step.defers_logps = step.is_drawn = False
        if training:
            if self._sums_rewards:
                output["advantages"] = output["advantages"].masked_fill(self._flat_rows(len(inputs)), 0.0)
            else:
                self._log_weighted_means()
            entropies = step.take_entropies(output["completion_ids"])
            if self._skips and entropies is not None:
                output["entropies"] = entropies * output["completion_mask"]
            if deferred and "old_per_token_logps" in output:
                output["old_per_token_logps"] = self._logps_of_busy_rows(output)
            self._count_idle(output)
            output["numbers"] = torch.arange(len(inputs))
        groups = [index // self.num_generations for index in range(len(step.scored))]
        self._record(self.state.global_step + 1, step.scored, groups, output["advantages"].tolist())
        return output

    def _log_weighted_means(self) -> None:
        """Put the mean of our rewards in the place of TRL's sum over the functions that applied."""
        rewards = gather(read_rewards(self.now.scored).to(self.accelerator.device))
        for name, value in (("reward", torch.nanmean(rewards)), ("reward_std", nanstd(rewards))):
            self._metrics["train"][name][-1] = value.item()

    def _flat_rows(self, count: int) -> torch.Tensor:
        """Which of this process's rows belong to a group without two different rewards."""
        rewards = gather(read_rewards(self.now.scored).to(self.accelerator.device))
        flat = find_flat_groups(rewards, self.num_generations)
        first = self.accelerator.process_index * count
        return flat.repeat_interleave(self.num_generations)[first : first + count]

    def _count_idle(self, batch: dict) -> None:
        """Log the share of completions that cost no forward."""
        idle = self._find_idle(batch)
        masked = (batch["completion_mask"].sum(1) == 0) & (self.fallback is None)
        share = gather((masked if idle is None else masked | idle).float()).mean().item()
        self._metrics["train"]["completions/skipped_ratio"].append(share)

    # -- dynamic sampling ------------------------------------------------------------------------------------------

    def _draw_until_rewards_differ(self, inputs: list) -> list:
        """Write and score before TRL asks for it; the rows in the end, of which some may have been replaced."""
        draw = draw_until_rewards_differ(
            [row["row"] for row in inputs],
            self._draw_together,
            lambda values: gather(values.to(self.accelerator.device)),
            first=self.accelerator.process_index * len(inputs),
            num_generations=self.num_generations,
            examples=len(self._examples),
            most_rounds=self.args.dynamic_sampling,
            seed=self.args.seed,
            step=self.state.global_step,
        )
        self.now.rollouts, self.now.scored, self.now.is_drawn = draw.rollouts, draw.scored, True
        for name, value in draw.metrics().items():
            self._metrics["train"][name].append(value)
        return [dict(self.train_dataset[row]) for row in draw.rows]

    def _draw_together(self, rows: list[int], attempt: int, before: int) -> tuple[Rollouts | None, list]:
        """`_draw` in all processes at once, also in those without rows: sharded weights are gathered by all or none."""
        with whole_weights(self.model, self, zero3.gather):
            return together(lambda: self._draw(rows, attempt, before) if rows else (None, []))

    def _draw(self, rows: list[int], attempt: int, before: int) -> tuple[Rollouts, list[ScoredCompletion]]:
        """Write completions for these rows and score them; `before` counts the rows of the processes before this."""
        prompts = {row: self._policy.prompts.prompt_ids(self._examples[row].prompt) for row in dict.fromkeys(rows)}
        ids = [prompts[row] for row in rows]
        rollouts = self._write(ids, None, {}, self.num_generations, attempt=attempt, before=before)
        return rollouts, self._score_completions(rows, rollouts.completion_ids)

    # -- generation ------------------------------------------------------------------------------------------------

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], None, dict]:
        # By the one prompt builder: the template of the run and its variables, on its fixed date.
        ids: list[list[int]] = []
        for place, prompt in enumerate(prompts):
            # TRL repeats each prompt for its group.
            same = place and prompt == prompts[place - 1]
            ids.append(list(ids[-1]) if same else self._policy.prompts.prompt_ids(prompt))
        return ids, None, {}

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs):
        if not self.now.is_drawn:
            with self._whole_weights():
                self.now.rollouts = self._write(prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs)
        assert self.now.rollouts is not None  # what is drawn is written
        return self.now.rollouts.completion_ids, self.now.rollouts.logprobs

    def _whole_weights(self) -> AbstractContextManager[None]:
        """All weights in every process, where our own generation needs them; TRL's ways of generating see to it alone."""
        return nullcontext() if self.use_vllm or self.fallback else whole_weights(self.model, self, zero3.gather)

    def _write(
        self, prompt_ids, images, multimodal_fields, num_generations, *args, attempt=0, before=None, **kwargs
    ) -> Rollouts:
        start = time.perf_counter()
        if self.use_vllm or self.fallback or images is not None:
            ids, logprobs = super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs
            )
            rollouts = Rollouts(ids, logprobs, None)
        else:
            model = self.accelerator.unwrap_model(self.model_wrapped)
            # TRL repeats each prompt for its group; a process may hold less than a whole one.
            samples = gcd(len(prompt_ids), num_generations)
            recording = self.now.recording = begin_for_loss(self, prompt_ids[::samples], samples)
            generated = generate(
                model,
                prompt_ids[::samples],
                samples=samples,
                max_new_tokens=self.max_completion_length,
                temperature=self.args.temperature,
                top_p=self.args.top_p,
                top_k=self.args.top_k,
                repetition_penalty=self.args.repetition_penalty,
                min_p=self.args.min_p or 0.0,
                eos_ids=self.eos_token_ids,
                pad_id=self._tokenizer.pad_token_id,
                generator=self._make_generator(
                    attempt, self.args.process_index * len(prompt_ids) if before is None else before, model.device
                ),
                entropies=self._skips,
                ahead=self.args.speculation,
                earlier=self._earlier.texts,
                recording=recording,
                fused=self._policy.fused,
            )
            if self.args.speculation:
                self._earlier.keep(prompt_ids, generated.completion_ids)
            rollouts = Rollouts(generated.completion_ids, None, generated.entropies)
        self.seconds["generation"] += time.perf_counter() - start
        return rollouts

    def _make_generator(self, attempt: int, before: int, device: torch.device) -> torch.Generator:
        # A run generates once an optimiser step; whoever generates more often draws again each time.
        again = self._step % self.args.gradient_accumulation_steps // self.args.steps_per_generation
        return make_generator(
            self.args.seed, self.state.global_step, attempt, again, (before, self.max_completion_length), device
        )

    # -- scoring ---------------------------------------------------------------------------------------------------

    def _score(
        self, completions: list, completion_ids: list[list[int]], row: list[int], log_metric: Callable, **_: Any
    ) -> list:
        """The one reward TRL knows: the host's weighted mean, None where no function could score."""
        return [scored.reward for scored in self._judge(completion_ids, row, log_metric)]

    def _judge(self, completion_ids: list[list[int]], row: list[int], log_metric: Callable) -> list[ScoredCompletion]:
        """The scored completions of this batch, their rewards logged by task and by function."""
        if not self.now.is_drawn:
            # Not TRL's `completions`: where a tokenizer brings a `response_template`, they are what it parses out of them.
            self.now.scored = together(lambda: self._score_completions(row, completion_ids))
        self.now.log_rewards(log_metric)
        return self.now.scored

    def _score_completions(self, rows: Sequence[int], completion_ids: Sequence[Sequence[int]]) -> list:
        start = time.perf_counter()
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        pairs = [
            (self._examples[row], self._policy.prompts.completion(ids, truncated=ids[-1] not in ends))
            for row, ids in zip(rows, completion_ids, strict=True)
        ]
        scored = list(self._host.score(pairs))
        self.seconds["scoring"] += time.perf_counter() - start
        return scored

    # -- the loss --------------------------------------------------------------------------------------------------

    def _find_idle(self, inputs: dict) -> torch.Tensor | None:
        """Rows without an advantage, (B,) bool, where that means no loss and their entropies are known; else None."""
        return inputs["advantages"] == 0 if self._skips and "entropies" in inputs else None

    def _compute_loss(self, model, inputs):
        self.now.micro_batch = inputs
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self.now.micro_batch = {}

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False,
        compute_aux_loss=False, **kwargs,
    ):  # fmt: skip
        if self.fallback or compute_aux_loss or any(value is not None for value in kwargs.values()):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size=batch_size,
                compute_entropy=compute_entropy, compute_aux_loss=compute_aux_loss, **kwargs,
            )  # fmt: skip
        width = input_ids.size(1) - logits_to_keep
        ids, mask = input_ids[:, width:], attention_mask[:, width:]
        if self.now.defers_logps:
            return torch.zeros(ids.shape, device=ids.device), None, None
        present = self.now.micro_batch
        idle = self._find_idle(present)
        # With vLLM this is the first time that the policy itself reads the completions.
        watches = self.use_vllm and self._skips and not torch.is_grad_enabled()
        logps, entropies = self._run(
            model, input_ids[:, :width], attention_mask[:, :width], ids, mask, idle,
            compute_entropy=compute_entropy or watches, batch_size=batch_size,
            differentiable_entropy=self._entropy_bonus_enabled and torch.is_grad_enabled(),
            **find_recorded(self.now.recording if torch.is_grad_enabled() else None, present, ids, mask),
        )  # fmt: skip
        if watches and not compute_entropy:
            self.now.watched, entropies = entropies, None
        if idle is not None:
            # The ratio of an idle row has to be 1, not infinite: TRL multiplies it by the advantage, 0.
            logps = torch.where(idle[:, None], present.get("old_per_token_logps", logps), logps)
        if idle is not None and compute_entropy:
            entropies = torch.where(idle[:, None], present["entropies"], entropies)
        return logps, entropies, None

    def _logps_of_busy_rows(self, batch: dict) -> torch.Tensor:
        """Log-probabilities of the completions that have an advantage, without gradients; 0 for the others."""
        with torch.no_grad():
            logps, _ = self._run(
                self.model, batch["prompt_ids"], batch["prompt_mask"], batch["completion_ids"], batch["completion_mask"],
                self._find_idle(batch),
                batch_size=self.args.per_device_train_batch_size,
            )  # fmt: skip
        return logps

    def _run(
        self, model, prompt_ids, prompt_mask, ids, mask, idle, *, batch_size: int | None, compute_entropy=False,
        differentiable_entropy=False, **recorded,
    ):  # fmt: skip
        mask = mask if idle is None else mask.masked_fill(idle[:, None], 0)
        return grouped_logps(
            model, prompt_ids, prompt_mask, ids, mask, temperature=self.temperature,
            compute_entropy=compute_entropy, differentiable_entropy=differentiable_entropy,
            # TRL bounds the completions of a pass without gradients.
            micro_groups=batch_size and max(1, batch_size // self.num_generations), **recorded,
        )  # fmt: skip

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: TRL's looks the model up on the Hub, and a checkpoint must not need a network."""

    def _save_checkpoint(self, model, trial):
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # each process has files of its own in it
        if self.args.should_save:
            checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            if self.ahead is not None:
                self.ahead.save(checkpoint)
            self._policy.give_back_settings(checkpoint)
            seal_checkpoint(checkpoint, Path(self.args.output_dir).parent)
