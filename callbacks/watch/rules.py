"""The rules a run is watched by: their model, the shipped table, and how a config changes it by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

Fact = Literal["beta", "recipe"]
CONDITIONS = ("above", "below", "stalls", "rises", "spikes", "not_finite")
_SECTION = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WatchRule(BaseModel):
    """One rule: when a metric does what it should not, warn or stop."""

    model_config = _SECTION

    metric: str = Field(min_length=1, description="A metric of metrics.jsonl, or an alias of one.")
    above: float | None = Field(None, description="Broken by values above this.")
    below: float | None = Field(None, description="Broken by values below this.")
    stalls: float | None = Field(
        None, ge=0, description="Broken when no value of the window beats the best before it by more than this."
    )
    rises: float | None = Field(
        None,
        ge=0,
        description="Broken when the values of the window grow from quarter to quarter, by this share in all.",
    )
    spikes: float | None = Field(
        None, gt=1, description="Broken by a value above this many times the median of the others in the window."
    )
    lower_is_better: bool = Field(False, description="With stalls: a new best is a lower value, as of a loss.")
    not_finite: Literal[True] | None = Field(None, description="Broken by a value that is NaN, infinite or null.")
    of: Literal["max_completion_length", "max_steps"] | None = Field(
        None, description="The number of the condition is a share of this setting of section grpo."
    )
    window: int = Field(1, ge=1, description="Steps that are looked at together.")
    over: Literal["every", "mean", "last"] = Field(
        "every", description="Which values of the window must break the condition: every one, their mean, the last."
    )
    from_step: int = Field(1, ge=0, description="The first step that is judged.")
    until_step: int | None = Field(None, ge=0, description="The last step that is judged; null: all.")
    only_with: list[Fact] = Field(
        default_factory=list,
        description="Judged only where these hold: beta (a KL term is used), recipe (held to the recipe's thresholds).",
    )
    action: Literal["warn", "stop"] = Field("warn", description="warn, or stop: checkpoint, report, exit code 3.")
    enabled: bool = Field(True, description="false switches the rule off.")
    message: str = Field("", description="What it means and what to do, shown with the event.")

    @model_validator(mode="after")
    def _has_one_condition(self) -> WatchRule:
        given = [name for name in CONDITIONS if getattr(self, name) is not None]
        if len(given) != 1:
            said = "has no condition" if not given else f"has {' and '.join(given)}"
            raise ValueError(f"a rule {said}; write exactly one of {', '.join(CONDITIONS)}")
        if self.until_step is not None and self.until_step < self.from_step:
            raise ValueError(f"until_step {self.until_step} lies before from_step {self.from_step}; no step is judged")
        if self.rises is not None and self.window < 4:
            raise ValueError("rises compares the quarters of its window; write a window of 4 or more")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_other_conditions(self, dump: Any) -> dict[str, Any]:
        return {key: value for key, value in dump(self).items() if value is not None or key not in CONDITIONS}

    @property
    def condition(self) -> str:
        """The name of its one condition."""
        return next(name for name in CONDITIONS if getattr(self, name) is not None)

    def limit(self, settings: Mapping[str, float]) -> float:
        """The number of the condition, times the setting it is a share of."""
        value = float(getattr(self, self.condition))
        return value * settings[self.of] if self.of else value


class ExpectedBand(BaseModel):
    """Where a metric is expected to lie."""

    model_config = _SECTION

    low: float | None = Field(None, description="Its least expected value; null: none.")
    high: float | None = Field(None, description="Its largest expected value; null: none.")
    only_with: list[Fact] = Field(default_factory=list, description="Expected only where these hold, as of a rule.")
    enabled: bool = Field(True, description="false draws nothing.")

    @model_validator(mode="after")
    def _has_an_end(self) -> ExpectedBand:
        if self.low is None and self.high is None:
            raise ValueError("a band has no end; write low, high or both")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    @property
    def label(self) -> str:
        """The band in words."""
        if self.low is None or self.high is None:
            return f"expected below {self.high:g}" if self.low is None else f"expected above {self.low:g}"
        return f"expected {self.low:g} to {self.high:g}"


class WatchSection(BaseModel):
    """`decision.watch:` what is watched while a run is in progress. Rules are the shipped ones, changed and added to by name."""

    model_config = _SECTION

    enabled: bool = Field(True, description="false watches nothing.")
    rules: dict[str, WatchRule] = Field(
        default_factory=lambda: merge_rules({}),
        description="By name; a name of a shipped rule changes the keys written here, `off` switches it off, a new name "
        "adds a rule.",
    )

    expected: dict[str, ExpectedBand] = Field(
        default_factory=lambda: merge_bands({}),
        description="By metric, where it is expected to lie, drawn as a band: the shipped ones, changed or switched `off`.",
    )

    @field_validator("expected", mode="before")
    @classmethod
    def _lay_bands_over_shipped(cls, changes: Any) -> Any:
        return merge_bands(changes) if isinstance(changes, Mapping) else changes

    @field_validator("rules", mode="before")
    @classmethod
    def _lay_over_shipped(cls, changes: Any) -> Any:
        return merge_rules(changes) if isinstance(changes, Mapping) else changes


def merge_rules(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The shipped rules with changes laid over them by name: rules where nothing was changed, else plain data.

    Raises ValueError where a rule is switched off that does not exist.
    """
    shipped = shipped_rules()
    merged: dict[str, Any] = {name: WatchRule.model_validate(rule) for name, rule in shipped.items()}
    for name, change in changes.items():
        if isinstance(change, WatchRule):
            merged[name] = change
            continue
        if change == "off" or change is False:
            if name not in shipped:
                near = difflib.get_close_matches(name, shipped, n=1)
                guess = f", did you mean {near[0]}?" if near else ""
                raise ValueError(
                    f"{name} is off, but no shipped rule has this name{guess}; shipped: {', '.join(shipped)} "
                    "(a rule of your own is switched off by enabled: false)"
                )
            change = {"enabled": False}
        if name in shipped and isinstance(change, Mapping):
            # Another condition takes the place of the shipped one: a rule has exactly one.
            replaced = CONDITIONS if any(change.get(key) is not None for key in CONDITIONS) else ()
            kept = {key: value for key, value in shipped[name].items() if key not in replaced}
            merged[name] = {**kept, **change}
        else:
            merged[name] = change
    return merged


