"""The calls of a training script that matter, and what their arguments say of a GRPO training."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from grpo.config.trl_changes import REMOVED
from grpo.config.trl_found import FoundSettings
from grpo.config.trl_values import Constants, NotWrittenError, evaluate

# What a script's trainer is given that makes its completions something else than an answer to a prompt.
_OTHER_ROLLOUTS = ("tools", "environment_factory", "rollout_func", "env")
_LOADED_AS = "pretrained_model_name_or_path"


def take_trainer(found: FoundSettings, node: ast.Call, constants: Constants) -> None:
    """The model that the trainer is given, and what makes it another training than TRL's."""
    first = [ast.keyword("model", node.args[0])] if node.args and not isinstance(node.args[0], ast.Starred) else []
    for keyword in [*first, *node.keywords]:
        if keyword.arg in _OTHER_ROLLOUTS and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value):
            found.refusals.append(
                f"its trainer is given {keyword.arg}: completions of several turns with tools or an environment are not "
                "written here"
            )
        if keyword.arg == "optimizers":
            found.notes.append(
                "optimizers: the trainer is given an optimiser of the script's own, which is not read; set grpo.optim"
            )
        if keyword.arg == "model":
            try:
                value = evaluate(keyword.value, constants)
            except NotWrittenError:
                continue
            if isinstance(value, str):
                found.settings.setdefault("model_name_or_path", value)


def take_loaded(found: FoundSettings, node: ast.Call, constants: Constants) -> None:
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
        take(found, node, constants, {"dtype": "dtype", "torch_dtype": "dtype"}.get)


def take(found: FoundSettings, node: ast.Call, constants: Constants, rename: Callable[[str], str | None]) -> None:
    for keyword in node.keywords:
        if keyword.arg is None:
            _take_spread(found, keyword.value, constants, rename)
            continue
        name = rename(keyword.arg)
        if name is not None:
            take_value(found, name, keyword.value, constants)


def _take_spread(
    found: FoundSettings,
    node: ast.expr,
    constants: Constants,
    rename: Callable[[str], str | None],
    depth: int = 0,
) -> None:
    """What `**options` holds, where the file tells."""
    shown = ast.unparse(node)
    for _ in range(5):
        node = _unfilter(node)
        node = constants.get(node.id, node) if isinstance(node, ast.Name) else node
    pairs = _list_pairs(node, constants)
    if pairs is None or depth > 5:
        found.unknown[f"**{shown}"[:60]] = "options from elsewhere"
        return
    for key, value in pairs:
        if key is None:  # options within options; what stands below wins
            _take_spread(found, value, constants, rename, depth + 1)
            continue
        name = rename(str(getattr(key, "value", "")))
        if name is not None and isinstance(getattr(key, "value", None), str):
            take_value(found, name, value, constants)


def take_value(found: FoundSettings, name: str, value: ast.expr, constants: Constants) -> None:
    """One setting, which stands above what was found before."""
    found.unknown.pop(name, None)
    before = found.settings.pop(name, None)
    if value is REMOVED:
        return
    try:
        found.settings[name] = evaluate(value, constants)
    except NotWrittenError:
        found.unknown[name] = ast.unparse(value).replace("else ...", f"else {before!r}" if before is not None else "")


def _list_pairs(node: ast.expr, constants: Constants) -> list[tuple[ast.expr | None, ast.expr]] | None:
    """The keys and values of a mapping; None where the script does not tell them."""
    if isinstance(node, ast.Dict):
        return list(zip(node.keys, node.values, strict=True))
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict" and not node.args:
        return [(ast.Constant(each.arg) if each.arg else None, each.value) for each in node.keywords]
    source = _find_object(node)
    if source is not None:  # `vars(args)`: all options of the command line, or all fields of an object
        made = constants.get(source)
        kind = getattr(made.func, "id", "") if isinstance(made, ast.Call) else source
        owner = kind if any(name.startswith(f"{kind}.") for name in constants) else "args"
        fields = {name.partition(".")[2]: value for name, value in constants.items() if name.startswith(f"{owner}.")}
        fields |= {each.arg: each.value for each in getattr(made, "keywords", []) if each.arg in fields}
        return [(ast.Constant(name), value) for name, value in fields.items()] or None
    try:
        value = evaluate(node, constants)
    except NotWrittenError:
        return None
    return [(ast.Constant(key), ast.Constant(each)) for key, each in value.items()] if isinstance(value, dict) else None


def _find_object(node: ast.expr) -> str | None:
    """The name of the object all of whose fields are spread out."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in ("vars", "asdict"):
        return getattr(node.args[0], "id", None) if node.args else None
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("model_dump", "to_dict", "dict"):
        return getattr(node.func.value, "id", None)  # type: ignore[attr-defined]
    return getattr(node.value, "id", None) if isinstance(node, ast.Attribute) and node.attr == "__dict__" else None


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


def take_adapter(found: FoundSettings, node: ast.Call, constants: Constants) -> None:
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
