"""Mutate a module one place at a time and run its tests: what survives is a line that no test holds.

    python -m benchmarks.mutations rewards/statistics/changes.py tests/grpo/compare/test_compare_intervals.py

`mutation_kinds.py` has the changes; docstrings and annotations are left alone. Tests are collected once and run once, which
tells the lines of the module that each one runs. A mutant runs the tests that come to its line, in a forked process of its
own, in memory, folder by folder and the quickest first, to the first failure. Defaults and constants of the module are
changed in memory too, wherever they were imported to. What else an import reads (a table, a field of a model) runs in a copy
of the tree, which takes seconds a mutant, and comes last. Commands that a test starts as a process see the module as it is.

Give only the tests that are meant to hold the module. `--seconds` ends early, with what was tried until then (places are
taken in a seeded order); `--longest` leaves out tests that take longer, such as those of time limits, which a busy machine
fails; `--lines 120 150` tries those lines alone, as after a new test; what else is given (`-k ...`) is pytest's, such as to
leave out a fixture of many seconds. A survivor that no test comes to is marked so. A mutant whose tests do not end is named,
and counted neither as killed nor as survived. Needs `os.fork`.
"""

from __future__ import annotations

import argparse
import ast
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
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from _pytest.python import Function
from _pytest.runner import runtestprotocol

from benchmarks.mutation_kinds import Lines, find_places, list_lines, mutate

SLOWER, SPARE = 4, 15
"""Times the unchanged tests' own time, and seconds more, after which a mutant's tests are ended."""
ENDLESS, IMPORTED = 124, 123
"""How a mutant's process ends whose tests take too long, and one whose change only a fresh import can see."""
PLAIN = (int, float, bool, str, tuple, frozenset, dict, set, list)


