"""What the names in a training script are set to: assignments, parameters, fields of classes, options of its command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

from grpo.config.trl_found import FoundSettings
from grpo.config.trl_values import Constants

# Of typer and click: what stands around a default.
_OPTION_CALLS = ("Option", "Argument", "option")


def find_constants(tree: ast.AST, options: FoundSettings) -> Constants:
    """What each name is set to, where it is set once; options of the script's own command line as `args.NAME`, and
    attributes of its classes as `CLASS.NAME`.
    """
    found: Constants = {}
    repeated: set[str] = set()
    for node in ast.walk(tree):
        targets, value = _list_targets(node), getattr(node, "value", None)
        pairs = [pair for target in targets for pair in _pairs(target, value)]
        told = {id(place) for place, _ in pairs}
        repeated |= {
            each.id
            for target in targets
            for each in ast.walk(target)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store) and id(each) not in told
        }
        for place, given in pairs:
            if place.id in found and ast.dump(found[place.id]) != ast.dump(given):
                repeated.add(place.id)
            found[place.id] = given
    for name, parameter in _find_parameters(tree).items():
        if name not in found and parameter is not None:
            found[name] = parameter
    found = {name: value for name, value in found.items() if name not in repeated}
    found |= _find_attributes(tree)
    places = _find_destinations(tree)
    for name, value in _find_defaults(tree).items():
        if name[5:] not in options.unknown:
            found[name] = value
    for name, constant in options.settings.items():
        found[f"args.{places.get(name, name)}"] = ast.Constant(constant)
    return found


def _list_targets(node: ast.AST) -> list[ast.expr]:
    """What a statement gives values to; `options |= {...}` only adds to a mapping, which is followed elsewhere."""
    match node:
        case ast.Assign(targets=targets):
            return targets
        case ast.AugAssign(op=ast.BitOr()):
            return []
        case ast.AnnAssign(value=None):
            return []
        case ast.AnnAssign() | ast.AugAssign() | ast.NamedExpr() | ast.For() | ast.AsyncFor():
            return [node.target]
        case ast.withitem(optional_vars=ast.expr() as target):
            return [target]
    return []


def _pairs(target: ast.expr, value: ast.expr | None) -> list[tuple[ast.Name, ast.expr]]:
    """The names of an assignment, each with what it is set to."""
    if isinstance(target, ast.Name) and value is not None:
        return [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return [pair for one, other in zip(target.elts, value.elts, strict=True) for pair in _pairs(one, other)]
    return []


def _find_parameters(tree: ast.AST) -> dict[str, ast.expr | None]:
    """What each parameter of a function is given: what the script calls it with, or else its default; None where it differs."""
    calls: dict[str, list[ast.Call]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            calls.setdefault(node.func.id, []).append(node)
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found: dict[str, ast.expr | None] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        places = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
        defaults = {**_list_objects(node, classes), **dict(_list_defaults(node))}
        made = calls.get(node.name, [])
        for name in (*places, *(each.arg for each in node.args.kwonlyargs)):
            given = [_find_given(call, name, places) or defaults.get(name) for call in made] or [defaults.get(name)]
            value = given[0] if all(_same(each, given[0]) for each in given) else None
            # A script's own command line calls its main function without any, and so does whoever imports it.
            found[name] = value if name not in found or _same(found[name], value) else None
    return found


def _same(one: ast.expr | None, other: ast.expr | None) -> bool:
    return (one is None) == (other is None) and (one is None or ast.dump(one) == ast.dump(other))  # type: ignore[arg-type]


def _list_objects(node: ast.FunctionDef | ast.AsyncFunctionDef, classes: Collection[str]) -> dict[str, ast.expr]:
    """Parameters that are annotated with a class of the script, as an object of that class with its own defaults."""
    return {
        each.arg: ast.Call(each.annotation, [], [])
        for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if isinstance(each.annotation, ast.Name) and each.annotation.id in classes
    }


def _list_defaults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, ast.expr]]:
    arguments = [*node.args.posonlyargs, *node.args.args]
    pairs = list(zip(arguments[len(arguments) - len(node.args.defaults) :], node.args.defaults, strict=True))
    pairs += [
        (each, value)
        for each, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        if value is not None
    ]
    for each, value in pairs:
        yield each.arg, _unwrap_option(value)
    for decorator in node.decorator_list:  # click's
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "attr", "") == "option":
            default = next((each.value for each in decorator.keywords if each.arg == "default"), None)
            names = [str(each.value) for each in decorator.args if isinstance(each, ast.Constant)]
            if default is not None and names:
                plain = next((each for each in names if not each.startswith("-")), names[-1])
                yield plain.lstrip("-").replace("-", "_"), default


def _unwrap_option(value: ast.expr) -> ast.expr:
    """The default within `typer.Option(1e-5, help=...)`."""
    if isinstance(value, ast.Call) and getattr(value.func, "attr", getattr(value.func, "id", "")) in _OPTION_CALLS:
        return value.args[0] if value.args else next((k.value for k in value.keywords if k.arg == "default"), value)
    return value


def _find_given(call: ast.Call, name: str, places: list[str]) -> ast.expr | None:
    """What the call gives to that parameter."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
        if keyword.arg is None:  # options from elsewhere may hold it
            return ast.Name("options", ast.Load())
    place = places.index(name) if name in places else len(call.args)
    return call.args[place] if place < len(call.args) else None


def _find_attributes(tree: ast.AST) -> Constants:
    """The attributes of the script's classes, as `CLASS.NAME`: those of the class, and what `__init__` sets once."""
    found: Constants = {}
    own: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        for part in node.body:
            value = find_field_default(part)
            if value is None:
                continue
            targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
            for target in targets:
                if isinstance(target, ast.Name):
                    found[f"{node.name}.{target.id}"] = value
                    own.setdefault(f"self.{target.id}", []).append(value)
        maker = next((each for each in node.body if getattr(each, "name", "") == "__init__"), None)
        seen: dict[str, int] = {}
        for line in ast.walk(maker) if maker is not None else ():
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Attribute):
                place = line.targets[0]
                if getattr(place.value, "id", "") == "self":
                    seen[place.attr] = seen.get(place.attr, 0) + 1
                    found[f"{node.name}.{place.attr}"] = found[f"self.{place.attr}"] = line.value
        for name, times in seen.items():
            if times > 1:
                del found[f"{node.name}.{name}"]
                found.pop(f"self.{name}", None)
    # A method's own object is of the one class that has such an attribute.
    return {name: values[0] for name, values in own.items() if len(values) == 1} | found


def _find_defaults(tree: ast.AST) -> Constants:
    """The default of each option of the script's own command line, and of each field of its dataclasses, under `args.NAME`."""
    found: Constants = {}
    repeated: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(each) for each in node.decorator_list):
            for part in node.body:
                value = find_field_default(part)
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


def find_field_default(node: ast.stmt) -> ast.expr | None:
    """The default of a dataclass's field, in `= 3`, `= field(default=3)` or `= field(default_factory=lambda: [1])`."""
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return None
    value = node.value
    if isinstance(value, ast.Call) and re.fullmatch(
        "[fF]ield", getattr(value.func, "id", getattr(value.func, "attr", ""))
    ):
        given = {keyword.arg: keyword.value for keyword in value.keywords}
        made = given.get("default_factory")
        return given.get("default", made.body if isinstance(made, ast.Lambda) else None)
    return value
