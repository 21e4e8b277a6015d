"""`POST /v1/score`: whole rows in, every function's verdict out; the one dialect that loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field

from rewards.serve.dialects.shapes import Dialect, Result, StrictModel
from rewards.serve.incoming import make_example
from rewards.serve.pool import Item
from rewards.serve.scorers import Scorer

MOST_ITEMS = 1024


class Message(StrictModel):
    model_config = ConfigDict(strict=True, extra="allow")

    role: str
    content: str


class ScoreItem(StrictModel):
    """A row and the completion to be scored."""

    model_config = ConfigDict(strict=True, extra="forbid")

    completion: str
    id: str | None = None
    task: str | None = None
    prompt: str | list[Message] = Field(default_factory=list)
    reference: str | None = None
    columns: dict[str, Any] = Field(default_factory=dict)
    truncated: bool = False


class ScoreRequest(StrictModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    items: list[ScoreItem] = Field(max_length=MOST_ITEMS)
    rewards: str | None = Field(None, description="Which of the rewards that the server holds; the first without it.")
    versions: dict[str, str] | None = Field(None, description="Refused with 409 where the server's are others.")
    pin: str | None = Field(None, description="The same for everything that could change a score.")


class FunctionVerdict(StrictModel):
    status: Literal["value", "unscored", "error"]
    value: float | None
    weight: float
    reason: str
    parts: dict[str, float]
    seconds: float


class ItemResult(StrictModel):
    id: str
    task: str
    status: Literal["value", "unscored", "bad_row", "error"]
    value: float | None = Field(description="The weighted mean in 0..1; null beside every status but value.")
    reason: str
    functions: dict[str, FunctionVerdict]


class ScoreResponse(StrictModel):
    rewards: str
    pin: str
    versions: dict[str, str]
    results: list[ItemResult]


def parse(body: ScoreRequest, task: str) -> list[Item]:
    items = []
    for at, item in enumerate(body.items):
        row = {"id": item.id, "task": item.task, "reference": item.reference, "columns": item.columns}
        prompt: Any = item.prompt if isinstance(item.prompt, str) else [turn.model_dump() for turn in item.prompt]
        items.append((make_example(row, prompt, task, f"items[{at}]"), item.completion, item.truncated))
    return items


def render(body: ScoreRequest, scorer: Scorer, items: Sequence[Item], results: Sequence[Result]) -> Any:
    return {
        "rewards": scorer.name,
        "pin": scorer.pin,
        "versions": scorer.versions,
        "results": [
            {"id": example.id, "task": example.task, **result}
            for (example, _, _), result in zip(items, results, strict=True)
        ],
    }


NATIVE = Dialect("native", "/v1/score", ScoreRequest, ScoreResponse, parse, render, "Score rows and completions")