def find_codes(code: CodeType) -> Iterator[CodeType]:
    """The code of every function and class body in it."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from find_codes(inner)


def _list_functions(space: Mapping[str, object]) -> list[FunctionType]:
    """The functions that a module defines, and those of its classes."""
    found: list[FunctionType] = []
    for value in list(space.values()):
        if getattr(value, "__module__", None) == space["__name__"]:
            parts = list(vars(value).values()) if isinstance(value, type) else [value]
            found += [part for part in parts if isinstance(part, FunctionType)]
    return found


class Module:
    """A module's source, and its functions as they are in this process."""

    def __init__(self, path: Path):
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.codes = self.compile(self.tree)

    def compile(self, tree: ast.Module) -> dict[tuple[str, int], CodeType]:
        code = compile(tree, str(self.path.resolve()), "exec")
        return {(each.co_qualname, each.co_firstlineno): each for each in find_codes(code)}

    def mutant(self, place: int, which: int) -> tuple[ast.Module, range, str]:
        """The tree with one change, the lines of its statement, and what was done, with its line."""
        tree, node, done = mutate(self.tree, place, which)
        line = getattr(node, "lineno", 0)
        lines = self.lines[id(self.nodes[place])]
        return tree, lines, f"{self.path}:{line or lines.start}: {done}"

    def swap(self, tree: ast.Module) -> bool:
        """Give the functions of this process the mutant's code; whether anything of this process is another one now."""
        codes, changed = self.compile(tree), False
        for function in self.functions:
            key = function.__code__.co_qualname, function.__code__.co_firstlineno
            if key in codes and codes[key] != self.codes[key]:
                function.__code__, changed = codes[key], True
        return changed or self.swap_values(tree)

    def swap_values(self, tree: ast.Module) -> bool:
        """Do so for defaults of functions and for plain constants of the module, wherever they were imported to."""
        name = ".".join(self.path.with_suffix("").parts)
        space = {"__name__": name, "__file__": str(self.path.resolve()), "__package__": name.rpartition(".")[0]}
        try:
            exec(compile(tree, str(self.path.resolve()), "exec"), space)
        except Exception:
            return False  # left to a fresh import, which will say the same
        changed = False
        for here, there in zip(_list_functions(vars(sys.modules[name])), _list_functions(space), strict=False):
            for kind in ("__defaults__", "__kwdefaults__"):
                if here.__qualname__ == there.__qualname__ and repr(getattr(here, kind)) != repr(getattr(there, kind)):
                    setattr(here, kind, getattr(there, kind))
                    changed = True
        for key, value in dict(vars(sys.modules[name])).items():
            if type(value) in PLAIN and key in space and repr(space[key]) != repr(value) and not key.startswith("__"):
                for module in list(sys.modules.values()):
                    if getattr(module, "__dict__", {}).get(key) is value:
                        setattr(module, key, space[key])
                changed = True
        return changed

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def within(self) -> set[int]:
        """The nodes, by id, that run when a function is called; others are read when it is imported."""
        functions = [node for node in self.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        return {id(inner) for node in functions for part in node.body for inner in ast.walk(part)}

    @cached_property
    def lines(self) -> Mapping[int, range]:
        return list_lines(self.tree)

    @cached_property
    def functions(self) -> list[FunctionType]:
        """The module's functions, wherever they were imported to; those within functions come with the outer one's code."""
        gc.unfreeze()  # the tests' own settings hide what was imported from the collector
        found = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
        return [each for each in found if each.__code__.co_filename == str(self.path.resolve())]


class ForkedMutants:
    """What pytest does instead of running its tests: it runs them once for each mutant."""

    def __init__(self, module: Path, seconds: float, longest: float, lines: Sequence[int] = ()):
        self.module, self.longest = Module(module), longest
        self.seconds, self.end = seconds, 0.0
        self.killed, self.unjudged, self.survived, self.unreached = 0, 0, 0, 0
        self.places = [
            (place, which)
            for place, which in find_places(self.module.tree)
            if not lines or any(line in self.module.lines[id(self.module.nodes[place])] for line in lines)
        ]
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
        # Some are imported when they are first needed: a child's import would bring the functions as they are written.
        importlib.import_module(".".join(self.module.path.with_suffix("").parts))
        items, seen = self.time_tests(session.items)
        self.end = time.perf_counter() + self.seconds
        if not self.module.functions:
            sys.exit(f"{self.module.path}: no function to mutate")
        gc.freeze()  # a child that collects garbage would copy every page
        ran = set().union(*(seen[item.nodeid] for item, _ in items))
        unreached = sorted(
            {
                lines.start
                for place, _ in self.places
                if ran.isdisjoint(lines := self.module.lines[id(self.module.nodes[place])])
            }
        )
        if unreached:
            print(f"no test comes to what begins on the lines {', '.join(map(str, unreached))}", flush=True)
        later = []
        for place, which in self.places:
            if time.perf_counter() > self.end:
                break
            tree, lines, done = self.module.mutant(place, which)
            near = [each for each in items if not seen[each[0].nodeid].isdisjoint(lines)]
            near = near if id(self.module.nodes[place]) in self.module.within else items
            limit = SPARE + int(SLOWER * sum(seconds for _, seconds in near or items))
            chosen = [item for item, _ in near]
            status = run_forked(lambda tree=tree, chosen=chosen: self.try_mutant(tree, chosen), limit)
            if not near and status == 0:
                self.unreached += 1
                done += "    (no test comes here)"
            self.count(status, done, later, tree)
        self.run_imported(
            later, sorted({item.path for item, _ in items}), SPARE + int(SLOWER * sum(s for _, s in items))
        )
        tried = self.killed + self.unjudged + self.survived
        print(
            f"{len(self.places)} places, {tried} mutants tried, {self.killed} killed, {self.survived} survived "
            f"({self.unreached} of them where no test comes), {self.unjudged} came to no end and are counted as neither"
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

    def time_tests(self, items: list[pytest.Item]) -> tuple[list[tuple[pytest.Item, float]], Mapping[str, set[int]]]:
        """The tests that are quick enough, the quickest first, with their seconds; and the lines that each one runs."""
        timed, modules = run_timed(items, self.module.path)
        if import_all(modules):  # what the first test that needs it imports, each mutant would import again
            timed, _ = run_timed(items, self.module.path)
        for item, each in zip(items, timed, strict=True):
            if each is None:
                print(f"left out, it fails before anything is changed: {item.nodeid}")
        items = [item for item, each in zip(items, timed, strict=True) if each is not None]
        timed = [each for each in timed if each is not None]
        # A folder at a time, as they were named: the tests' own settings collect garbage wherever the folder changes.
        folders = list(dict.fromkeys(item.path.parent for item in items))
        times = [seconds for seconds, _, _, _ in timed]
        order = sorted(range(len(items)), key=lambda place: (folders.index(items[place].path.parent), times[place]))
        seen = {item.nodeid: set(called) for item, (_, _, _, called) in zip(items, timed, strict=True)}
        for item, (_, _, prepared, _) in zip(
            items, timed, strict=True
        ):  # what is prepared may serve the others of its file
            for other in items if prepared else ():
                if other.path == item.path:
                    seen[other.nodeid] |= set(prepared)
        # What a test of many seconds had prepared for the others, each mutant would have to prepare again.
        dear = {
            shared
            for item, (_, seconds, _, _) in zip(items, timed, strict=True)
            if seconds > self.longest
            for shared in _list_shared(item)
        }
        quick = [
            place for place in order if times[place] <= self.longest and dear.isdisjoint(_list_shared(items[place]))
        ]
        return [(items[place], times[place]) for place in quick], seen

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


def _list_shared(item: pytest.Item) -> set[str]:
    """The fixtures of the tests' own that are prepared once for several tests, by file and name."""
    found = item._fixtureinfo.name2fixturedefs.items()
    return {f"{each[-1].baseid}::{name}" for name, each in found if each[-1].baseid and each[-1].scope != "function"}


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
    for place, item in enumerate(items, 1):
        after = items[place] if place < len(items) else None
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=after)):
            return 1
    return 0


