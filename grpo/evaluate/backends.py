"""What writes the answers: the policy itself through the engine it was trained with, or vLLM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from grpo.evaluate.policy_source import PolicySource, is_made_on_the_spot, load_source
from grpo.generation.answers import Settings, WrittenAnswer, answer_batch, find_fallback
from grpo.generation.cuda_graphs import forget_graphs
from grpo.policy.local_files import model_folder
from rewards.errors import RecompensaError, UserError
from rewards.types import Example

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig
    from grpo.engines.engine import Engine
    from grpo.policy.loading import Policy
    from grpo.policy.prompts import PromptBuilder


class Writer(Protocol):
    """`context` is how many tokens prompt and answer may have; `note` what is worth a warning, None without."""

    prompts: PromptBuilder
    context: int
    note: str | None
    takes_windows: bool
    """Whether it forms its own batches, so that it is given as many rows at once as there are."""

    def start(self, longest: int) -> None:
        """Make ready for prompts and answers of at most this many tokens together."""

    def write(
        self, examples: Sequence[Example], prompts: Sequence[Sequence[int]], settings: Settings
    ) -> list[list[WrittenAnswer]]:
        """`settings.samples` answers to each example."""


def choose(config: RunConfig) -> Engine:
    """The engine of `model.engine`; vLLM in this process, whatever server training may have had."""
    from grpo.engines.choose import choose_engine

    vllm = config.model.vllm.model_copy(update={"mode": "colocate"})
    return choose_engine(config.model.model_copy(update={"vllm": vllm}))


def find_problems(config: RunConfig, source: PolicySource, processes: int) -> list[str]:
    """Why this policy cannot be evaluated with the engine and the weights that the config names. Imports nothing heavy."""
    from grpo.engines.packages import is_installed

    if source.kind == "endpoint":
        told = []
        if processes > 1:
            told.append(f"--model {source.location}: a server is queried by one process, not by {processes}")
        if config.evaluation.stop_repetition is not None:
            told.append(
                f"evaluation.stop_repetition: {config.evaluation.stop_repetition} counts tokens, but a server returns whole "
                "texts; use --set evaluation.stop_repetition=null"
            )
        return told
    model, problems = config.model, []
    needed = ["torch", "transformers", "datasets", *(["peft"] if source.kind == "adapter" else [])]
    if missing := [name for name in needed if not is_installed(name)]:
        problems.append(
            f"evaluating needs {', '.join(missing)}: pip install torch==2.13.0 && pip install -e '.[train]'"
        )
    for name in choose(config).packages:
        if not is_installed(name):
            problems.append(
                f"model.engine: {model.engine} needs {name}: pip install -e '.[gpu]', or --set "
                "model.engine=transformers"
            )
    if model.quantization == "nf4" and not is_installed("bitsandbytes"):
        problems.append(
            "model.quantization: nf4 needs bitsandbytes: pip install -e '.[quant]', or --set model.quantization=none"
        )
    if model.engine == "vllm" and model.quantization != "none":
        problems.append(
            f"model.quantization: {model.quantization} is not evaluated by engine vllm; --set model.engine=transformers, "
            "or model.quantization=none"
        )
    if model.engine != "transformers" and processes > 1:
        devices = "; more devices: --set model.vllm.tensor_parallel_size=N" if model.engine == "vllm" else ""
        problems.append(
            f"model.engine: {model.engine} evaluates in one process, not in {processes}; start one{devices}, or --set "
            "model.engine=transformers"
        )
    return problems


@contextmanager
def open_writer(source: PolicySource, config: RunConfig, device: str) -> Iterator[Writer]:
    """The writer of `model.engine`, or of a server; UserError when the policy cannot be loaded."""
    if source.kind == "endpoint":
        from grpo.evaluate.endpoint_writer import EndpointWriter

        yield EndpointWriter(source.location)
        return
    if config.model.engine != "vllm":
        load = _load_by_unsloth if config.model.engine == "unsloth" else load_source
        yield PolicyWriter(load(source, config, device), config.evaluation.batch_size)
        return
    from grpo.evaluate.vllm_backend import VllmWriter

    if source.kind == "model":
        local = model_folder(source.location, source.revision)
        # A folder is named as a whole: what looks like a Hub name vLLM asks the Hub for.
        location = str(local.resolve()) if local is not None else source.location
        yield VllmWriter(location, source.revision, config, device)
        return
    # vLLM reads a model from a folder: the merged one is written for it.
    with TemporaryDirectory(prefix="recompensa-") as folder:
        load_source(source, config, "cpu").save(Path(folder))
        yield VllmWriter(folder, None, config, device)


class PolicyWriter:
    """Writes with the policy in this process, at most `most` answers at once and fewer where memory is short."""

    takes_windows = False

    def __init__(self, policy: Policy, most: int):
        self.policy, self.most = policy, most
        self.prompts = policy.prompts
        self.context = policy.model.config.get_text_config().max_position_embeddings
        fallback = find_fallback(policy)
        self.note = (
            fallback and f"answers are written by the model's own generate, slower and batch by batch: {fallback}"
        )

    def start(self, longest: int) -> None:
        pass

    def write(
        self, examples: Sequence[Example], prompts: Sequence[Sequence[int]], settings: Settings
    ) -> list[list[WrittenAnswer]]:
        answers: list[list[WrittenAnswer]] = [[] for _ in examples]
        for start in range(0, settings.samples, self.most):
            samples = range(start, min(start + self.most, settings.samples))
            for given, more in zip(answers, self._fit(examples, prompts, settings, samples), strict=True):
                given += more
        return answers

    def _fit(
        self, examples: Sequence[Example], prompts: Sequence[Any], settings: Settings, samples: range
    ) -> list[list[WrittenAnswer]]:
        """The answers, in two halves where they do not fit into the device's memory together."""
        import torch

        try:
            return answer_batch(self.policy, examples, prompts, settings, samples)
        except torch.OutOfMemoryError:
            pass
        # Not inside the handler, whose traceback holds what was allocated.
        forget_graphs()
        torch.cuda.empty_cache()
        half = len(examples) // 2
        if half:
            return [
                *self._fit(examples[:half], prompts[:half], settings, samples),
                *self._fit(examples[half:], prompts[half:], settings, samples),
            ]
        if len(samples) == 1:
            raise RecompensaError(
                f"--model: not even one answer to row {examples[0].id!r} ({len(prompts[0])} tokens and up to "
                f"{settings.max_completion_length} more) fits into the device's memory; take a larger device, or --set "
                "model.quantization=nf4 and another --out"
            )
        middle = samples.start + len(samples) // 2
        first = self._fit(examples, prompts, settings, range(samples.start, middle))
        return [[*first[0], *self._fit(examples, prompts, settings, range(middle, samples.stop))[0]]]


def _load_by_unsloth(source: PolicySource, config: RunConfig, device: str) -> Policy:
    """Unsloth reads a model, or an adapter with its base."""
    from grpo.engines.choose import choose_engine

    if source.revision is not None:
        raise UserError(
            f"model.revision: {source.revision} is not evaluated by engine unsloth; --set model.engine=transformers"
        )
    if is_made_on_the_spot(source):
        return load_source(source, config, device)
    section = config.model.model_copy(update={"max_sequence_length": 16, "embedded": None})
    return choose_engine(section).restore(Path(source.location), device=device)
