"""The settings of a GRPO training with TRL, read from a YAML file, a Python script or a command line; nothing is run."""

from __future__ import annotations

import ast
import operator
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
_ADAPTER_CALLS = ("LoraConfig", "get_peft_model")
# What a script's trainer is given that makes its completions something else than an answer to a prompt.
_OTHER_ROLLOUTS = ("tools", "environment_factory", "rollout_func")
_ADAPTER_NAMES = {
    "r": "lora_r", "lora_alpha": "lora_alpha", "lora_dropout": "lora_dropout", "target_modules": "lora_target_modules"
}  # fmt: skip
_LOADED_NAMES = {
    "model_name": "model_name_or_path", "max_seq_length": "max_seq_length", "load_in_4bit": "load_in_4bit",
}  # fmt: skip
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip


@dataclass
class FoundSettings:
    """Settings by TRL's names; `unknown` are those whose value the file does not tell, with what it says instead."""

    settings: dict[str, Any] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)


class _NotWritten(Exception):
    """A value that only running the script would tell."""


def read_trl_file(path: Path) -> FoundSettings:
    """The settings in that file; `UserError` for one that holds none."""
    text = read_text(path)
    if path.suffix == ".py":
        found = read_script(text, path)
    elif path.suffix in (".yaml", ".yml", ".json"):
        found = read_yaml(text, path)
    else:
        found = read_command_line(text)
    if not found.settings and not found.unknown and not found.refusals:
        raise UserError(
            f"{path}: has no setting of TRL's GRPO; give a YAML file of `trl grpo`, a script that calls GRPOConfig, or a "
            "shell script with options such as --num_generations 8"
        )
    found.refusals = list(dict.fromkeys(found.refusals))
    return found


def read_yaml(text: str, path: Path) -> FoundSettings:
    """A mapping, as `trl grpo --config` and open-r1 read it, or one whose settings stand in sections."""
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path}: does not hold a mapping of settings to values")
    return FoundSettings(_flatten(values))


def _flatten(values: dict[Any, Any], section: str = "") -> dict[str, Any]:
    """Settings by name: those of a section by the names that they have there; what stands above it wins."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key)
        if "lora" in section or "peft" in section:
            name = _ADAPTER_NAMES.get(name, {"alpha": "lora_alpha", "dropout": "lora_dropout"}.get(name, name))
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


def read_command_line(text: str) -> FoundSettings:
    """Options such as `--learning_rate 1e-6` or `--bf16`, in a shell script with its comments and line ends."""
    found = FoundSettings()
    lines = "\n".join(line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#"))
    try:
        words = shlex.split(lines, comments=True)
    except ValueError:
        words = lines.split()
    for place, word in enumerate(words):
        if not re.fullmatch(r"--[A-Za-z][A-Za-z0-9_-]*(=.*)?", word, re.DOTALL):
            continue
        name, given, value = word[2:].partition("=")
        following = words[place + 1] if place + 1 < len(words) else "--"
        if not given:
            value = following if not following.startswith("--") else "true"
        name = name.replace("-", "_")
        if "$" in value:
            found.unknown[name] = value
        else:
            found.settings[name] = as_number(value)
    return found


def as_number(value: Any) -> Any:
    """What a text means: YAML 1.1 reads 1e-6 as a text, and the shell knows only texts."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value.lower() in ("none", "null"):
        return None
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def read_script(text: str, path: Path) -> FoundSettings:
    """The arguments of GRPOConfig, of the adapters and of the model in a Python script, read and never run."""
    # Notebooks that were made scripts keep their shell lines.
    text = re.sub(r"^([ \t]*)[!%].*$", r"\1pass", text, flags=re.MULTILINE)
    try:
        tree: ast.Module = ast.parse(text)
    except SyntaxError as fault:
        tree = ast.Module(_cut_calls(text), [])
        if not tree.body:
            raise UserError(f"{path}: is not Python that can be read (line {fault.lineno}: {fault.msg})") from None
    own = any(
        isinstance(node, ast.ClassDef) and node.name == "GRPOConfig" and not node.bases for node in ast.walk(tree)
    )
    if own:
        reason = (
            "its GRPOConfig is a class of its own, not TRL's, whose settings mean what its own trainer makes of them"
        )
        return FoundSettings(refusals=[reason])
    constants = _find_constants(tree)
    found, called = FoundSettings(), False
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        called |= name == "GRPOConfig" and bool(node.keywords)
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if name == "GRPOConfig":
            _take(found, node, constants, lambda key: key)
        elif name in _ADAPTER_CALLS:
            _take(found, node, constants, _ADAPTER_NAMES.get)
            found.settings.setdefault("use_peft", True)
        elif name == "from_pretrained" and owner.startswith("Fast"):
            _take(found, node, constants, _LOADED_NAMES.get)
            if owner == "FastVisionModel":
                found.refusals.append("it trains a model that reads images, and rows here are text")
        elif name == "GRPOTrainer":
            _take_trainer(found, node, constants)
    if called or found.refusals:
        return found
    # A script that parses its command line tells in its docstring how it is called.
    usage = read_command_line(ast.get_docstring(tree) or "") if "GRPO" in text else FoundSettings()
    if usage.settings and re.search(r"vlm|ImageTextToText", text, re.IGNORECASE):
        usage.refusals.append("it trains a model that reads images, and rows here are text")
    return usage


