"""Reward for a record read out of a text: a JSON object whose fields are compared with the reference's one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from rewards.answers import read_answer
from rewards.extraction.strict import read_strict
from rewards.functions.json_valid import JsonValid, reference_problems
from rewards.hookspecs import hookimpl
from rewards.screen.allowed import show_value
from rewards.text.portuguese import fold, fold_label
from rewards.types import Completion, Example, FrozenMapping, RewardFunction, Score


class FieldRule(BaseModel):
    """What one field holds, and how near a wrong value comes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["text", "label", "number", "integer", "boolean"]
    nullable: bool = False
    labels: tuple[str, ...] = Field((), description="The enumeration of a label; compared without case and accents.")
    low: float | None = Field(None, description="Least number the schema allows.")
    high: float | None = Field(None, description="Greatest number the schema allows.")
    tolerance: float = Field(0.005, ge=0, description="Difference up to which a number is right.")
    reach: float = Field(0.0, ge=0, description="Difference at which a near number earns nothing; 0: exact or nothing.")


SHOP_FIELDS: FrozenMapping[str, FieldRule] = FrozenMapping(
    {
        "customer": FieldRule(kind="text", nullable=True),
        "product": FieldRule(kind="text"),
        "sentiment": FieldRule(kind="label", labels=("positivo", "neutro", "negativo")),
        "sentiment_score": FieldRule(kind="number", low=0, high=5, reach=1.0),
        "complaint_category": FieldRule(kind="label", labels=("entrega", "produto", "atendimento", "preco", "nenhuma")),
        "churn_risk": FieldRule(kind="label", labels=("baixo", "medio", "alto")),
        "delivery_days": FieldRule(kind="integer", nullable=True, low=0),
        "price": FieldRule(kind="number", nullable=True, low=0),
        "would_buy_again": FieldRule(kind="boolean", nullable=True),
        "requested_action": FieldRule(kind="label", labels=("troca", "reembolso", "contato", "nenhuma")),
    }
)

SHOP_SYNONYMS: FrozenMapping[str, str] = FrozenMapping(
    {
        "positive": "positivo", "positiva": "positivo", "neutral": "neutro", "neutra": "neutro",
        "negative": "negativo", "negativa": "negativo", "low": "baixo", "baixa": "baixo",
        "medium": "medio", "media": "medio", "high": "alto", "alta": "alto", "delivery": "entrega",
        "atraso": "entrega", "product": "produto", "qualidade": "produto", "service": "atendimento",
        "price": "preco", "none": "nenhuma", "nenhum": "nenhuma", "exchange": "troca", "refund": "reembolso",
        "devolucao": "reembolso", "contact": "contato",
    }
)  # fmt: skip

_JSON_VALID = JsonValid()


