"""The settings of a GRPO training with TRL, read from a YAML file, a script, a notebook or a command line; nothing is run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from grpo.config.trl_adapters import ADAPTER_NAMES
from grpo.config.trl_found import FoundSettings, as_number
from grpo.config.trl_script import read_script
from grpo.config.trl_shell import Command, cut_documents, find_commands, read_command
from grpo.config.trl_strangers import find_stranger, has_any_setting
from grpo.config.trl_wrappers import find_wrapper
from rewards.errors import UserError
from rewards.writing.yaml_files import parse_yaml, read_text

# Settings of TRL that are mappings themselves, by how they end.
_MAPPINGS = (
    "_kwargs",
    "_config_file",
    "fsdp",
    "fsdp_config",
    "deepspeed",
    "accelerator_config",
    "dataset_mixture",
    "_map",
)
# Sections of a file that tell of something else than the training, whatever their settings are called.
_OTHER_SECTIONS = re.compile(
    r"eval|test|data|sft|warm|infer|log|wandb|reward|judge|teacher|experiment|hydra", re.IGNORECASE
)

# `${optim.lr}`, `${oc.env:LR,1e-6}`
_INTERPOLATION = re.compile(r"\$\{([\w.]+)(?::([^{}]*))?\}")


def read_trl_file(path: Path) -> FoundSettings:
    """The settings in that file; `UserError` for one that holds none."""
    found = _read_file(path, FoundSettings())
    if not found:
        raise UserError(
            f"{path}: has no setting of TRL's GRPO; give a YAML file of `trl grpo`, a script or notebook that calls "
            "GRPOConfig, or a shell script with options such as --num_generations 8"
        )
    found.refusals = list(dict.fromkeys(found.refusals))
    return found


def _read_file(path: Path, options: FoundSettings) -> FoundSettings:
    """The settings in that file under the options that its program is started with; none where it holds none."""
    text = read_text(path)
    if path.suffix == ".py":
        return read_script(text, path, options)
    if path.suffix == ".ipynb":
        return read_notebook(text, path)
    if path.suffix in (".yaml", ".yml", ".json"):
        return read_yaml(text, path)
    return read_command_line(text, path)


def read_notebook(text: str, path: Path) -> FoundSettings:
    """A notebook's code, or else what its cells write to files and start in a shell."""
    try:
        cells = json.loads(text)["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: is not a notebook that can be read") from None
    # A cell that begins with %% is of another language, or a file that it writes.
    magic = [each for each in sources if each.lstrip().startswith("%%") and not re.match(r"\s*%%(time|capture)", each)]
    plain = [re.sub(r"^\s*%%.*", "", each) for each in sources if each not in magic]
    found = read_script("\n".join(plain), path, FoundSettings())
    for cell in magic if not found else ():
        first, _, rest = cell.lstrip().partition("\n")
        written = re.match(r"%%(?:writefile|file)\s+(?:-a\s+)?(\S+)", first)
        if written is None or found:
            continue
        if written[1].endswith(".py"):
            found = read_script(rest, path, FoundSettings())
        elif written[1].endswith((".yaml", ".yml")):
            found = read_yaml(rest, path)
    if found:
        return found
    shell = [line[1:] for each in plain for line in re.findall(r"^\s*(!.*(?:\\\n.*)*)", each, re.MULTILINE)]
    shell += [each.partition("\n")[2] for each in magic if re.match(r"\s*%%(bash|sh|script)", each)]
    return read_command_line("\n".join(shell), path)


def read_yaml(text: str, path: Path) -> FoundSettings:
    """A mapping, as `trl grpo --config` and open-r1 read it, or one whose settings stand in sections."""
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path}: does not hold a mapping of settings to values")
    wrapper = find_wrapper(values)
    found = FoundSettings(_flatten(values))
    set_interpolations(found, values)
    if wrapper is not None:
        return wrapper(found)
    stranger = find_stranger(values, [*found.settings, *found.unknown])
    if stranger is not None:
        return FoundSettings(refusals=[stranger])
    return found if has_any_setting([*found.settings, *found.unknown]) else FoundSettings()


def set_interpolations(found: FoundSettings, values: dict[Any, Any]) -> None:
    """Put in what `${section.key}` names, as Hydra and OmegaConf do; what needs more than that is unknown."""
    for name, value in list(found.settings.items()):
        for _ in range(5):
            match = _INTERPOLATION.fullmatch(value) if isinstance(value, str) else None
            if match is None:
                break
            if match[1] in ("oc.env", "env"):
                default = (match[2] or "").partition(",")[2].strip()
                value = as_number(default) if default else value
                break
            value = as_number(_follow(values, (match[1] or "").split(".")) if match[2] is None else value)
        if isinstance(value, str) and "${" in value:
            del found.settings[name]
            found.unknown[name] = value
        else:
            found.settings[name] = value


def _follow(values: Any, parts: list[str]) -> Any:
    for part in parts:
        if not isinstance(values, dict) or part not in values:
            return "${?}"
        values = values[part]
    return values


def _flatten(values: dict[Any, Any], section: str = "") -> dict[str, Any]:
    """Settings by name: those of a section by the names that they have there; what stands above it wins."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key)
        if "lora" in section or "peft" in section:
            name = ADAPTER_NAMES.get(name, {"alpha": "lora_alpha", "dropout": "lora_dropout"}.get(name, name))
        elif section == "model" and name in ("name", "name_or_path", "path"):
            name = "model_name_or_path"
        if isinstance(value, dict) and not name.endswith(_MAPPINGS) and not _OTHER_SECTIONS.search(name):
            inner = _flatten(value, name.lower())
            if ("lora" in name or "peft" in name) and "lora_r" in inner:
                inner.setdefault("use_peft", True)
            found = inner | found
        elif not name.startswith("_"):  # such as Hydra's _target_
            found[name] = as_number(value)
    return found


def _is_training(command: Command, found: FoundSettings) -> bool:
    """Whether a command has a setting that TRL has, and is not of a tool beside it."""
    names = [name for name in (*found.settings, *found.unknown) if name != "num_processes"]
    if command.program.startswith(("swift", "megatron", "trl ")):
        return bool(names)
    return has_any_setting(names) and (find_wrapper(found.settings) is not None or find_stranger({}, names) is None)


def read_command_line(text: str, path: Path) -> FoundSettings:
    """The training that a shell script starts, with the script and the file that it names, where they are at hand."""
    text, written = cut_documents(text)

    def read_file(place: Path, options: FoundSettings) -> FoundSettings:
        return read_yaml(written[str(place)], place) if str(place) in written else _read_file(place, options)

    commands = find_commands(text)
    trainings = [each for each in commands if each.program] or commands
    read = [(each, read_command(each, path, read_file, written)) for each in trainings]
    read = [(each, found) for each, found in read if found.refusals or _is_training(each, found)]
    # A training with a reason against it counts where there is no other.
    read = [pair for pair in read if not pair[1].refusals] or read
    if not read:
        return FoundSettings()
    command, found = read[0]
    wrapper = find_wrapper(found.settings, command.program)
    found = wrapper(found) if wrapper is not None else found
    if len(read) > 1:
        found.notes.append(
            f"{len(read)} trainings are started; this is the first ({command.program or 'the first command'})"
        )
    return found
