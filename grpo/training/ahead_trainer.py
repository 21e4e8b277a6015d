"""The GRPO step whose completions were written while the step before it was learnt, off-policy by that one update.

What corrects for it: with vLLM, TRL's importance sampling correction; with a copy of the policy on a second device, the
ratio of the loss itself, whose denominator is the probability that the completions were sampled with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

from grpo.generation.generate import generate
from grpo.training.ahead import BatchAhead, batches_of_rows, pad_logprobs
from grpo.training.dynamic_sampling import Rollouts
from grpo.training.random_numbers import make_generator
from grpo.training.trainer import SharedPrefixTrainer

SERVER = "server"


class AheadTrainer(SharedPrefixTrainer):
    """`SharedPrefixTrainer`, one batch ahead: `arguments.one_step_ahead` is `server` or the device of the copy."""

    ahead: BatchAhead

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        served = self.args.one_step_ahead == SERVER
        self.ahead = BatchAhead(ServedWriter(self) if served else TwinWriter(self, self.args.one_step_ahead))
        self._following: Iterator[list[int]] | None = None
        self._batch = 0  # of `_following`, the next one

    def train(self, resume_from_checkpoint: Any = None, **options: Any) -> Any:
        """Train as the base trainer does; a resumed run first restores the batch that was written ahead."""
        if resume_from_checkpoint:
            self.ahead.recall(Path(resume_from_checkpoint))
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **options)

    def _write(
        self, prompt_ids, images, multimodal_fields, num_generations, *args, attempt=0, before=None, **kwargs
    ) -> Rollouts:
        start, step = time.perf_counter(), self.state.global_step
        found = self.ahead.take(prompt_ids, step)
        self._metrics["train"]["ahead/updates_behind"].append(float(self.num_iterations if found else 0))
        rollouts = found or self.ahead.write(prompt_ids, step)
        following = step + self.num_iterations
        if following < self.args.max_steps:
            self.ahead.begin(self._prompts_of(following // self.num_iterations), following)
        self.seconds["generation"] += time.perf_counter() - start
        return rollouts

    def _prompts_of(self, number: int) -> list[list[int]]:
        """The prompts of a generation batch, as the run will come to them."""
        if self._following is None or number < self._batch:
            repeats = self.num_iterations * self.args.steps_per_generation
            self._following = batches_of_rows(
                self._get_train_sampler(self.train_dataset), self.args.generation_batch_size, repeats
            )
            self._batch = 0
        while True:
            rows = next(self._following)
            self._batch += 1
            if self._batch > number:
                break
        known: dict[int, list[int]] = {}
        return [known.setdefault(row, self._policy.prompts.prompt_ids(self._examples[row].prompt)) for row in rows]

    def _generate_and_score_completions(self, inputs: list) -> dict:
        output = super()._generate_and_score_completions(inputs)
        rollouts = self.now.rollouts
        if not self.use_vllm and rollouts is not None and rollouts.logprobs is not None:
            # What they were sampled with: the loss weighs each token by how far the policy has moved since.
            sampled = pad_logprobs(rollouts.logprobs, output["completion_ids"].size(1))
            output["old_per_token_logps"] = sampled.to(output["completion_ids"].device)
            output.pop("sampling_per_token_logps", None)
        return output


class TwinWriter:
    """A copy of the policy on a second device; what is trained is copied over before each batch."""

    def __init__(self, trainer: SharedPrefixTrainer, device: str):
        self.trainer = trainer
        self.model = deepcopy(trainer.accelerator.unwrap_model(trainer.model)).to(device).eval()
        self.model.requires_grad_(False)

    def catch_up(self) -> None:
        """Copy the trained weights into the copy."""
        import torch

        source = dict(self.trainer.accelerator.unwrap_model(self.trainer.model).named_parameters())
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                if source[name].requires_grad:
                    weight.copy_(source[name])

    def write(self, prompt_ids: Sequence[list[int]], step: int) -> Rollouts:
        """Generate the completions of step `step`; `prompt_ids` repeats each prompt once per completion."""
        trainer, arguments, samples = self.trainer, self.trainer.args, self.trainer.num_generations
        device = self.model.get_input_embeddings().weight.device
        written = generate(
            self.model, prompt_ids[::samples], samples=samples, max_new_tokens=trainer.max_completion_length,
            temperature=arguments.temperature, eos_ids=trainer.eos_token_ids,
            pad_id=trainer._tokenizer.pad_token_id, entropies=trainer._skips,
            generator=make_generator(arguments.seed, step, 0, 0, (0, trainer.max_completion_length), device),
            fused=trainer._policy.fused,
        )  # fmt: skip
        return Rollouts(written.completion_ids, written.logprobs, written.entropies)


class ServedWriter:
    """A vLLM server, which takes weights and writes completions as TRL's `_generate_single_turn` asks it to."""

    def __init__(self, trainer: SharedPrefixTrainer):
        self.trainer = trainer

    def catch_up(self) -> None:
        """Send the trained weights to the server."""
        self.trainer.vllm_generation.sync_weights()
        self.trainer._last_loaded_step = self.trainer.state.global_step

    def write(self, prompt_ids: list[list[int]], step: int) -> Rollouts:
        """Have the server generate the completions; the entropies of the result are None."""
        _, ids, logprobs, _ = self.trainer.vllm_generation.generate(
            prompts=prompt_ids, images=None, num_generations=self.trainer.num_generations, profiler=nullcontext()
        )
        return Rollouts(ids, [[best[0] for best in row] for row in logprobs], None)
