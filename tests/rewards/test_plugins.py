"""Finding reward functions, and every way in which a plugin can be wrong."""

from __future__ import annotations

import importlib.metadata
import itertools
import pickle
import sys
import textwrap
import types
from pathlib import Path
from typing import ClassVar

import pytest

from rewards import plugins
from rewards.discovery import plugin_files
from rewards.discovery.contract import check_class
from rewards.errors import PluginError
from rewards.hookspecs import hookimpl
from rewards.plugins import load_rewards
from rewards.types import FrozenMapping, RewardFunction, Score

_COUNTER = itertools.count()
BUILT_IN_NAMES = [
    "a1_policy",
    "camara",
    "contrastive",
    "etsi_zsm",
    "expectations",
    "extraction",
    "field_f1",
    "final_answer",
    "insights",
    "intent_3gpp",
    "json_valid",
    "kpi_values",
    "o1_nrm",
    "push",
    "schema_valid",
    "sql_qa",
    "telecom",
    "telecom_adversarial",
    "telecom_lifecycle",
    "text_overlap",
    "tmf921",
    "tool_call",
]

GOOD = """
from typing import ClassVar
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction, Score

class Good(RewardFunction):
    name: ClassVar[str] = "good"
    version: ClassVar[str] = "3"
    share: float = 0.5
    def __call__(self, example, completion):
        return Score(self.share)

@hookimpl
def register_rewards(register):
    register(Good)
"""


def write_plugin(folder: Path, name: str, source: str) -> str:
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return str(path)


def problems_of(*named: str) -> list[str]:
    with pytest.raises(PluginError) as caught:
        load_rewards(named)
    return caught.value.problems


class FakePoint:
    """An entry point of a distribution that is not installed."""

    def __init__(self, name: str, distribution: str, plugin: object, value: str = "module"):
        self.name, self.value, self._plugin = name, value, plugin
        self.dist = types.SimpleNamespace(name=distribution, version="1.0")

    def load(self) -> object:
        if isinstance(self._plugin, BaseException):
            raise self._plugin
        return self._plugin


@pytest.fixture
def installed(monkeypatch):
    """Installs fake entry points."""

    def install(*points: FakePoint) -> None:
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: list(points))

    install()
    return install


def make_plugin(*functions: type) -> types.ModuleType:
    module = types.ModuleType("fake_plugin")

    @hookimpl
    def register_rewards(register):
        for function in functions:
            register(function)

    module.register_rewards = register_rewards
    return module


def make_function(function_name: str = "made", **attributes: object) -> type[RewardFunction]:
    body = {
        "__module__": __name__,
        "__annotations__": {"name": ClassVar[str], "version": ClassVar[str]},
        "name": function_name,
        "version": "1",
        "__call__": lambda self, example, completion: Score(1.0),
        **attributes,
    }
    # Found again by its name, as pickle needs it.
    made = f"Made{next(_COUNTER)}"
    globals()[made] = type(made, (RewardFunction,), body)
    return globals()[made]


def test_load_rewards_when_nothing_is_installed_then_finds_the_built_ins_in_order(installed):
    """Built-ins come through the same hook, sorted by name."""
    registry = load_rewards()
    assert registry.names() == BUILT_IN_NAMES
    assert {entry.distribution for entry in registry} == {"recompensa"}
    assert not any(entry.isolated for entry in registry)


def test_built_ins_when_checked_then_each_file_of_functions_that_registers_is_listed():
    """A new file cannot be forgotten in the tuple of built-ins."""
    folder = Path(plugins.__file__).parent / "functions"
    hooked = {
        f"rewards.functions.{path.stem}" for path in folder.glob("*.py") if "def register_rewards" in path.read_text()
    }
    assert hooked == set(plugins.BUILT_INS)


def test_load_rewards_when_a_path_is_named_then_its_function_is_found_and_isolated(installed, tmp_path):
    """A plugin file works without being installed."""
    entry = load_rewards([write_plugin(tmp_path, "good_plugin", GOOD)]).get("good")
    assert entry.isolated and entry.version == "3" and entry.path == str(tmp_path / "good_plugin.py")
    assert entry.summary()["options"]["share"]["default"] == 0.5
    assert pickle.loads(pickle.dumps(entry.function())) == entry.function()


