"""Finding reward functions: built-ins, installed plugins and modules that the configuration names."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import pickle
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pluggy
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from rewards import hookspecs
from rewards.errors import PluginError
from rewards.types import RewardFunction

OWN_DISTRIBUTION = "recompensa"
BUILT_INS = (
    "rewards.functions.a1_policy",
    "rewards.functions.camara",
    "rewards.functions.contrastive",
    "rewards.functions.etsi_zsm",
    "rewards.functions.extraction",
    "rewards.functions.field_f1",
    "rewards.functions.insights",
    "rewards.functions.intent_3gpp",
    "rewards.functions.json_valid",
    "rewards.functions.kpi_values",
    "rewards.functions.o1_nrm",
    "rewards.functions.push",
    "rewards.functions.schema_valid",
    "rewards.functions.sql_qa",
    "rewards.functions.telecom",
    "rewards.functions.telecom_adversarial",
    "rewards.functions.telecom_lifecycle",
    "rewards.functions.text_overlap",
    "rewards.functions.tmf921",
    "rewards.functions.tool_call",
)
HOOK = "register_rewards"
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_MUTABLE = (list, dict, set, bytearray)


@dataclass(frozen=True, slots=True)
class Registered:
    """A reward function and where it came from; `path` is set for a plugin named by file."""

    function: type[RewardFunction]
    plugin: str
    distribution: str
    distribution_version: str = ""
    path: str | None = None

    @property
    def name(self) -> str:
        return self.function.name

    @property
    def version(self) -> str:
        return self.function.version

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.function.tasks

    @property
    def isolated(self) -> bool:
        """Whether it runs in a worker process that can be killed: all but our own do."""
        return self.distribution != OWN_DISTRIBUTION

    def options(self) -> dict[str, dict[str, Any]]:
        """The options with their type, default and, where the author gave one, their sentence."""
        described = {}
        for name, info in self.function.model_fields.items():
            default = info.get_default(call_default_factory=True)
            described[name] = {
                "type": _describe_type(info.annotation),
                "default": None if default is PydanticUndefined else default,
                "required": info.is_required(),
                "description": info.description or "",
            }
        return described

    def summary(self) -> dict[str, Any]:
        """Everything a listing shows, ready for JSON."""
        options = self.options()
        for option in options.values():
            option["default"] = _plain(option["default"])
        return {
            "name": self.name,
            "version": self.version,
            "plugin": self.plugin,
            "distribution": self.distribution,
            "distribution_version": self.distribution_version,
            "tasks": list(self.tasks),
            "judges_content": self.function.judges_content,
            "description": (inspect.getdoc(self.function) or "").partition("\n")[0],
            "options": options,
        }


class Registry:
    """The reward functions that were found, in order of their names."""

    def __init__(self, entries: Sequence[Registered]):
        self._entries = {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}

    def get(self, name: str) -> Registered:
        """Raise PluginError, proposing the nearest name, when there is no such function."""
        try:
            return self._entries[name]
        except KeyError:
            raise PluginError(self.explain_missing(name)) from None

    def explain_missing(self, name: str) -> str:
        return f"no reward function '{name}'{nearest(name, list(self._entries))}"

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> list[str]:
        return list(self._entries)


def nearest(word: str, allowed: Sequence[str]) -> str:
    """The end of an error line: the nearest allowed word, or all of them when none is near."""
    near = get_close_matches(word, allowed, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(allowed)}" if allowed else "; there are none"


def load_rewards(extra_modules: Sequence[str] = ()) -> Registry:
    """Find every reward function: built-ins, then entry points of the group `recompensa`, then `extra_modules`.

    An extra module is an importable name or a path to a `.py` file. Raises PluginError with every problem of every
    plugin, one line each.
    """
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    manager.add_hookspecs(hookspecs)
    problems: list[str] = []
    found: list[Registered] = []
    for source in [*_built_ins(), *_entry_points(problems), *_named_modules(extra_modules)]:
        plugin = source.load(problems)
        if plugin is None or manager.is_registered(plugin):
            continue
        for function in _ask(manager, plugin, source, problems):
            entry = Registered(function, source.name, source.distribution, source.version, source.path)
            broken = check_class(function)
            problems.extend(f"{source}: {line}" for line in broken)
            if not broken:
                found.append(entry)
    problems.extend(_collisions(found))
    if problems:
        raise PluginError(problems)
    return Registry(found)


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    distribution: str
    version: str = ""
    path: str | None = None
    entry_point: importlib.metadata.EntryPoint | None = None

    def __str__(self) -> str:
        if self.distribution.startswith("rewards.plugins"):
            return f"{self.distribution} ({self.path or self.name})"
        return f"plugin '{self.name}' of distribution '{self.distribution}'"

    def load(self, problems: list[str]) -> Any:
        try:
            if self.entry_point is not None:
                return self.entry_point.load()
            if self.path is not None:
                return import_file(self.name, self.path)
            if importlib.util.find_spec(self.name.partition(".")[0]) is None:
                # The console command does not search the working folder, `python -m` does: a plugin there is meant.
                sys.path.append(os.getcwd())
            return importlib.import_module(self.name)
        except (Exception, SystemExit) as error:  # a plugin may fail in any way; none may end the command
            problems.append(f"{self}: cannot be imported: {describe_error(error)}")
            return None


def _built_ins() -> list[_Source]:
    return [_Source(module, OWN_DISTRIBUTION) for module in BUILT_INS]


def _entry_points(problems: list[str]) -> list[_Source]:
    """Sources in order of name; a name offered twice is a problem, because pluggy would skip the second in silence."""
    sources: dict[str, _Source] = {}
    points = importlib.metadata.entry_points(group=hookspecs.NAMESPACE)
    for point in sorted(points, key=lambda point: (point.name, point.dist.name if point.dist else "")):
        distribution = point.dist.name if point.dist else "unknown"
        source = _Source(point.name, distribution, point.dist.version if point.dist else "", entry_point=point)
        if point.name in sources:
            first = sources[point.name]
            problems.append(
                f"entry point '{point.name}' in group '{hookspecs.NAMESPACE}' is offered twice: by distribution "
                f"'{first.distribution}' ({first.entry_point.value}) and by '{distribution}' ({point.value}); "  # type: ignore[union-attr]
                "uninstall one or rename its entry point"
            )
            continue
        sources[point.name] = source
    return list(sources.values())


def _named_modules(extra_modules: Sequence[str]) -> list[_Source]:
    sources = []
    for index, named in enumerate(extra_modules):
        where = f"rewards.plugins[{index}]"
        if named.endswith(".py") or "/" in named or "\\" in named:
            path = str(Path(named).expanduser().resolve())
            sources.append(_Source(module_name_of(path), where, path=path))
        else:
            sources.append(_Source(named, where))
    return sources


def module_name_of(path: str) -> str:
    """The module name under which a plugin file is imported, the same in every process."""
    return f"recompensa_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', Path(path).stem)}_{zlib.crc32(path.encode()):08x}"


def import_file(name: str, path: str) -> Any:
    """Import a plugin from its file under `name`, once a process."""
    if name in sys.modules:
        return sys.modules[name]
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"not a Python file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _ask(manager: pluggy.PluginManager, plugin: Any, source: _Source, problems: list[str]) -> list[Any]:
    """Register one plugin and call its hook; what it registered, in its order, or nothing and a line in `problems`."""
    try:
        manager.register(plugin, name=f"{source.distribution}:{source.name}")
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        if manager.is_registered(plugin):
            manager.unregister(plugin)
        text = str(error).strip().splitlines()
        misspelt = re.search(r"unknown hook '([^']+)'", str(error))
        if misspelt:
            problems.append(f"{source}: there is no hook '{misspelt[1]}'; did you mean {HOOK}?")
        else:
            problems.append(f"{source}: {HOOK} must take one argument, register ({text[-1] if text else error})")
        return []
    if not any(caller.name == HOOK for caller in manager.get_hookcallers(plugin) or ()):
        problems.append(
            f"{source}: has no hook {HOOK}; write a function {HOOK}(register) decorated with rewards.hookspecs.hookimpl"
        )
        return []
    registered: list[Any] = []
    others = [other for other in manager.get_plugins() if other is not plugin]
    try:
        manager.subset_hook_caller(HOOK, remove_plugins=others)(register=registered.append)
    except (Exception, SystemExit) as error:
        problems.append(f"{source}: {HOOK} raised {describe_error(error)}")
        return []
    return registered


def check_class(function: Any) -> list[str]:
    """What breaks the contract in a reward function class, one line each."""
    if not (isinstance(function, type) and issubclass(function, RewardFunction)):
        return [f"registered {function!r}, which is not a subclass of rewards.types.RewardFunction"]
    where = function.__qualname__
    problems = []
    name = getattr(function, "name", None)
    if not isinstance(name, str) or not _NAME.match(name):
        problems.append(f"{where}.name: {name!r}; set a name of lower-case letters, digits and underscores")
    version = getattr(function, "version", None)
    if not isinstance(version, str) or not version.strip():
        problems.append(f"{where}.version: {version!r}; set a version such as '1', and raise it when scores may change")
    if not isinstance(function.tasks, tuple) or not all(isinstance(task, str) for task in function.tasks):
        problems.append(f"{where}.tasks: {function.tasks!r}; set a tuple of task names, () for all")
    if not function.model_config.get("frozen") or function.model_config.get("extra") != "forbid":
        problems.append(f"{where}.model_config: must keep frozen=True and extra='forbid'")
    if function.__call__ is RewardFunction.__call__:
        problems.append(f"{where}: define __call__(self, example, completion) -> Score")
    for option, info in function.model_fields.items():
        mutable = _find_mutable(info.annotation)
        if mutable:
            problems.append(
                f"{where}.{option}: {mutable.__name__} can be changed after the start; "
                "use tuple, frozenset or rewards.types.FrozenMapping"
            )
    if not problems and not any(info.is_required() for info in function.model_fields.values()):
        try:
            problems.extend(check_instance(function()))
        except ValidationError as error:
            problems.append(f"{where}: its own defaults are invalid: {describe_error(error)}")
    return problems


def check_instance(function: RewardFunction) -> list[str]:
    """Whether a function with these options can be shared and sent to another process, one line a problem."""
    where = type(function).__qualname__
    problems = []
    for option in type(function).model_fields:
        try:
            hash(getattr(function, option))
        except TypeError:
            problems.append(
                f"{where}.{option}: its value can be changed; use tuple, frozenset or rewards.types.FrozenMapping"
            )
    try:
        pickle.dumps(function)
    except Exception as error:
        problems.append(f"{where}: cannot be pickled ({describe_error(error)}); options must be plain values")
    return problems


def _find_mutable(annotation: Any) -> type | None:
    origin = get_origin(annotation) or annotation
    if origin in _MUTABLE:
        return origin
    if origin in (Union, UnionType) or get_args(annotation):
        for argument in get_args(annotation):
            if found := _find_mutable(argument):
                return found
    return None


def _collisions(found: list[Registered]) -> list[str]:
    seen: dict[str, Registered] = {}
    problems = []
    for entry in found:
        first = seen.setdefault(entry.name, entry)
        if first is not entry:
            problems.append(
                f"reward function '{entry.name}' is registered twice: by plugin '{first.plugin}' of distribution "
                f"'{first.distribution}' and by plugin '{entry.plugin}' of distribution '{entry.distribution}'; "
                "rename one or remove its plugin"
            )
    return problems


def describe_error(error: BaseException) -> str:
    """An exception as one short line: its type and the first line of its message."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:300]}" if message else type(error).__name__


def _describe_type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else _strip(str(annotation))


def _strip(text: str) -> str:
    return re.sub(r"\b(?:typing|rewards\.types|builtins|[a-z_]+(?:\.[a-z_0-9]+)+)\.(?=[A-Z])", "", text)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "items"):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
