"""The config of a run on one's own rows: a dozen lines, each with its reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from grpo.init.lengths import Lengths
from grpo.init.proposals import Reward
from grpo.init.split import Split


def write_config(source: str, model: str, split: Split, lengths: Lengths, rewards: Sequence[Reward], seed: int) -> str:
    """The YAML; its paths start at its own folder."""
    counted = f"the longest answer has {'' if lengths.exact else 'about '}{lengths.answer_longest} tokens, and a policy says more"
    lines = [
        f"# {_plain(source)}: {len(split.train)} rows to train on, {len(split.held_out)} held out. Every other key has its default:",
        "# python -m grpo.config show THIS_FILE prints them all.",
        f"seed: {seed}",
        _line("model", f"{{name: {_write(model)}{_longer(lengths)}}}", "any chat model of the Hub, or a folder"),
        "data: {source: files, train: train.jsonl, held_out: held_out.jsonl}",
        _line(
            "sft_warmup",
            "{enabled: true}",
            "shows the policy each training answer once; false: GRPO from the model as it is",
        ),
        "grpo:",
        _line("  max_steps", "200", "a first look; the decision says whether more are worth it"),
        _line("  prompts_per_step", "4", "x num_generations completions are written and scored a step"),
        _line("  num_generations", "8", "completions of one prompt, compared with each other"),
        _line("  learning_rate", "1.0e-5", "for LoRA adapters, the default of model.lora"),
        _line("  max_completion_length", str(lengths.max_completion_length), counted),
        "rewards:",
        "  functions:                       # an answer's reward is their mean by weight",
    ]
    for reward in rewards:
        given: dict[str, Any] = {"name": reward.name, "weight": reward.weight}
        given |= {"tasks": reward.tasks} if reward.tasks is not None else {}
        given |= {"options": reward.options} if reward.options else {}
        lines += [f"    # {reward.reason}", f"    - {_write(given)}"]
    lines += [
        "evaluation: {every_steps: 50}",
        "# decision: {target: 0.8}          # the held-out mean that would be good enough; without it the gain is judged",
    ]
    return "\n".join(lines) + "\n"


def _longer(lengths: Lengths) -> str:
    return "" if lengths.max_sequence_length <= 2048 else f", max_sequence_length: {lengths.max_sequence_length}"


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
