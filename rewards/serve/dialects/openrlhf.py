"""`POST /get_reward`, as OpenRLHF's `--reward.remote_url` calls it: templated texts and labels, one sample or more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rewards.errors import UserError
from rewards.serve.dialects.shapes import Dialect, Result, StrictModel, number_functions
from rewards.serve.incoming import make_example, read_label
from rewards.serve.pool import Item
from rewards.serve.scorers import Scorer

_ENDS = re.compile(
    r"(?:\s*(?:<\|im_end\|>|<\|eot_id\|>|<\|end_of_text\|>|<\|endoftext\|>|<\|end\|>|<\|return\|>|<end_of_turn>|<eos>|</s>"
    r"|<｜end▁of▁sentence｜>))+\s*\Z"
)
_ANSWER = re.compile(
    r"<\|im_start\|>assistant\n|<\|start_header_id\|>assistant<\|end_header_id\|>\n\n|<start_of_turn>model\n|\[/INST\]|<\|assistant\|>"
)


class OpenRlhfRequest(StrictModel):
    query: list[str]
    prompts: list[str] | None = None
    labels: list[Any] | None = None


class OpenRlhfResponse(StrictModel):
    rewards: list[float]
    scores: list[float]
    extra_logs: dict[str, list[float]]


def parse(body: OpenRlhfRequest, task: str) -> list[Item]:
    count = len(body.query)
    for name, values in (("prompts", body.prompts), ("labels", body.labels)):
        if values and len(values) != count:
            raise UserError(f"{name}: {len(values)} for {count} in query; give one for each")
    items = []
    for at, query in enumerate(body.query):
        prompt = body.prompts[at] if body.prompts else ""
        answer, truncated = cut_answer(query, prompt)
        row = read_label(body.labels[at] if body.labels else None)
        items.append((make_example(row, prompt, task, f"labels[{at}]"), answer, truncated))
    return items


def cut_answer(query: str, prompt: str) -> tuple[str, bool]:
    """What the policy wrote, and whether it was cut off: where a template has marks of the end, and there is none."""
    if prompt and query.startswith(prompt):
        answer = query[len(prompt) :]
    else:
        tags = list(_ANSWER.finditer(query))
        answer = query[tags[-1].end() :] if tags else query
    answer, ended = cut_ending(answer)
    return answer, not ended and bool(_ANSWER.search(prompt or query))


def cut_ending(answer: str) -> tuple[str, bool]:
    """A text without the tokens that end it, and whether it had any."""
    cut = _ENDS.search(answer[-200:])
    return (answer[: len(answer) - len(cut[0])], True) if cut else (answer, False)


def render(body: Any, scorer: Scorer, items: Sequence[Item], results: Sequence[Result]) -> Any:
    values = [result["value"] for result in results]
    numbers = [number_functions(scorer, result) for result in results]
    logs = {name: [each[name] for each in numbers] for name in scorer.versions} if results else {}
    return {"rewards": values, "scores": values, "extra_logs": logs}


OPENRLHF = Dialect(
    "openrlhf", "/get_reward", OpenRlhfRequest, OpenRlhfResponse, parse, render, "OpenRLHF's remote reward model"
)
