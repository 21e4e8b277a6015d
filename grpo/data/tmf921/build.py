"""Rows of every split, written in the Hub set's fifteen columns; the same section writes the same bytes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from grpo.data.section import Tmf921Section
from grpo.data.tmf921.intents import OOD_PHRASINGS, PHRASINGS, Intent, draw_intent
from grpo.data.tmf921.layers import ADVERSARIAL, CREATE, LAYERS, OPERATIONS, write_operation, write_refusal
from rewards.writing.files import replacing

SYSTEM = (
    "You translate network intents into configurations. Answer with one JSON document of the layer that is named and with "
    "nothing else; refuse what contradicts itself, cannot be met or harms others."
)
SPLITS = (
    "train_base", "train_sota", "validation", "test_in_distribution", "test_template_ood", "test_use_case_ood",
    "test_sector_ood", "test_adversarial",
)  # fmt: skip
HELD_OUT = SPLITS[2:]
COLUMNS = (
    "id", "messages", "target_layer", "slice_type", "sst", "sd", "use_case", "sector", "region", "latency_ms",
    "reliability_pct", "dl_throughput_mbps", "ul_throughput_mbps", "max_ues", "lifecycle_operation",
)  # fmt: skip
# Shares of the Hub set: nearly all rows create, few operate, fewer must be refused.
_OPERATES, _REFUSES = 0.12, 0.02
# Of the up-sampled training set: rows that do not create, refusals, and multi-turn wrappers.
_SOTA_OPERATES, _SOTA_REFUSES, _SOTA_WRAPPED = 0.16, 0.065, 0.04


def build_tmf921(folder: Path, section: Tmf921Section) -> dict[str, Path]:
    """Write each split as `<split>.jsonl` and `held_out.jsonl` of all but training, with a column `split`; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = _share_out(section)
    splits: dict[str, list[dict[str, Any]]] = {}
    seen: set[str] = set()
    for name in SPLITS:
        if name == "train_sota":
            splits[name] = _enrich(splits["train_base"], random.Random(f"{section.seed}/sota"))
        else:
            splits[name] = list(_draw(name, sizes[name], section, seen))
    files = {name: folder / f"{name}.jsonl" for name in SPLITS}
    for name, path in files.items():
        _write(path, splits[name])
    files["held_out"] = folder / "held_out.jsonl"
    _write(files["held_out"], [{**row, "split": name} for name in HELD_OUT for row in splits[name]])
    return files


def _share_out(section: Tmf921Section) -> dict[str, int]:
    # As in the research set, by thousands: 1.5 validation, 1.5 in distribution, 3.5, 4.3 and 4.6 out of it.
    weights = {"validation": 1.5, "test_in_distribution": 1.5, "test_template_ood": 3.5, "test_use_case_ood": 4.3,
               "test_sector_ood": 4.6}  # fmt: skip
    refused = max(3, section.held_out_rows // 50)
    left, total = section.held_out_rows - refused, sum(weights.values())
    sizes = {name: max(1, round(left * weight / total)) for name, weight in weights.items()}
    return {"train_base": section.train_rows, "test_adversarial": refused, **sizes}


def _draw(split: str, rows: int, section: Tmf921Section, seen: set[str]) -> Iterator[dict[str, Any]]:
    rng = random.Random(f"{section.seed}/{split}")
    made = 0
    while made < rows:
        row = _make_row(rng, split, section)
        asked = row["messages"][-2]["content"]
        if asked in seen:
            continue
        seen.add(asked)
        made += 1
        yield row


def _make_row(rng: random.Random, split: str, section: Tmf921Section) -> dict[str, Any]:
    intent = draw_intent(rng, split=split)
    chance = rng.random()
    operation = CREATE
    if split == "test_adversarial" or chance < _REFUSES:
        layer = rng.choice(tuple(kind for kind in ADVERSARIAL if section.takes(kind)) or tuple(ADVERSARIAL))
        asked, target = write_refusal(intent, layer)
    elif chance < _REFUSES + _OPERATES:
        operation = rng.choice(OPERATIONS)
        layer = f"tmf921_lifecycle_{operation}"
        asked, target = write_operation(intent, operation, rng)
    else:
        layer = rng.choice([name for name in LAYERS if section.takes(name)])
        asked = intent.ask(rng.choice(OOD_PHRASINGS if split == "test_template_ood" else PHRASINGS))
        target = LAYERS[layer](intent)
    return _as_row(intent, layer, operation, asked, target, section.instructions == "short")


def _as_row(
    intent: Intent, layer: str, operation: str, asked: str, target: dict[str, Any], short: bool
) -> dict[str, Any]:
    answer = orjson.dumps(target).decode()
    system = layer if short else f"{SYSTEM}\nTarget layer: {layer}"
    return {
        "id": hashlib.sha256(f"{layer}\x00{asked}".encode()).hexdigest()[:12],
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answer},
        ],
        "target_layer": layer,
        "slice_type": intent.slice_type,
        "sst": intent.sst,
        "sd": intent.sd,
        "use_case": intent.use_case,
        "sector": intent.sector,
        "region": intent.region,
        "latency_ms": intent.latency_ms,
        "reliability_pct": intent.reliability_pct,
        "dl_throughput_mbps": intent.dl_throughput_mbps,
        "ul_throughput_mbps": intent.ul_throughput_mbps,
        "max_ues": intent.max_ues,
        "lifecycle_operation": operation,
    }


def _enrich(rows: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """The training set with rare rows repeated and wrapped, each marked by the end of its id."""
    refusals = [row for row in rows if row["target_layer"] in ADVERSARIAL]
    operations = [row for row in rows if row["lifecycle_operation"] != CREATE]
    others = len(rows) - len(refusals) - len(operations)
    total = others / (1 - _SOTA_OPERATES - _SOTA_REFUSES - _SOTA_WRAPPED)
    made = list(rows)
    for rare, share in ((operations, _SOTA_OPERATES), (refusals, _SOTA_REFUSES)):
        for copy in range(max(0, round(share * total) - len(rare))) if rare else ():
            row = rare[copy % len(rare)]
            made.append({**row, "id": f"{row['id']}~{1 + copy // len(rare)}"})
    for number in range(round(_SOTA_WRAPPED * total)):
        first, last = rng.sample(rows, 2)
        turns = [last["messages"][0], *first["messages"][1:], *last["messages"][1:]]
        made.append({**last, "id": f"{last['id']}~m{number}", "messages": turns})
    rng.shuffle(made)
    return made


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as file:
        for row in rows:
            file.write(orjson.dumps(row) + b"\n")
