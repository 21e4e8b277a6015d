"""Two runs' adapters as one policy: the sum of what each adds, where both stand on the same base."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from grpo.export.choice import PolicyToExport, choose, identify_base
from rewards.errors import UserError
from rewards.writing.files import read_object


@dataclass(frozen=True, slots=True)
class Added:
    """Another run's adapter, and by how much it counts."""

    choice: PolicyToExport
    weight: float


def read_added(text: str, first: PolicyToExport) -> Added:
    """`RUN` or `RUN=0.5`; UserError where the sum of both adapters would be no policy in its own right."""
    place, equals, given = text.rpartition("=")
    place, weight = (place, given) if equals else (text, "1")
    try:
        number = float(weight)
    except ValueError:
        raise UserError(f"--add {text}: {weight!r} is not a number; write RUN or RUN=0.5") from None
    if not isfinite(number):
        raise UserError(f"--add {text}: {weight} is no share of an adapter; write a number such as 0.5")
    other = choose(place)
    problems = find_problems(first, other)
    if problems:
        raise UserError([f"--add {place}: {problem}" for problem in problems])
    return Added(other, number)


def find_problems(first: PolicyToExport, other: PolicyToExport) -> list[str]:
    """Why the two adapters cannot be added, one line each.

    B1 A1 + B2 A2 over one frozen matrix is again a change of that matrix. It is not where the bases differ, where one was
    trained on the other, or where a layer was replaced or rescaled.
    """
    problems = []
    for choice in (first, other):
        if choice.source.kind != "adapter":
            problems.append(f"{choice.source.location} is a whole model; only adapters can be added")
    if problems:
        return problems
    bases = [(identify_base(choice), choice.config.model.quantization) for choice in (first, other)]
    if bases[0] != bases[1]:
        problems.append(
            f"it stands on {_name(bases[1])}, {first.name} on {_name(bases[0])}; adapters of one base can be added"
        )
    if any(choice.config.model.embedded is not None for choice in (first, other)):
        problems.append("bases made on the spot are only alike where rows and seed are; train one run further instead")
    for choice in (first, other):
        if reason := _find_more(read_object(choice.folder / "adapter_config.json")):
            problems.append(
                f"the adapter of {choice.name} {reason}, which has no sum; merge one of them into a model first"
            )
    for child, parent in ((first, other), (other, first)):
        before = child.config.model.named_adapter or child.config.model.name
        places = (Path(before).resolve(), *Path(before).resolve().parents)
        if parent.run is not None and parent.run.resolve() in places:
            problems.append(
                f"{child.name} was trained on from {parent.name} and holds it already; take {child.name} alone"
            )
    return problems


def add(model: Any, added: list[Added]) -> Any:
    """The PEFT model with further adapters beside its own, all of them active at once."""
    from peft.tuners.lora import LoraLayer

    names = ["default"]
    for number, each in enumerate(added, 1):
        name = f"added_{number}"
        model.load_adapter(each.choice.source.location, adapter_name=name)
        names.append(name)
        for layer in model.modules():
            if isinstance(layer, LoraLayer) and name in layer.scaling:
                layer.scaling[name] *= each.weight
    model.base_model.set_adapter(names)
    return model.eval()


def _find_more(config: dict[str, Any]) -> str | None:
    if config.get("use_dora"):
        return "is of DoRA's kind"
    if config.get("modules_to_save") or config.get("trainable_token_indices"):
        return "replaces whole layers or tokens"
    if config.get("peft_type", "LORA") != "LORA":
        return f"is of PEFT's kind {config.get('peft_type')}"
    if config.get("bias", "none") != "none":
        return "trains biases too"
    return None


def _name(base: tuple[dict[str, Any], str]) -> str:
    described, quantization = base
    parts = [described.get("name") or "one made on the spot", described.get("revision"), described.get("gguf")]
    return ", ".join(str(part) for part in [*parts, quantization if quantization != "none" else None] if part)
