"""An adapter's folder as the model of a run: it is found before anything is loaded, and trained on from where it stands."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from grpo.config.sections import ModelSection
from grpo.policy.local_files import fetch_model_json, model_folder, read_model_json
from rewards.errors import RecompensaError, UserError

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_PARAMETER, _LAYER = re.compile(r"'([^']+)'"), re.compile(r"\blayers\.(\d+)\.")


class AdapterUnfit(RecompensaError):
    """An adapter's weights cannot be put on this model; the message is the reason alone."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """LoRA weights that were trained before, and the model below them; `revision` is that model's, `own_revision` theirs.

    `key` is the setting that named it.
    """

    name: str
    base: str | None
    revision: str | None
    kind: str
    r: int | None
    alpha: float | None
    target_modules: str | tuple[str, ...]
    settings: dict[str, Any]
    own_revision: str | None = None
    key: str = "model.name"


def find_adapter(section: ModelSection) -> Adapter | None:
    """The adapter that `model.adapter` names or `model.name` is, or None where there is none or it cannot be told."""
    if section.embedded is not None:
        return None
    if section.named_adapter is not None:
        return _find_named(section, section.named_adapter)
    found = read_model_json(section.name, section.revision, CONFIG)
    if found is None and model_folder(section.name, section.revision) is None and section.gguf is None:
        # On the Hub an adapter has no config.json; only then is a second file asked for.
        answer = fetch_model_json(section.name, section.revision, "config.json")
        if answer.value is None and answer.reason is not None and answer.reason.startswith("it has no"):
            found = fetch_model_json(section.name, section.revision, CONFIG).value
    if found is None:
        return None
    base = found.get("base_model_name_or_path")
    return _make_adapter(
        found,
        name=section.name,
        base=str(base) if base else None,
        revision=found.get("revision"),
        own_revision=section.revision,
        key="model.name",
    )


def find_policy_folder(run: Path) -> Path | None:
    """Where a run keeps its policy: `best/`, else what the warm-up left; None where `run` is not a run, or kept none."""
    if not (run / "status.json").is_file():
        return None
    return next((run / name for name in ("best", "sft") if (run / name).is_dir()), None)


def _find_named(section: ModelSection, name: str) -> Adapter:
    """The adapter of `model.adapter`, over the model of `model.name`; `UserError` where there is none."""
    folder = find_policy_folder(Path(name).expanduser())
    place = str(folder) if folder is not None else name
    found = read_model_json(place, None, CONFIG)
    if found is None:
        answer = fetch_model_json(place, None, CONFIG)
        found = answer.value
        if found is None:
            raise UserError(
                f"model.adapter: {name}: no adapter there ({answer.reason}); give a run with LoRA, an adapter's folder or a "
                "name on the Hub"
            )
    base = found.get("base_model_name_or_path")
    if base and str(base) != section.name:
        raise UserError(
            f"model.adapter: {name} was trained on {base}, not on model.name {section.name}; set model.name to it"
        )
    return _make_adapter(found, name=place, base=section.name, revision=section.revision, key="model.adapter")


def _make_adapter(found: dict[str, Any], **more: Any) -> Adapter:
    targets = found.get("target_modules") or ()
    return Adapter(
        **more,
        kind=str(found.get("peft_type")),
        r=found.get("r") if isinstance(found.get("r"), int) else None,
        alpha=found.get("lora_alpha"),
        target_modules=targets if isinstance(targets, str) else tuple(map(str, targets)),
        settings=found,
    )


def adapter_problems(adapter: Adapter, section: ModelSection) -> list[str]:
    """Why this adapter cannot be trained on under this config, one line each."""
    where = f"{adapter.key}: {adapter.name} is an adapter"
    problems = []
    folder = model_folder(adapter.name, adapter.own_revision)
    if folder is not None and not any((folder / name).is_file() for name in WEIGHTS):
        problems.append(f"{where} without weights: no {WEIGHTS[0]} beside its {CONFIG}; save it again")
    if folder is not None and (folder / WEIGHTS[0]).is_file() and _is_torn(folder / WEIGHTS[0]):
        problems.append(f"{where} whose {WEIGHTS[0]} is torn; copy it again, or give another checkpoint")
    if adapter.kind != "LORA":
        problems.append(
            f"{where} of PEFT's kind {adapter.kind}; only LoRA is trained on, so merge it into its model first"
        )
    if adapter.base is None and section.gguf is None:
        problems.append(
            f"{where} and its {CONFIG} names no base model (the embedded policy's is made on the spot and never saved); "
            "add base_model_name_or_path, or give a whole model"
        )
    if section.adapter == "stack" and section.quantization != "none":
        problems.append(
            f"{where}, and 4-bit weights cannot take it up exactly; merge it under quantization none first, or set "
            "model.adapter: continue"
        )
    if section.lora is None:
        problems.append(
            f"{where}, which lora: null would leave untrained; set model.lora (its own rank and scale are kept), or merge "
            "it into its model first"
        )
    if section.engine != "transformers":
        problems.append(
            f"{where}, and engine {section.engine} begins its own again; use engine transformers, or merge it first"
        )
    if adapter.base is not None and section.gguf is None and read_model_json(adapter.base, adapter.revision, CONFIG):
        problems.append(f"{where} on {adapter.base}, which is an adapter too; merge one of them first")
    return problems


def base_section(adapter: Adapter, section: ModelSection) -> ModelSection:
    """The same section for the model below the adapter."""
    return section.model_copy(
        update={"name": adapter.base or section.name, "revision": adapter.revision, "adapter": None}
    )


def attach(model: Any, adapter: Adapter, section: ModelSection) -> Any:
    """The model with that adapter on it, its weights trained further; `UserError` where they do not fit each other."""
    problems = adapter_problems(adapter, section)
    if problems:
        raise UserError(problems)
    folder = model_folder(adapter.name, adapter.own_revision)
    place = str(folder) if folder is not None else adapter.name
    try:
        found = put_on(model, place, is_trainable=True, revision=adapter.own_revision)
    except AdapterUnfit as fault:
        raise UserError(
            f"{adapter.key}: the adapter {adapter.name} does not fit its base {adapter.base} ({fault}); give the adapter's "
            "own base in its adapter_config.json"
        ) from None
    for config in found.peft_config.values():
        config.inference_mode = False
    return save_without_hub(found)


def put_on(model: Any, place: str, **options: Any) -> Any:
    """PEFT's model of `model` with the adapter in the folder or repository `place` on it, every weight of both matched.

    Raises `AdapterUnfit` where a file is torn, and where the adapter is of another model: PEFT leaves layers that its file
    does not have as they were begun, and drops what the model does not have, with a warning at most.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    faults = (RuntimeError, ValueError, OSError, KeyError, TypeError, AttributeError, EOFError, SafetensorError)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = PeftModel.from_pretrained(model, place, **options)
        except faults as fault:
            torn = "a torn file: " if isinstance(fault, SafetensorError | EOFError) else ""
            reason = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
            raise AdapterUnfit(f"{torn}{reason[:200]}") from None
    missing = [str(each.message) for each in said if "missing adapter keys" in str(each.message)]
    if missing:
        names = _PARAMETER.findall(missing[0])
        raise AdapterUnfit(f"{len(names)} of the base's weights have no part in it, such as {names[0][:120]}")
    layers = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    deepest = max(map(int, _LAYER.findall(" ".join(_weight_names(place)))), default=-1)
    if layers is not None and deepest >= layers:
        raise AdapterUnfit(f"it has weights for layer {deepest}, and the base has {layers} layers")
    return found


def _is_torn(file: Path) -> bool:
    """Whether a safetensors file ends before its header says, read without its library."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > size - 8:
            return True
        try:
            tensors = json.loads(opened.read(length))
            end = max(
                (int(each["data_offsets"][1]) for name, each in tensors.items() if name != "__metadata__"), default=0
            )
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return True
    return 8 + length + end > size


def _weight_names(place: str) -> list[str]:
    """What the weights of an adapter's folder are called; none where they are elsewhere, or in PyTorch's own format."""
    file = Path(place) / WEIGHTS[0]
    if not file.is_file():
        return []
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())


def save_without_hub(model: Any) -> Any:
    """The same model, whose adapters are saved without asking the Hub whether its vocabulary grew.

    PEFT asks at every save, waits for a network that may not be there and warns; adapters on embeddings are saved whole.
    """
    embeddings = {"embed_tokens", "lm_head"}
    for config in model.peft_config.values():
        targets = config.target_modules or ()
        if isinstance(targets, str) or embeddings & {name.rpartition(".")[2] for name in targets}:
            return model
    model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)
    return model
