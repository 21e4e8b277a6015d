"""Reward for the figures of a slice: do the fields that carry them say what the row's columns say, in any layer and unit?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import orjson
from pydantic import Field, field_validator

from rewards.functions.contradictions import find_other_answers, find_repeated_keys
from rewards.functions.json_valid import reference_problems
from rewards.functions.telecom_derivation import TELEMETRY_LAYERS, is_telemetry, read_prompt
from rewards.functions.telecom_figures import FIGURES, Statement, find_statements, is_right
from rewards.functions.telecom_units import name_unit
from rewards.hookspecs import hookimpl
from rewards.types import Completion, Example, FrozenMapping, RewardFunction, Score


class KpiValues(RewardFunction):
    """Share of the row's figures (latency, reliability, throughput, devices) that the answer states right, each under a key that carries it."""

    name: ClassVar[str] = "kpi_values"
    version: ClassVar[str] = "1"

    tolerance: float = Field(0.001, ge=0, lt=1, description="Relative difference up to which a time or rate is right.")
    reliability_tolerance: float = Field(
        0.01, ge=0, lt=1, description="The same for a share, relative to what it lacks to 100 %."
    )
    count_tolerance: float = Field(0.0, ge=0, lt=1, description="The same for a number of devices.")
    plain_rates: tuple[str, ...] = Field(
        ("Mbps", "kbps"),
        description="What a rate without a unit may be in; the reference's own notation decides first.",
    )
    carriers: FrozenMapping[str, str] = Field(
        FrozenMapping(), description="Further keys that carry a figure, such as peakRate: dl_throughput_mbps."
    )
    mask_underivable: bool = Field(
        True, description="Leave out figures that the prompt of a monitor or report row does not contain."
    )
    telemetry_layers: tuple[str, ...] = Field(TELEMETRY_LAYERS, description="The layers that are masked so.")

    @field_validator("plain_rates")
    @classmethod
    def _check_rates(cls, units: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [unit for unit in units if name_unit(unit) not in ("bps", "kbps", "mbps", "gbps", "tbps")]
        if wrong or not units:
            raise ValueError(f"{', '.join(wrong) or 'none'}: no unit of a rate; write one such as Mbps or kbit/s")
        return units

    @field_validator("carriers")
    @classmethod
    def _check_carriers(cls, carriers: Mapping[str, str]) -> Mapping[str, str]:
        wrong = sorted({figure for figure in carriers.values() if figure not in FIGURES})
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: no such figure; there are: {', '.join(FIGURES)}")
        return carriers

    def problems(self, example: Example) -> list[str]:
        problems = [] if example.reference is None else reference_problems(example)
        for column in FIGURES:
            value = example.columns.get(column)
            if value is not None and _as_figure(value) is None:
                problems.append(f"{column}: {value!r} is no finite number; write one, or null where the row has none")
        return problems

    def __call__(self, example: Example, completion: Completion) -> Score:
        figures = self.figures_of(example)
        if not figures:
            return Score(None, "the row has no figure that its reference states and its prompt contains")
        if completion.extraction.value is None:
            return Score(0.0, "no JSON found", dict.fromkeys(figures, 0.0))
        parts = self.judge(example, completion.extraction.value, completion)
        wrong = [name for name, share in parts.items() if share < 1.0]
        return Score(_mean(parts.values()), f"wrong or missing: {', '.join(wrong)}" if wrong else "", parts)

    def figures_of(self, example: Example) -> dict[str, float]:
        """The columns that count for a row: those that its reference states and, where masked, its prompt contains."""
        figures = {name: figure for name in FIGURES if (figure := _as_figure(example.columns.get(name))) is not None}
        if self.mask_underivable and is_telemetry(example, self.telemetry_layers):
            prompt = read_prompt(example)
            figures = {name: figure for name, figure in figures.items() if prompt.has_number(figure)}
        if example.reference is not None:
            stated = _read_reference(self, example.reference, tuple(figures.items()))
            figures = {name: figure for name, figure in figures.items() if name in stated}
        return figures

    def judge(
        self, example: Example, value: Any, completion: Completion, *, same_keys: bool = False
    ) -> dict[str, float]:
        """For each figure that counts, 1 when the answer states it right and never otherwise, else 0.

        `same_keys`: the share of the reference's own places of the figure that state it right, for a layer that has to be
        kept to the letter.
        """
        figures = self.figures_of(example)
        statements = self._find(value)
        for other in find_other_answers(completion):
            statements += self._find(other)
        repeated = find_repeated_keys(completion)
        stated = (
            _read_reference(self, example.reference, tuple(figures.items())) if example.reference is not None else {}
        )
        return {
            name: self._judge_figure(name, figure, statements, stated.get(name), repeated, same_keys)
            for name, figure in figures.items()
        }

    def _judge_figure(
        self,
        name: str,
        figure: float,
        statements: Sequence[Statement],
        stated: _Stated | None,
        repeated: frozenset[str],
        same_keys: bool,
    ) -> float:
        said = _said_of(name, statements)
        verdicts: dict[str, bool] = {}
        variants: dict[str, bool] = {}
        for statement in said:
            if stated is not None and statement.slot in stated.otherwise and statement.slot not in stated.right:
                # The reference gives this place another meaning than the column's.
                continue
            right = self._is_right(name, figure, statement) and repeated.isdisjoint(statement.keys)
            verdicts[statement.slot] = verdicts.get(statement.slot, True) and right
            variants[statement.variant] = variants.get(statement.variant, True) and right
        if stated is not None:
            if same_keys:
                return sum(verdicts.get(slot, False) for slot in stated.right) / len(stated.right)
            meant = [right for variant, right in variants.items() if variant in stated.variants]
            return float(bool(meant) and all(meant))
        # Without a reference a rate for a slice and one for a device may differ, but most of what is said must be right.
        return float(any(variants.values()) and 2 * sum(verdicts.values()) >= len(verdicts))

    def _find(self, value: Any) -> list[Statement]:
        units = tuple(unit for written in self.plain_rates if (unit := name_unit(written)) is not None)
        return find_statements(value, self.carriers, units)

    def _is_right(self, name: str, figure: float, statement: Statement) -> bool:
        return is_right(
            statement.readings[name],
            figure,
            FIGURES[name],
            self.tolerance,
            self.reliability_tolerance,
            self.count_tolerance,
        )


class _Stated:
    """Where a reference states a figure as its column does, and where it gives another value."""

    __slots__ = ("otherwise", "right", "variants")

    def __init__(self, right: frozenset[str], otherwise: frozenset[str], variants: frozenset[str]):
        self.right, self.otherwise, self.variants = right, otherwise, variants


@lru_cache(maxsize=4096)
def _read_reference(function: KpiValues, reference: str, figures: tuple[tuple[str, float], ...]) -> dict[str, _Stated]:
    """The figures that a reference states right, read once for all completions of its group; {} for one that is no JSON."""
    try:
        value = orjson.loads(reference)
    except ValueError:
        return {}
    statements = function._find(value)
    found = {}
    for name, figure in figures:
        said = _said_of(name, statements)
        wrong = {statement.slot for statement in said if not function._is_right(name, figure, statement)}
        right = {statement.slot for statement in said} - wrong
        if right:
            variants = frozenset(statement.variant for statement in said if statement.slot in right)
            found[name] = _Stated(frozenset(right), frozenset(wrong), variants)
    return found


def _said_of(name: str, statements: Sequence[Statement]) -> list[Statement]:
    """What is said of a figure; a rate that does not say which way counts only where nothing says it better."""
    said = [statement for statement in statements if name in statement.figures]
    plain = [statement for statement in said if len(statement.figures) == 1]
    return plain or said


def _as_figure(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        figure = float(value)
    except OverflowError:
        return None
    return figure if math.isfinite(figure) else None


def _mean(shares: Any) -> float:
    shares = list(shares)
    return math.fsum(shares) / len(shares)


@hookimpl
def register_rewards(register):
    register(KpiValues)
