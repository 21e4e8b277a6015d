"""Finding reward functions: built-ins, installed plugins and modules that the configuration names."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pluggy
from pydantic_core import PydanticUndefined

from rewards import hookspecs
from rewards.decorator import as_class, find_decorated
from rewards.discovery import working_copies
from rewards.discovery.contract import check_class, describe_error
from rewards.discovery.on_demand import ON_DEMAND, find_on_demand
from rewards.discovery.plugin_files import find_files, import_file, is_path, is_project, module_name_of, root_of
from rewards.discovery.probe import find_fault, quiet
from rewards.discovery.side_effects import undone
from rewards.errors import PluginError
from rewards.screen.nearest import nearest
from rewards.types import RewardFunction

OWN_DISTRIBUTION = "recompensa"
BUILT_INS = (
    "rewards.functions.a1_policy",
    "rewards.functions.camara",
    "rewards.functions.contrastive",
    "rewards.functions.etsi_zsm",
    "rewards.functions.expectations",
    "rewards.functions.extraction",
    "rewards.functions.field_f1",
    "rewards.functions.final_answer",
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


@dataclass(frozen=True, slots=True)
class Registered:
    """A reward function and where it came from; `path` is set for a plugin named by file.

    `copy` is the folder of the working copy that was used instead of an installed plugin.
    """

    function: type[RewardFunction]
    plugin: str
    distribution: str
    distribution_version: str = ""
    path: str | None = None
    copy: str | None = None

    @property
    def name(self) -> str:
        """The function's name, as YAML uses it."""
        return self.function.name

    @property
    def version(self) -> str:
        """The function's version."""
        return self.function.version

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the function applies to; empty means all."""
        return self.function.tasks

    @property
    def isolated(self) -> bool:
        """Whether it runs in a worker process that can be killed; True for all but the built-in functions."""
        return self.distribution != OWN_DISTRIBUTION

    def options(self) -> dict[str, dict[str, Any]]:
        """The options with type, default and, if the author gave one, description."""
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
            "working_copy": self.path or self.copy,
            "tasks": list(self.tasks),
            "judges_content": self.function.judges_content,
            "description": (inspect.getdoc(self.function) or "").partition("\n")[0],
            "options": options,
        }


class Registry:
    """The reward functions that were found, ordered by name.

    `broken` are problems of installed plugins that were not requested, `contested` those of names that several plugins
    offer.
    """

    def __init__(
        self, entries: Sequence[Registered], broken: Sequence[str] = (), contested: Mapping[str, str] | None = None
    ):
        self._entries = {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}
        self._made: dict[str, Registered] = {}
        self.broken = tuple(broken)
        self.contested = dict(contested or {})

    def get(self, name: str) -> Registered:
        """The function of this name.

        Raises PluginError, suggesting the nearest name, if there is none, or if several plugins offer it.
        """
        if name in self.contested:
            raise PluginError(self.contested[name])
        found = self._find(name)
        if found is None:
            raise PluginError(self.explain_missing(name))
        return found

    def _find(self, name: str) -> Registered | None:
        """Those that are listed, then those that are made when they are asked for: judges, functions of others."""
        if name not in self._entries and name not in self._made and (made := find_on_demand(name)):
            self._made[name] = Registered(made.function, made.plugin, made.distribution, path=made.path)
        return self._entries.get(name) or self._made.get(name)

    def explain_missing(self, name: str) -> str:
        """Why no function of that name can be used: contested, a plugin that was not named, or a misspelling, with the nearest name."""
        if name in self.contested:
            return self.contested[name]
        if is_project(Path.cwd()):
            return f"no reward function '{name}'; this folder is a plugin's project: name it with --plugin ."
        more = f" ({len(self.broken)} installed plugins are broken: {self.broken[0]})" if self.broken else ""
        return f"no reward function '{name}'{nearest(name, [*self._entries, *ON_DEMAND])}{more}"

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name not in self.contested and self._find(name) is not None

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> list[str]:
        """All names, in alphabetical order."""
        return list(self._entries)


def load_rewards(extra_modules: Sequence[str] = ()) -> Registry:
    """Find every reward function: built-ins, then entry points of the group `recompensa`, then `extra_modules`.

    An extra module is an importable name, or the path of a `.py` file, a package or a project. Where the working folder, or its
    `src`, has a copy of an installed plugin, that copy is taken, and a line says so. Raises PluginError with every problem of every
    plugin, one line each, where one that was named has a problem. A broken plugin that is merely installed stops nobody:
    its problems are in the registry, and whoever asks for a name that is not there is told of them.
    """
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    manager.add_hookspecs(hookspecs)
    broken: list[str] = []
    problems: list[str] = []
    found: list[Registered] = []
    for source in [*_built_ins(), *_named_modules(extra_modules, problems), *_entry_points(broken)]:
        said = broken if source.entry_point is not None else problems
        plugin = source.load(said)
        if plugin is None or manager.is_registered(plugin):
            continue
        for function in _ask(manager, plugin, source, said):
            entry = Registered(function, source.name, source.distribution, source.version, source.path, source.copy)
            faults = check_class(function)
            said.extend(f"{source}: {line}" for line in faults)
            if not faults:
                found.append(entry)
    found = _prefer_working_copies(found)
    contested = _collisions(found)
    named = {entry.name for entry in found if entry.distribution.startswith("rewards.plugins")}
    problems.extend(line for name, line in contested.items() if name in named)
    if problems:
        raise PluginError([*problems, *broken])
    return Registry(found, [*broken, *contested.values()], contested)


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    distribution: str
    version: str = ""
    path: str | None = None
    entry_point: importlib.metadata.EntryPoint | None = None
    copy: str | None = None

    def __str__(self) -> str:
        if self.distribution.startswith("rewards.plugins"):
            return f"{self.distribution} ({self.path or self.name})"
        return f"plugin '{self.name}' of distribution '{self.distribution}'"

    def load(self, problems: list[str]) -> Any:
        try:
            if self.distribution == OWN_DISTRIBUTION and self.entry_point is None:
                return importlib.import_module(self.name)
            if self.path is None and self.entry_point is None and _is_missing(self.name):
                # The console command does not search the working folder, `python -m` does: a plugin there is meant.
                sys.path.append(os.getcwd())
            if fault := find_fault(self._identify(), self._try, self._tell()):
                problems.append(f"{self}: {fault}")
                return None
            with quiet(f"plugin {self.name}"), undone():
                return self._import()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may fail in any way; none may end the command
            problems.append(f"{self}: cannot be imported: {describe_error(error)}")
            return None

    def _import(self) -> Any:
        if self.entry_point is not None:
            return self.entry_point.load()
        return importlib.import_module(self.name) if self.path is None else import_file(self.path)

    def _try(self) -> None:
        getattr(self._import(), HOOK)(lambda function: None)

    def _tell(self) -> dict[str, str | None] | None:
        """How another process imports it; None where only this one can."""
        if self.entry_point is not None and not isinstance(self.entry_point, importlib.metadata.EntryPoint):
            return None
        return {"name": self.name, "path": self.path, "value": getattr(self.entry_point, "value", None)}

    def _identify(self) -> tuple:
        changed = os.stat(self.path).st_mtime_ns if self.path is not None and os.path.isfile(self.path) else 0
        return self.name, self.version, self.path, changed, getattr(self.entry_point, "value", None), self.copy


def _is_missing(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is None


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
        sources[point.name] = replace(source, copy=working_copies.take_copy(point, [Path.cwd(), Path.cwd() / "src"]))
    return list(sources.values())


def _named_modules(extra_modules: Sequence[str], problems: list[str]) -> list[_Source]:
    sources = []
    for index, named in enumerate(extra_modules):
        where = f"rewards.plugins[{index}]"
        if not is_path(named):
            sources.append(_Source(named, where))
            continue
        try:
            files = find_files(named)
        except (OSError, ValueError) as error:
            problems.append(f"{where} ({named}): {error}")
            continue
        for path in files:
            for point in importlib.metadata.entry_points(group=hookspecs.NAMESPACE):
                working_copies.take_copy(point, [root_of(path)], told=True)
            sources.append(_Source(module_name_of(path), where, path=path))
    return sources


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
    decorated = [as_class(function) for function in find_decorated(plugin)] if inspect.ismodule(plugin) else []
    if not any(caller.name == HOOK for caller in manager.get_hookcallers(plugin) or ()):
        if not decorated:
            problems.append(
                f"{source}: has no reward function; write one under @rewards.decorator.reward(name), or a function "
                f"{HOOK}(register) under @rewards.hookspecs.hookimpl"
            )
        return decorated
    registered: list[Any] = []
    others = [other for other in manager.get_plugins() if other is not plugin]
    try:
        with quiet(f"plugin {source.name}"), undone():
            manager.subset_hook_caller(HOOK, remove_plugins=others)(register=registered.append)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        problems.append(f"{source}: {HOOK} raised {describe_error(error)}")
        return []
    registered = [as_class(function) for function in registered]
    return [*registered, *(each for each in decorated if each not in registered)]


def _prefer_working_copies(found: list[Registered]) -> list[Registered]:
    """Without the installed functions of whose names a plugin was given by path: that is the copy being worked on."""
    copies = {entry.name for entry in found if entry.path is not None}
    hidden = {entry.name for entry in found if entry.name in copies and entry.path is None and entry.isolated}
    return [entry for entry in found if entry.name not in hidden or entry.path is not None]


def _collisions(found: list[Registered]) -> dict[str, str]:
    """By name, the line about one that two plugins offer."""
    seen: dict[str, Registered] = {}
    lines: dict[str, str] = {}
    for entry in found:
        first = seen.setdefault(entry.name, entry)
        if first is not entry:
            lines.setdefault(
                entry.name,
                f"reward function '{entry.name}' is registered twice: by plugin '{first.plugin}' of distribution "
                f"'{first.distribution}' and by plugin '{entry.plugin}' of distribution '{entry.distribution}'; "
                "rename one or remove its plugin",
            )
    return lines


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