def run_timed(
    items: list[pytest.Item], module: Path
) -> tuple[list[tuple[float, float, list[int], list[int]] | None], list[str]]:
    """What `write_times` finds in a process of its own, and the modules that its tests imported."""
    with tempfile.NamedTemporaryFile("r") as file:
        if run_forked(lambda: write_times(items, file.name, str(module.resolve())), 3600):
            sys.exit("the tests' process ended before anything was changed")
        found = json.load(file)
    return found["timed"], found["modules"]


def import_all(modules: list[str]) -> bool:
    """Import these here too; whether any of them was not there yet. One that cannot be imported so is left to the tests."""
    missing = [name for name in modules if name not in sys.modules]
    for name in missing:
        with suppress(Exception):
            importlib.import_module(name)
    return bool(missing)


def write_times(items: list[pytest.Item], path: str, module: str) -> int:
    """Of each test its seconds, those of its setup, and the module's lines that its setup and the rest of it run, as a JSON list in the file;
    null where it fails, as one of a time limit may, since lines are noted slowly."""
    timed, lines, prepared, took = [], Lines(module), list[int](), [0.0]

    class Between:
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_call(self) -> None:
            prepared[:], took[0] = lines.take(), time.perf_counter() - started

    items[0].config.pluginmanager.register(Between())
    threading.settrace(lines)
    sys.settrace(lines)
    for item, after in zip(items, [*items[1:], None], strict=True):
        started = time.perf_counter()
        prepared.clear()
        took[0] = 0.0
        failed = any(report.failed for report in runtestprotocol(item, log=False, nextitem=after))
        seconds, called = time.perf_counter() - started, lines.take()
        timed.append(None if failed else (seconds, took[0], list(prepared), called))
    sys.settrace(None)
    ours = ("tests", "benchmarks", "_pytest", "pytest", "__main__", "conftest")
    modules = [
        name
        for name, each in sys.modules.items()
        if getattr(each, "__spec__", None) and name.partition(".")[0] not in ours
    ]
    Path(path).write_text(json.dumps({"timed": timed, "modules": modules}), encoding="utf-8")
    return 0


def main() -> int:
    """Print each survivor with its line, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--longest", type=float, default=float("inf"), help="seconds of the longest test that is run")
    parser.add_argument("--lines", type=int, nargs="*", default=(), help="only what is on these lines")
    arguments, further = parser.parse_known_args()
    plugin = ForkedMutants(arguments.module, arguments.seconds, arguments.longest, arguments.lines)
    return int(
        pytest.main(
            ["-q", "-s", "--assert=plain", "-p", "no:cacheprovider", *arguments.tests, *further], plugins=[plugin]
        )
    )


if __name__ == "__main__":
    sys.exit(main())
