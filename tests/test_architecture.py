"""The walls hold: who may import whom, no circles, light imports, short files, one owner a class name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("grpo", "callbacks", "sft_warmup", "rewards")
MAY_IMPORT = {
    "rewards": {"rewards"},
    "callbacks": {"callbacks", "rewards"},
    "sft_warmup": {"sft_warmup", "rewards"},
    "grpo": set(PACKAGES),
}
# Imported inside functions only: a command that plans, audits, scores or decides starts without them.
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "vllm", "unsloth", "wandb", "bitsandbytes"}
# A subclass of TRL's classes cannot be written without them: these two are imported by the stage that trains.
HEAVY_FILES = {"grpo/training/trainer.py", "grpo/training/trl_arguments.py"}
# The files whose job TRL is; docs/architecture.md names them too.
KNOW_TRL = ("grpo/training/", "grpo/engines/", "sft_warmup/", "grpo/policy/chat_template")
MOST_LINES = 400


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def statements(node: ast.AST, *, inner: bool = True) -> Iterator[ast.stmt]:
    """Every import below a node, but for those that only a type checker reads; `inner`: also those in functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif inner or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child, inner=inner)


def targets(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    assert isinstance(statement, ast.ImportFrom)
    inner = [f"{statement.module}.{alias.name}" for alias in statement.names]
    return [each if each in FILES else str(statement.module) for each in inner]


def find_circle(arrows: dict[str, set[str]]) -> list[str]:
    """A way from a node back to itself; empty when there is none."""
    done: set[str] = set()

    def walk(node: str, above: list[str]) -> list[str]:
        if node in above:
            return [*above[above.index(node) :], node]
        if node in done:
            return []
        for following in sorted(arrows.get(node, ())):
            if found := walk(following, [*above, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(arrows) if (found := walk(node, []))), [])


MODULE_ARROWS = {
    name: {target for each in statements(tree) for target in targets(each) if target in FILES and target != name}
    for name, tree in TREES.items()
}


def room_of(name: str) -> str:
    return ".".join(name.split(".")[:2])


def test_modules_when_followed_then_no_way_leads_back():
    """A module that imports itself in a circle has no place of its own."""
    assert find_circle(MODULE_ARROWS) == []


def test_rooms_when_followed_then_no_way_leads_back():
    """The same between folders, where a circle hides more easily."""
    arrows: dict[str, set[str]] = defaultdict(set)
    for name, reached in MODULE_ARROWS.items():
        arrows[room_of(name)] |= {room_of(target) for target in reached} - {room_of(name)}
    assert find_circle(arrows) == []


def test_benchmarks_when_followed_then_no_way_leads_back():
    """Scripts that share something have a module for it, and do not import each other, in functions neither."""
    trees = {path.stem: ast.parse(path.read_text()) for path in (ROOT / "benchmarks").glob("*.py")}
    modules = {
        name: {each.module.removeprefix("benchmarks.") for each in ast.walk(tree) if isinstance(each, ast.ImportFrom) and each.module}
        for name, tree in trees.items()
    }  # fmt: skip
    assert find_circle({name: found & trees.keys() - {name} for name, found in modules.items()}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_package_when_it_imports_then_only_what_stands_below_it(package):
    """rewards knows none of ours; callbacks and sft_warmup know rewards, not each other."""
    wrong = {
        f"{name} -> {target}"
        for name, reached in MODULE_ARROWS.items()
        if name.split(".")[0] == package
        for target in reached
        if target.split(".")[0] not in MAY_IMPORT[package]
    }
    assert wrong == set()


def test_commands_when_looked_up_then_nothing_imports_them():
    """What two commands share stands in a room of its own: a `__main__` is only ever run."""
    wrong = {
        f"{name} -> {target}"
        for name, reached in MODULE_ARROWS.items()
        for target in reached
        if target.endswith(".__main__") or (target == "grpo.run" and name != "grpo.run")
    }
    assert wrong == set()


def test_modules_when_imported_then_the_heavy_libraries_stay_out():
    """torch and its like are imported inside the functions whose job they are."""
    wrong = {
        f"{name}: {target}"
        for name, tree in TREES.items()
        for each in statements(tree, inner=False)
        for target in targets(each)
        if target.split(".")[0] in HEAVY and FILES[name].relative_to(ROOT).as_posix() not in HEAVY_FILES
    }
    assert wrong == set()


def test_trl_when_imported_then_only_where_the_page_says():
    """A new version of TRL is read where it is used, in few files, and docs/architecture.md names them."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = {name: FILES[name].relative_to(ROOT).as_posix() for name in FILES}
    wrong = {
        paths[name]
        for name, tree in TREES.items()
        for each in statements(tree)
        if any(target.split(".")[0] == "trl" for target in targets(each)) and not paths[name].startswith(KNOW_TRL)
    }
    assert wrong == set()
    assert all(f"`{place.removesuffix('/')}" in page for place in KNOW_TRL)


def test_files_when_counted_then_none_is_too_long_to_read():
    """Four hundred lines are the most that one file may ask of a reader."""
    tests = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "tests").rglob("*.py")}
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in (FILES | tests).items()}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


# What may stand flat in a package: commands of one file, and what others import by that name. All else has a room.
FLAT = {
    "grpo": "__init__ __main__ console run preflight ladder",
    "callbacks": "__init__ config interrupt progress",
    "sft_warmup": "__init__ batches checkpoints config dataset held_out packing train trainer_arguments",
    "rewards": "__init__ __main__ answers config decorator errors frames hookspecs identity limits plugins rescore rows "
    "sample_rows siblings testing types",
}


@pytest.mark.parametrize("package", PACKAGES)
def test_package_when_listed_then_only_its_doors_stand_flat(package):
    """A package is rooms, not a heap of files."""
    assert {path.stem for path in (ROOT / package).glob("*.py")} - set(FLAT[package].split()) == set()


def test_tree_in_the_docs_when_compared_then_every_room_is_in_it():
    """Who opens docs/architecture.md finds each folder of the packages, and none that is gone."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = page.partition("## The house")[2].split("```")[1]
    for package in PACKAGES:
        part = re.split(r"^\w+/", tree.partition(f"\n{package}/")[2], maxsplit=1, flags=re.MULTILINE)[0]
        rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert rooms == {room for room in re.findall(r"(?<![\w/])(\w+)/(?![\w/])", part)} - {"shop", "tmf921"}, package


def test_imports_when_written_then_never_relative_and_never_a_bare_package():
    """`rewards` and `callbacks` are natural names of variables."""
    wrong = set()
    for name, tree in TREES.items():
        for each in statements(tree):
            if isinstance(each, ast.ImportFrom) and each.level:
                wrong.add(f"{name}:{each.lineno} relative")
            if isinstance(each, ast.Import) and any(alias.name in PACKAGES for alias in each.names):
                wrong.add(f"{name}:{each.lineno} bare")
    assert wrong == set()


# Class names that two modules may own, each with its reason. There is none; a new one needs a better reason than being short.
SHARED_NAMES: dict[str, str] = {}


def test_classes_when_named_then_each_name_has_one_owner():
    """Who reads a class name knows which one is meant."""
    owners = defaultdict(list)
    for name, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                owners[node.name].append(name)
    shared = {name: places for name, places in owners.items() if len(places) > 1 and name not in SHARED_NAMES}
    assert shared == {}


def test_refused_input_when_told_then_one_module_reads_the_errors_of_pydantic():
    """A second explainer would name the same fault in other words."""
    readers = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "errors"
    }
    assert readers == {"rewards.screen.invalid"}
