"""A GRPO training with TRL as a Python script tells it: the arguments of its calls, followed as far as they are written down."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from grpo.config.trl_adapters import ADAPTER_NAMES
from grpo.config.trl_calls import take, take_adapter, take_loaded, take_trainer, take_value
from grpo.config.trl_changes import (
    LateSetting,
    change_attributes,
    change_mappings,
    find_attribute_changes,
    find_changes,
    find_untaken,
    settle,
)
from grpo.config.trl_constants import find_constants, find_field_default
from grpo.config.trl_found import FoundSettings
from grpo.config.trl_other_names import is_known
from grpo.config.trl_shell import find_commands, read_command
from grpo.config.trl_strangers import has_any_setting
from grpo.config.trl_values import Constants, read_settings_files
from rewards.errors import UserError

_ADAPTER_CALLS = ("LoraConfig", "get_peft_model")
_LOADED_NAMES = {
    "model_name": "model_name_or_path", "max_seq_length": "max_seq_length", "load_in_4bit": "load_in_4bit",
}  # fmt: skip
_IMAGES = "it trains a model that reads images, and rows here are text"
# What has a GRPOConfig of its own.
_OTHER_LIBRARIES = ("predibase", "verl", "mlx_lm", "mlx_lm_lora", "mlx_grpo", "tunix", "nemo_rl", "openrlhf")


def read_script(text: str, path: Path, options: FoundSettings) -> FoundSettings:
    """The arguments of GRPOConfig, of the adapters and of the model in a Python script, read and never run.

    `options` are those of the script's own command line, where it is known how it is started.
    """
    # Notebooks that were made scripts keep their shell lines.
    text = re.sub(r"^([ \t]*)[!%].*$", r"\1pass", text, flags=re.MULTILINE)
    try:
        tree: ast.Module = ast.parse(text)
    except SyntaxError as fault:
        tree = ast.Module(_cut_calls(text), [])
        if not tree.body:
            raise UserError(f"{path}: is not Python that can be read (line {fault.lineno}: {fault.msg})") from None
    tree = _PlainNames(tree).visit(tree)
    own = any(
        isinstance(node, ast.ClassDef) and node.name == "GRPOConfig" and not node.bases for node in ast.walk(tree)
    )
    if own:
        reason = (
            "its GRPOConfig is a class of its own, not TRL's, whose settings mean what its own trainer makes of them"
        )
        return FoundSettings(refusals=[reason])
    foreign = _find_foreign(tree)
    if foreign is not None:
        return FoundSettings(refusals=[f"its GRPOConfig is that of {foreign}, another trainer than TRL's"])
    imported = _find_import(tree)
    found = FoundSettings(notes=list(options.notes))
    constants = {"__name__": ast.Constant("__main__"), **find_constants(tree, options)}
    constants |= read_settings_files(tree, constants, path, found.notes)
    changes = find_changes(tree)
    change_mappings(constants, changes)
    change_attributes(constants, changes)
    called: list[ast.Call] = []
    trainers: list[ast.Call] = []
    classes = _find_subclasses(tree)
    makers = {"GRPOConfig", *classes, *_find_makers(tree)}
    untaken = find_untaken(tree, constants)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in untaken]
    own_trainers = _find_own_trainers(tree)
    for node in sorted(calls, key=lambda node: node.lineno):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if name in makers and (node.keywords or _is_changed(node, constants, changes)):
            called.append(node)
        elif name in _ADAPTER_CALLS:
            take(found, node, constants, ADAPTER_NAMES.get)
            found.settings.setdefault("use_peft", True)
        elif name == "from_pretrained" and owner.startswith("Fast"):
            take(found, node, constants, _LOADED_NAMES.get)
            found.settings["by_unsloth"] = True
            if owner == "FastVisionModel":
                found.refusals.append(_IMAGES)
        elif name == "from_pretrained" and owner.endswith("ForCausalLM"):
            take_loaded(found, node, constants)
        elif name == "from_pretrained" and owner.endswith(("ForConditionalGeneration", "ImageTextToText")):
            found.refusals.append(_IMAGES)
        elif name == "from_pretrained" and owner == "PeftModel" and not trainers:
            take_adapter(found, node, constants)
        elif name == "ModelConfig":
            take(found, node, constants, lambda key: key)
        elif name == "BitsAndBytesConfig":
            take(found, node, constants, {"load_in_4bit": "load_in_4bit", "load_in_8bit": "load_in_8bit"}.get)
        elif re.search(r"GRPO\w*Trainer$", name) or name in own_trainers:
            if name in own_trainers:
                found.notes.append(f"{name}: the script's own trainer changes {own_trainers[name]}, which is not read")
            trainers.append(node)
            take_trainer(found, node, constants)
    owners = _find_owners(trainers, constants, makers)
    if called:
        chosen = _choose(called, trainers, constants)
        for field, value in classes.get(_name_of(chosen), {}).items():
            take_value(found, field, value, constants)
        take(found, chosen, constants, lambda key: key)
        if len(called) > 1:
            lines = ", ".join(str(node.lineno) for node in called)
            found.notes.append(
                f"GRPOConfig is called {len(called)} times (lines {lines}); this is the one in line {chosen.lineno}"
            )
    later = [each for each in find_attribute_changes(changes, owners) if settle(each, constants) is not None]
    if called or found.refusals or any(_is_made_elsewhere(constants.get(each.owner)) for each in later):
        if not called and not found.refusals:
            found.unknown[f"**{ast.unparse(constants[later[0].owner])[:40]}"] = "options from elsewhere"
        found.settings |= {name: options.settings[name] for name in ("num_processes",) if name in options.settings}
        whole = found
    else:
        whole = _read_parsed(tree, text, options, trainers, constants)
        if not whole or whole.refusals:
            return whole
        # What the script writes down itself, such as its adapters, stands below.
        whole = whole.put_over(replace(found, notes=[each for each in found.notes if each not in whole.notes]))
    for change in later:
        given = settle(change, constants)
        if given is not None:
            take_value(whole, change.key or "**setattr", given, constants)
    _refuse_foreign(whole, imported)
    return whole


def _read_parsed(
    tree: ast.AST, text: str, options: FoundSettings, trainers: list[ast.Call], constants: Constants
) -> FoundSettings:
    """The settings of a script that makes no GRPOConfig itself: those of its command line, or of the one in its docstring."""
    if options:  # a script that hands its command line to TRL's parser
        return options if re.search(r"TrlParser|HfArgumentParser", text) else FoundSettings()
    usage = read_usage(ast.get_docstring(tree) or "") if "GRPO" in text else FoundSettings()  # type: ignore[arg-type]
    if usage.settings and re.search(r"vlm|ImageTextToText", text, re.IGNORECASE):
        usage.refusals.append(_IMAGES)
    if not usage.refusals and not has_any_setting({*usage.settings, *usage.unknown} - {"num_processes"}):
        usage = FoundSettings()
    given = [keyword for node in trainers for keyword in node.keywords if keyword.arg in ("args", "config")]
    if not usage and given:
        made = constants.get(getattr(given[0].value, "id", ""), given[0].value)
        kind = ast.unparse(made.func) if isinstance(made, ast.Call) else ""
        usage.refusals.append(
            f"its trainer is given {kind}, which is not TRL's GRPOConfig"
            if kind.endswith("Config")
            else f"its trainer is given {ast.unparse(given[0].value)[:40]}, whose settings the file does not show"
        )
    return usage


def _is_made_elsewhere(made: ast.expr | None) -> bool:
    """Whether a function of another file makes these settings, such as `get_default_grpo_config(...)`."""
    return isinstance(made, ast.Call) and "grpo" in _name_of(made).lower() and not _name_of(made).endswith("Config")


def _find_own_trainers(tree: ast.AST) -> dict[str, str]:
    """Classes of the script that are a GRPOTrainer, and the methods that they change."""
    return {
        node.name: ", ".join(each.name for each in node.body if isinstance(each, ast.FunctionDef)) or "nothing"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(each).endswith("GRPOTrainer") for each in node.bases)
    }


class _PlainNames(ast.NodeTransformer):
    """Names as they are called where they come from: `from trl import GRPOConfig as Config`."""

    def __init__(self, tree: ast.AST):
        self.names = {
            each.asname: each.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for each in node.names
            if each.asname is not None and (each.name.startswith("GRPO") or each.name in _ADAPTER_CALLS)
        }

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.copy_location(ast.Name(self.names.get(node.id, node.id), node.ctx), node)


def _name_of(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _find_owners(trainers: list[ast.Call], constants: Constants, makers: Collection[str]) -> set[str]:
    """The names of what the trainer is given as its settings, and of every GRPOConfig."""
    given = [k.value for node in trainers for k in node.keywords if k.arg in ("args", "config")]
    owners = {each.id for each in given if isinstance(each, ast.Name)}
    return owners | {n for n, made in constants.items() if isinstance(made, ast.Call) and _name_of(made) in makers}


def _is_changed(node: ast.Call, constants: Constants, changes: list[LateSetting]) -> bool:
    """Whether the script sets attributes of what this call makes."""
    return any(each.is_attribute and constants.get(each.owner) is node for each in changes)


def _choose(called: list[ast.Call], trainers: list[ast.Call], constants: Constants) -> ast.Call:
    """Of several calls the one that the last trainer is given, or else the last."""
    given = [k.value for node in trainers for k in node.keywords if k.arg in ("args", "config")]
    for each in reversed(given):
        made = constants.get(getattr(each, "id", ""), each)
        if any(made is node for node in called):
            return made  # type: ignore[return-value]
    return called[-1]


def _find_subclasses(tree: ast.AST) -> dict[str, Constants]:
    """Classes of the script that are GRPOConfig with other defaults, and those defaults."""
    found: dict[str, Constants] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(each).endswith("GRPOConfig") for each in node.bases):
            fields = {
                part.target.id: value
                for part in node.body
                if isinstance(part, ast.AnnAssign)
                and isinstance(part.target, ast.Name)
                and (value := find_field_default(part)) is not None
            }
            found[node.name] = fields
    return found


def _find_import(tree: ast.AST) -> str | None:
    """The module that GRPOConfig is imported from, where that is neither TRL nor what hands it on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(each.name == "GRPOConfig" for each in node.names):
            module = "." * node.level + (node.module or "")
            if module.partition(".")[0] not in ("trl", "unsloth", "open_r1"):
                return module
    return None


