"""Base against instruct: which runs are of one family of models, and which of the two its runs show to be better."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grpo.compare.differences import Difference, find_difference, judge
from grpo.compare.recorded import ALL, RecordedRun
from rewards.writing.files import read_object

_MARK = re.compile(r"[-_.](?P<mark>instruct|it|chat|base|pt)(?=$|[-_.])", re.IGNORECASE)
_VERSION = re.compile(r"^meta-", re.IGNORECASE)
_INSTRUCT, _BASE = ("instruct", "it", "chat"), ("base", "pt")


def find_model(run: RecordedRun) -> str:
    """The name of the model that a run trained or an evaluation asked; empty where nothing says."""
    place = Path(run.place)
    for folder in (place, *list(place.parents)[:2]):
        config = read_object(folder / "config.json").get("config")
        if isinstance(config, dict) and isinstance(config.get("model"), dict):
            return str(config["model"].get("name") or "")
        model = read_object(folder / "evaluation.json").get("model")
        if isinstance(model, dict):
            return str(model.get("base") or model.get("location") or "")
    return ""


def split_name(model: str) -> tuple[str, str | None]:
    """The family of a model's name and whether it says `base` or `instruct`; None where it says neither."""
    stem = _VERSION.sub("", model.rstrip("/").rpartition("/")[2]).lower()
    found = _MARK.search(stem)
    family = re.sub(r"-v\d+(\.\d+)*\Z", "", _MARK.sub("", stem)).strip("-_.")
    if found is None:
        return family, None
    return family, "instruct" if found["mark"].lower() in _INSTRUCT else "base"


def pair_families(models: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """By family the names of its base run and its instruct run, of runs by name and their models' names.

    A name that says neither is the other of its pair: the base beside `-Instruct`, the instruct model beside `-Base`.
    """
    groups: dict[str, list[tuple[str, str | None]]] = {}
    for run, model in models.items():
        family, mark = split_name(model)
        if family:
            groups.setdefault(family, []).append((run, mark))
    pairs = {}
    for family, members in groups.items():
        marks = {mark for _, mark in members}
        unsaid = "base" if "instruct" in marks else "instruct"
        named: dict[str, str] = {}
        for run, mark in members:
            named.setdefault(mark or unsaid, run)
        if {"base", "instruct"} <= named.keys():
            pairs[family] = (named["base"], named["instruct"])
    return pairs


def compare_families(
    runs: Sequence[RecordedRun], pairs: Mapping[str, tuple[str, str]], metric: str, confidence: float, method: str
) -> list[tuple[str, Difference]]:
    """Instruct minus base of each family; all families are one set of tests."""
    by_name = {run.name: run for run in runs}
    found = [
        (family, difference)
        for family, (base, instruct) in pairs.items()
        if (difference := find_difference(by_name[base], by_name[instruct], ALL, metric, confidence)) is not None
    ]
    judged = judge([difference for _, difference in found], method, 1.0 - confidence)
    return [(family, each) for (family, _), each in zip(found, judged, strict=True)]


def describe_family(family: str, difference: Difference) -> dict[str, Any]:
    """A family's line as plain values: both means, the margin with its interval, the winner."""
    winner = {"better": "instruct", "worse": "base"}.get(difference.verdict, "within the noise")
    return {
        "family": family,
        "base": difference.before_run,
        "instruct": difference.run,
        "base_mean": difference.before.value,
        "instruct_mean": difference.after.value,
        "margin": difference.change.mean,
        "low": difference.change.low,
        "high": difference.change.high,
        "n": difference.change.n,
        "winner": winner if difference.change.p is not None else "unknown",
    }
