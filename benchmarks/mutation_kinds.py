"""The changes that mutations try at one node of a syntax tree, and the lines that run where it does."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping
from types import FrameType

COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
               ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
             ast.Pow: ast.Mult, ast.Mod: ast.Mult}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
SPARED = ("dataclass", "lru_cache", "cache", "field")
"""What decorates or declares: `frozen`, `maxsize` and their like change nothing that a test should hold."""


def list_variants(node: ast.AST) -> list[ast.AST]:
    """What the node may be replaced by: comparisons, operators, conditions, constants, returns, keywords, statements."""
    match node:
        case ast.Compare():
            return [_with(node, ops=_at(node.ops, place, COMPARISONS[type(operator)]()))
                    for place, operator in enumerate(node.ops) if type(operator) in COMPARISONS]  # fmt: skip
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            return [_with(node, op=OPERATORS[type(operator)]())]
        case ast.BoolOp(op=operator):
            swapped = _with(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And())
            fewer = [node.values[:place] + node.values[place + 1 :] for place in range(len(node.values))]
            return [swapped, *(_with(node, values=left) if len(left) > 1 else left[0] for left in fewer)]
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            return [node.operand]
        case ast.Constant(value=bool() as value):
            return [ast.Constant(not value)]
        case ast.Constant(value=int() | float() as value):
            return [ast.Constant(value + 1 if isinstance(value, int) else value * 1.5 + 0.001)]
        case ast.IfExp():
            return [node.body, node.orelse]
        case ast.If(test=test) if not isinstance(test, ast.Constant):
            return [_with(node, test=ast.Constant(True)), _with(node, test=ast.Constant(False))]
        case ast.Call(func=ast.Name(id=name)) if name in NAMES:
            return [_with(node, func=ast.Name(NAMES[name], ast.Load())), *_without_keywords(node)]
        case ast.Call():
            return _without_keywords(node)
        case ast.comprehension(ifs=[_, *_]):
            return [_with(node, ifs=node.ifs[:place] + node.ifs[place + 1 :]) for place in range(len(node.ifs))]
        case ast.Return(value=value) if value is not None and not _is_none(value):
            return [ast.Return(ast.Constant(None))]
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise() | ast.Break() | ast.Continue():
            return [ast.Pass()]
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]) | ast.Delete():
            return [ast.Pass()]
    return []


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _at(items: list[ast.cmpop], place: int, item: ast.cmpop) -> list[ast.cmpop]:
    return [*items[:place], item, *items[place + 1 :]]


def _without_keywords(node: ast.Call) -> list[ast.AST]:
    if isinstance(node.func, ast.Name) and node.func.id in SPARED:
        return []
    named = [keyword for keyword in node.keywords if keyword.arg is not None]
    return [_with(node, keywords=[each for each in node.keywords if each is not left]) for left in named]


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def find_places(tree: ast.AST) -> Iterator[tuple[int, int]]:
    """Each change: the position of its node in the order of `ast.walk`, and which of the node's variants."""
    spared = {id(inner) for node in ast.walk(tree) for part in _list_spared(node) for inner in ast.walk(part)}
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in spared:
            yield from ((place, which) for which in range(len(list_variants(node))))


def _list_spared(node: ast.AST) -> Iterator[ast.AST]:
    """Annotations, and what decorates or declares."""
    for field in ("annotation", "returns"):
        if (part := getattr(node, field, None)) is not None:
            yield part
    yield from getattr(node, "decorator_list", ())
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SPARED:
        yield node


def mutate(tree: ast.Module, place: int, which: int) -> tuple[ast.Module, ast.AST, str]:
    """A copy of the tree with one change, the node that was changed as it was, and what was done."""
    tree = copy.deepcopy(tree)
    node = list(ast.walk(tree))[place]
    variant = ast.copy_location(list_variants(node)[which], node)
    done = _tell(node, variant)
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, field, variant)
            elif isinstance(value, list):
                setattr(parent, field, [variant if item is node else item for item in value])
    return ast.fix_missing_locations(tree), node, done


def _tell(node: ast.AST, variant: ast.AST) -> str:
    if isinstance(node, ast.Call) and isinstance(variant, ast.Call) and len(variant.keywords) < len(node.keywords):
        (left,) = set(node.keywords) - set(variant.keywords)
        return f"{ast.unparse(node.func)}(...) without {_write(left)}"
    return f"{_write(node)} -> {_write(variant)}"


def _write(node: ast.AST) -> str:
    text = f"if {ast.unparse(node.test)}" if isinstance(node, ast.If) else ast.unparse(node)
    return " ".join(text.split())[:160]


def list_lines(tree: ast.Module) -> Mapping[int, range]:
    """For each node (by its id) the lines of its innermost statement: of the head alone where that has a body."""
    lines: dict[int, range] = {}

    def visit(node: ast.AST, around: range) -> None:
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = node.end_lineno or node.lineno
            around = range(node.lineno, max(node.lineno, body[0].lineno - 1) + 1 if body else end + 1)
        lines[id(node)] = around
        for child in ast.iter_child_nodes(node):
            visit(child, around)

    visit(tree, range(0))
    return lines


class Lines:
    """The lines of one file that run, of this thread and of those that start."""

    def __init__(self, path: str):
        self.path, self.found = path, set[int]()

    def __call__(self, frame: FrameType, event: str, what: object) -> Lines | None:
        if frame.f_code.co_filename != self.path:
            return None
        self.found.add(frame.f_lineno)
        return self

    def take(self) -> list[int]:
        found, self.found = sorted(self.found), set()
        return found
