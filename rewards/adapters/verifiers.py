"""verifiers and prime-rl: `recompensa = { fn = "rewards.adapters.verifiers:reward", weight = 1.0 }`, or a Rubric's function."""

from __future__ import annotations

from typing import Any

from rewards.adapters.source import make_row, open_source, read_text


async def reward(task: Any, trace: Any) -> float:
    """v1: of a task and its trace; the task's data hold the row. Raises ScoringFailed where there is no number."""
    data = getattr(task, "data", task)
    row = data.model_dump() if hasattr(data, "model_dump") else dict(vars(data) if hasattr(data, "__dict__") else data)
    prompt = row.pop("prompt", None)
    row = {key: value for key, value in row.items() if value is not None}
    example = make_row(row, prompt, row.get("answer"))
    (verdict,) = await open_source().score_async([(example, str(trace.last_reply or ""), False)])
    return verdict.number()


async def rubric_reward(prompt: Any, completion: Any, answer: Any = None, info: Any = None, **_: Any) -> float:
    """Of `vf.Rubric(funcs=[rubric_reward], weights=[1.0])`: `info` holds the row, `answer` the reference."""
    row = dict(info) if isinstance(info, dict) else {"row": info} if isinstance(info, str) and info else {}
    (verdict,) = await open_source().score_async([(make_row(row, prompt, answer), read_text(completion), False)])
    return verdict.number()
