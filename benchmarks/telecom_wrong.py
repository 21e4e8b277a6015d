"""What wholly wrong telecom answers earn, what single mutations cost, and that other ways of saying the same cost nothing.

python benchmarks/telecom_wrong.py            three tables: series, mutations, equal variants
python benchmarks/telecom_wrong.py --show     and every mutation that costs less than 0.01, every variant that costs anything
python benchmarks/telecom_wrong.py --json

The references are those of benchmarks/telecom.py, the samples of the reward `telecom` and rows of the TMF921 generator.
Exit code 1 where a series stands above its ceiling, a mutation is paid in full or a variant is not.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.telecom import PAYLOADS, find_leaves, put
from rewards.cheats.intents import multiply_figures
from rewards.functions.telecom_layer import is_known_layer
from rewards.plugins import load_rewards
from rewards.telecom.derivation import TELEMETRY_LAYERS, is_telemetry, read_prompt
from rewards.telecom.pairing import says_for_whom
from rewards.types import Completion, Example

CEILINGS = {
    "every text wrong": 0.65,
    "every figure wrong": 0.42,
    "every identity wrong": 0.76,
    "structure only": 0.15,
    "another's content": 0.42,
    "empty values": 0.05,
    "null values": 0.05,
}
"""The most that any reference of a known layer may earn by a series; rows whose figures are nearly all they say set the first."""

TELEMETRY = "telemetry that no prompt tells"
"""The kind of mutations of measurements in monitor and report rows, which are neither paid nor charged."""

FREE = frozenset({"id", "expectationId", "serviceProfileId", "sliceProfileId", "iri", "externalId", "href", "userLabel", "name",
                  "description", "intentName", "user-label", "expectationName", "conditionName", "validFor", "creationDate"})  # fmt: skip
"""Keys whose values nobody can know, or may word as they like."""

_CODES = frozenset(("intentPriority", "priority", "version"))
_ENUMERATED = {
    "RAN_SubNetwork": ("5GC_SubNetwork", "RAN_SUBNETWORK"), "NON_SHARED": ("SHARED", "NON-SHARED"), "SHARED": ("NON_SHARED", "shared".upper()),
    "NOMADIC": ("STATIONARY", "NOMADIC"), "STATIONARY": ("NOMADIC", "STATIONARY"), "IS_LESS_THAN": ("IS_GREATER_THAN", "IS_LESS_THAN"),
    "IS_GREATER_THAN": ("IS_LESS_THAN", "IS_GREATER_THAN"), "UNLOCKED": ("LOCKED", "UNLOCKED"), "PREFER": ("AVOID", "PREFER"),
    "FORBID": ("SHALL", "FORBID"), "SHALL": ("FORBID", "SHALL"), "PRB_DL": ("PRB_UL", "PRB_DL"), "ENSURE": ("DELIVER", "ENSURE"),
    "DELIVER": ("ENSURE", "DELIVER"), "FULL_MOBILITY": ("STATIONARY", "FULLY_MOBILITY"), "RESTRICTED_MOBILITY": ("NOMADIC", "RESTRICTED MOBILITY"),
}  # fmt: skip
"""Another member, and the same one as another release spells it."""
_BOUNDS = (
    ("atMost", "atLeast"),
    ("IS_LESS_THAN", "IS_GREATER_THAN"),
    ("max", "min"),
    ("guaThpt", "maxThpt"),
    ("Max", "Min"),
)
_UNITS = {"ms": "s", "Mbps": "kbps", "Gbps": "Mbps", "kbps": "Mbps", "Milliseconds": "Seconds", "s": "ms", "Minutes": "Milliseconds",
          "bps": "kbps", "min": "h"}  # fmt: skip
_SAME_UNITS = {
    "ms": (0.001, "s"),
    "Mbps": (1000, "kbps"),
    "Gbps": (1000, "Mbps"),
    "kbps": (1000, "bps"),
    "min": (60, "s"),
}
"""CAMARA's delays are left out, as are its rates beyond 1024: its schema asks for small integers, and another unit breaks it."""
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT)(\d\d)(:\d\d:\d\d)Z", re.ASCII)


class Reference(NamedTuple):
    layer: str
    what: str
    payload: Any
    example: Example


def find_references(generated: int = 40) -> list[Reference]:
    """The payloads, the samples of `telecom` and rows of the generator, each with its row."""
    found = [
        Reference(layer, what, payload, _row(layer, json.dumps(payload, ensure_ascii=False)))
        for layer, what, payload in PAYLOADS
    ]
    samples = Path(__file__).resolve().parents[1] / "rewards" / "samples" / "telecom.jsonl"
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    rows += generate(generated) if generated else []
    for row in rows:
        columns = {key: value for key, value in row.items() if key not in ("id", "task", "prompt", "reference")}
        example = Example(row["id"], row["task"], row["prompt"], row["reference"], columns)
        found.append(Reference(row["target_layer"], row["id"], json.loads(row["reference"]), example))
    return found


