"""The ladder of model sizes, 0.5B to 3.7B to 8B: its rungs, what they take, and whether the next run fits the device."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks.decision.decision import Rung
from rewards.errors import UserError
from rewards.screen.command_line import DONE, CommandParser, print_json, run_command

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig
    from grpo.machine.device import Device

EXAMPLES = """\
examples:
  python -m grpo.ladder
  python -m grpo.ladder --json"""
RUNGS = (
    Rung(
        name="0.5B",
        model="Polygl0t/Tucano2-qwen-0.5B-Instruct",
        config="v4_1.yaml",
        base="v4_2_b.yaml",
        fix="v4_2_c.yaml",
    ),
    Rung(name="3.7B", model="Polygl0t/Tucano2-qwen-3.7B-Instruct", config="v4_2_a.yaml"),
    Rung(name="8B", model="Qwen/Qwen3-8B", config="qwen3_8b.yaml"),
)
# The Base model stands on the rung of its size; there is nothing below it to fall back on.
BASE_RUNG = Rung(name="0.5B", model="Polygl0t/Tucano2-qwen-0.5B-Base", config="v4_2_b.yaml", fix="v4_2_c.yaml")
_CONFIGS = {
    "v4": RUNGS[0],
    "v4_1": RUNGS[0],
    "v4_2_a": RUNGS[1],
    "v4_2_b": BASE_RUNG,
    "v4_2_c": RUNGS[0],
    "qwen3_8b": RUNGS[2],
}
_TIGHT = 0.9
"""From this share of the device's memory on a run is called tight, as the plan does."""


def find_rung(model: str | None = None, config_name: str | None = None) -> tuple[Rung, Rung | None]:
    """The rung of a model, else of a shipped config's name, and the next one up (None on the last).

    A model that is on no rung stands alone: a decision about it names no next config.
    """
    rung = next((item for item in (*RUNGS, BASE_RUNG) if item.model == model), None)
    if rung is None and model is None:
        rung = _CONFIGS.get(Path(config_name).stem if config_name else "", None if config_name else RUNGS[0])
    if rung is None:
        return Rung(name=model or str(config_name), model=model or str(config_name)), None
    names = [item.name for item in RUNGS]
    place = names.index(rung.name) + 1
    return rung, RUNGS[place] if place < len(RUNGS) else None


@dataclass(frozen=True, slots=True)
class RungCost:
    """What a rung takes: `peak_bytes` is an estimate for prompts of the greatest length, None where the model's shape is
    unknown; `adjustments` are the settings that differ from the rung below."""

    rung: Rung
    adjustments: dict[str, Any]
    peak_bytes: int | None

    def fits(self, device: Device) -> bool | None:
        """Whether it fits a CUDA device; None where that cannot be told."""
        if self.peak_bytes is None or device.kind != "cuda" or device.memory_bytes is None:
            return None
        return self.peak_bytes <= device.memory_bytes


def measure_rungs() -> list[RungCost]:
    """All rungs from small to large, each with its adjustments and its memory on a CUDA device."""
    from grpo.config.leaves import flatten
    from grpo.config.loading import load_config

    costs: list[RungCost] = []
    below: dict[tuple[str, ...], Any] = {}
    for rung in RUNGS:
        assert rung.config is not None
        config = load_config(rung.config, profile=None)
        leaves = flatten(config.model_dump(mode="json"))
        changed = {
            ".".join(key): value
            for key, value in leaves.items()
            if below and key != ("name",) and below.get(key) != value
        }
        costs.append(RungCost(rung, changed, estimate_peak(config)))
        below = leaves
    return costs


def estimate_peak(config: RunConfig, prompt_tokens: int | None = None) -> int | None:
    """Bytes a config takes on a CUDA device with prompts of this many tokens (by default of the greatest length allowed)."""
    from grpo.plan.memory_estimate import estimate_memory, find_shape

    shape, _ = find_shape(config.model)
    if shape is None:
        return None
    room = max(1, config.model.max_sequence_length - config.grpo.max_completion_length)
    return estimate_memory(
        shape,
        config.model,
        config.grpo,
        device_kind="cuda",
        prompt_tokens=min(prompt_tokens or room, config.data.max_prompt_tokens or room),
        completion_tokens=config.grpo.max_completion_length,
    ).peak


def check_next_run(path: Path, profile: str, *, device: Device | None = None, world_size: int | None = None) -> None:
    """Raise `UserError` where the run of a next config cannot be started from this process, or does not fit the device.

    A `plan.json` beside it tells how long the prompts really are.
    """
    import os

    import orjson

    from grpo.config.loading import load_config
    from grpo.machine.device import find_device
    from rewards.screen.amounts import format_size

    config = load_config(path, profile=profile)
    if (world_size or int(os.environ.get("WORLD_SIZE") or 1)) > 1:
        raise UserError(
            f"--follow: this run has several processes, the next must be started by torchrun too: --config {path}"
        )
    if profile != "gpu":
        return
    device = device or find_device()
    longest = None
    with suppress(OSError, ValueError, KeyError, TypeError):  # without it the greatest length allowed is assumed
        longest = orjson.loads((path.parent / "plan.json").read_bytes())["tokens"]["prompt_longest"]
    peak = estimate_peak(config, longest)
    if peak is not None and device.memory_bytes is not None and peak > device.memory_bytes:
        raise UserError(
            f"--follow: {config.model.name} of {path} takes about {format_size(peak)} and does not fit {device}; start it on a "
            f"larger one: python -m grpo.run --config {path}, or lower grpo.micro_batch_size in it"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m grpo.ladder`; returns the exit code."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.ladder",
        "The ladder of model sizes: each rung's model, recipe, memory with the longest prompts allowed, and what it changes "
        "from the one below.",
        EXAMPLES,
    )
    parser.add_argument("--json", action="store_true", help="print the rungs as JSON")
    return parser


def run(options: argparse.Namespace) -> int:
    import json

    from grpo.machine.device import find_device
    from rewards.screen.amounts import format_size

    device, costs = find_device(), measure_rungs()
    if options.json:
        rows = [
            {
                "name": cost.rung.name,
                "model": cost.rung.model,
                "config": cost.rung.config,
                "adjustments": cost.adjustments,
                "peak_bytes": cost.peak_bytes,
                "fits": cost.fits(device),
            }
            for cost in costs
        ]
        print_json(rows)
        return DONE
    for cost in costs:
        fits = cost.fits(device)
        size = "memory unknown" if cost.peak_bytes is None else f"up to {format_size(cost.peak_bytes)}"
        place = ""
        if fits is not None and cost.peak_bytes is not None and device.memory_bytes is not None:
            tight = cost.peak_bytes > _TIGHT * device.memory_bytes
            place = f", {'does not fit' if not fits else 'fits tightly' if tight else 'fits'} {device}"
        print(f"{cost.rung.name:5} {cost.rung.model}  ({cost.rung.config}; {size}{place})")
        for key, value in cost.adjustments.items():
            print(f"      {key}: {json.dumps(value, ensure_ascii=False)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
