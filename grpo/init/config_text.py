"""The config of a run on one's own rows: a dozen lines, each with its reason."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpo.config.yaml_layer import read_source
from grpo.init.lengths import Lengths
from grpo.init.proposals import Reward
from grpo.init.split import MOST, Split
from rewards.errors import UserError


@dataclass(frozen=True)
class Base:
    """A config that the new one extends: its keys are left to it. `path` is None where there is none."""

    path: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def read(self, section: str, key: str) -> Any:
        """What the base says of a key of a section; None where it says nothing."""
        found = self.settings.get(section)
        return found.get(key) if isinstance(found, Mapping) else None


def read_base(path: Path, folder: Path) -> Base:
    """The config at `path`, to be extended by one in `folder`; `UserError` where it cannot be read."""
    if not path.is_file():
        raise UserError(f"--extends {path}: no such file; `python -m grpo.config from-trl FILE --output` writes one")
    source = read_source(path)
    if source.problems:
        raise UserError([f"--extends: {line}" for line in source.problems])
    return Base(Path(os.path.relpath(path.resolve(), folder.resolve())), source.data)


def write_config(
    source: str,
    model: str,
    split: Split,
    lengths: Lengths,
    rewards: Sequence[Reward],
    seed: int,
    base: Base = Base(),
) -> str:
    """The YAML; its paths start at its own folder."""
    answered = any(row.reference is not None for row in split.train)
    counted = f"the longest answer has {'' if lengths.exact else 'about '}{lengths.answer_longest} tokens, and a policy says more"
    lines = [
        f"# {_plain(source)}: {len(split.train)} rows to train on, {len(split.held_out)} held out. Every other key has its "
        f"{'default' if base.path is None else 'value of the config that this one extends'}:",
        "# python -m grpo.config show THIS_FILE prints them all.",
    ]
    if base.path is not None:
        name = source.replace("\\", "/").rstrip("/").rpartition("/")[2].partition(".")[0]
        lines += [
            f"name: {_write(_plain(name))}",
            _line("extends", _write(base.path.as_posix()), "what it says stands, but for what follows"),
        ]
    lines += [f"seed: {seed}"] if base.settings.get("seed") is None else []
    lines += _write_model(model, lengths, base)
    lines += ["data: {source: files, train: train.jsonl, held_out: held_out.jsonl}"]
    if not answered:
        lines += [_line("sft_warmup", "{enabled: false}", "the rows have no answers to show the policy first")]
    elif base.path is None:
        shown = "shows the policy each training answer once; false: GRPO from the model as it is"
        lines += [_line("sft_warmup", "{enabled: true}", shown)]
    settings = [
        ("max_steps", "200", "a first look; the decision says whether more are worth it"),
        ("prompts_per_step", "4", "x num_generations completions are written and scored a step"),
        ("num_generations", "8", "completions of one prompt, compared with each other"),
        ("learning_rate", "1.0e-5", "for LoRA adapters, the default of model.lora"),
        (
            "max_completion_length",
            str(lengths.max_completion_length),
            counted if answered else "no answer tells how long one is",
        ),
    ]
    # A config to build upon has settings of its own, or their defaults.
    own = [_line(f"  {name}", value, reason) for name, value, reason in settings if base.path is None]
    lines += [*(["grpo:"] if own else []), *own]
    lines += [
        "rewards:",
        "  functions:                       # an answer's reward is their mean by weight",
    ]
    for reward in rewards:
        given: dict[str, Any] = {"name": reward.name}
        given |= {"weight": reward.weight} if reward.weight is not None else {}
        given |= {"tasks": reward.tasks} if reward.tasks is not None else {}
        given |= {"options": reward.options} if reward.options else {}
        lines += [f"    # {reward.reason}", f"    - {_write(given)}"]
    lines += [
        *_write_evaluation(split, base),
        "# decision: {target: 0.8}          # the held-out mean that would be good enough; without it the gain is judged",
    ]
    return "\n".join(lines) + "\n"


def _write_model(model: str, lengths: Lengths, base: Base) -> list[str]:
    said = base.read("model", "name")
    name = {} if said == model else {"name": model}
    longer = lengths.max_sequence_length > max(2048, base.read("model", "max_sequence_length") or 0)
    settings = {**name, **({"max_sequence_length": lengths.max_sequence_length} if longer else {})}
    if not settings:
        return []
    return [
        _line("model", _write(settings), "any chat model of the Hub, or a folder" if name else "for the longest rows")
    ]


def _write_evaluation(split: Split, base: Base) -> list[str]:
    settings = {"every_steps": 50} if base.path is None else {}
    if len(split.held_out) > MOST:
        settings["max_examples"] = MOST
    return [f"evaluation: {_write(settings)}"] if settings else []


def _line(key: str, value: str, reason: str) -> str:
    return f"{f'{key}: {value}':<34} # {reason}"


def _write(value: Any) -> str:
    """A value as YAML on one line: JSON is YAML, and plain words need no quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_write(str(key))}: {_write(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_write, value)) + "]"
    plain = (
        isinstance(value, str)
        and value.replace("_", "a").replace("/", "a").replace("-", "a").replace(".", "a").isalnum()
    )
    if plain and value[0].isalpha() and value.isascii() and value.lower() not in _RESERVED:
        return value
    return json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
