"""Whether the weights arrived at vLLM: the log-probabilities of one text, by vLLM and by the policy that was sent to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from grpo.distributed.sharding import is_sharded
from grpo.policy.shared_prefix import unwrap
from rewards.errors import RecompensaError

TOKENS = 96
"""Of the probe text, at most."""

MOST_DIFFERENCE = 0.5
"""Nats a token; bfloat16 against float32 gives some hundredths, weights that never arrived give more than one."""

MOVED = 0.05
"""Nats a token by which the policy has moved, when vLLM must have moved too."""

METRIC = "sampling/probe_difference"

Ask = Callable[[Sequence[int]], list[float]]


class WeightProbe:
    """One text whose log-probabilities vLLM is asked for after it was sent weights.

    Weights that are wrong show in the difference. Those of an earlier step may hardly differ, but then vLLM answers with the
    very numbers it gave before, while the policy has moved on.
    """

    def __init__(self, ids: Sequence[int]):
        self.ids = list(ids)[:TOKENS]
        self._before: tuple[list[float], list[float]] | None = None  # the policy's and vLLM's, when vLLM last moved

    def compare(self, ours: Sequence[float], theirs: Sequence[float]) -> float:
        """The mean difference a token; RecompensaError where it says that the weights did not arrive."""
        difference = _mean_difference(ours, theirs)
        if not difference <= MOST_DIFFERENCE:
            raise RecompensaError(
                describe(
                    f"its log-probabilities of a probe text differ by {difference:.3g} a token, more than {MOST_DIFFERENCE}"
                )
            )
        if self._before is None or list(theirs) != self._before[1]:
            self._before = list(ours), list(theirs)
        elif (moved := _mean_difference(ours, self._before[0])) > MOVED:
            raise RecompensaError(
                describe(
                    f"the policy has moved by {moved:.3g} a token of a probe text since vLLM last did, which still answers "
                    "with the same numbers"
                )
            )
        return difference

    def run(self, trainer: Any, ask: Ask) -> None:
        """Ask, compare, and log the difference; nothing where the policy is spread over processes."""
        model = unwrap(trainer.accelerator.unwrap_model(trainer.model))
        if len(self.ids) < 2 or is_sharded(model):
            return
        difference = self.compare(measure(trainer, self.ids), ask(self.ids))
        trainer._metrics["train"][METRIC].append(difference)


def describe(found: str) -> str:
    """A fault of the weights in one line."""
    return (
        f"vLLM samples from another policy than the one that is trained: {found}; its weights did not arrive or its version "
        "does not fit (docs/engines.md). The run is kept"
    )


def measure(trainer: Any, ids: Sequence[int]) -> list[float]:
    """The policy's log-probabilities of each token after the first."""
    import torch

    model = trainer.accelerator.unwrap_model(trainer.model)
    device = model.get_input_embeddings().weight.device
    tokens = torch.tensor([list(ids)], device=device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), trainer.accelerator.autocast():
            logits = model(input_ids=tokens, use_cache=False).logits[0, :-1].float()
    finally:
        model.train(training)
    return torch.log_softmax(logits, -1).gather(1, tokens[0, 1:, None])[:, 0].tolist()


def ask_server(client: Any) -> Ask:
    """How TRL's client of a server is asked."""

    def ask(ids: Sequence[int]) -> list[float]:
        answer = client.get_sequence_logprobs([list(ids)], prompt_lengths=[1], top_logprobs=1)
        return [token[0] for token in answer["actual_logprobs"][0]]

    return ask


def ask_colocated(generate: Callable[..., Any]) -> Ask:
    """How a vLLM in this process is asked, by its own `generate`."""

    def ask(ids: Sequence[int]) -> list[float]:
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=1, temperature=1.0, prompt_logprobs=1)
        (output,) = generate([{"prompt_token_ids": list(ids)}], sampling_params=params, use_tqdm=False)
        return [found[token].logprob for token, found in zip(ids[1:], output.prompt_logprobs[1:], strict=True)]

    return ask


def _mean_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return sum(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / len(ours)
