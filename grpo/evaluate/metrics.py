"""Every metric of one completion, whatever rewards the config names: parse, exact, F1s, KPI, semantic parts, overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import orjson

from grpo.evaluate.stripping import strip_answer
from rewards.answers import read_answer
from rewards.functions.field_f1 import FieldF1
from rewards.functions.kpi_values import KpiValues
from rewards.functions.telecom import Telecom
from rewards.functions.telecom_layer import is_known_layer
from rewards.functions.text_overlap import measure_overlap
from rewards.functions.tool_call import ToolCall
from rewards.telecom.derivation import layer_of
from rewards.telecom.figures import find_statements
from rewards.tool_calls.dialects import read_calls
from rewards.types import Completion, Example

Kind = Literal["json", "telecom", "tool", "sql", "text", "none"]

TITLES = {
    "reward": "weighted mean of the config's reward functions",
    "parse": "strict JSON once reasoning and a fence are taken off",
    "read": "JSON that the reader can read, with repairs",
    "exact": "every field right and none too many; of a text, the very same text",
    "field_f1": "F1 over (path, value) pairs",
    "key_f1": "F1 over paths",
    "raw_field_f1": "the same with nothing left out: identifiers, dates and links count too",
    "raw_exact": "every field right and none too many, nothing left out",
    "kpi_present": "share of the row's figures that stand somewhere under a key that carries them, right or wrong",
    "field_precision": "share of the given fields that are right",
    "field_recall": "share of the wanted fields that are right",
    "kpi": "share of the row's figures that are right",
    "semantic_core": "required keys, enumerations and identifiers of the layer",
    "semantic_kpi": "the row's figures where the layer states them",
    "semantic_overall": "the layer's whole reward",
    "call_valid": "share of the calls that can be read without repair",
    "call_name": "F1 over the names of the functions",
    "call_args_exact": "share of the calls right as a whole",
    "call_args_f1": "F1 over the arguments",
    "call_args_precision": "share of the given arguments that are right",
    "call_args_recall": "share of the wanted arguments that are right",
    "sql_executes": "statements that run",
    "sql_result": "statements with the right result",
}  # fmt: skip

_PLAIN = FieldF1()
_TELECOM = FieldF1(volatile="telecom")
_KPI = KpiValues()
_LAYERS = Telecom()
_CALLS = ToolCall()
_OF_FIELDS = {"fields": "field_f1", "keys": "key_f1", "precision": "field_precision", "recall": "field_recall", "exact": "exact"}  # fmt: skip
_OF_RAW_FIELDS = {"fields": "raw_field_f1", "exact": "raw_exact"}
_OF_CALLS = {
    "valid": "call_valid", "name": "call_name", "args_exact": "call_args_exact", "args": "call_args_f1",
    "args_precision": "call_args_precision", "args_recall": "call_args_recall",
}  # fmt: skip
_OF_LAYERS = {"core": "semantic_core", "kpi": "semantic_kpi", "overall": "semantic_overall"}


class Measurer:
    """Measures completions; `errors` counts, by metric, what a function failed on instead of measuring."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()

    def measure(
        self, example: Example, completion: Completion, scores: Mapping[str, Any] | None = None
    ) -> dict[str, float]:
        """The metrics that apply to the row, each 0..1. `scores` are the stored ones, whose parts SQL is read from."""
        kind = kind_of(example)
        found: dict[str, float] = {}
        if kind == "none":
            return found
        if kind == "text" or kind == "sql":
            found["exact"] = float(
                strip_answer(completion.text, completion.style).text == (example.reference or "").strip()
            )
        if kind == "text":
            overlap = self._try(
                "overlap",
                lambda: measure_overlap(example.reference or "", strip_answer(completion.text, completion.style).text),
            )
            found |= {name: value for name, value in (overlap or {}).items() if name != "exact"}
        if kind == "sql":
            parts = ((scores or {}).get("sql_qa") or {}).get("parts") or {}
            found |= {f"sql_{name}": float(parts[name]) for name in ("executes", "result") if name in parts}
        if kind in ("json", "telecom"):
            found |= self._measure_json(example, completion, kind)
        if kind == "tool":
            found |= self._parts("tool_call", _CALLS, example, completion, _OF_CALLS)
            if "call_args_exact" in found:
                found["exact"] = float(found["call_args_exact"] == 1.0)
        return found

    def _measure_json(self, example: Example, completion: Completion, kind: Kind) -> dict[str, float]:
        found = {
            "parse": float(_is_container(strip_answer(completion.text, completion.style).text)),
            "read": float(read_answer(completion).value is not None),
        }
        telecom = kind == "telecom"
        found |= self._parts("field_f1", _TELECOM if telecom else _PLAIN, example, completion, _OF_FIELDS)
        if telecom:
            score = self._try("kpi", lambda: _KPI(example, completion))
            if score is not None and score.value is not None:
                found["kpi"] = score.value
            found |= self._parts("raw_field_f1", _PLAIN, example, completion, _OF_RAW_FIELDS)
            present = self._try("kpi_present", lambda: measure_presence(example, completion))
            found |= {} if present is None else {"kpi_present": present}
            found |= self._parts("semantic", _LAYERS, example, completion, _OF_LAYERS)
        return found

    def _parts(
        self, name: str, function: Any, example: Example, completion: Completion, names: Mapping[str, str]
    ) -> dict[str, float]:
        score = self._try(name, lambda: function(example, completion))
        if score is None or score.value is None:
            return {}
        return {names[part]: float(value) for part, value in score.parts.items() if part in names}

    def _try(self, name: str, measure: Any) -> Any:
        """What comes of it, or None: a row that a function cannot judge is counted, and the evaluation goes on."""
        try:
            return measure()
        except Exception:
            self.errors[name] += 1
            return None


def measure_presence(example: Example, completion: Completion) -> float | None:
    """The share of the figures that the reference states which the answer states too, whatever their values; None for none."""
    wanted = _stated(orjson.loads(example.reference or "null"))
    return len(wanted & _stated(read_answer(completion).value)) / len(wanted) if wanted else None


def _stated(value: Any) -> set[str]:
    return {figure for statement in find_statements(value) for figure in statement.figures}


def kind_of(example: Example) -> Kind:
    """What the row's answer is: a tool call, JSON (of a telecom layer or not), SQL, a text, or nothing known."""
    if example.reference is None:
        return "none"
    if "database" in example.columns:
        return "sql"
    shape = _shape_of(example.reference)
    if shape == "json" and (example.columns.get("target_layer") or is_known_layer(layer_of(example))):
        return "telecom"
    return shape


@lru_cache(maxsize=4096)
def _shape_of(reference: str) -> Kind:
    if not reference.strip():
        return "text"
    if "<tool_call>" in reference or "<function=" in reference:
        return "tool"
    try:
        value = orjson.loads(reference)
    except ValueError:
        return "tool" if reference.lstrip()[:1] in ("{", "[") and read_calls(reference).calls else "text"
    items = value if isinstance(value, list) else [value]
    if items and all(isinstance(item, dict) and {"name", "arguments"} <= item.keys() for item in items):
        return "tool"
    return "json" if isinstance(value, dict | list) else "text"


def _is_container(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict | list)
    except ValueError:
        return False