def test_load_rewards_when_a_module_is_named_twice_then_it_counts_once(installed, tmp_path, monkeypatch):
    """Naming a plugin twice is harmless."""
    write_plugin(tmp_path, "good_module", GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "good" in load_rewards(["good_module", "good_module"])


def test_load_rewards_when_order_of_installation_changes_then_the_order_stays(installed):
    """The registry does not depend on the order in which distributions are found."""
    points = [FakePoint(name, f"d-{name}", make_plugin(make_function(name))) for name in ("zz", "aa")]
    installed(*points)
    names = load_rewards().names()
    installed(*reversed(points))
    assert load_rewards().names() == names == sorted([*BUILT_IN_NAMES, "aa", "zz"])


def test_load_rewards_when_two_distributions_offer_one_name_then_names_both(installed):
    """A collision tells who collides, to whoever asks for the name; nobody else is stopped by it."""
    installed(
        FakePoint("one", "first-dist", make_plugin(make_function("same"))),
        FakePoint("two", "second-dist", make_plugin(make_function("same"))),
    )
    registry = load_rewards()
    assert "same" not in registry and "push" in registry
    with pytest.raises(PluginError) as caught:
        registry.get("same")
    (line,) = caught.value.problems
    assert registry.broken == (line,)
    assert "'same'" in line and "'first-dist'" in line and "'second-dist'" in line


def test_load_rewards_when_a_plugin_takes_a_built_in_name_then_is_refused(installed):
    """Nobody replaces a built-in in silence."""
    installed(FakePoint("one", "first-dist", make_plugin(make_function("push"))))
    with pytest.raises(PluginError) as caught:
        load_rewards().get("push")
    (line,) = caught.value.problems
    assert "'recompensa'" in line and "'first-dist'" in line


def test_load_rewards_when_an_entry_point_is_offered_twice_then_says_so(installed):
    """pluggy would skip the second one in silence."""
    installed(
        FakePoint("one", "first-dist", make_plugin(make_function("a")), "m1"),
        FakePoint("one", "second-dist", make_plugin(make_function("b")), "m2"),
    )
    (line,) = load_rewards().broken
    assert "'first-dist' (m1)" in line and "'second-dist' (m2)" in line


def test_load_rewards_when_the_hook_is_misspelt_then_proposes_it(installed, tmp_path):
    """A misspelt hook would otherwise never be called."""
    path = write_plugin(tmp_path, "misspelt", GOOD.replace("def register_rewards", "def register_reward"))
    (line,) = problems_of(path)
    assert "no hook 'register_reward'" in line and "register_rewards" in line


def test_load_rewards_when_the_hook_is_not_marked_then_says_how(installed, tmp_path):
    """A hook without its decorator is not a hook."""
    (line,) = problems_of(write_plugin(tmp_path, "unmarked", GOOD.replace("@hookimpl", "")))
    assert "hookimpl" in line


def test_load_rewards_when_the_hook_takes_other_arguments_then_says_which(installed, tmp_path):
    """The hook has one argument."""
    (line,) = problems_of(
        write_plugin(tmp_path, "arguments", GOOD.replace("register_rewards(register)", "register_rewards(registry)"))
    )
    assert "register" in line and "\n" not in line


def test_load_rewards_when_many_plugins_are_broken_then_lists_all_of_them(installed, tmp_path):
    """One run tells everything that is wrong, a line each."""
    installed(FakePoint("ending", "d", SystemExit(3)), FakePoint("broken", "d2", ImportError("no such thing")))
    lines = problems_of(
        "no_such_module_anywhere",
        str(tmp_path / "missing.py"),
        write_plugin(tmp_path, "syntax", "def ("),
        write_plugin(tmp_path, "raises", GOOD.replace("register(Good)", "raise KeyError('x')")),
        write_plugin(tmp_path, "nothing", "x = 1"),
    )
    assert len(lines) == 7
    assert all("\n" not in line for line in lines)
    text = "\n".join(lines)
    for word in (
        "SystemExit",
        "no such thing",
        "no_such_module_anywhere",
        "missing.py",
        "SyntaxError",
        "KeyError",
        "nothing.py",
    ):
        assert word in text


def test_load_rewards_when_an_import_fails_then_leaves_no_half_made_module(installed, tmp_path):
    """A second attempt after a repair imports the file again."""
    path = write_plugin(tmp_path, "mended", "raise ValueError('not yet')")
    problems_of(path)
    write_plugin(tmp_path, "mended", GOOD)
    assert "good" in load_rewards([path])
    del sys.modules[plugin_files.module_name_of(path)]


@pytest.mark.parametrize(
    ("attributes", "word"),
    [
        ({"name": ""}, "name"),
        ({"name": "Has Space"}, "name"),
        ({"version": 1}, "version"),
        ({"version": " "}, "version"),
        ({"tasks": ["a"]}, "tasks"),
        ({"__call__": RewardFunction.__call__}, "__call__"),
        ({"__annotations__": {"words": list[str]}, "words": []}, "list"),
        ({"__annotations__": {"words": dict[str, int] | None}, "words": None}, "dict"),
        ({"__annotations__": {"words": tuple[set[str], ...]}, "words": ()}, "set"),
        ({"__annotations__": {"words": object}, "words": [1]}, "words"),
        ({"__annotations__": {"words": object}, "words": (lambda: 0)}, "pickled"),
    ],
)
def test_check_class_when_the_contract_is_broken_then_names_what(attributes, word):
    """Every promise of a class is checked before the run."""
    (line,) = check_class(make_function(**attributes))
    assert word in line


def test_check_class_when_it_is_no_reward_function_then_says_so():
    """An instance or another class cannot be registered."""
    assert "not a subclass" in check_class(int)[0]
    assert "not a subclass" in check_class(make_function()())[0]


def test_check_class_when_frozen_is_given_up_then_is_refused():
    """Options must not change during a run."""
    loose = make_function(model_config={"frozen": False})
    assert any("frozen" in line for line in check_class(loose))


def test_registry_when_a_name_is_unknown_then_proposes_the_nearest(installed):
    """A slip of the keyboard is answered with the right name."""
    with pytest.raises(PluginError, match="did you mean extraction"):
        load_rewards().get("extracion")


def test_frozen_mapping_when_used_as_an_option_then_is_frozen_hashable_and_survives():
    """The mapping that options use behaves as a frozen model needs."""
    mapping = FrozenMapping({"a": (1, 2), "b": (3,)})
    assert hash(mapping) == hash(FrozenMapping({"b": (3,), "a": (1, 2)}))
    assert mapping == {"a": (1, 2), "b": (3,)} == pickle.loads(pickle.dumps(mapping))
    with pytest.raises(TypeError):
        mapping["a"] = 1
