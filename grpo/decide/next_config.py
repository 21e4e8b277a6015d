"""The config of the run that follows from a decision: the present one, changed only where it must be, each with a reason."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callbacks.decision.decision import Decision
from grpo.config.leaves import Key, flatten
from grpo.ladder import RUNGS, find_rung
from rewards.errors import UserError
from rewards.writing.files import write_whole

_FUNCTIONS = ("rewards", "functions")
_RATE: set[Key] = {
    ("grpo", name) for name in ("lr_scheduler_type", "learning_rate", "warmup_ratio", "warmup_steps", "max_steps")
}
_REASONS: Mapping[Key, str] = {
    ("grpo", "max_steps"): "the length of this recipe",
    ("grpo", "learning_rate"): "the rate of this recipe",
    ("grpo", "num_generations"): "smaller groups leave memory to the larger model",
    ("grpo", "micro_batch_size"): "this many completions of the larger model fit at once",
    ("grpo", "max_completion_length"): "a larger model answers at more length",
    ("grpo", "lr_scheduler_type"): "a rate that does not decay: else the plateau is the schedule's again",
    ("grpo", "warmup_ratio"): "the rate rises soon and stays",
    ("model", "quantization"): "the frozen weights in 4 bits: in 16 they leave no room on 24 GB",
    ("model", "dtype"): "the type that 4-bit weights are computed in",
    ("model", "gradient_checkpointing"): "activations are recomputed: they would not fit",
    ("model", "lora", "r"): "larger adapters for the larger model",
    ("model", "lora", "alpha"): "twice the rank, as on the rungs below",
    ("sft_warmup", "enabled"): "the Base model has to be shown the JSON first",
    ("sft_warmup", "tasks"): "JSON is what it cannot write",
    ("sft_warmup", "epochs"): "once over the pairs teaches the frame; values are left to GRPO",
    ("data", "shop", "train_rows"): "more rows of the weak task, as many of the others as before",
    ("data", "shop", "proportions"): "the weak task's larger share; the others keep their number of rows",
    _FUNCTIONS: "points for values alone, and partial credit for near ones",
}


def write_next_config(
    decision: Decision, config_name: str | None, path: Path | str, *, config: Mapping[str, Any] | None = None
) -> Path | None:
    """Write the config of the next run and return its path; None, and no file, where there is nothing to change.

    It extends what the present run was started from (`config_name`) and holds the changes that the decision asks for;
    where the run's resolved settings `config` differ from that file (by `--set`, or since it was edited), they are kept.
    An earlier file at `path` is removed when there is nothing to write.
    """
    path = Path(path)
    if decision.next_config is None:
        path.unlink(missing_ok=True)
        return None
    parent, inherited = _find_parent(config_name, decision)
    present = {**flatten(inherited), **_with_whole_paths(flatten(dict(config or {})))}
    changes = find_changes(decision, present)
    if not changes:
        path.unlink(missing_ok=True)
        return None
    lines: dict[Key, tuple[Any, str]] = {("name",): (_name_next(decision, present, parent), "the folder of the run")}
    known = flatten(inherited)
    for key, value in present.items():
        if key in changes:
            lines[key] = changes[key], f"{_give_reason(decision, key)}; was {_shorten(_write(value))}"
        elif key != ("name",) and known.get(key, _MISSING) != value:
            lines[key] = value, "as this run had it"
    for key, value in changes.items():
        lines.setdefault(key, (value, _give_reason(decision, key)))
    head = [
        f"# After {Path(config_name).name if config_name else 'this run'}: {decision.title}",
        f"# {decision.reason}",
        f"# {decision.action}",
        f"# Start it: python -m grpo.run --config {path.name}",
    ]
    text = "\n".join([*head, f"extends: {_write(parent)}  # what this run was started from", "", *_lay_out(lines), ""])
    write_whole(path, text.encode())
    return path


def find_changes(decision: Decision, present: Mapping[Key, Any]) -> dict[Key, Any]:
    """What the decision asks to change in the present settings, by key; empty where nothing of it applies.

    Between rungs it is what their recipes differ in, so that a setting of the user's own stays as it is.
    """
    if decision.next_config is None:
        return {}
    target = flatten(_load(decision.next_config))
    wanted: dict[Key, Any]
    if decision.cause == "schedule":
        wanted = {key: target[key] for key in _RATE}
    elif decision.scenario == "undecided":
        steps = present.get(("grpo", "max_steps"), target[("grpo", "max_steps")])
        return {("grpo", "max_steps"): 2 * steps}
    else:
        rung, _ = find_rung(present.get(("model", "name")))
        base = flatten(_load(rung.config or decision.next_config))
        wanted = {key: value for key, value in target.items() if base.get(key, _MISSING) != value}
        if _FUNCTIONS in wanted:
            wanted[_FUNCTIONS] = _change_functions(present.get(_FUNCTIONS), base[_FUNCTIONS], target[_FUNCTIONS])
        if decision.scenario == "C" and decision.next_config == rung.fix:
            wanted = _only_for(decision.task, wanted)
            if present.get(("data", "source")) == "files":
                wanted = {key: value for key, value in wanted.items() if key[0] != "data"}
    return {
        key: value for key, value in wanted.items() if key != ("name",) and present.get(key, _MISSING) != value
    }  # fmt: skip


_MISSING = object()


def _load(name: str) -> dict[str, Any]:
    from grpo.config.loading import load_config

    return load_config(name, profile=None).model_dump(mode="json")


def _find_parent(config_name: str | None, decision: Decision) -> tuple[str, dict[str, Any]]:
    """What to extend, with all its settings: what the run was started from, or where that is gone its rung's recipe."""
    if config_name is not None:
        try:
            settings = _load(config_name)
            source = Path(config_name)
            # The new config lies in another folder; a shipped name means the same from everywhere.
            return str(source.resolve()) if source.is_file() else config_name, settings
        except UserError:
            pass
    recipe = next((rung.config for rung in RUNGS if rung.name == decision.rung), None) or decision.next_config or "base"
    return recipe, _load(recipe)


