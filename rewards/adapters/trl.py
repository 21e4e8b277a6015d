"""TRL, and unsloth and axolotl, which call reward functions as it does: `reward_funcs=[make_reward("rewards.yaml")]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rewards.adapters.source import CompletionVerdict, RewardSource, ScoringFailed, make_row, open_source, read_text

_OF_TRL = frozenset({"trainer_state", "log_extra", "log_metric", "environments", "completion_ids", "completion_mask"})


def make_reward(
    config: str | None = None,
    url: str | None = None,
    *,
    name: str = "recompensa",
    on_error: str = "none",
    seconds: float = 120.0,
) -> Callable[..., list[float | None]]:
    """A reward function for GRPOTrainer, over a YAML file or a server.

    `on_error`: `none` gives None for a completion without a score, which TRL leaves out of its group; `raise` ends the
    training. Past the error budget both raise.
    """
    source = RewardSource(config, url, seconds=seconds)

    def score(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        return _score(source, prompts, completions, columns, on_error)

    score.__name__ = score.__qualname__ = name
    return score


def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
    """The same by name, as axolotl wants it; the rewards are those that RECOMPENSA_REWARDS names."""
    return _score(open_source(), prompts, completions, columns, "none")


def _score(
    source: RewardSource, prompts: Sequence[Any], completions: Sequence[Any], columns: dict[str, Any], on_error: str
) -> list[float | None]:
    log_extra, log_metric = columns.get("log_extra"), columns.get("log_metric")
    rows = []
    for at, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        own = {
            key: values[at]
            for key, values in columns.items()
            if key not in _OF_TRL and isinstance(values, list) and len(values) == len(prompts)
        }
        # A column that a row lacks is None in a table.
        row = make_row({key: value for key, value in own.items() if value is not None}, prompt)
        rows.append((row, read_text(completion), False))
    verdicts = source.score(rows)
    if callable(log_metric):
        for name in verdicts[0].functions if verdicts else ():
            values = [each.functions[name] for each in verdicts if each.functions.get(name) is not None]
            if values:
                log_metric(f"rewards/{name}", sum(values) / len(values))  # type: ignore[arg-type]
        log_metric("rewards/failed", sum(each.status in ("error", "bad_row") for each in verdicts) / len(verdicts))
    if callable(log_extra):
        log_extra("reason", [_explain(each) for each in verdicts])
    failed = next((each for each in verdicts if each.status in ("error", "bad_row")), None)
    if failed is not None and on_error == "raise":
        raise ScoringFailed(f"{failed.status}: {failed.reason}")
    return [each.value for each in verdicts]


def _explain(verdict: CompletionVerdict) -> str:
    said = "; ".join(f"{name}: {each['reason']}" for name, each in verdict.details.items() if each["reason"])
    return verdict.reason or said
