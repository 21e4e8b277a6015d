"""A GRPO training with TRL as a Python script tells it: the arguments of its calls, followed as far as they are written down."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from grpo.config.trl_adapters import ADAPTER_NAMES
from grpo.config.trl_found import FoundSettings
from grpo.config.trl_shell import find_commands, read_command
from grpo.config.trl_values import NotWrittenError, evaluate, read_settings_files
from rewards.errors import UserError

_ADAPTER_CALLS = ("LoraConfig", "get_peft_model")
# What a script's trainer is given that makes its completions something else than an answer to a prompt.
_OTHER_ROLLOUTS = ("tools", "environment_factory", "rollout_func")
_LOADED_NAMES = {
    "model_name": "model_name_or_path", "max_seq_length": "max_seq_length", "load_in_4bit": "load_in_4bit",
}  # fmt: skip
_IMAGES = "it trains a model that reads images, and rows here are text"
# What has a GRPOConfig of its own.
_OTHER_LIBRARIES = ("predibase", "verl", "mlx_lm", "mlx_lm_lora", "mlx_grpo", "tunix", "nemo_rl", "openrlhf")
_LOADED_AS = "pretrained_model_name_or_path"


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
    found = FoundSettings(notes=list(options.notes))
    constants = _find_constants(tree, options)
    constants |= read_settings_files(tree, constants, path, found.notes)
    called: list[ast.Call] = []
    trainers: list[ast.Call] = []
    makers = {"GRPOConfig", *_find_makers(tree)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for node in sorted(calls, key=lambda node: node.lineno):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if name in makers and node.keywords:
            called.append(node)
        elif name in _ADAPTER_CALLS:
            _take(found, node, constants, ADAPTER_NAMES.get)
            found.settings.setdefault("use_peft", True)
        elif name == "from_pretrained" and owner.startswith("Fast"):
            _take(found, node, constants, _LOADED_NAMES.get)
            found.settings["by_unsloth"] = True
            if owner == "FastVisionModel":
                found.refusals.append(_IMAGES)
        elif name == "from_pretrained" and owner.endswith("ForCausalLM"):
            _take_loaded(found, node, constants)
        elif name == "from_pretrained" and owner.endswith(("ForConditionalGeneration", "ImageTextToText")):
            found.refusals.append(_IMAGES)
        elif name == "from_pretrained" and owner == "PeftModel" and not trainers:
            _take_adapter(found, node, constants)
        elif name == "ModelConfig":
            _take(found, node, constants, lambda key: key)
        elif name == "BitsAndBytesConfig":
            _take(found, node, constants, {"load_in_4bit": "load_in_4bit", "load_in_8bit": "load_in_8bit"}.get)
        elif name.endswith("GRPOTrainer"):
            trainers.append(node)
            _take_trainer(found, node, constants)
    if called:
        _take(found, called[-1], constants, lambda key: key)
        if len(called) > 1:
            lines = ", ".join(str(node.lineno) for node in called)
            found.notes.append(f"GRPOConfig is called {len(called)} times (lines {lines}); this is the last")
    if "num_processes" in options.settings:
        found.settings.setdefault("num_processes", options.settings["num_processes"])
    if called or found.refusals:
        return found
    if options:  # a script that hands its command line to TRL's parser
        return options if re.search(r"TrlParser|HfArgumentParser", text) else FoundSettings()
    # A script that parses its command line tells in its docstring how it is called.
    usage = read_usage(ast.get_docstring(tree) or "") if "GRPO" in text else FoundSettings()
    if usage.settings and re.search(r"vlm|ImageTextToText", text, re.IGNORECASE):
        usage.refusals.append(_IMAGES)
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


def _take_adapter(found: FoundSettings, node: ast.Call, constants: dict[str, ast.expr]) -> None:
    """The adapter that the script goes on with."""
    path = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "model_id"), None)
    if path is None or "use_peft" in found.settings:
        return
    found.settings["use_peft"] = True
    try:
        found.settings["adapter_path"] = evaluate(path, constants)
    except NotWrittenError:
        found.settings["adapter_path"] = None
    if not any(k.arg == "is_trainable" for k in node.keywords):
        found.notes.append(
            "PeftModel.from_pretrained without is_trainable=True freezes the adapter; here it is trained"
        )


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


def _take_trainer(found: FoundSettings, node: ast.Call, constants: dict[str, ast.expr]) -> None:
    for keyword in node.keywords:
        if keyword.arg in _OTHER_ROLLOUTS and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value):
            found.refusals.append(
                f"its trainer is given {keyword.arg}: completions of several turns with tools or an environment are not "
                "written here"
            )
        if keyword.arg == "model":
            try:
                value = evaluate(keyword.value, constants)
            except NotWrittenError:
                continue
            if isinstance(value, str):
                found.settings.setdefault("model_name_or_path", value)


def _take_loaded(found: FoundSettings, node: ast.Call, constants: dict[str, ast.expr]) -> None:
    """The model that the script loads itself; of several, such as a reference, the first."""
    name = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == _LOADED_AS), None)
    if name is None or "model_name_or_path" in found.settings:
        return
    try:
        value = evaluate(name, constants)
    except NotWrittenError:
        return
    if isinstance(value, str):
        found.settings["model_name_or_path"] = value
        _take(found, node, constants, {"dtype": "dtype", "torch_dtype": "dtype"}.get)


def _take(
    found: FoundSettings, node: ast.Call, constants: dict[str, ast.expr], rename: Callable[[str], str | None]
) -> None:
    for keyword in node.keywords:
        if keyword.arg is None:
            _take_spread(found, keyword.value, constants, rename)
            continue
        name = rename(keyword.arg)
        if name is None:
            continue
        try:
            found.settings[name] = evaluate(keyword.value, constants)
        except NotWrittenError:
            found.unknown[name] = ast.unparse(keyword.value)


def _take_spread(
    found: FoundSettings,
    node: ast.expr,
    constants: dict[str, ast.expr],
    rename: Callable[[str], str | None],
    depth: int = 0,
) -> None:
    """What `**options` holds, where the file tells."""
    shown = ast.unparse(node)
    for _ in range(5):
        node = _unfilter(node)
        node = constants.get(node.id, node) if isinstance(node, ast.Name) else node
    pairs: list[tuple[ast.expr | None, ast.expr]] = []
    if isinstance(node, ast.Dict):
        pairs = list(zip(node.keys, node.values, strict=True))
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict" and not node.args:
        pairs = [(ast.Constant(each.arg) if each.arg else None, each.value) for each in node.keywords]
    if not pairs or depth > 5:
        found.unknown[f"**{shown}"[:60]] = "options from elsewhere"
        return
    for key, value in pairs:
        if key is None:  # options within options; what stands below wins
            _take_spread(found, value, constants, rename, depth + 1)
            continue
        name = rename(str(getattr(key, "value", "")))
        if name is None or not isinstance(getattr(key, "value", None), str):
            continue
        try:
            found.settings[name] = evaluate(value, constants)
            found.unknown.pop(name, None)
        except NotWrittenError:
            found.unknown[name] = ast.unparse(value)
            found.settings.pop(name, None)


def _unfilter(node: ast.expr) -> ast.expr:
    """The options from which a script picks, by a comprehension or a function of its own, those that its version of TRL
    knows.
    """
    if isinstance(node, ast.DictComp) and len(node.generators) == 1:
        source = node.generators[0].iter
        if isinstance(source, ast.Call) and getattr(source.func, "attr", "") == "items":
            return source.func.value  # type: ignore[attr-defined]
    if isinstance(node, ast.Call) and re.search(r"filter|support|valid|clean", getattr(node.func, "id", "")):
        return node.args[0] if node.args else node
    return node


def _find_constants(tree: ast.AST, options: FoundSettings) -> dict[str, ast.expr]:
    """What each name is set to, where it is set once; options of the script's own as `args.NAME`."""
    found: dict[str, ast.expr] = {}
    repeated: set[str] = set()
    for node in ast.walk(tree):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        for place, given in [pair for target in targets for pair in _pairs(target, value)]:
            if place.id in found and ast.dump(found[place.id]) != ast.dump(given):
                repeated.add(place.id)
            found[place.id] = given
    found = {name: value for name, value in found.items() if name not in repeated}
    places = _find_destinations(tree)
    for name, value in _find_defaults(tree).items():
        if name[5:] not in options.unknown:
            found[name] = value
    for name, constant in options.settings.items():
        found[f"args.{places.get(name, name)}"] = ast.Constant(constant)
    return found


