"""`POST /slime`, as slime's and miles' `--rm-type remote_rm` call it: one sample, the answer an object with `score`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict

from rewards.serve.dialects.shapes import Dialect, Result, StrictModel, number_functions
from rewards.serve.incoming import make_example, read_label
from rewards.serve.pool import Item
from rewards.serve.scorers import Scorer


class SlimeRequest(StrictModel):
    prompt: str | list[dict[str, Any]]
    response: str
    label: Any = None


class SlimeResponse(StrictModel):
    model_config = ConfigDict(strict=True, extra="allow")

    score: float


def parse(body: SlimeRequest, task: str) -> list[Item]:
    return [(make_example(read_label(body.label), body.prompt, task, "label"), body.response, False)]


def render(body: Any, scorer: Scorer, items: Sequence[Item], results: Sequence[Result]) -> Any:
    return {**number_functions(scorer, results[0]), "score": results[0]["value"]}


SLIME = Dialect(
    "slime", "/slime", SlimeRequest, SlimeResponse, parse, render, "slime and miles: give --reward-key score as well"
)


def render_number(body: Any, scorer: Scorer, items: Sequence[Item], results: Sequence[Result]) -> Any:
    return results[0]["value"]


SLIME_NUMBER = Dialect(
    "slime", "/slime/number", SlimeRequest, float, parse, render_number, "The same without --reward-key: a bare number"
)
