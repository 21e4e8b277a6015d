"""The `rewards` section of a configuration, and how it becomes a reward host."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rewards import limits
from rewards.discovery.contract import check_instance, describe_error
from rewards.errors import UserError
from rewards.plugins import Registered, Registry, load_rewards
from rewards.screen.invalid import explain, show_path
from rewards.types import PATH_OR_TEXT, RewardFunction

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost


_PATH_FORMATS = ("path", "file-path", "directory-path")
_PATH_OR_TEXT = PATH_OR_TEXT["format"]


class FunctionSpec(BaseModel):
    """One reward function of a run."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="A name that `python -m rewards list` shows.")
    weight: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Share in an example's weighted mean, above 0; of a `trl:` function with a range that range's width, as TRL adds it.",
    )
    tasks: list[str] | None = Field(
        None,
        description="Tasks it applies to, instead of the function's own; null keeps the function's own, [] is all.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the function, checked before the run."
    )

    @model_validator(mode="after")
    def _weigh_as_trl(self) -> FunctionSpec:
        """TRL adds the numbers of its functions: where all are made 0..1, one of 0..2 weighs two of those of 0..1."""
        ends = self.options.get("range")
        if "weight" not in self.model_fields_set and self.name.startswith("trl:") and isinstance(ends, list | tuple):
            numbers = [end for end in ends if isinstance(end, int | float) and math.isfinite(end)]
            if len(ends) == len(numbers) == 2 and numbers[0] < numbers[1]:
                self.weight = float(numbers[1] - numbers[0])
        return self


class RewardsSection(BaseModel):
    """Which reward functions score a completion, and how much may go wrong."""

    model_config = ConfigDict(extra="forbid")

    plugins: list[str] = Field(
        default_factory=list,
        max_length=limits.CONFIG_PLUGINS,
        description="Modules or paths of .py files with more reward functions; installed ones are found.",
    )
    functions: list[FunctionSpec] = Field(
        default_factory=list, description="The reward functions; an example's reward is their weighted mean."
    )
    timeout_seconds: float = Field(
        2.0, gt=0, allow_inf_nan=False, description="Time limit of a plugin's function for one completion, in seconds."
    )
    memory_gib: float = Field(
        limits.PLUGIN_MEMORY_GIB,
        gt=0,
        allow_inf_nan=False,
        description="Memory of the process of a plugin's function, in GiB.",
    )
    error_budget: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of a function's scores that may fail (raise, NaN, too slow) before the run stops.",
    )
    error_budget_minimum: int = Field(
        50, ge=1, description="Number of a function's scores from which the budget counts."
    )


def build_host(section: RewardsSection, registry: Registry | None = None, *, in_process: bool = False) -> RewardHost:
    """Make the host that the section describes; with `in_process` no function gets a process of its own.

    Raises UserError with every unknown name and every wrong option, one line each.
    """
    from rewards.host.scoring import RewardHost
    from rewards.host.weighted import WeightedFunction

    registry = load_rewards(section.plugins) if registry is None else registry
    problems: list[str] = []
    functions: list[WeightedFunction] = []
    seen: dict[str, int] = {}
    if not section.functions:
        problems.append(f"rewards.functions: empty; name at least one of {', '.join(registry.names())}")
    for index, spec in enumerate(section.functions):
        where = f"rewards.functions[{index}]"
        if spec.name not in registry:
            problems.append(f"{where}.name: {registry.explain_missing(spec.name)}")
            continue
        if spec.name in seen:
            problems.append(f"{where}.name: '{spec.name}' is already rewards.functions[{seen[spec.name]}]; use it once")
            continue
        seen[spec.name] = index
        entry = registry.get(spec.name)
        function = make_function(entry, spec.options, f"{where}.options", problems)
        if function is not None:
            functions.append(
                WeightedFunction(
                    function=function,
                    weight=spec.weight,
                    tasks=entry.tasks if spec.tasks is None else tuple(spec.tasks),
                    isolated=entry.isolated and not in_process,
                    plugin=entry.plugin,
                    distribution=entry.distribution,
                    path=entry.path,
                )
            )
    if problems:
        raise UserError(problems)
    return RewardHost(
        functions,
        timeout_seconds=section.timeout_seconds,
        error_budget=section.error_budget,
        error_budget_minimum=section.error_budget_minimum,
        memory_gib=section.memory_gib,
    )


def make_function(
    entry: Registered, options: Mapping[str, Any], where: str, problems: list[str]
) -> RewardFunction | None:
    """The function with these options, or None and a line in `problems` for each option that is wrong."""
    try:
        function = entry.function.model_validate(dict(options))
    except ValidationError as error:
        problems += explain(
            error,
            entry.function,
            lambda path: f"{where}.{show_path(path)}" if path else where,
            key=f"option of {entry.name!r}",
            most=limits.OPTION_PROBLEMS,
        )
        return None
    except Exception as error:  # a plugin's own validator may raise anything
        problems.append(f"{where}: {entry.name!r} refused its options: {describe_error(error)}")
        return None
    broken = check_instance(function)
    problems.extend(f"{where}: {line}" for line in broken)
    return None if broken else function


def anchor_options(
    entry: Registered, options: Mapping[str, Any], folder_of: Callable[[str], Path | None]
) -> dict[str, Any]:
    """The options with those that are relative paths made absolute; `folder_of` an option's name is where it starts."""
    try:
        schema = entry.function.model_json_schema()
    except Exception:  # an option whose type has no JSON Schema, such as one of a plugin's own
        return dict(options)
    fields = schema.get("properties", {})
    return {
        name: _anchor(value, fields[name], schema.get("$defs", {}), folder)
        if name in fields and (folder := folder_of(name)) is not None
        else value
        for name, value in options.items()
    }


def _anchor(value: Any, node: Mapping[str, Any], shared: Mapping[str, Any], folder: Path) -> Any:
    """The value with the texts that its JSON Schema calls paths anchored, however deep they are."""
    if "$ref" in node:
        node = shared.get(node["$ref"].rpartition("/")[2], {})
    for option in node.get("anyOf", ()):
        value = _anchor(value, option, shared, folder)
    if isinstance(value, str) and node.get("format") in (*_PATH_FORMATS, _PATH_OR_TEXT):
        return _anchor_text(value, folder, always=node["format"] != _PATH_OR_TEXT)
    if isinstance(value, list) and isinstance(node.get("items"), Mapping):
        return [_anchor(item, node["items"], shared, folder) for item in value]
    if isinstance(value, Mapping):
        below, others = node.get("properties", {}), node.get("additionalProperties")
        return {
            key: _anchor(item, below.get(key, others), shared, folder)
            if isinstance(below.get(key, others), Mapping)
            else item
            for key, item in value.items()
        }
    return value


def _anchor_text(text: str, folder: Path, *, always: bool) -> str:
    """A relative path as the absolute one that starts at `folder`; a text that is none, such as a name, as it is."""
    if not text or "\n" in text or text.lstrip()[:1] in ("{", "["):
        return text
    path = Path(text).expanduser()
    if path.is_absolute():
        return str(path)
    whole = folder / path
    try:
        is_path = always or "/" in text or "\\" in text or path.suffix != "" or whole.is_file()
    except (OSError, ValueError):
        return text
    return str(whole.resolve()) if is_path else text
