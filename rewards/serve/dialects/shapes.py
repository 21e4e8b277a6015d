"""What every dialect is made of, and how the values of functions are named in an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from rewards.serve.pool import Item
from rewards.serve.scorers import Scorer

Result = dict[str, Any]


class StrictModel(BaseModel):
    """A number is not text, and text is not a number."""

    model_config = ConfigDict(strict=True)


@dataclass(frozen=True)
class Dialect:
    """`parse` gives the items of a body (UserError for what cannot be read), `render` the answer where it is 200."""

    name: str
    path: str
    request: Any
    response: Any
    parse: Callable[[Any, str], list[Item]]
    render: Callable[[Any, Scorer, Sequence[Item], Sequence[Result]], Any]
    summary: str


def number_functions(scorer: Scorer, result: Result) -> dict[str, float]:
    """One number a function, the same names each time: what did not apply is -1, which no score is."""
    values = {}
    for name in scorer.versions:
        said = result["functions"].get(name, {})
        values[name] = float(said["value"]) if said.get("value") is not None else -1.0
    return values