def _cut_calls(text: str) -> list[ast.stmt]:
    """The calls that matter, cut out of a script whose other parts this Python cannot read."""
    found: list[ast.stmt] = []
    names = "|".join(("GRPOConfig", "GRPOTrainer", *_ADAPTER_CALLS, r"Fast\w+\.from_pretrained"))
    for match in re.finditer(rf"\b(?:\w+\.)?(?:{names})\(", text):
        for end in re.finditer(r"\)", text[match.start() :]):
            try:
                found += ast.parse(text[match.start() : match.start() + end.end()]).body
                break
            except SyntaxError:
                continue
    return found


def _take_trainer(found: FoundSettings, node: ast.Call, constants: dict[str, ast.expr]) -> None:
    for keyword in node.keywords:
        if keyword.arg in _OTHER_ROLLOUTS and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value):
            found.refusals.append(
                f"its trainer is given {keyword.arg}: completions of several turns with tools or an environment are not "
                "written here"
            )
        if keyword.arg == "model":
            try:
                value = _evaluate(keyword.value, constants)
            except _NotWritten:
                continue
            if isinstance(value, str):
                found.settings.setdefault("model_name_or_path", value)


def _take(
    found: FoundSettings, node: ast.Call, constants: dict[str, ast.expr], rename: Callable[[str], str | None]
) -> None:
    for keyword in node.keywords:
        name = rename(keyword.arg) if keyword.arg else None
        if name is None:
            continue
        try:
            found.settings[name] = _evaluate(keyword.value, constants)
        except _NotWritten:
            found.unknown[name] = ast.unparse(keyword.value)


def _find_constants(tree: ast.AST) -> dict[str, ast.expr]:
    """What each name is set to, where it is set once."""
    found: dict[str, ast.expr] = {}
    repeated: set[str] = set()
    for node in ast.walk(tree):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                repeated |= {target.id} & found.keys()
                found[target.id] = value
    found = {name: value for name, value in found.items() if name not in repeated}
    return found | _find_defaults(tree)


def _find_defaults(tree: ast.AST) -> dict[str, ast.expr]:
    """The default of each option of the script's own command line, under `args.NAME`."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "add_argument" or not node.args:
            continue
        options = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        long = next((option for option in options if option.startswith("--")), None)
        name = given["dest"] if "dest" in given else ast.Constant((long or "").lstrip("-").replace("-", "_"))
        if "default" in given and isinstance(name, ast.Constant) and name.value:
            found[f"args.{name.value!s}"] = given["default"]
    return found


def _evaluate(node: ast.expr, constants: dict[str, ast.expr], depth: int = 0) -> Any:
    """A literal, a name of one, arithmetic on both, or the last part of `torch.bfloat16`."""
    if depth > 20:
        raise _NotWritten
    if isinstance(node, ast.Name) and node.id in constants:
        return _evaluate(constants[node.id], constants, depth + 1)
    if (
        isinstance(node, ast.Attribute)
        and f"args.{node.attr}" in constants
        and getattr(node.value, "id", "") != "torch"
    ):
        return _evaluate(constants[f"args.{node.attr}"], constants, depth + 1)
    if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "torch":
        return node.attr
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = (_evaluate(each, constants, depth + 1) for each in (node.left, node.right))
        try:
            return _OPERATORS[type(node.op)](left, right)
        except (TypeError, ZeroDivisionError, OverflowError):
            raise _NotWritten from None
    if isinstance(node, ast.List | ast.Tuple):
        return [_evaluate(each, constants, depth + 1) for each in node.elts]
    if isinstance(node, ast.Dict):
        return {
            _evaluate(key, constants, depth + 1): _evaluate(value, constants, depth + 1)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise _NotWritten from None
