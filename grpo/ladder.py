"""The ladder of model sizes, 0.5B to 3.7B to 8B, and the config that follows from a decision."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callbacks.decision import Decision, Rung

RUNGS = (
    Rung(
        name="0.5B",
        model="Polygl0t/Tucano2-qwen-0.5B-Instruct",
        config="v4_1.yaml",
        base="v4_2_b.yaml",
        fix="v4_2_c.yaml",
    ),
    Rung(name="3.7B", model="Polygl0t/Tucano2-qwen-3.7B-Instruct", config="v4_2_a.yaml"),
    Rung(name="8B", model="Qwen/Qwen3-8B", config="qwen3_8b.yaml"),
)
# The Base model stands on the rung of its size; there is nothing below it to fall back on.
_BASE = Rung(name="0.5B", model="Polygl0t/Tucano2-qwen-0.5B-Base", config="v4_2_b.yaml", fix="v4_2_c.yaml")
_CONFIGS = {
    "v4": RUNGS[0],
    "v4_1": RUNGS[0],
    "v4_2_a": RUNGS[1],
    "v4_2_b": _BASE,
    "v4_2_c": RUNGS[0],
    "qwen3_8b": RUNGS[2],
}


def find_rung(model: str | None = None, config_name: str | None = None) -> tuple[Rung, Rung | None]:
    """The rung of a model, else of a shipped config's name, and the next one up (None on the last).

    A model that is on no rung stands alone: a decision about it names no next config.
    """
    rung = next((item for item in (*RUNGS, _BASE) if item.model == model), None)
    if rung is None and model is None:
        rung = _CONFIGS.get(Path(config_name).stem if config_name else "", None if config_name else RUNGS[0])
    if rung is None:
        return Rung(name=model or str(config_name), model=model or str(config_name)), None
    names = [item.name for item in RUNGS]
    place = names.index(rung.name) + 1
    return rung, RUNGS[place] if place < len(RUNGS) else None


def write_next_config(
    decision: Decision, config_name: str | None, path: Path | str, *, config: Mapping[str, Any] | None = None
) -> Path | None:
    """Write the config of the next run and return its path; None, and no file, where the decision names none.

    It extends a shipped config and holds only what must differ, with the reason of each line. `config_name` is what the
    present run was started from and `config` its resolved settings: rows of the user's own, and the rewards that score
    them, go along to the next run. An earlier file at `path` is removed when there is nothing to write.
    """
    path = Path(path)
    if decision.next_config is None:
        path.unlink(missing_ok=True)
        return None
    config = config or {}
    goes_on = decision.scenario == "undecided"
    lines = [
        f"# After {Path(config_name).name if config_name else 'this run'}: {decision.title}",
        f"# {decision.reason}",
        f"# {decision.action}",
        f"# Start it: python -m grpo.run --config {path.name}",
        f"extends: {_write(_extends_of(decision, config_name if goes_on else None))}  # {_reason_of(decision)}",
    ]
    steps = (config.get("grpo") or {}).get("max_steps")
    if goes_on and isinstance(steps, int):
        lines += [
            "",
            "grpo:",
            f"  max_steps: {2 * steps}  # twice the {steps} of this run, whose curve was still rising",
        ]
    if not goes_on:
        lines += _carry_rows(config)
    draft = path.with_name(path.name + ".draft")
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(draft, path)
    return path


def _reason_of(decision: Decision) -> str:
    if decision.task == "sql_qa":
        return "the next rung: sql_qa is routed to the larger model"
    reasons = {
        "A": "the next rung, with the settings its size needs",
        "B": "the Base model, taught the JSON by an SFT warm-up first"
        if decision.next_config == _BASE.config
        else "the next rung: the Base model is no way out",
        "C": f"the same rung with a fix aimed at {decision.task}",
    }
    return reasons.get(decision.scenario, "the same recipe: the gain is real and not yet what was asked for")


def _extends_of(decision: Decision, config_name: str | None) -> str:
    """A shipped name as it is; a file as an absolute path, since the new config lies in another folder."""
    if config_name is None:
        return decision.next_config
    source = Path(config_name)
    return str(source.resolve()) if source.is_file() else config_name


def _carry_rows(config: Mapping[str, Any]) -> list[str]:
    """The lines that keep a user's own rows and rewards; the shop's are what every shipped config has."""
    data = config.get("data") or {}
    lines: list[str] = []
    if data.get("source") == "files":
        lines += ["", "data:  # the rows of this run", "  source: files"]
        for key in ("train", "held_out"):
            if data.get(key):
                lines.append(f"  {key}: {_write(os.path.abspath(data[key]))}")
        if functions := (config.get("rewards") or {}).get("functions"):
            lines += ["", "rewards:", "  functions:  # the functions that score these rows"]
            lines += [f"    - {_write(function)}" for function in functions]
    elif olist := (data.get("shop") or {}).get("olist"):
        lines += ["", "data:", "  shop:", f"    olist: {_write(os.path.abspath(olist))}  # the shop of this run"]
    return lines


def _write(value: Any) -> str:
    """A value as YAML on one line; JSON is YAML, and plain words need no quotes."""
    if isinstance(value, str) and value[:1].isalpha() and all(letter.isalnum() or letter in "._-/" for letter in value):
        return value
    return json.dumps(value, ensure_ascii=False)
