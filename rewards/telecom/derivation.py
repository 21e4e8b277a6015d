"""What of a telecom answer follows from the prompt: telemetry that it does not contain cannot be known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from rewards.telecom.units import numbers_of
from rewards.text.portuguese import fold
from rewards.types import Example

TELEMETRY_LAYERS = ("tmf921_lifecycle_monitor", "tmf921_lifecycle_report")

_NUMBER = re.compile(r"(?<![A-Za-z0-9])[0-9]+(?:[.,][0-9]+)*", re.ASCII)
_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|_|-")
_SCALES = (1.0, 1e3, 1e-3, 1e6, 1e-6, 100.0, 0.01)


class Prompt:
    """The numbers and words of a row's prompt."""

    def __init__(self, text: str):
        self.folded = fold(text)
        self.words = frozenset(_WORD.findall(self.folded))
        self._numbers = frozenset(
            _round(number * scale)
            for match in _NUMBER.finditer(text)
            for number in numbers_of(match[0])
            for scale in _SCALES
        )

    def has_number(self, value: float) -> bool:
        """Whether a number stands in the prompt, in any notation or in a unit a thousand times larger or smaller."""
        return _round(abs(value)) in self._numbers

    def has_text(self, text: str) -> bool:
        """Whether a text stands in the prompt, as a whole or by all its words."""
        folded = fold(text[:2000])
        if folded and folded in self.folded:
            return True
        words = _WORD.findall(fold(_CAMEL.sub(" ", text[:2000])))
        return bool(words) and all(word in self.words for word in words)

    def contains(self, value: Any) -> bool:
        """Whether a leaf of an answer can be known from the prompt; a truth value or null cannot be looked up."""
        if isinstance(value, bool) or value is None:
            return False
        if isinstance(value, (int, float)):
            return abs(value) < 1e15 and self.has_number(float(value))
        return isinstance(value, str) and self.has_text(value)


def read_prompt(example: Example) -> Prompt:
    """The prompt of a row, all messages together, read once for all completions of its group."""
    return _read_prompt("\n".join(str(message.get("content", "")) for message in example.prompt))


def layer_of(example: Example) -> str:
    """The layer of a row: its column `target_layer`, else its task."""
    layer = example.columns.get("target_layer")
    return layer if isinstance(layer, str) and layer else example.task


def is_telemetry(example: Example, layers: Sequence[str]) -> bool:
    """Whether the row's answer is generated telemetry, by its layer, else by its operation."""
    layer = layer_of(example)
    if layer in layers:
        return True
    operation = example.columns.get("lifecycle_operation")
    return isinstance(operation, str) and any(each.endswith(f"_{operation}") for each in layers)


@lru_cache(maxsize=1024)
def _read_prompt(text: str) -> Prompt:
    return Prompt(text)


def _round(number: float) -> float:
    return float(f"{number:.9g}")
