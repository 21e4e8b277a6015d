"""SkyRL: `register(id="recompensa", entry_point="rewards.adapters.skyrl:Env")`; one answer, scored, ends the episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.adapters.source import make_row, open_source

_OF_SKYRL = frozenset({"reward_spec", "env_class", "data_source", "prompt", "max_turns"})


def __getattr__(name: str) -> Any:
    # The class stands on SkyRL's own, which is there only where SkyRL is.
    if name != "Env":
        raise AttributeError(name)
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

    def __init__(self: Any, env_config: Any = None, extras: Mapping[str, Any] | None = None) -> None:
        BaseTextEnv.__init__(self)
        self.extras = dict(extras or {})

    def init(self: Any, prompt: Any) -> Any:
        self.prompt = prompt
        return prompt, {}

    def step(self: Any, action: str) -> Any:
        result = score(self.extras, getattr(self, "prompt", None), action)
        return BaseTextEnvStepOutput(observations=[], done=True, **result)

    made = type("Env", (BaseTextEnv,), {"__init__": __init__, "init": init, "step": step, "__module__": __name__})
    globals()["Env"] = made
    return made


def score(extras: Mapping[str, Any], prompt: Any, action: str) -> dict[str, Any]:
    """`reward` and `metadata` of one answer; raises ScoringFailed where there is no number."""
    row = {key: value for key, value in extras.items() if key not in _OF_SKYRL and value is not None}
    spec = extras.get("reward_spec") or {}
    if extras.get("data_source"):
        row.setdefault("task", extras["data_source"])
    example = make_row(row, prompt or extras.get("prompt"), spec.get("ground_truth"))
    (verdict,) = open_source().score([(example, action, False)])
    return {"reward": verdict.number(), "metadata": {"functions": dict(verdict.functions), "reason": verdict.reason}}