class FieldExtraction(RewardFunction):
    """Mean over the fields of how right each is, a missing one as bad as a wrong one; small shares for JSON and schema."""

    name: ClassVar[str] = "extraction"
    version: ClassVar[str] = "8"
    tasks: ClassVar[tuple[str, ...]] = ("extraction",)

    fields: FrozenMapping[str, FieldRule] = Field(SHOP_FIELDS, description="The fields of the object and their rules.")
    synonyms: FrozenMapping[str, str] = Field(
        SHOP_SYNONYMS, description="Other conventions of a label, such as negative: negativo."
    )
    synonym_credit: float = Field(0.5, ge=0, le=1, description="Credit for the right label in another convention.")
    wrong_type_credit: float = Field(
        0.5, ge=0, le=1, description='Credit for a right value of the wrong type, as "12".'
    )
    json_share: float = Field(0.05, ge=0, le=0.5, description="Share of the value that strict JSON earns.")
    schema_share: float = Field(0.05, ge=0, le=0.5, description="Share of the value that keeping the schema earns.")

    doubted: float = Field(0.25, ge=0, le=1, description="Factor for a record beside which the text gives another one.")

    def problems(self, example: Example) -> list[str]:
        problems = reference_problems(example)
        if problems:
            return problems
        reference = read_strict(example.reference or "null")
        if not isinstance(reference, dict):
            return [
                f"reference: a JSON {type(reference).__name__}; write an object with the keys {', '.join(self.fields)}"
            ]
        missing = [key for key in self.fields if key not in reference]
        unknown = [key for key in reference if key not in self.fields]
        if missing:
            problems.append(f"reference: lacks {', '.join(missing)}; write every key, null where nothing is said")
        if unknown:
            problems.append(
                f"reference: unknown keys {', '.join(unknown)}; remove them or add them to the option fields"
            )
        for key, rule in self.fields.items():
            if key in reference and not _keeps(rule, reference[key]):
                problems.append(
                    f"reference.{key}: {show_value(reference[key])} breaks its rule; allowed: {_describe(rule)}"
                )
        return problems

    def __call__(self, example: Example, completion: Completion) -> Score:
        reference: Mapping[str, Any] = read_strict(example.reference or "{}")
        answer = read_answer(completion)
        given, foreign = self._find_object(answer.value)
        if not given:
            reason = "no JSON found" if completion.extraction.value is None else "no field of the record found"
            nothing = dict.fromkeys(["json", "schema", "fields", *(f"field/{key}" for key in self.fields)], 0.0)
            return Score(0.0, reason, nothing)
        json_part, json_reason = _JSON_VALID.judge(completion)
        parts = {f"field/{key}": self._compare(key, rule, reference, given) for key, rule in self.fields.items()}
        # A key that nobody asked for weighs as much as a wrong field: listing guesses under many names cannot pay.
        size = len(self.fields) + foreign
        fields = math.fsum(parts.values()) / size
        schema = sum(key in given and _keeps(rule, given[key]) for key, rule in self.fields.items()) / size
        fields_share = 1.0 - self.json_share - self.schema_share
        value = fields_share * fields + self.schema_share * schema + self.json_share * json_part
        wrong = [key for key in self.fields if parts[f"field/{key}"] < 1.0]
        notes = [f"wrong: {', '.join(wrong)}"] if wrong else []
        notes += [f"{foreign} unknown keys or records"] if foreign else []
        notes += [json_reason] if json_reason else []
        if answer.doubted or _lists_records(answer.value):
            value *= self.doubted
            notes.append("another record beside it")
        return Score(
            min(value, 1.0), "; ".join(notes), {"json": json_part, "schema": schema, "fields": fields, **parts}
        )

    def _find_object(self, value: Any) -> tuple[Mapping[str, Any] | None, int]:
        """The object that holds the fields and how many unknown keys and needless wrappers stand around it.

        A list or an object around the record is looked into, three deep; of several records the first is taken and each
        further one counts as a whole record of unknown keys.
        """
        foreign = 0
        for _ in range(3):
            if isinstance(value, list):
                records = [item for item in value if isinstance(item, dict)]
                foreign += 1 + max(0, len(value) - 1) * len(self.fields)
                value = records[0] if records else None
            if not isinstance(value, dict):
                return None, foreign
            known = sum(key in value for key in self.fields)
            if known:
                return value, foreign + len(value) - known
            inner = [item for item in value.values() if isinstance(item, (dict, list))]
            if len(inner) != 1:
                return None, foreign
            foreign += len(value)
            value = inner[0]
        return None, foreign

    def _compare(self, key: str, rule: FieldRule, reference: Mapping[str, Any], given: Mapping[str, Any]) -> float:
        if key not in given or key not in reference:
            return 0.0
        right, said = reference[key], given[key]
        if right is None or said is None:
            return 1.0 if right is said else 0.0
        if rule.kind == "label":
            return self._compare_labels(right, said)
        if rule.kind == "text":
            return _compare_texts(right, said) if isinstance(said, str) else 0.0
        if rule.kind == "boolean":
            if isinstance(said, bool):
                return 1.0 if said == right else 0.0
            words = {True: ("true", "sim", "verdadeiro"), False: ("false", "nao", "falso")}
            named = isinstance(said, str) and len(said) <= 20 and fold_label(said) in words[bool(right)]
            return self.wrong_type_credit if named else 0.0
        return self._compare_numbers(rule, right, said)

    def _compare_labels(self, right: Any, said: Any) -> float:
        # Longer than any label: not worth folding.
        if not isinstance(said, str) or len(said) > 60:
            return 0.0
        label, wanted = fold_label(said), fold_label(str(right))
        if label == wanted:
            return 1.0
        return self.synonym_credit if self.synonyms.get(label) == wanted else 0.0

    def _compare_numbers(self, rule: FieldRule, right: Any, said: Any) -> float:
        credit = 1.0
        if isinstance(said, str):
            credit = self.wrong_type_credit
            said = _read_number(said) if len(said) <= 40 else None
        if isinstance(said, bool) or not isinstance(said, (int, float)):
            return 0.0
        try:
            difference = abs(float(said) - float(right))
        except OverflowError:
            return 0.0
        # Two decimal numbers may differ by a rounding more than their digits say.
        if difference <= rule.tolerance + 1e-9:
            return credit
        return credit * max(0.0, 1.0 - difference / rule.reach) if rule.reach else 0.0


def _lists_records(value: Any) -> bool:
    """Whether one record was asked and several are given, for the reader to choose from."""
    return isinstance(value, list) and sum(isinstance(item, dict) for item in value) > 1


def _read_number(text: str) -> float | None:
    # Imported at the first number in quotes: the reader of JSON takes longer to load than all reward functions together.
    from rewards.extraction import as_number

    return as_number(text)


def _compare_texts(right: str, said: str) -> float:
    """1 for the same words; else up to 0.8 by shared pairs of letters (Dice), nothing below half of them."""
    if len(said) > 4 * len(right) + 40:
        return 0.0
    right, said = fold(right), fold(said)
    if right == said:
        return 1.0
    pairs, others = Counter(pairwise(right)), Counter(pairwise(said))
    total = pairs.total() + others.total()
    similarity = 2 * (pairs & others).total() / total if total else 0.0
    return 0.8 * max(0.0, 2 * similarity - 1)


def _keeps(rule: FieldRule, value: Any) -> bool:
    """Whether a value has the type, the label or the range that the schema allows."""
    if value is None:
        return rule.nullable
    if rule.kind == "text":
        return isinstance(value, str)
    if rule.kind == "boolean":
        return isinstance(value, bool)
    if rule.kind == "label":
        return isinstance(value, str) and len(value) <= 60 and fold_label(value) in map(fold_label, rule.labels)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # 12.0 is an integer, as JSON Schema has it.
    if rule.kind == "integer" and value != value // 1:
        return False
    return (rule.low is None or value >= rule.low) and (rule.high is None or value <= rule.high)


def _describe(rule: FieldRule) -> str:
    allowed = ", ".join(rule.labels) if rule.kind == "label" else {"boolean": "true, false"}.get(rule.kind, rule.kind)
    if rule.low is not None:
        allowed += f" from {rule.low:g}" + ("" if rule.high is None else f" to {rule.high:g}")
    return allowed + (", null" if rule.nullable else "")


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(FieldExtraction)
