"""The value of an expression in a training script, as far as the script and the settings file that it reads show it."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from grpo.config.trl_found import as_number, find_beside
from rewards.errors import UserError
from rewards.writing.yaml_files import parse_yaml, read_text

Constants = dict[str, ast.expr]
"""What each name is set to; options of the script's own command line under `args.NAME`."""

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not, ast.In: lambda one, other: one in other,
    ast.NotIn: lambda one, other: one not in other,
}  # fmt: skip
_BUILTINS: dict[str, Callable[..., Any]] = {
    "int": int, "float": float, "str": str, "bool": bool, "list": list, "tuple": tuple, "max": max, "min": min, "len": len,
}  # fmt: skip
_OF_TEXTS = ("split", "strip", "lower", "upper", "removeprefix", "removesuffix", "rstrip", "lstrip")
_MAPPINGS = ("dict", "SimpleNamespace", "Namespace")
_READS = re.compile(r"load|read|parse", re.IGNORECASE)
_DEEPEST, _LONGEST = 20, 10_000


class NotWrittenError(Exception):
    """A value that only running the script would reveal."""


def evaluate(node: ast.expr, constants: Constants, depth: int = 0) -> Any:
    """The value of a literal, a name bound to one, arithmetic and comparisons on these, an entry of a mapping, a list
    split from a text, or the last part of `torch.bfloat16`. Raises NotWrittenError for everything else; nothing is
    executed.
    """
    if depth > _DEEPEST:
        raise NotWrittenError

    def inner(part: ast.expr) -> Any:
        return evaluate(part, constants, depth + 1)

    try:
        return _evaluate(node, constants, inner)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError, KeyError, IndexError, AttributeError):
        raise NotWrittenError from None


def _evaluate(node: ast.expr, constants: Constants, inner: Callable[[ast.expr], Any]) -> Any:
    match node:
        case ast.Name(id=name) if name in constants:
            return inner(constants[name])
        case ast.Attribute():
            return _attribute(node, constants, inner)
        case ast.Subscript(value=base, slice=key):
            return inner(base)[inner(key)]
        case ast.Call():
            return _call(node, inner)
        case ast.ListComp(generators=[ast.comprehension(target=ast.Name(id=name), iter=source, ifs=tests)], elt=made):
            found = []
            for each in list(inner(source))[:_LONGEST]:
                bound = {**constants, name: ast.Constant(each)}
                if all(evaluate(test, bound, 1) for test in tests):
                    found.append(evaluate(made, bound, 1))
            return found
        case ast.BinOp(op=op) if type(op) in _OPERATORS:
            left, right = inner(node.left), inner(node.right)
            _refuse_large(op, left, right)
            return _OPERATORS[type(op)](left, right)
        case ast.Compare(ops=[op], comparators=[other]) if type(op) in _COMPARISONS:
            return _COMPARISONS[type(op)](inner(node.left), inner(other))
        case ast.UnaryOp(op=ast.USub()):
            return -inner(node.operand)
        case ast.UnaryOp(op=ast.Not()):
            return not inner(node.operand)
        case ast.IfExp():  # the branch that its condition takes
            return inner(node.body if inner(node.test) else node.orelse)
        case ast.BoolOp():
            wanted, value = isinstance(node.op, ast.Or), None
            for part in node.values:
                value = inner(part)
                if bool(value) == wanted:
                    break
            return value
        case ast.List() | ast.Tuple():
            return [inner(each) for each in node.elts]
        case ast.Dict():
            return _mapping(node, inner)
        case ast.JoinedStr():
            return _text_of(node, inner)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise NotWrittenError from None


def _refuse_large(op: ast.operator, left: Any, right: Any) -> None:
    """Refuse arithmetic that could fill the memory: the file may come from anywhere."""
    if isinstance(op, ast.Mult) and not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise NotWrittenError
    if isinstance(op, ast.Pow) and not (isinstance(right, int | float) and abs(right) < 64):
        raise NotWrittenError
    if any(isinstance(side, int) and side.bit_length() > 256 for side in (left, right)):
        raise NotWrittenError


def _attribute(node: ast.Attribute, constants: Constants, inner: Callable[[ast.expr], Any]) -> Any:
    base = getattr(node.value, "id", "")
    if base == "torch":
        return node.attr
    if f"{base}.{node.attr}" in constants:
        return inner(constants[f"{base}.{node.attr}"])
    made = constants.get(base)
    if isinstance(made, ast.Call):  # an object of a class of the script: what it is made with, or the class's own
        for keyword in made.keywords:
            if keyword.arg == node.attr:
                return inner(keyword.value)
        kind = getattr(made.func, "id", "")
        if f"{kind}.{node.attr}" in constants:
            return inner(constants[f"{kind}.{node.attr}"])
    # Whatever a parser or a function of the script's made; not a part of something else, such as `run.training`.
    if (made is None or isinstance(made, ast.Call)) and f"args.{node.attr}" in constants:
        return inner(constants[f"args.{node.attr}"])
    value = inner(node.value)
    if not isinstance(value, dict):
        raise NotWrittenError
    return value[node.attr]


