"""What a training script changes of its settings after it has made them: entries of a mapping, attributes of a GRPOConfig."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from grpo.config.trl_other_names import is_known
from grpo.config.trl_values import Constants, NotWrittenError, evaluate

Tests = tuple[tuple[ast.expr | None, bool], ...]
"""Conditions that a line stands under, each with the outcome that leads there; None is one that only running tells."""
REMOVED = ast.Name("removed", ast.Load())
"""The value of an entry that is taken out again."""


@dataclass
class LateSetting:
    """`owner[key] = value` or `owner.key = value`; without a key all of a mapping `value`, or what cannot be told."""

    owner: str
    key: str | None
    value: ast.expr
    tests: Tests
    is_attribute: bool = False
    is_new: bool = False  # made only where the mapping has no such key


def find_changes(tree: ast.AST) -> list[LateSetting]:
    """All changes, in the order of their lines."""
    return list(_of_body(getattr(tree, "body", []), ()))


def _of_body(body: list[Any], tests: Tests) -> Iterator[LateSetting]:
    for node in body:
        if isinstance(node, ast.If):
            yield from _of_body(node.body, (*tests, (node.test, True)))
            yield from _of_body(node.orelse, (*tests, (node.test, False)))
            continue
        yield from _of_statement(node, tests)
        # A loop may run any number of times, a handler any one.
        known = not isinstance(node, ast.For | ast.While | ast.AsyncFor | ast.ExceptHandler)
        for part in ("body", "orelse", "finalbody", "handlers"):
            inner = getattr(node, part, None)
            if isinstance(inner, list):
                yield from _of_body(inner, tests if known else (*tests, (None, True)))


def _of_statement(node: ast.stmt, tests: Tests) -> Iterator[LateSetting]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _of_target(target, node.value, tests)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield from _of_target(node.target, node.value, tests)
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and isinstance(node.op, ast.BitOr):
        yield LateSetting(node.target.id, None, node.value, tests)
    elif isinstance(node, ast.AugAssign):
        changed = ast.BinOp(node.target, node.op, node.value)
        yield from _of_target(node.target, changed, (*tests, (None, True)))
    elif isinstance(node, ast.Delete):
        for target in node.targets:
            yield from _of_target(target, REMOVED, tests)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield from _of_call(node.value, tests)


def _of_target(target: ast.expr, value: ast.expr, tests: Tests) -> Iterator[LateSetting]:
    owner = getattr(getattr(target, "value", None), "id", "")
    if isinstance(target, ast.Subscript) and owner:
        key = getattr(target.slice, "value", None)
        yield LateSetting(owner, key if isinstance(key, str) else None, value, tests)
    elif isinstance(target, ast.Attribute) and owner:
        yield LateSetting(owner, target.attr, value, tests, is_attribute=True)


def _of_call(node: ast.Call, tests: Tests) -> Iterator[LateSetting]:
    """`owner.update(...)`, `owner.setdefault(...)`, `owner.pop(...)`, `setattr(owner, ...)`."""
    if getattr(node.func, "id", "") == "setattr" and len(node.args) == 3:
        key = getattr(node.args[1], "value", None)
        owner = getattr(node.args[0], "id", "")
        yield LateSetting(owner, key if isinstance(key, str) else None, node.args[2], tests, is_attribute=True)
        return
    owner = getattr(getattr(node.func, "value", None), "id", "")
    name = getattr(node.func, "attr", "")
    if not owner or name not in ("update", "setdefault", "pop"):
        return
    key = getattr(node.args[0], "value", None) if node.args else None
    if name == "update":
        for each in node.args:
            yield LateSetting(owner, None, each, tests)
        for keyword in node.keywords:
            yield LateSetting(owner, keyword.arg, keyword.value, tests)
    elif isinstance(key, str) and name == "pop":
        yield LateSetting(owner, key, REMOVED, tests)
    elif isinstance(key, str) and len(node.args) > 1:
        yield LateSetting(owner, key, node.args[1], tests, is_new=True)


def change_mappings(constants: Constants, changes: list[LateSetting]) -> None:
    """Put into the mappings among `constants` what the script puts into them later."""
    for change in changes:
        mapping = _as_mapping(constants.get(change.owner))
        if mapping is None or change.is_attribute:
            continue
        if change.is_new and change.key in [getattr(key, "value", None) for key in mapping.keys]:
            continue
        value = settle(change, constants)
        if value is not None:
            key: ast.expr | None = ast.Constant(change.key) if change.key is not None else None
            constants[change.owner] = ast.Dict([*mapping.keys, key], [*mapping.values, value])


def change_attributes(constants: Constants, changes: list[LateSetting]) -> None:
    """Put in what the script sets attributes to, such as `args.steps = 7`; of `self` its class tells."""
    for change in changes:
        if not change.is_attribute or change.key is None or change.owner in ("self", "cls"):
            continue
        value = settle(change, constants)
        if value is None:
            continue
        with suppress(NotWrittenError):  # told now: it may be made of what was there before
            value = ast.Constant(evaluate(value, constants))
        constants[f"{change.owner}.{change.key}"] = value


def settle(change: LateSetting, constants: Constants) -> ast.expr | None:
    """The value that a change gives; None where its conditions do not come true."""
    for test, outcome in change.tests:
        try:
            if test is None:
                raise NotWrittenError
            if tell(test, constants) != outcome:
                return None
        except NotWrittenError:
            shown = test if test is not None else ast.Name("that", ast.Load())
            shown = shown if outcome else ast.UnaryOp(ast.Not(), shown)
            return ast.IfExp(shown, change.value, ast.Constant(...))
    return change.value


# What asks which settings the installed TRL has.
_ASKS_TRL = re.compile(r"GRPOConfig|support|valid|(?<!hyper)param|field|signature|allowed|accept", re.IGNORECASE)


def tell(test: ast.expr, constants: Constants) -> bool:
    """Whether a condition comes true: by what the script says, or else by the settings that TRL has.

    Raises NotWrittenError where only running the script would tell.
    """
    try:
        return bool(evaluate(test, constants))
    except NotWrittenError:
        pass
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return not tell(test.operand, constants)
    if isinstance(test, ast.BoolOp):
        return _tell_joined(test, constants)
    guarded = _find_guarded(test, constants)
    if guarded is None:
        raise NotWrittenError
    absent = isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.NotIn)
    return is_known(guarded) != absent


def _tell_joined(test: ast.BoolOp, constants: Constants) -> bool:
    """`one and other`, `one or other`: one part may settle it, whatever cannot be told beside it."""
    settling, untold = isinstance(test.op, ast.Or), False
    for part in test.values:
        try:
            if tell(part, constants) == settling:
                return settling
        except NotWrittenError:
            untold = True
    if untold:
        raise NotWrittenError
    return not settling


def _find_guarded(test: ast.expr, constants: Constants) -> str | None:
    """The setting that a condition asks TRL for: `"beta" in signature(GRPOConfig).parameters`, `hasattr(GRPOConfig, "beta")`,
    `supports("beta")`.
    """
    match test:
        case ast.Compare(left=ast.Constant(value=str(name)), ops=[ast.In() | ast.NotIn()], comparators=[asked]):
            pass
        case ast.Call(func=ast.Name(id="hasattr"), args=[_, ast.Constant(value=str(name))]):
            return name
        case ast.Call(func=ast.Name() as asked, keywords=[]):
            words = [each.value for each in test.args if isinstance(each, ast.Constant)]
            if len(words) != 1 or not isinstance(words[0], str):
                return None
            name = words[0]
        case _:
            return None
    names = [each.id for each in ast.walk(asked) if isinstance(each, ast.Name)]
    shown = [ast.unparse(each) for each in (asked, *(constants[each] for each in names if each in constants))]
    return name if _ASKS_TRL.search(re.sub(r"'[^']*'", "", " ".join(shown))) else None


def find_untaken(tree: ast.AST, constants: Constants) -> set[int]:
    """The nodes, by identity, in branches that the script does not take, as far as it tells."""
    untaken: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.If | ast.IfExp):
            continue
        try:
            taken = tell(node.test, constants)
        except NotWrittenError:
            continue
        other = node.orelse if taken else node.body
        for part in other if isinstance(other, list) else [other]:
            untaken |= {id(each) for each in ast.walk(part)}
    return untaken


def _as_mapping(node: ast.expr | None) -> ast.Dict | None:
    if isinstance(node, ast.Dict):
        return node
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict" and not node.args:
        keys: list[ast.expr | None] = [ast.Constant(each.arg) if each.arg else None for each in node.keywords]
        return ast.Dict(keys, [each.value for each in node.keywords])
    return None


def find_attribute_changes(changes: list[LateSetting], owners: Collection[str]) -> list[LateSetting]:
    """Changes of attributes of these objects."""
    return [each for each in changes if each.is_attribute and each.owner in owners]
