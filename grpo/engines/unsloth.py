"""The engine that loads, generates and trains with unsloth's FastLanguageModel and its patched TRL."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.config.sections import ModelSection
from grpo.engines.engine import ahead_problems, first_words
from grpo.engines.transformers import widen_adapters
from grpo.engines.versions import find_wrong_versions
from rewards.errors import RecompensaError, UserError

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig
    from grpo.policy.loading import Policy

PATCHED = ("trl", "transformers", "peft")
"""What unsloth changes at its import, and so what must not have been imported before it."""
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers of the decoders that unsloth has kernels for."""

FALLBACK = "unsloth has a generation and a loss of its own"


class UnslothEngine:
    """Unsloth's own kernels and loss: prompts are not shared, each group member carries its own."""

    packages: tuple[str, ...] = ("unsloth",)

    def __init__(self, section: ModelSection):
        self.section = section

    def problems(self, config: RunConfig, world_size: int) -> list[str]:
        grpo, problems = config.grpo, ahead_problems(config, 1)
        if world_size > 1:
            problems.append(
                f"model.engine: unsloth runs in one process here, not in {world_size}; start one, or use engine "
                "transformers or vllm"
            )
        if not grpo.batch_problems(world_size):
            per_device = grpo.trl_batch(world_size).per_device_train_batch_size
            if per_device % grpo.num_generations:
                raised = -(-per_device // grpo.num_generations) * grpo.num_generations
                problems.append(
                    f"grpo.micro_batch_size: unsloth would silently raise {per_device} completions a pass to {raised}, a "
                    f"multiple of num_generations {grpo.num_generations}, and train on another number of prompts a step "
                    f"than prompts_per_step {grpo.prompts_per_step}; write a multiple of {grpo.num_generations}"
                )
        return problems

    def prepare(self) -> None:
        early = [name for name in PATCHED if name in sys.modules]
        if early and "unsloth" not in sys.modules:
            raise RecompensaError(
                f"unsloth must be imported before {', '.join(early)}, which it patches; start python -m grpo.run again"
            )
        # Its statistics and its cache of rewritten trainers must not need a network nor a writable working directory.
        os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
        problems = find_wrong_versions("unsloth", self.packages)
        if problems:
            raise UserError(problems)
        try:
            importlib.import_module("unsloth")
        except Exception as fault:  # whatever a library that does not fit this machine may raise
            raise UserError(
                f"model.engine: unsloth cannot be imported here ({first_words(fault)}); reinstall it with pip install "
                "-e '.[gpu]', or use engine transformers"
            ) from fault

    def load(self, *, texts: Iterable[str], seed: int, device: str) -> Policy:
        section = self.section
        if section.embedded is None:
            policy = self._read(section.name, device, revision=section.revision)
        else:
            # Unsloth patches a model as it reads it, so the embedded one is written first.
            with tempfile.TemporaryDirectory(prefix="recompensa-") as folder:
                _make_embedded(section, texts, seed).save(Path(folder))
                policy = self._read(folder, device)
        if section.lora is not None:
            policy.model = self._attach_lora(policy.model, seed)
        return policy

    def restore(self, directory: Path, *, device: str) -> Policy:
        return self._read(str(directory), device)

    def _read(self, name: str, device: str, revision: str | None = None) -> Policy:
        from unsloth import FastLanguageModel

        from grpo.policy.loading import finish_pretrained, resolve_dtype

        section = self.section
        try:
            model, tokenizer = FastLanguageModel.from_pretrained(
                model_name=name,
                revision=revision,
                max_seq_length=section.max_sequence_length,
                dtype=resolve_dtype(section, device),
                load_in_4bit=section.quantization == "nf4",
                full_finetuning=section.lora is None,
                use_gradient_checkpointing=self._checkpointing,
            )
        except (OSError, ValueError, RuntimeError) as fault:
            raise UserError(
                f"model.name: {name}: unsloth cannot load it ({first_words(fault)}); check the name, the network and HF_TOKEN, or use "
                "engine transformers"
            ) from None
        policy = finish_pretrained(model, tokenizer, section.model_copy(update={"name": name, "revision": revision}))
        policy.fallback = FALLBACK
        return policy

    def _attach_lora(self, model: Any, seed: int) -> Any:
        from unsloth import FastLanguageModel

        lora = self.section.lora
        assert lora is not None
        return FastLanguageModel.get_peft_model(
            model,
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(ALL_LINEAR) if lora.target_modules == "all-linear" else lora.target_modules,
            use_gradient_checkpointing=self._checkpointing,
            random_state=seed,
            max_seq_length=self.section.max_sequence_length,
        )

    @property
    def _checkpointing(self) -> str | bool:
        """Unsloth's own way of recomputing, unless the config says not to."""
        return "unsloth" if self.section.gradient_checkpointing is not False else False

    def arguments(self) -> dict[str, Any]:
        return {}

    @contextmanager
    def serving(self, policy: Policy, directory: Path, *, device: str) -> Iterator[None]:
        yield

    def attach(self, trainer: Any) -> None:
        widen_adapters(trainer.model, self.section)

    def observe(self, logs: Mapping[str, Any]) -> None:
        pass


def _make_embedded(section: ModelSection, texts: Iterable[str], seed: int) -> Policy:
    from grpo.policy.embedded import make_model, make_tokenizer
    from grpo.policy.loading import Policy

    assert section.embedded is not None
    tokenizer = make_tokenizer(texts, section.embedded)
    return Policy(make_model(tokenizer, section.embedded, context=section.max_sequence_length, seed=seed), tokenizer)