def _call(node: ast.Call, inner: Callable[[ast.expr], Any]) -> Any:
    if isinstance(node.func, ast.Name) and node.func.id in _BUILTINS and not node.keywords:
        return _BUILTINS[node.func.id](*(inner(each) for each in node.args))
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in _MAPPINGS and not node.args and all(each.arg for each in node.keywords):
        return {each.arg: inner(each.value) for each in node.keywords}
    if name in ("getenv", "get") and ast.unparse(node.func) in ("os.getenv", "getenv", "os.environ.get", "environ.get"):
        return (
            inner(node.args[1]) if len(node.args) > 1 else None
        )  # as the script takes it where the variable is not set
    if not isinstance(node.func, ast.Attribute) or node.keywords:
        raise NotWrittenError
    base, given = inner(node.func.value), [inner(each) for each in node.args]
    if isinstance(base, dict) and node.func.attr == "get":
        return base.get(*given)
    if isinstance(base, str) and len(base) <= _LONGEST and node.func.attr in _OF_TEXTS:
        return getattr(base, node.func.attr)(*given)
    raise NotWrittenError


def _text_of(node: ast.JoinedStr, inner: Callable[[ast.expr], Any]) -> str:
    """An f-string without formats of its own."""
    parts = []
    for each in node.values:
        if isinstance(each, ast.FormattedValue) and (each.format_spec is not None or each.conversion != -1):
            raise NotWrittenError
        parts.append(str(inner(each.value if isinstance(each, ast.FormattedValue) else each)))
    return "".join(parts)


def _mapping(node: ast.Dict, inner: Callable[[ast.expr], Any]) -> dict[Any, Any]:
    """A mapping with those that are spread out in it."""
    found: dict[Any, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        found |= inner(value) if key is None else {inner(key): inner(value)}
    return found


def read_settings_files(tree: ast.AST, constants: Constants, path: Path, notes: list[str]) -> Constants:
    """The values of names that are set to a YAML or JSON file which the script reads, if that file can be found.

    Such a line is `cfg = load_config(args.config)` or `cfg = yaml.safe_load(open("grpo.yaml"))`.
    """
    opened = dict(_opened(tree))
    found: Constants = {}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args):
            continue
        called, source = node.value.func, node.value.args[0]
        if not _READS.search(getattr(called, "attr", getattr(called, "id", ""))):
            continue
        if isinstance(source, ast.Name) and source.id in opened:
            source = opened[source.id]
        if isinstance(source, ast.Call) and getattr(source.func, "attr", "") in ("read_text", "read"):
            source = source.func.value  # type: ignore[attr-defined]
        source = _open_argument(source) or source
        try:
            name = evaluate(source, constants)
        except NotWrittenError:
            continue
        if not isinstance(name, str) or not name.endswith((".yaml", ".yml", ".json")):
            continue
        values = _read_mapping(name, path, notes)
        if values is not None:
            literal = ast.parse(repr(values), mode="eval").body
            found |= {target.id: literal for target in node.targets if isinstance(target, ast.Name)}
    return found


def _opened(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The names of files that `with` opens, and what they open."""
    for node in ast.walk(tree):
        for item in node.items if isinstance(node, ast.With) else ():
            argument = _open_argument(item.context_expr)
            if argument is not None and isinstance(item.optional_vars, ast.Name):
                yield item.optional_vars.id, argument


def _open_argument(node: ast.expr) -> ast.expr | None:
    is_open = isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("open", "Path", "str") and node.args
    return node.args[0] if is_open else None  # type: ignore[attr-defined]


def _read_mapping(name: str, path: Path, notes: list[str]) -> dict[str, Any] | None:
    place = find_beside(name, path)
    if place is None:
        # A JSON file may as well hold the rows.
        if name.endswith(".json") and not re.search(r"conf|setting|param|arg|recipe|grpo", name, re.IGNORECASE):
            return None
        notes.append(
            f"{name}: the script reads it, but it was not found; with that file its settings would be translated too"
        )
        return None
    try:
        values = parse_yaml(read_text(place), str(place))
    except UserError:
        notes.append(f"{name}: the script reads it, but it cannot be read")
        return None
    if not isinstance(values, dict):
        return None
    notes.append(f"{name}: read as well, because the script reads it")
    return _plain(values)


def _plain(value: Any) -> Any:
    """Turn numbers that YAML 1.1 reads as text into numbers, and everything that is not a literal into text."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return as_number(value) if value is None or isinstance(value, str | int | float | bool) else str(value)
