"""Mutate a module one place at a time and run its tests: what survives is a line that no test holds.

    python -m benchmarks.mutations rewards/statistics/changes.py tests/grpo/compare/test_compare_intervals.py

Comparisons, signs, numbers, `and`/`or` and `not` are changed; docstrings and annotations are left alone. Tests are
collected once; each mutant of a function runs in a forked process of its own, in memory, folder by folder and the
quickest tests first, to the first failure. What is read when a module is imported (constants, defaults) runs in a copy of the tree, which takes
seconds a mutant, and comes last. So do commands that a test starts as a process: they see the module as it is.

Give only the tests that are meant to hold the module. `--seconds` ends early, with what was tried until then (places are
taken in a seeded order); `--longest` leaves out tests that take longer, such as those of time limits, which a busy machine
fails; what else is given (`-k ...`) is pytest's, such as to leave out a fixture of many seconds. A mutant whose tests do
not end is named, and counted neither as killed nor as survived. Needs `os.fork`.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from _pytest.python import Function
from _pytest.runner import runtestprotocol

COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
               ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
             ast.Pow: ast.Mult, ast.Mod: ast.Mult}  # fmt: skip

SLOWER = 4
"""Times the unchanged tests' own time after which a mutant's tests are ended."""
ENDLESS, IMPORTED = 124, 123
"""How a mutant's process ends whose tests take too long, and one whose change only a fresh import can see."""


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


def find_codes(code: CodeType) -> Iterator[CodeType]:
    """The code of every function and class body in it."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from find_codes(inner)


class Module:
    """A module's source, and its functions as they are in this process."""

    def __init__(self, path: Path):
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.codes = self.compile(self.tree)

    def compile(self, tree: ast.Module) -> dict[tuple[str, int], CodeType]:
        code = compile(tree, str(self.path.resolve()), "exec")
        return {(each.co_qualname, each.co_firstlineno): each for each in find_codes(code)}

    def mutant(self, place: int) -> tuple[ast.Module, str]:
        """The tree with one place changed, and what was done, with its line."""
        tree = copy.deepcopy(self.tree)
        node = list(ast.walk(tree))[place]
        before, after = ast.unparse(node), mutate(node)
        return tree, f"{self.path}:{getattr(node, 'lineno', '?')}: {before} -> {after}"

    def swap(self, tree: ast.Module) -> bool:
        """Give the functions of this process the mutant's code; whether any of them is another one now."""
        codes, changed = self.compile(tree), False
        for function in self.functions:
            key = function.__code__.co_qualname, function.__code__.co_firstlineno
            if key in codes and codes[key] != self.codes[key]:
                function.__code__, changed = codes[key], True
        return changed

    @cached_property
    def functions(self) -> list[FunctionType]:
        """The module's functions, wherever they were imported to; those within functions come with the outer one's code."""
        gc.unfreeze()  # the tests' own settings hide what was imported from the collector
        found = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
        return [each for each in found if each.__code__.co_filename == str(self.path.resolve())]


