"""Answers written by vLLM in this process, each request with the seed of its row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from grpo.engines.engine import EngineFailed
from grpo.generation.answers import Settings, WrittenAnswer, draw_seed, group, take_answer
from rewards.errors import RecompensaError, UserError
from rewards.types import Example

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig


_PREFILL_TOKENS = 4096


class VllmWriter:
    """A model that vLLM reads from a folder or the Hub; it is loaded by `start`, when the longest prompt is known.

    Settings of a server are training's: an evaluation needs no weights from another process.
    """

    takes_windows = True

    def __init__(self, location: str, revision: str | None, config: RunConfig, device: str):
        from transformers import AutoConfig, AutoTokenizer

        from grpo.policy.chat_template import read_template
        from grpo.policy.prompts import PromptBuilder

        self._location, self._revision, self._config, self._device = location, revision, config, device
        self._llm: Any = None
        try:
            tokenizer = AutoTokenizer.from_pretrained(location, revision=revision, trust_remote_code=False)
            shape = AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False)
        except (OSError, ValueError) as fault:
            raise UserError(f"--model {location}: cannot be loaded ({_first_line(fault)}); check the name") from None
        template = read_template(config.model)
        if tokenizer.chat_template is None and template.text is None:
            raise UserError(f"--model {location}: its tokenizer has no chat template; use a chat model")
        self.context = shape.get_text_config().max_position_embeddings
        self.note: str | None = None
        ends = _find_eos(location, revision, tokenizer)
        self.prompts = PromptBuilder(tokenizer, template, ends)
        end = self.prompts.find_end_token()
        self._eos_ids = sorted({*ends} if end is None else {*ends, end})

    def start(self, longest: int) -> None:
        # In this process requests are scheduled the same way each time, and nothing is left to end when it ends.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        from vllm import LLM

        from grpo.policy.loading import resolve_dtype

        vllm = self._config.model.vllm
        options: dict[str, Any] = {"distributed_executor_backend": "uni"} if vllm.tensor_parallel_size == 1 else {}
        if self._device == "cpu":
            # Compiling costs more than it saves there, and after half a prompt a generator would have to be set back,
            # which only those of a GPU can be.
            options |= {
                "enforce_eager": True,
                "enable_chunked_prefill": False,
                "max_num_batched_tokens": max(longest, _PREFILL_TOKENS),
            }
        try:
            self._llm = LLM(
                model=self._location,
                revision=self._revision,
                tokenizer_revision=self._revision,
                dtype=str(resolve_dtype(self._config.model, self._device)).removeprefix("torch."),
                max_model_len=longest,
                # Nothing is trained beside it.
                gpu_memory_utilization=vllm.gpu_memory_utilization or 0.9,
                tensor_parallel_size=vllm.tensor_parallel_size,
                enable_prefix_caching=True,
                # The sampling is the config's alone.
                generation_config="vllm",
                seed=self._config.evaluation.seed,
                disable_log_stats=True,
                **options,
            )
        except (RuntimeError, ValueError, OSError) as fault:
            raise RecompensaError(
                f"vLLM cannot load {self._location} ({_first_line(fault)}); its own output is above, or --set "
                "model.engine=transformers"
            ) from None

    def write(
        self, examples: Sequence[Example], prompts: Sequence[Sequence[int]], settings: Settings
    ) -> list[list[WrittenAnswer]]:
        from vllm import SamplingParams

        requests, sampling = [], []
        for example, prompt in zip(examples, prompts, strict=True):
            for sample in range(settings.samples):
                requests.append({"prompt_token_ids": list(prompt)})
                sampling.append(
                    SamplingParams(
                        temperature=settings.temperature,
                        top_p=settings.top_p,
                        top_k=settings.top_k,
                        repetition_penalty=settings.repetition_penalty,
                        max_tokens=settings.max_completion_length,
                        seed=draw_seed(settings, example, sample) if settings.temperature > 0 else None,
                        stop_token_ids=self._eos_ids,
                        detokenize=False,
                    )
                )
        ends, answers = set(self._eos_ids), []
        try:
            outputs = self._llm.generate(requests, sampling_params=sampling, use_tqdm=False)
        except Exception as fault:  # whatever ended its engine
            raise EngineFailed(
                f"vLLM stopped ({_first_line(fault)}); its own output is above; the rows so far are kept, continue with "
                "--resume"
            ) from fault
        for written in outputs:
            answers.append(take_answer(self.prompts, list(written.outputs[0].token_ids), ends, settings))
        return group(answers, settings.samples)


def _find_eos(location: str, revision: str | None, tokenizer: Any) -> list[int]:
    """Every token that ends an answer, as `Policy.eos_ids` has them."""
    from transformers import GenerationConfig

    try:
        configured = GenerationConfig.from_pretrained(location, revision=revision).eos_token_id
    except OSError:  # a model need not bring one
        configured = None
    ids = {tokenizer.eos_token_id, *([configured] if isinstance(configured, int) else configured or [])}
    return sorted(number for number in ids if number is not None)


def _first_line(fault: Exception) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]
