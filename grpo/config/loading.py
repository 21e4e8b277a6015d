"""A config read: defaults, YAML and what it extends, profile overlay, --set."""

from __future__ import annotations

import copy
import difflib
import json
import re
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from grpo.config.absurd import find_absurd
from grpo.config.continued import continue_layer
from grpo.config.leaves import flatten
from grpo.config.own_profiles import OVERLAID, drop_profiles, take_profile
from grpo.config.run_config import RunConfig
from grpo.config.without_effect import WrittenKey
from grpo.config.written_paths import anchor_written_paths
from grpo.config.yaml_layer import KeyPath, YamlLayer, parse_value, read_source, show_path
from grpo.machine.device import Device, resolve_profile
from rewards import limits
from rewards.errors import UserError
from rewards.screen.harmless_text import make_label


class Origin(NamedTuple):
    """The last source that wrote a key: its name, the line, and the folder its relative paths start at."""

    name: str
    line: int | None
    folder: Path | None = None


Origins = dict[KeyPath, Origin]
# Two ways to say one thing: a later source that uses one of them withdraws the other.
ALTERNATIVES = (
    ("grpo", "warmup_ratio", "warmup_steps"),
    ("sft_warmup", "epochs", "max_steps"),
)


_OTHERS = {
    "TRL": ({"model_name_or_path", "per_device_train_batch_size", "reward_funcs", "dataset_name", "output_dir"}, "trl"),
    "verl": ({"actor_rollout_ref", "algorithm", "trainer", "custom_reward_function", "critic"}, ""),
    "axolotl": ({"base_model", "datasets", "micro_batch_size", "rl", "sequence_len"}, "trl"),
}
"""Top keys by which the config of another trainer is known; two of them are enough."""
_ROW_FILES = (".jsonl", ".csv", ".tsv", ".parquet", ".arrow")


def load_config(
    reference: str | Path,
    overrides: Sequence[str] = (),
    profile: str | None = "auto",
    device: Device | None = None,
) -> RunConfig:
    """The config of a path or shipped name: defaults, YAML and what it extends, profile overlay, overrides.

    `overrides` are texts `section.key=value`. `profile` is auto, gpu, small or embedded; None applies no overlay, as gpu does.
    Relative paths inside a file start at its folder, in overrides at the working directory. Raises `UserError` with
    every problem of every source.
    """
    path = find_config(reference)
    if path.suffix.lower() in _ROW_FILES:
        raise UserError(
            f"--config {reference}: holds rows, not a config; write one for them: python -m grpo.init {reference}"
        )
    if path.suffix.lower() == ".py":
        raise UserError(
            f"--config {reference}: a Python script, not a config; of one that trains with TRL: python -m grpo.config from-trl {reference}"
        )
    resolved = resolve_profile(profile, device)[0] if profile is not None else None
    chain, written = _read_chain(path), [_read_override(text) for text in overrides]
    problems = [line for source in chain for line in _name_other(source)]
    overlay: list[YamlLayer] = []
    own = {name: [part for source in chain if (part := take_profile(source, name))] for name in OVERLAID}
    problems += [problem for source in chain for problem in drop_profiles(source)]
    if resolved in OVERLAID:
        file = configs_folder() / "profiles" / f"{resolved}.yaml"
        overlay += [read_source(file, _display(file)), *own[resolved]]
    continued = continue_layer([*chain, *overlay], written)
    layers = [*chain, *overlay, *([continued] if continued else []), *written]
    problems += [problem for layer in layers for problem in layer.problems]
    config = None
    if all(source.data or not source.problems for source in (*chain, *overlay)):
        # An overlay hides what it replaces, and one of another profile is not laid on: a misspelt key would go unnoticed.
        if overlay:
            problems += _compose([*chain, *written], path, alone=True)[1]
        for name in OVERLAID:
            if own[name] and name != resolved:
                problems += _compose([*chain, *own[name], *written], path, alone=True)[1]
        config, found = _compose(layers, path)
        problems += found + (find_absurd(config) if config is not None else [])
    if problems or config is None:
        raise UserError(list(dict.fromkeys(problems)))
    config._sources = tuple(dict.fromkeys(layer.name for layer in layers))
    config._profile = resolved
    return config