class ForkedMutants:
    """What pytest does instead of running its tests: it runs them once for each mutant."""

    def __init__(self, module: Path, seconds: float, longest: float):
        self.module, self.longest = Module(module), longest
        self.seconds, self.end = seconds, 0.0
        self.killed, self.unjudged, self.survived = 0, 0, 0
        self.places = list(find_places(self.module.tree))
        random.Random(0).shuffle(self.places)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """A failure is all that is asked for: nothing is shrunk, no difference of two texts worked out."""
        from hypothesis import Phase, settings

        settings.register_profile("mutants", settings.default, phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutants")
        Function.repr_failure = lambda *arguments, **options: "failed"  # type: ignore[method-assign]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return True
        items, limit = self.time_tests(session.items)
        self.end = time.perf_counter() + self.seconds
        # Some are imported when they are first needed: a child's import would bring the functions as they are written.
        importlib.import_module(".".join(self.module.path.with_suffix("").parts))
        if not self.module.functions:
            sys.exit(f"{self.module.path}: no function to mutate")
        gc.freeze()  # a child that collects garbage would copy every page
        later = []
        for place in self.places:
            if time.perf_counter() > self.end:
                break
            tree, done = self.module.mutant(place)
            self.count(run_forked(lambda tree=tree: self.try_mutant(tree, items), limit), done, later, tree)
        self.run_imported(later, sorted({item.path for item in items}), limit)
        tried = self.killed + self.unjudged + self.survived
        print(
            f"{len(self.places)} places, {tried} mutants tried, {self.killed} killed, {self.survived} survived, "
            f"{self.unjudged} came to no end and are counted as neither"
        )
        return True

    def count(self, status: int, done: str, later: list, tree: ast.Module) -> None:
        if status == IMPORTED:
            later.append((tree, done))
        elif status == ENDLESS:
            self.unjudged += 1
            print(f"{done}: no end", flush=True)
        elif status:
            self.killed += 1
        else:
            self.survived += 1
            print(done, flush=True)

    def time_tests(self, items: list[pytest.Item]) -> tuple[list[pytest.Item], int]:
        """The tests that are quick enough, the quickest first, and the seconds that a mutant's may take."""
        with tempfile.NamedTemporaryFile("r") as file:
            if run_forked(lambda: write_times(items, file.name), 3600):
                sys.exit(f"this test fails before anything is changed: {file.read() or '(the process ended)'}")
            times = json.load(file)
        # A folder at a time, as they were named: the tests' own settings collect garbage wherever the folder changes.
        folders = list(dict.fromkeys(item.path.parent for item in items))
        order = sorted(range(len(items)), key=lambda place: (folders.index(items[place].path.parent), times[place]))
        quick = [place for place in order if times[place] <= self.longest]
        # Of all of them: what a slow one had read for the others, a quick one now reads itself.
        return [items[place] for place in quick], 5 + int(SLOWER * sum(times))

    def try_mutant(self, tree: ast.Module, items: list[pytest.Item]) -> int:
        return run_tests(items) if self.module.swap(tree) else IMPORTED

    def run_imported(self, later: list[tuple[ast.Module, str]], tests: list[Path], limit: int) -> None:
        """Mutants of what an import reads: each in a fresh Python over a copy of the tree."""
        if not later or time.perf_counter() > self.end:
            return
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder) / "tree"
            shutil.copytree(".", copied, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "*cache*"))
            environment = os.environ | {"PYTHONPATH": str(copied), "PYTHONDONTWRITEBYTECODE": "1"}
            paths = [str(path.relative_to(Path.cwd())) for path in tests]
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *paths]
            for tree, done in later:
                if time.perf_counter() > self.end:
                    break
                (copied / self.module.path).write_text(ast.unparse(tree), encoding="utf-8")
                try:
                    ended = subprocess.run(
                        command, cwd=copied, env=environment, capture_output=True, timeout=limit + 60
                    )
                    status = ended.returncode
                except subprocess.TimeoutExpired:
                    status = ENDLESS
                self.count(status, done, [], tree)


def run_forked(job: object, limit: int) -> int:
    """What `job()` returns in a process of its own, without its output; ENDLESS after `limit` seconds."""
    assert callable(job)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(limit)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        try:
            os._exit(job())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return ENDLESS if os.WTERMSIG(status) == signal.SIGALRM else 1
    return os.WEXITSTATUS(status)


def run_tests(items: list[pytest.Item]) -> int:
    """1 at the first failure, 0 without one."""
    for item, after in zip(items, [*items[1:], None], strict=True):
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=after)):
            return 1
    return 0


def write_times(items: list[pytest.Item], path: str) -> int:
    """The seconds of each test, as a JSON list in the file; 1 where one fails, whose name the file then has."""
    times = []
    for item, after in zip(items, [*items[1:], None], strict=True):
        started = time.perf_counter()
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=after)):
            Path(path).write_text(item.nodeid, encoding="utf-8")
            return 1
        times.append(time.perf_counter() - started)
    Path(path).write_text(json.dumps(times), encoding="utf-8")
    return 0


def main() -> int:
    """Print each survivor with its line, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--longest", type=float, default=float("inf"), help="seconds of the longest test that is run")
    arguments, further = parser.parse_known_args()
    plugin = ForkedMutants(arguments.module, arguments.seconds, arguments.longest)
    return int(
        pytest.main(
            ["-q", "-s", "--assert=plain", "-p", "no:cacheprovider", *arguments.tests, *further], plugins=[plugin]
        )
    )


if __name__ == "__main__":
    sys.exit(main())