def _pairs(target: ast.expr, value: ast.expr | None) -> list[tuple[ast.Name, ast.expr]]:
    """The names of an assignment, each with what it is set to."""
    if isinstance(target, ast.Name) and value is not None:
        return [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return [pair for one, other in zip(target.elts, value.elts, strict=True) for pair in _pairs(one, other)]
    return []


def _find_defaults(tree: ast.AST) -> dict[str, ast.expr]:
    """The default of each option of the script's own command line, and of each field of its dataclasses, under `args.NAME`."""
    found: dict[str, ast.expr] = {}
    repeated: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(each) for each in node.decorator_list):
            for part in node.body:
                value = _find_field_default(part)
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name) and value is not None:
                    name = f"args.{part.target.id}"
                    repeated |= {name} & found.keys()
                    found[name] = value
        if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "add_argument" or not node.args:
            continue
        options = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        long = next((option for option in options if option.startswith("--")), None)
        place = given["dest"] if "dest" in given else ast.Constant((long or "").lstrip("-").replace("-", "_"))
        if not isinstance(place, ast.Constant) or not place.value:
            continue
        action = getattr(given.get("action"), "value", None)
        default = given.get(
            "default", ast.Constant(action == "store_false") if str(action).startswith("store_") else None
        )
        if default is not None:
            found[f"args.{place.value!s}"] = default
    return {name: value for name, value in found.items() if name not in repeated}


def _find_destinations(tree: ast.AST) -> dict[str, str]:
    """Options of the script's command line that its parser calls something else."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            place = next(
                (k.value.value for k in node.keywords if k.arg == "dest" and isinstance(k.value, ast.Constant)), None
            )
            for option in node.args if isinstance(place, str) else ():
                found[str(getattr(option, "value", "")).lstrip("-").replace("-", "_")] = str(place)
    return found


def _find_field_default(node: ast.stmt) -> ast.expr | None:
    """The default of a dataclass's field, in `= 3` or `= field(default=3)`."""
    value = getattr(node, "value", None)
    if isinstance(value, ast.Call) and getattr(value.func, "id", getattr(value.func, "attr", "")) in ("field", "Field"):
        return next((keyword.value for keyword in value.keywords if keyword.arg == "default"), None)
    return value