def _refuse_foreign(found: FoundSettings, imported: str | None) -> None:
    """A GRPOConfig of the project's own is TRL's only if its settings are."""
    if imported is None:
        return
    strange = [name for name in (*found.settings, *found.unknown) if not is_known(name)]
    if strange:
        found.refusals.append(
            f"its GRPOConfig comes from {imported} and has settings that TRL's has not: {', '.join(strange[:4])}"
        )
    else:
        found.notes.append(f"GRPOConfig comes from {imported}: its settings are read as TRL's")


def _find_foreign(tree: ast.AST) -> str | None:
    """The library that GRPOConfig comes from, where it is not TRL's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(each.name == "GRPOConfig" for each in node.names):
            root = (node.module or "").partition(".")[0]
            if root in _OTHER_LIBRARIES:
                return root
    return None


def _find_makers(tree: ast.AST) -> list[str]:
    """Functions of the file that make a GRPOConfig of whatever options they are given."""
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.args.kwarg is not None
        and not (node.args.args or node.args.kwonlyargs)
        and getattr(node.returns, "id", getattr(node.returns, "attr", "")) == "GRPOConfig"
    ]


def read_usage(text: str) -> FoundSettings:
    """The options of the first training in a docstring, whose script is the file that it stands in."""
    for command in find_commands(text):
        return read_command(replace(command, program=""), Path(), lambda *_: FoundSettings())
    return FoundSettings()


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
