"""The answers of the evaluation that is under way, kept batch by batch: a stop in its middle loses none that is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from rewards.types import Completion

if TYPE_CHECKING:
    from rewards.extraction.reasoning import ReasoningStyle

_SAMPLED = 16  # numbers of each weight


class Answered:
    """A file of which the first line says what evaluation of what policy it is, each other one what a batch answered.

    Each line has a hash of its own: what was torn, flipped or is of another evaluation is answered again.
    """

    def __init__(self, path: Path, asked: Mapping[str, Any]):
        self._path = path
        self._head = _make_line(dict(asked))
        self.answers: dict[int, Completion] = {}

    def recall(self, style: ReasoningStyle) -> None:
        """Read back what was answered by place, and be ready to add to it."""
        kept = 0
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except OSError:
            lines = []
        if lines and lines[0] == self._head:
            kept = len(lines[0])
            for line in lines[1:]:
                batch = _read_line(line)
                if batch is None:
                    break
                kept += len(line)
                for place, text, truncated in batch["rows"]:
                    self.answers[place] = Completion(text, truncated, style)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not kept:
            self._path.write_bytes(self._head)
        else:
            with self._path.open("r+b") as file:
                file.truncate(kept)

    def add(self, places: Sequence[int], completions: Sequence[Completion]) -> None:
        """A batch that is whole."""
        rows = [[place, each.text, each.truncated] for place, each in zip(places, completions, strict=True)]
        line = _make_line({"rows": rows})
        with self._path.open("ab") as file:
            file.write(line)
        self.answers.update(zip(places, completions, strict=True))


def mark_weights(model: Any) -> str:
    """A few numbers of every weight, hashed: two policies that were trained apart differ in it, at the cost of no pass."""
    import torch

    with torch.no_grad():
        samples = [
            flat[:: max(1, flat.numel() // _SAMPLED)][:_SAMPLED].to(torch.float64)
            for flat in (parameter.detach().flatten() for parameter in model.parameters())
        ]
        numbers = torch.cat([sample.cpu() for sample in samples]) if samples else torch.zeros(0, dtype=torch.float64)
    return hashlib.sha256(numbers.numpy().tobytes()).hexdigest()[:32]


def _make_line(value: dict[str, Any]) -> bytes:
    body = orjson.dumps(value)
    return orjson.dumps({"sha256": hashlib.sha256(body).hexdigest(), "of": value}) + b"\n"


def _read_line(line: bytes) -> dict[str, Any] | None:
    try:
        read = orjson.loads(line)
        value = read["of"]
        whole = line.endswith(b"\n") and read["sha256"] == hashlib.sha256(orjson.dumps(value)).hexdigest()
    except (ValueError, KeyError, TypeError):
        return None
    return value if whole and isinstance(value, dict) else None
