"""Reward for the figures of a slice: the fields that carry them say what the row's columns say, in any unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field, field_validator

from rewards.answers import count_all, count_leaves, read_answer
from rewards.documents.units import FACTORS
from rewards.extraction.strict import read_strict
from rewards.functions.json_valid import reference_problems
from rewards.hookspecs import hookimpl
from rewards.screen.allowed import show_value
from rewards.telecom.derivation import TELEMETRY_LAYERS, is_telemetry, read_prompt
from rewards.telecom.figures import FIGURES, StatedFigure, find_statements
from rewards.telecom.units import is_right, name_unit
from rewards.types import Completion, Example, FrozenMapping, RewardFunction, Score

_LENGTHENED, _SLACK = 2, 16


class KpiValues(RewardFunction):
    """Share of the row's latency, reliability, throughput and devices that stand right under keys that carry them."""

    name: ClassVar[str] = "kpi_values"
    version: ClassVar[str] = "8"

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
    doubted: float = Field(
        0.25, ge=0, le=1, description="Factor for an answer beside which the text gives a contradicting one."
    )
    telemetry_layers: tuple[str, ...] = Field(TELEMETRY_LAYERS, description="The layers that are masked so.")

    @field_validator("plain_rates")
    @classmethod
    def _check_rates(cls, units: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [unit for unit in units if name_unit(unit) not in ("bps", "kbps", "mbps", "gbps", "tbps")]
        if wrong or not units:
            raise ValueError(f"{', '.join(wrong) or 'none'}: not a unit of a rate; write one such as Mbps or kbit/s")
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
                problems.append(
                    f"{column}: {show_value(value)} is not a finite number; write one, or null where the row has none"
                )
        return problems

    def __call__(self, example: Example, completion: Completion) -> Score:
        figures = self.figures_of(example)
        if not figures:
            return Score(None, "the row has no figure that its reference states and its prompt contains")
        answer = read_answer(completion)
        if answer.value is None:
            return Score(0.0, "no JSON found", dict.fromkeys(figures, 0.0))
        parts = self._judge_figures(example.reference, figures, answer.value)
        wrong = [name for name, share in parts.items() if share < 1.0]
        notes = [f"wrong or missing: {', '.join(wrong)}"] if wrong else []
        value = math.fsum(parts.values()) / len(parts)
        if example.reference is not None:
            parts["size"] = _judge_size(example.reference, count_leaves(completion))
            value *= parts["size"]
            notes += ["far longer than the reference"] if parts["size"] < 1.0 else []
        if answer.doubted:
            value *= self.doubted
            notes.append("another answer beside it contradicts it")
        return Score(value, "; ".join(notes), parts)

    def figures_of(self, example: Example) -> dict[str, float]:
        """The columns that count for a row: those that its reference states and, where masked, its prompt contains."""
        figures = {name: figure for name in FIGURES if (figure := _as_figure(example.columns.get(name))) is not None}
        if self.mask_underivable and is_telemetry(example, self.telemetry_layers):
            prompt = read_prompt(example)
            figures = {name: figure for name, figure in figures.items() if prompt.has_number(figure)}
        if example.reference is not None:
            stated, _ = _read_reference(self, example.reference, tuple(figures.items()))
            figures = {name: figure for name, figure in figures.items() if name in stated}
        return figures

    def rates_of(self, reference: str | None, columns: Mapping[str, float]) -> tuple[float, ...]:
        """What bits a second are multiplied by to give a row's rates without a unit, by its reference's own notation."""
        units = self._units() if reference is None else _read_reference(self, reference, tuple(columns.items()))[1]
        return tuple(1.0 / FACTORS["rate"][unit] for unit in units)

    def judge(self, example: Example, value: Any, *, same_keys: bool = False) -> dict[str, float]:
        """For each figure that counts, 1.0 when the value states it right and never otherwise, else 0.0.

        `same_keys`: the share of the reference's own places of the figure that state it right, for a layer that has to
        be kept to the letter; 0.0 still when another place contradicts them.
        """
        return self._judge_figures(example.reference, self.figures_of(example), value, same_keys)

    def _judge_figures(
        self, reference: str | None, figures: Mapping[str, float], value: Any, same_keys: bool = False
    ) -> dict[str, float]:
        stated: Mapping[str, _Stated] = {}
        if reference is None:
            units = self._units()
        else:
            stated, units = _read_reference(self, reference, tuple(figures.items()))
        statements = find_statements(value, self.carriers, units)
        return {
            name: self._judge_figure(name, figure, statements, stated.get(name), same_keys)
            for name, figure in figures.items()
        }

    def _judge_figure(
        self, name: str, figure: float, statements: Sequence[StatedFigure], stated: _Stated | None, same_keys: bool
    ) -> float:
        verdicts: dict[str, bool] = {}
        variants: dict[str, bool] = {}
        contradicted = False
        for statement in _said_of(name, statements):
            if stated is not None and statement.slot in stated.otherwise:
                # The reference gives this place another meaning than the column's.
                continue
            right = self._is_right(name, figure, statement)
            verdicts[statement.slot] = verdicts.get(statement.slot, True) and right
            variants[statement.variant] = variants.get(statement.variant, True) and right
            if stated is not None and statement.variant in stated.variants and statement.slot not in stated.right:
                contradicted = contradicted or not right
        if stated is not None:
            if same_keys:
                kept = sum(verdicts.get(slot, False) for slot in stated.right)
                return 0.0 if contradicted else kept / len(stated.right)
            meant = [right for variant, right in variants.items() if variant in stated.variants]
            return float(bool(meant) and all(meant))
        # Without a reference a rate for a slice and one for a device may differ, but most of it must be right.
        return float(any(variants.values()) and 2 * sum(verdicts.values()) >= len(verdicts))

    def _units(self) -> tuple[str, ...]:
        return tuple(unit for written in self.plain_rates if (unit := name_unit(written)) is not None)

    def _is_right(self, name: str, figure: float, statement: StatedFigure) -> bool:
        tolerances = (self.tolerance, self.reliability_tolerance, self.count_tolerance)
        return is_right(statement.readings[name], figure, FIGURES[name], *tolerances)


class _Stated:
    """Where a reference states a figure as its column does, and where it gives another value."""

    __slots__ = ("otherwise", "right", "variants")

    def __init__(self, right: frozenset[str], otherwise: frozenset[str], variants: frozenset[str]):
        self.right, self.otherwise, self.variants = right, otherwise, variants


def _judge_size(reference: str, given: int) -> float:
    """1.0, or less for an answer of far more leaves than the reference: a list of guesses is not a configuration."""
    return min(1.0, (_LENGTHENED * _count_reference(reference) + _SLACK) / given) if given else 1.0


@lru_cache(maxsize=4096)
def _count_reference(reference: str) -> int:
    try:
        return count_all(read_strict(reference))[1]
    except ValueError:
        return 0


@lru_cache(maxsize=4096)
def _read_reference(
    function: KpiValues, reference: str, figures: tuple[tuple[str, float], ...]
) -> tuple[dict[str, _Stated], tuple[str, ...]]:
    """The figures that a reference states right, and the units that its rates without one are in; read once a group.

    Where one unit explains all of the reference it is the row's notation: nobody is paid for a thousandfold rate.
    """
    try:
        value = read_strict(reference)
    except ValueError:
        return {}, function._units()
    best: tuple[dict[str, _Stated], tuple[str, ...]] = _read_stated(function, value, figures, function._units())
    for unit in function._units():
        alone = _read_stated(function, value, figures, (unit,))
        if alone[0].keys() == best[0].keys():
            return alone
    return best


def _read_stated(
    function: KpiValues, value: Any, figures: tuple[tuple[str, float], ...], units: tuple[str, ...]
) -> tuple[dict[str, _Stated], tuple[str, ...]]:
    statements = find_statements(value, function.carriers, units)
    found = {}
    for name, figure in figures:
        said = _said_of(name, statements)
        wrong = {statement.slot for statement in said if not function._is_right(name, figure, statement)}
        right = {statement.slot for statement in said} - wrong
        if right:
            variants = frozenset(statement.variant for statement in said if statement.slot in right)
            found[name] = _Stated(frozenset(right), frozenset(wrong), variants)
    return found, units


def _said_of(name: str, statements: Sequence[StatedFigure]) -> list[StatedFigure]:
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


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(KpiValues)
