"""NeMo-RL without its gym: `register_env("recompensa", "rewards.adapters.nemo_rl.Environment")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rewards.adapters.source import cut_answer, make_row, open_source


def __getattr__(name: str) -> Any:
    if name != "Environment":
        raise AttributeError(name)
    import ray
    from nemo_rl.environments.interfaces import EnvironmentInterface, EnvironmentReturn

    def __init__(self: Any, cfg: Mapping[str, Any] | None = None) -> None:
        self.cfg = dict(cfg or {})

    def step(self: Any, message_log_batch: Sequence[Any], metadata: Sequence[Any]) -> Any:
        return EnvironmentReturn(**make_return(message_log_batch, metadata, self.cfg))

    def global_post_process_and_metrics(self: Any, batch: Any) -> Any:
        return batch, {"mean_reward": float(batch["total_reward"].float().mean())}

    body = {
        "__init__": __init__, "step": step, "global_post_process_and_metrics": global_post_process_and_metrics,
        "__module__": __name__,
    }  # fmt: skip
    globals()["Environment"] = ray.remote(type("Environment", (EnvironmentInterface,), body))
    return globals()["Environment"]


def make_return(message_log_batch: Sequence[Any], metadata: Sequence[Any], cfg: Mapping[str, Any]) -> dict[str, Any]:
    """What a step gives back: one episode a log, each ended; raises ScoringFailed where there is no number."""
    import torch

    rows = []
    for log, row in zip(message_log_batch, metadata, strict=True):
        answer = log[-1]["content"] if log and log[-1].get("role") == "assistant" else ""
        prompt = [{"role": turn["role"], "content": turn["content"]} for turn in cut_answer(log)]
        given = {key: value for key, value in dict(row or {}).items() if value is not None}
        rows.append((make_row(given, prompt, given.get("ground_truth")), answer, False))
    verdicts = open_source(cfg.get("config"), cfg.get("url")).score(rows)
    numbers = [verdict.number() for verdict in verdicts]
    return {
        "observations": [{"role": "environment", "content": verdict.reason} for verdict in verdicts],
        "metadata": list(metadata),
        "next_stop_strings": [None] * len(rows),
        "rewards": torch.tensor(numbers),
        "terminateds": torch.ones(len(rows), dtype=torch.bool),
        "answers": [answer for _, answer, _ in rows],
    }
