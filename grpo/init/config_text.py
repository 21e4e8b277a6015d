"""The config of a run on one's own rows: a dozen lines, each with its reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from grpo.init.lengths import Lengths
from grpo.init.proposals import Reward
from grpo.init.split import Split


def write_config(
    source: str,
    model: str | None,
    split: Split,
    lengths: Lengths,
    rewards: Sequence[Reward],
    seed: int,
    extends: str | None = None,
) -> str:
    """The YAML; its paths start at its own folder. It says nothing of what the config that it `extends` says.

    `model` is None where that config names it.
    """
    head = (
        f"# {_plain(source)}: {len(split.train)} rows to train on, {len(split.held_out)} held out. Every other key has its "
        f"{'default' if extends is None else 'value of the config that this one extends'}:\n"
        "# python -m grpo.config show THIS_FILE prints them all."
    )
    if extends is None:
        training = _write_training(str(model), lengths, seed)
    else:
        name = source.replace("\\", "/").rpartition("/")[2].partition(".")[0]
        training = [f"name: {_write(_plain(name))}", f"extends: {_write(extends)}"]
        training += [] if model is None else [f"model: {{name: {_write(model)}}}"]
        training += ["data: {source: files, train: train.jsonl, held_out: held_out.jsonl}"]
    lines = [
        head,
        *training,
        "rewards:",
        "  functions:                       # an answer's reward is their mean by weight",
    ]
    for reward in rewards:
        given: dict[str, Any] = {"name": reward.name, "weight": reward.weight}
        given |= {"tasks": reward.tasks} if reward.tasks is not None else {}
        given |= {"options": reward.options} if reward.options else {}
        lines += [f"    # {reward.reason}", f"    - {_write(given)}"]
    if extends is None:
        lines.append("evaluation: {every_steps: 50}")
    lines.append(
        "# decision: {target: 0.8}          # the held-out mean that would be good enough; without it the gain is judged"
    )
    return "\n".join(lines) + "\n"


def _write_training(model: str, lengths: Lengths, seed: int) -> list[str]:
    """The lines of a first training on rows of these lengths."""
    counted = f"the longest answer has {'' if lengths.exact else 'about '}{lengths.answer_longest} tokens, and a policy says more"
    return [
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
    ]


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