def _name_other(source: YamlLayer) -> list[str]:
    """A first line for the config of another trainer, whose every key would else be told of alone."""
    for trainer, (keys, reader) in _OTHERS.items():
        if len(keys & set(source.data)) > 1:
            way = (
                f"python -m grpo.config from-trl {source.name} translates it"
                if reader
                else "write one of ours for its rows: python -m grpo.init DATA"
            )
            return [f"{source.name}: this is a config of {trainer}; {way}"]
    return []


def read_config(resolved: Mapping[str, Any], where: str) -> RunConfig:
    """A config that was resolved before, such as a run's own; `UserError` with a line a key where it no longer is one."""
    try:
        return RunConfig.model_validate(resolved)
    except ValidationError as error:
        from grpo.config.problems import explain_config

        raise UserError(explain_config(error, lambda key: (where, None))) from None


def configs_folder() -> Path:
    """The folder of the shipped configs: inside the installed package, or of the checkout."""
    package = Path(__file__).parents[1]
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def list_configs() -> list[str]:
    """The names of the shipped configs."""
    return sorted(path.stem for path in configs_folder().glob("*.yaml"))


def find_config(reference: str | Path, folder: Path | None = None) -> Path:
    """The file a config is named by: a path (from `folder`, by default the working directory) or a shipped name."""
    text = str(reference)
    path = Path(text).expanduser()
    path = path if folder is None else folder / path
    wanted = re.sub(r"\.ya?ml$", "", re.sub(r"^(\./)?configs/", "", text))
    shipped = configs_folder() / f"{wanted}.yaml"
    with suppress(OSError):  # a name longer than any file has
        if path.is_file():
            return path
        if wanted and "/" not in wanted and shipped.is_file():
            return shipped
    names = list_configs()
    near = difflib.get_close_matches(Path(wanted).name, names, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    if "/" in wanted:
        start = "" if path.is_absolute() else f"; a relative path starts at {folder or Path.cwd()}"
        raise UserError(f"{make_label(text, 200)}: no such file{start}{guess}")
    raise UserError(
        f"{make_label(text, 200)}: no such file, and no shipped config of that name{guess}{'' if guess else ';'} "
        f"shipped: {', '.join(names)}"
    )


def _compose(layers: Sequence[YamlLayer], path: Path, *, alone: bool = False) -> tuple[RunConfig | None, list[str]]:
    """The layers in one config, the later over the earlier, and what is wrong with it; see `explain` for `alone`."""
    merged: dict[str, Any] = {"name": _name_of(path)}
    origins: Origins = {}
    problems = [problem for layer in layers for problem in _apply(layer, merged, origins)]
    anchor_written_paths(merged, lambda key: _find_folder(key, origins))
    _leave_the_shops_measure(merged, origins)
    try:
        # As JSON and strictly, so that a quoted number or a `no` is an error and a path or a tuple is not.
        config = RunConfig.model_validate_json(json.dumps(merged), strict=True)
    except ValidationError as error:
        from grpo.config.problems import explain_config

        main = _display(path)
        return None, problems + explain_config(error, lambda key: _locate(key, origins, main), alone=alone)
    config._written = _list_written(merged, origins, [layer.name for layer in layers])
    return config, problems


def _list_written(merged: dict[str, Any], origins: Origins, names: Sequence[str]) -> dict[str, WrittenKey]:
    """The single settings among what the sources wrote; what follows from a run that is continued is nobody's writing."""
    shipped = configs_folder()
    written = {}
    for key, value in flatten(merged).items():
        origin = _locate_origin(key, origins)
        if origin is not None:
            own = origin.folder is None or not origin.folder.is_relative_to(shipped)
            continued = origin.name.startswith("continue_from:")
            written[".".join(key)] = WrittenKey(names.index(origin.name), continued or not own, value)
    return written


def _locate_origin(key: KeyPath, origins: Origins) -> Origin | None:
    return next((origins[key[:end]] for end in range(len(key), 0, -1) if key[:end] in origins), None)


def _leave_the_shops_measure(merged: dict[str, Any], origins: Origins) -> None:
    """What a shipped file says a run is judged by is said of the shop: with rows of one's own it is left to the default.

    Thresholds that the user wrote are meant, and then so is being judged by them.
    """
    data, decision = merged.get("data"), merged.get("decision")
    if not isinstance(data, dict) or data.get("source") != "files" or not isinstance(decision, dict):
        return
    own = {
        key[1]
        for key, (name, *_) in origins.items()
        if key[:1] == ("decision",) and key[1:] and not name.startswith("configs/")
    }
    if "relative_to" not in own:
        decision.pop("relative_to", None)
        if own & {"scale_at", "floors", "plateau_mean", "plateau_extraction"}:
            decision["relative_to"] = "thresholds"


def _read_chain(path: Path) -> list[YamlLayer]:
    """The file and all it extends, the farthest ancestor first; a broken link is a problem of the file that has it."""
    chain: list[YamlLayer] = []
    seen: list[Path] = []
    current: Path | None = path
    while current is not None:
        seen.append(current.resolve())
        source = read_source(current, _display(current))
        chain.insert(0, source)
        current = None
        if "extends" not in source.data:
            break
        parent = source.data.pop("extends")
        if not isinstance(parent, str):
            source.problems.append(f"{source.name}: extends: {parent!r} is not text; write one path or shipped name")
            break
        try:
            current = find_config(parent, source.folder)
        except UserError as error:
            source.problems.append(f"{source.name}: extends: {error}")
            break
        if current.resolve() in seen:
            loop = " -> ".join([*(known.name for known in seen[seen.index(current.resolve()) :]), current.name])
            source.problems.append(f"{source.name}: extends: is circular ({loop}); remove one of them")
            break
        if len(chain) >= limits.CONFIG_CHAIN:
            source.problems.append(
                f"{source.name}: extends: {limits.CONFIG_CHAIN} files extend one another; write fewer"
            )
            break
    return chain


def _read_override(text: str) -> YamlLayer:
    """One `section.key=value` as a source of its own."""
    key, equals, value = text.partition("=")
    key = key.strip()
    source = YamlLayer("--set", folder=Path.cwd())
    parts: list[str | int] = []
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", key):
        parts.append(int(index) if index else name)
    if not equals or not parts or isinstance(parts[0], int) or show_path(tuple(parts)) != key:
        source.problems.append(f"--set: {text!r} cannot be parsed; write section.key=value, such as grpo.max_steps=100")
        return source
    if "extends" in parts[:1]:
        source.problems.append("--set: extends: cannot be set here; name the other file with --config")
        return source
    parsed: Any = parse_value(value, source)
    source.problems = [problem.replace("--set: the file:", f"--set: {key}:") for problem in source.problems]
    inner_places = {(), *source.lines}
    source.lines.clear()
    if source.problems:
        return source
    nested: Any = parsed
    for part in reversed(parts):
        nested = {part: nested}
    source.data = nested
    source.lines = {tuple(parts) + inner: 0 for inner in inner_places}
    return source


def _apply(layer: YamlLayer, merged: dict[str, Any], origins: Origins) -> list[str]:
    """Lay one source over what was read before; returns problems of places that cannot be reached."""
    for section, first, second in ALTERNATIVES:
        written, known = layer.data.get(section), merged.get(section)
        if isinstance(written, dict) and isinstance(known, dict):
            for name, other in ((first, second), (second, first)):
                if written.get(name) is not None and other not in written:
                    known.pop(other, None)
            # Settings of a schedule belong to it, and not to the one that a later source chooses.
            schedule = written.get("lr_scheduler_type")
            if schedule not in (None, known.get("lr_scheduler_type")) and "lr_scheduler_kwargs" not in written:
                known.pop("lr_scheduler_kwargs", None)
    problems: list[str] = []
    # A section whose keys are all commented out is one that says nothing.
    data = {key: value for key, value in layer.data.items() if value is not None or key not in _SECTIONS}
    _merge(merged, data, (), layer, origins, problems)
    return problems


def _merge(
    target: dict[str, Any] | list[Any],
    data: dict[Any, Any],
    path: KeyPath,
    layer: YamlLayer,
    origins: Origins,
    problems: list[str],
) -> None:
    """Mappings are merged key by key, anything else is replaced; a number as key is an index into a list."""
    for key, value in data.items():
        here = (*path, key)
        if isinstance(target, list) != isinstance(key, int):
            kind = "a list, write an index such as [0]" if isinstance(target, list) else "no list here, write a name"
            problems.append(f"{layer.name}: {show_path(here)}: {show_path(path)} is {kind}")
            continue
        if isinstance(target, list) and key >= len(target):
            entries = f"{len(target)} entries, counted from 0"
            problems.append(f"{layer.name}: {show_path(here)}: {show_path(path)} has {entries}")
            continue
        below = target[key] if isinstance(target, list) else target.get(key)
        if isinstance(value, dict) and isinstance(below, dict | list):
            _merge(below, value, here, layer, origins, problems)
            continue
        if isinstance(value, dict) and any(isinstance(inner, int) for inner in value):
            problems.append(
                f"{layer.name}: {show_path(here)}: no list here to change an entry of; write the whole list"
            )
            continue
        for stale in [known for known in origins if known[: len(here)] == here]:
            del origins[stale]
        if isinstance(value, dict):
            target[key] = {}
            origins[here] = Origin(layer.name, layer.lines.get(here) or None, layer.folder)
            _merge(target[key], value, here, layer, origins, problems)
            continue
        target[key] = copy.deepcopy(_anchor_path(value, here, layer))
        for place, line in layer.lines.items():
            if place[: len(here)] == here:
                origins[place] = Origin(layer.name, line or None, layer.folder)


def _anchor_path(value: Any, key: KeyPath, layer: YamlLayer) -> Any:
    """A relative path as the absolute one its source means; any other value as it is."""
    if key == ("model", "gguf") and isinstance(value, str) and _PACKAGED.match(value):
        return value
    if key not in _PATH_KEYS or not isinstance(value, str) or not value:
        return value
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{layer.name}: {'.'.join(map(str, key))}: {value} begins with a user who is not on this machine; write the whole path"
        ) from error
    return str(path if path.is_absolute() or layer.folder is None else layer.folder / path)


