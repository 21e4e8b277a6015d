"""Mutate a module one place at a time and run its tests: what survives is a line that no test holds.

    python -m benchmarks.mutations rewards/statistics/changes.py tests/grpo/compare/test_compare_intervals.py

Works in a temporary copy of the tree. Comparisons, signs, numbers, `and`/`or` and `not` are changed; docstrings and
annotations are left alone. `--seconds` ends early, with what was tried until then (places are taken in a seeded order).
Give only the tests that are meant to hold the module: they run to the first failure, once a mutant. A mutant whose tests
do not end in several times what the unchanged ones take is named, and counted neither as killed nor as survived.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
               ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
             ast.Pow: ast.Mult, ast.Mod: ast.Mult}  # fmt: skip

SLOWER = 8
"""Times the unchanged tests' own time after which a mutant's tests are ended."""


def mutate(node: ast.AST) -> str | None:
    """Change the node in place; what was done, or None where it is of no kind that is mutated."""
    match node:
        case ast.Compare(ops=[operator, *_]) if type(operator) in COMPARISONS:
            node.ops[0] = COMPARISONS[type(operator)]()
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            node.op = OPERATORS[type(operator)]()
        case ast.BoolOp(op=operator):
            node.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.USub()
        case ast.Constant(value=bool() as value):
            node.value = not value
        case ast.Constant(value=int() | float() as value):
            node.value = value + 1 if isinstance(value, int) else value * 1.5 + 0.001
        case _:
            return None
    return ast.unparse(node)


def find_places(tree: ast.AST) -> Iterator[int]:
    """Positions, in the order of `ast.walk`, of nodes that can be mutated."""
    annotations = {
        id(inner)
        for node in ast.walk(tree)
        for field in ("annotation", "returns")
        if (part := getattr(node, field, None)) is not None
        for inner in ast.walk(part)
    }
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in annotations and mutate(copy.deepcopy(node)) is not None:
            yield place


def main() -> int:
    """Print each survivor with its line, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--seconds", type=float, default=600.0)
    arguments = parser.parse_args()
    source = arguments.module.read_text(encoding="utf-8")
    tree = ast.parse(source)
    places = list(find_places(tree))
    random.Random(0).shuffle(places)
    killed, unjudged, survivors, started = 0, 0, [], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "tree"
        shutil.copytree(".", copied, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "*cache*"))
        environment = os.environ | {"PYTHONPATH": str(copied), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments.tests]
        before_all = time.perf_counter()
        if subprocess.run(command, cwd=copied, env=environment, capture_output=True).returncode:
            sys.exit("the tests fail before anything is changed")
        # A mutant may loop for ever; a slow machine may make any of them slow. Only the first is worth a time limit.
        limit = 20 + SLOWER * (time.perf_counter() - before_all)
        for place in places:
            if time.perf_counter() - started > arguments.seconds:
                break
            mutant = copy.deepcopy(tree)
            node = list(ast.walk(mutant))[place]
            before, after = ast.unparse(node), mutate(node)
            (copied / arguments.module).write_text(ast.unparse(mutant), encoding="utf-8")
            try:
                alive = not subprocess.run(
                    command, cwd=copied, env=environment, capture_output=True, timeout=limit
                ).returncode
            except subprocess.TimeoutExpired:
                unjudged += 1
                print(
                    f"{arguments.module}:{getattr(node, 'lineno', '?')}: {before} -> {after}: no end in {limit:.0f} s",
                    flush=True,
                )
                continue
            killed += not alive
            if alive:
                survivors.append(place)
                print(f"{arguments.module}:{getattr(node, 'lineno', '?')}: {before} -> {after}", flush=True)
    tried = killed + unjudged + len(survivors)
    print(
        f"{len(places)} places, {tried} mutants tried, {killed} killed, {len(survivors)} survived, "
        f"{unjudged} came to no end and are counted as neither"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
