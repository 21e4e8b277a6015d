"""`continue_from: RUN`: the settings that follow from a finished run, laid under those of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grpo.config.yaml_layer import YamlLayer
from rewards.errors import UserError
from rewards.writing.files import read_object

_KEY = "continue_from"


def continue_layer(files: Sequence[YamlLayer], written: Sequence[YamlLayer] = ()) -> YamlLayer | None:
    """What the run that the layers continue from decides: its policy, its weak layers; None where they continue none.

    `written` are the layers of the command line, which stand above what follows from the run. Raises UserError where the
    run cannot be continued from.
    """
    layers = [*files, *written]
    named = next((layer for layer in reversed(layers) if layer.data.get(_KEY) is not None), None)
    if named is None:
        return None
    run = Path(str(named.data[_KEY])).expanduser()
    run = run if run.is_absolute() or named.folder is None else named.folder / run
    saved = read_object(run / "config.json").get("config")
    if not isinstance(saved, dict):
        raise UserError(f"{named.name}: {_KEY}: {run} is not the folder of a run; give one that recompensa run wrote")
    layer = YamlLayer(f"{_KEY}: {run}", folder=run)
    layer.data = {"model": _find_policy(run, saved, named.name)}
    # Its policy was fine-tuned already: SFT would teach it the same again.
    asked_for = _read(written, "stages") is not None or _read(written, "sft_warmup", "enabled") is True
    if _read(layers, "stages") in (None, ["sft", "grpo"]) and not asked_for:
        layer.data["stages"] = ["grpo"]
    count = _read(layers, "data", "tmf921", "weak_count")
    chosen = _read(written, "data", "tmf921", "weak") is not None
    if isinstance(count, int) and not isinstance(count, bool) and count > 0 and not chosen:
        from grpo.data.tmf921.weak import choose_weak, find_last_evaluation, read_estimates

        weak = choose_weak(read_estimates(find_last_evaluation(run)), count)
        layer.data["data"] = {"tmf921": {"weak": weak}}
    return layer


def _find_policy(run: Path, saved: dict[str, Any], where: str) -> dict[str, Any]:
    """Section model's keys: the adapter over its base, or the whole weights in place of the recipe's model."""
    folder = next((run / name for name in ("best", "sft") if (run / name).is_dir()), None)
    if folder is None:
        raise UserError(f"{where}: {_KEY}: {run} kept no policy (no best/, no sft/); resume it, or give another run")
    model = saved.get("model") or {}
    if model.get("lora") is not None and model.get("embedded") is None:
        return {"name": model.get("name"), "gguf": model.get("gguf"), "adapter": str(folder.resolve())}
    return {"name": str(folder.resolve()), "embedded": None, "gguf": None, "lora": None}


def _read(layers: Sequence[YamlLayer], *keys: str) -> Any:
    """The last value that the layers write for a key; None for none."""
    for layer in reversed(layers):
        value: Any = layer.data
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None