def _with_whole_paths(leaves: dict[Key, Any]) -> dict[Key, Any]:
    from grpo.config.loading import _PATH_KEYS

    return {
        key: os.path.abspath(value) if key in _PATH_KEYS and isinstance(value, str) else value
        for key, value in leaves.items()
    }


def _change_functions(present: Any, base: list[Any], target: list[Any]) -> Any:
    """The present reward functions with what the target's recipe changes in those of the same name."""
    if not isinstance(present, list):
        return target
    before = {function.get("name"): function for function in base}
    changed = {function["name"]: function for function in target if before.get(function["name"]) != function}
    functions = copy.deepcopy(present)
    for function in functions:
        if isinstance(function, dict) and function.get("name") in changed:
            options = changed[function["name"]].get("options") or {}
            function["options"] = {**(function.get("options") or {}), **options}
    return functions


def _only_for(task: str | None, wanted: dict[Key, Any]) -> dict[Key, Any]:
    """The part of a fix that helps the task: its reward, or its rows."""
    section = {"extraction": "rewards", "insights": "data"}.get(task or "")
    return {key: value for key, value in wanted.items() if key[0] == section}


def _give_reason(decision: Decision, key: Key) -> str:
    if key == ("model", "name"):
        if decision.task == "sql_qa":
            return "the next rung: sql_qa is routed to the larger model"
        return "the Base model, taught the JSON first" if decision.scenario == "B" else "the next rung of the ladder"
    if decision.scenario == "undecided" and decision.cause is None:
        return "twice as long: the curve was still rising"
    return next(
        (_REASONS[key[:end]] for end in range(len(key), 0, -1) if key[:end] in _REASONS), "as the recipe has it"
    )


def _name_next(decision: Decision, present: Mapping[Key, Any], parent: str) -> str:
    """The present name with what comes next: `v4_1-3.7B`; marks of earlier hops are dropped."""
    name = str(present.get(("name",)) or Path(parent).stem)
    bare = re.sub(r"(-(\d+(\.\d+)?B|base|fix|longer|constant))+$", "", name)
    mark = {"B": "base", "C": "fix", "undecided": "constant" if decision.cause else "longer"}.get(decision.scenario)
    for rung in RUNGS:
        if rung.config == decision.next_config and (decision.scenario == "A" or rung.name != decision.rung):
            mark = rung.name
    return f"{bare}-{mark or 'next'}"


def _lay_out(lines: Mapping[Key, tuple[Any, str]]) -> list[str]:
    """The keys as nested YAML, the reason of each behind it; keys of one section stand together."""
    shown: list[str] = []
    above: Key = ()
    for key in sorted(lines, key=lambda key: (len(key) > 1, _first_place(key, lines), key[:-1])):
        value, reason = lines[key]
        shared = 0
        while shared < min(len(above), len(key) - 1) and above[shared] == key[shared]:
            shared += 1
        if len(key) > 1 and shared == 0:
            shown.append("")
        shown += [f"{'  ' * depth}{_write(key[depth])}:" for depth in range(shared, len(key) - 1)]
        indent = "  " * (len(key) - 1)
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            shown.append(f"{indent}{_write(key[-1])}:  # {reason}")
            shown += [f"{indent}  - {_write(item)}" for item in value]
        else:
            shown.append(f"{indent}{_write(key[-1])}: {_write(value)}  # {reason}")
        above = key[:-1]
    return shown


def _first_place(key: Key, lines: Mapping[Key, Any]) -> int:
    return next(place for place, other in enumerate(lines) if other[0] == key[0])


def _write(value: Any) -> str:
    """A value as YAML on one line; JSON is YAML, plain words need no quotes, and 5e-06 is a number with a point only."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./-]*", value) and value.lower() not in _RESERVED:
        return value
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    if isinstance(value, list):
        return f"[{', '.join(map(_write, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_write(str(key))}: {_write(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