def merge_bands(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The shipped bands with changes laid over them by metric; `off` draws one no more."""
    shipped = _read_shipped()["expected"]
    merged: dict[str, Any] = {metric: ExpectedBand.model_validate(band) for metric, band in shipped.items()}
    for name, change in changes.items():
        metric = rename_metric(name)
        if change == "off" or change is False:
            change = {"enabled": False}
        if isinstance(change, Mapping) and metric in shipped:
            merged[metric] = {**shipped[metric], **change}
        else:
            merged[metric] = change
    return merged


@lru_cache(maxsize=1)
def _read_shipped() -> dict[str, Any]:
    import yaml

    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


def shipped_rules() -> dict[str, dict[str, Any]]:
    """The shipped rules as plain data."""
    return deepcopy(_read_shipped()["rules"])


def metric_aliases() -> Mapping[str, str]:
    """Other names of metrics, each with the name used here."""
    return _read_shipped()["aliases"]


def rename_metric(name: str) -> str:
    """The name used here for a metric, without the `train/` that W&B puts before a Trainer's."""
    bare = name.removeprefix("train/")
    aliases = metric_aliases()
    if bare in aliases:
        return aliases[bare]
    for suffix in ("_n", "_std", "_low", "_high"):
        base = bare.removesuffix(suffix)
        if base != bare and base in aliases:
            return aliases[base] + suffix
    return bare


def rename_metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded row under the names used here; a name stays as it is where the row has its other name too."""
    renamed = {}
    for key, value in row.items():
        name = rename_metric(key)
        renamed[key if name != key and name in row else name] = value
    return renamed