def generate(count: int) -> list[dict[str, Any]]:
    """Rows of the project's own generator of intents: the layers in turn, then operations."""
    from grpo.data.section import Tmf921Section
    from grpo.data.tmf921.build import build_tmf921

    with TemporaryDirectory() as folder:
        files = build_tmf921(Path(folder), Tmf921Section(train_rows=20 * count, held_out_rows=20))
        lines = files["train_base"].read_text(encoding="utf-8").splitlines()
    rows: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        row = json.loads(line)
        *prompt, answer = row.pop("messages")
        rows.setdefault(row["target_layer"], []).append(
            {**row, "task": "telecom", "prompt": prompt, "reference": answer["content"]}
        )
    return [row for layer in sorted(rows) for row in rows[layer][: max(1, count // len(rows))]]


def _row(layer: str, reference: str) -> Example:
    return Example("1", "telecom", [{"role": "user", "content": "p"}], reference, {"target_layer": layer})


def change_leaves(value: Any, change: Callable[[str, Any], Any], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: change_leaves(child, change, name) for name, child in value.items()}
    if isinstance(value, list):
        return [change_leaves(child, change, key) for child in value]
    return change(key, value)


def is_number(leaf: Any) -> bool:
    return isinstance(leaf, int | float) and not isinstance(leaf, bool)


def rotate(leaf: Any) -> Any:
    """Another identifier of the same form."""
    if is_number(leaf):
        return leaf + 1
    return "".join(str((int(c) + 1) % 10) if c.isdecimal() else c for c in leaf) if isinstance(leaf, str) else leaf


def make_series(reference: Reference, others: list[Reference]) -> Iterator[tuple[str, Any]]:
    """Wholly wrong answers to a reference, by the name of their series; one that changes nothing is not made."""
    value = reference.payload
    telemetry = is_telemetry(reference.example, TELEMETRY_LAYERS)
    prompt = read_prompt(reference.example)
    yield "every text wrong", change_leaves(value, lambda key, leaf: "zzz" if isinstance(leaf, str) else leaf)
    figures = change_leaves(
        value,
        lambda key, leaf: (
            _miscount(leaf)
            if not (key in _CODES or key in FREE or _identifies(key) or (telemetry and not prompt.contains(leaf)))
            else leaf
        ),
    )
    yield "every figure wrong", figures
    yield (
        "every identity wrong",
        change_leaves(value, lambda key, leaf: rotate(leaf) if _identifies(key) and key not in FREE else leaf),
    )
    yield (
        "structure only",
        change_leaves(
            value, lambda key, leaf: "text" if isinstance(leaf, str) else not leaf if isinstance(leaf, bool) else 1
        ),
    )
    other = next((each for each in others if each.layer == reference.layer and each.payload != value), None)
    if other is not None:
        yield "another's content", _mix(value, other.payload)
    yield (
        "empty values",
        change_leaves(value, lambda key, leaf: "" if isinstance(leaf, str) else 0 if is_number(leaf) else None),
    )
    yield "null values", change_leaves(value, lambda key, leaf: None)


def _miscount(leaf: Any) -> Any:
    """Another figure, in a text that is one or states several too; a sentence stays as it is."""
    if is_number(leaf):
        return leaf * 7 + 3
    return multiply_figures(leaf, 7) if isinstance(leaf, str) and ("@prefix" in leaf or leaf[:1].isdecimal()) else leaf


def _identifies(key: str) -> bool:
    return says_for_whom(key)


def _mix(value: Any, other: Any) -> Any:
    """The reference with the expression of another, or where it has none the other's answer under its own name."""
    if isinstance(value, dict) and isinstance(other, dict):
        expression, foreign = value.get("expression"), other.get("expression")
        if isinstance(expression, dict) and isinstance(foreign, dict):
            return {**value, "expression": {**expression, "expressionValue": foreign.get("expressionValue")}}
    return other


def mutate(reference: Reference) -> Iterator[tuple[str, str, Any]]:
    """Single changes of meaning: their kind, where, and the answer."""
    value = reference.payload
    for path, leaf in find_leaves(value):
        key = next((str(step) for step in reversed(path) if isinstance(step, str)), "")
        where = "/".join(map(str, path))
        if FREE.intersection(map(str, path)) or path[-1] == "@id" or key.startswith("@"):
            continue
        if key == "objectInstance":
            if "=" in leaf:
                yield "identifier", where, put(value, path, rotate(leaf))
            continue
        if is_number(leaf) and leaf:
            yield "sign", where, put(value, path, -leaf)
            yield "times ten", where, put(value, path, leaf * 10)
            yield "a tenth", where, put(value, path, leaf / 10)
            if _identifies(key):
                yield "identifier", where, put(value, path, leaf + 1)
        elif isinstance(leaf, str):
            if leaf in _UNITS:
                yield "unit", where, put(value, path, _UNITS[leaf])
            if leaf in _ENUMERATED:
                yield "another member", where, put(value, path, _ENUMERATED[leaf][0])
            if _identifies(key) and rotate(leaf) != leaf:
                yield "identifier", where, put(value, path, rotate(leaf))
            for one, other in _BOUNDS:
                if one in leaf and "@prefix" in leaf:
                    yield "bound", where, put(value, path, leaf.replace(one, other, 1))
            if "@prefix" in leaf:
                yield "unit", where, put(value, path, leaf.replace(" ms", " s", 1))
    yield from _mutate_structure(value, value, ())


def _mutate_structure(top: Any, value: Any, path: tuple[Any, ...]) -> Iterator[tuple[str, str, Any]]:
    where = "/".join(map(str, path))
    if isinstance(value, dict):
        for one, other in _BOUNDS:
            for key in value:
                swapped = key.replace(one, other, 1)
                if key != swapped:
                    changed = {
                        (swapped if name == key else key if name == swapped else name): child
                        for name, child in value.items()
                    }
                    if changed != value:
                        yield "bound", f"{where}/{key}", _set(top, path, changed)
        numbers = [key for key, child in value.items() if is_number(child) and key not in FREE]
        for one, other in pairwise(numbers):
            if value[one] != value[other]:
                yield "swapped", f"{where}/{one}", _set(top, path, {**value, one: value[other], other: value[one]})
        for key, child in value.items():
            if isinstance(child, dict | list) and child and len(value) > 1 and key not in FREE:
                yield (
                    "object dropped",
                    f"{where}/{key}",
                    _set(top, path, {name: each for name, each in value.items() if name != key}),
                )
            yield from _mutate_structure(top, child, (*path, key))
    elif isinstance(value, list):
        if len(value) > 1:
            yield "entry dropped", where, _set(top, path, value[:-1])
        if value and isinstance(value[0], dict):
            yield (
                "entry added",
                where,
                _set(top, path, [*value, change_leaves(value[0], lambda key, leaf: rotate(leaf))]),
            )
        yield from _swap_entries(top, value, path)
        for at, child in enumerate(value):
            yield from _mutate_structure(top, child, (*path, at))


def _swap_entries(top: Any, value: list[Any], path: tuple[Any, ...]) -> Iterator[tuple[str, str, Any]]:
    if len(value) < 2 or not all(isinstance(item, dict) for item in value[:2]):
        return
    one, other = value[:2]
    for key in one:
        if key in other and one[key] != other[key] and key not in FREE and len(one) > 1:
            changed = copy.deepcopy(value)
            changed[0][key], changed[1][key] = other[key], one[key]
            if sorted(map(_dump, changed)) != sorted(map(_dump, value)):
                yield "swapped between entries", f"{'/'.join(map(str, path))}/{key}", _set(top, path, changed)


def _dump(value: Any) -> str:
    return json.dumps({key: child for key, child in value.items() if key not in FREE}, sort_keys=True)


def _set(top: Any, path: tuple[Any, ...], value: Any) -> Any:
    return put(top, path, value) if path else value


def vary(reference: Reference) -> Iterator[tuple[str, str, Any]]:
    """Other ways to say the same: their kind, where, and the answer, a text where its layout matters."""
    value = reference.payload
    yield "key order", "", _reverse(value)
    yield "layout", "", json.dumps(value, indent=3, ensure_ascii=True)
    yield "in a fence", "", f"```json\n{json.dumps(value, ensure_ascii=False)}\n```"
    for path, leaf in find_leaves(value):
        where = "/".join(map(str, path))
        if isinstance(leaf, str):
            key = str(path[-1])
            if leaf in _SAME_UNITS and key in ("unit", "units") and len(path) > 1:
                factor, unit = _SAME_UNITS[leaf]
                holder = _get(value, path[:-1])
                refused = reference.layer == "camara" and (holder.get("value") or 0) * factor > 1024
                if is_number(holder.get("value")) and not refused:
                    same = {**holder, "value": float(f"{holder['value'] * factor:.12g}"), "unit": unit}
                    yield "unit", where, put(value, path[:-1], same)
            if leaf in _ENUMERATED and _ENUMERATED[leaf][1] != leaf:
                yield "spelling of another release", where, put(value, path, _ENUMERATED[leaf][1])
            if key == "sd" and leaf != leaf.lower():
                yield "identifier in lower case", where, put(value, path, leaf.lower())
            if _INSTANT.fullmatch(leaf):
                yield "zone", where, put(value, path, _INSTANT.sub(_shift, leaf))
            if "@prefix" in leaf:
                yield "prefix", where, put(value, path, leaf.replace("icm:", "i:"))
                yield "unit", where, put(value, path, leaf.replace("12 ms", "0.012 s"))


def _shift(match: re.Match[str]) -> str:
    hour = int(match[2])
    return f"{match[1]}{hour - 3:02d}{match[3]}-03:00" if hour >= 3 else f"{match[1]}{hour + 2:02d}{match[3]}+02:00"


def _get(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _reverse(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reverse(child) for key, child in reversed(value.items())}
    return [_reverse(child) for child in value] if isinstance(value, list) else value


def measure(generated: int = 40) -> dict[str, list[dict[str, Any]]]:
    """Every answer that was scored, by table: `series`, `mutations`, `variants`."""
    references = find_references(generated)
    function = load_rewards().get("telecom").function()
    tables: dict[str, list[dict[str, Any]]] = {"series": [], "mutations": [], "variants": []}

    def note(table: str, reference: Reference, kind: str, where: str, answer: Any) -> None:
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        score = function(reference.example, Completion(text))
        row = {
            "layer": reference.layer,
            "reference": reference.what,
            "kind": kind,
            "where": where,
            "value": score.value,
            "reason": score.reason,
        }
        tables[table].append(row)

    for at, reference in enumerate(references):
        for kind, answer in make_series(reference, references[at + 1 :] + references[:at]):
            if answer != reference.payload:
                note("series", reference, kind, "", answer)
        for kind, where, answer in mutate(reference):
            if answer != reference.payload:
                unknowable = where.startswith(("measurements", "metrics", "report", "score"))
                masked = unknowable and is_telemetry(reference.example, TELEMETRY_LAYERS)
                note("mutations", reference, TELEMETRY if masked else kind, where, answer)
        for kind, where, answer in vary(reference):
            note("variants", reference, kind, where, answer)
    return tables


def find_faults(tables: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What breaks a ceiling, is paid in full though wrong, or not though right."""
    return [
        *(row for row in tables["series"] if is_known_layer(row["layer"]) and row["value"] > CEILINGS[row["kind"]]),
        *(row for row in tables["mutations"] if row["value"] >= 1.0 and row["kind"] != TELEMETRY),
        *(row for row in tables["variants"] if row["value"] < 1.0),
    ]


def show(tables: dict[str, list[dict[str, Any]]], every: bool) -> None:
    layers = sorted({row["layer"] for row in tables["series"]})
    print("series: mean and greatest value by layer")
    print(f"{'':34}" + "".join(f"{kind:>24}" for kind in CEILINGS))
    for layer in layers:
        cells = []
        for kind in CEILINGS:
            values = [row["value"] for row in tables["series"] if row["layer"] == layer and row["kind"] == kind]
            cells.append(f"{mean(values):.3f} {max(values):.3f}" if values else "-")
        print(f"{layer:34}" + "".join(f"{cell:>24}" for cell in cells))
    print(f"{'ceiling':34}" + "".join(f"{ceiling:>24.2f}" for ceiling in CEILINGS.values()))
    print(f"\n{'mutation':28}{'n':>6}{'in full':>9}{'mean cost':>11}{'least cost':>12}")
    for kind in dict.fromkeys(row["kind"] for row in tables["mutations"]):
        costs = [1.0 - row["value"] for row in tables["mutations"] if row["kind"] == kind]
        print(f"{kind:28}{len(costs):6}{sum(cost <= 0 for cost in costs):9}{mean(costs):11.3f}{min(costs):12.3f}")
    print(f"\n{'equal variant':28}{'n':>6}{'at 1':>9}{'least value':>12}")
    for kind in dict.fromkeys(row["kind"] for row in tables["variants"]):
        values = [row["value"] for row in tables["variants"] if row["kind"] == kind]
        print(f"{kind:28}{len(values):6}{sum(value >= 1.0 for value in values):9}{min(values):12.3f}")
    shown = find_faults(tables)
    if every:
        shown += [row for row in tables["mutations"] if 0.99 < row["value"] < 1.0]
    for row in shown:
        print(f"  {row['value']:.3f} {row['layer']} {row['reference']}: {row['kind']} {row['where']} ({row['reason']})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="list the mutations that cost less than 0.01 too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    tables = measure()
    if options.json:
        print(json.dumps(tables, ensure_ascii=False))
    else:
        show(tables, options.show)
    sys.exit(1 if find_faults(tables) else 0)


if __name__ == "__main__":
    main()