def _locate(key: KeyPath, origins: Origins, main: str) -> tuple[str, int | None]:
    if key in origins:
        return origins[key][:2]
    for length in range(len(key), 0, -1):
        for known, origin in origins.items():
            if known[:length] == key[:length]:
                return origin.name, None
    return main, None


def _find_folder(key: KeyPath, origins: Origins) -> Path | None:
    """Where the relative paths of a value start: the folder of the source that wrote it, or what it stands in."""
    origin = _locate_origin(key, origins)
    return None if origin is None else origin.folder


def _display(path: Path) -> str:
    """A shipped config by its short name, any other as the user wrote it."""
    try:
        return f"configs/{path.resolve().relative_to(configs_folder().resolve()).as_posix()}"
    except ValueError:
        return str(path)


def _name_of(path: Path) -> str:
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]+", "-", path.stem).strip("-") or "run"


def _find_path_keys(model: type[BaseModel], prefix: KeyPath = ()) -> set[KeyPath]:
    keys: set[KeyPath] = set()
    for name, field in model.model_fields.items():
        annotation = field.annotation
        options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
        for option in options:
            if option is Path:
                keys.add((*prefix, name))
            elif isinstance(option, type) and issubclass(option, BaseModel):
                keys |= _find_path_keys(option, (*prefix, name))
    return keys


_PATH_KEYS = _find_path_keys(RunConfig) | {("model", "gguf")}
_PACKAGED = re.compile(r"[A-Za-z_]\w+:")  # a file that an installed package ships
_SECTIONS = {name for name, field in RunConfig.model_fields.items() if field.annotation not in (str, int, int | None)}
