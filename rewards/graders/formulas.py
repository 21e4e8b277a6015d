"""`calculate_output` of a multi grader: arithmetic over the names of its graders, and nothing else."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

_TWO: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: math.pow,
}  # fmt: skip
_CALLS: dict[str, Callable[..., float]] = {
    "min": min, "max": max, "abs": abs, "floor": math.floor, "ceil": math.ceil, "exp": math.exp, "sqrt": math.sqrt,
    "log": math.log,
}  # fmt: skip
_LONGEST = 2000


def parse_formula(text: str) -> ast.expr:
    """Raises ValueError for anything but + - * / ^, numbers, names and the functions of the guide."""
    if len(text) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST} characters")
    try:
        tree = ast.parse(text.replace("^", "**").strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{text!r} is not a formula") from None
    for node in ast.walk(tree):
        known = isinstance(node, ast.BinOp | ast.UnaryOp | ast.Name | ast.Call | ast.Load | ast.operator | ast.unaryop)
        number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        if not (known or number) or (
            isinstance(node, ast.Call) and (node.keywords or not isinstance(node.func, ast.Name))
        ):
            raise ValueError(f"{text!r}: only + - * / ^, numbers, names and {', '.join(_CALLS)} are allowed")
    return tree


def list_names(tree: ast.expr) -> set[str]:
    """The graders that a formula names."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(_CALLS)


def calculate(node: ast.expr, values: Mapping[str, float]) -> float:
    """The formula's number; raises ValueError or ArithmeticError where there is none."""
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        if node.id not in values:
            raise ValueError(f"{node.id} is not a grader")
        return values[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = calculate(node.operand, values)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and type(node.op) in _TWO:
        return _TWO[type(node.op)](calculate(node.left, values), calculate(node.right, values))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        arguments: list[Any] = [calculate(each, values) for each in node.args]
        return float(_CALLS[node.func.id](*arguments))
    raise ValueError("this is not allowed in a formula")
