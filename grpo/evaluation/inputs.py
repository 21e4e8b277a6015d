"""What an evaluation is asked for: the config, the rows and the settings, with everything wrong in them at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from grpo.evaluation.answers import Settings
from grpo.evaluation.source import Source, find_source, is_run, load_run_config
from rewards.errors import UserError
from rewards.types import Example

if TYPE_CHECKING:
    import argparse

    from grpo.config import RunConfig
    from rewards.scoring import RewardHost

_SHOWN = 20


@dataclass
class Inputs:
    """A checked request. `data` says where the rows are from, `unrewarded` how many of them no reward function is for."""

    source: Source
    config: RunConfig
    examples: list[Example]
    data: dict[str, Any]
    settings: Settings
    host: RewardHost
    unrewarded: int

    def to_json(self) -> dict[str, Any]:
        """All that the answers and their scores follow from; a resumed evaluation must have the same."""
        from grpo.comparison.recorded import describe_rewards

        return {
            "model": self.source.to_json(),
            "data": self.data,
            "settings": self.settings.to_json(),
            "rewards": describe_rewards(self.config.rewards.model_dump(mode="json")),
            "versions": self.host.versions(),
            "batch_size": self.config.evaluation.batch_size,
        }


def prepare(options: argparse.Namespace) -> Inputs:
    """The request that the command line makes; UserError with all that can be found wrong without a model."""
    from rewards.config import build_host

    problems: list[str] = []
    source = _collect(problems, lambda: find_source(options.model))
    config = _collect(problems, lambda: _find_config(options, source))
    if options.samples < 1:
        problems.append(f"--samples: {options.samples}; give 1 or more")
    if options.limit is not None and options.limit < 1:
        problems.append(f"--limit: {options.limit}; give 1 or more, or leave it out")
    if config is None:
        raise UserError(problems)
    if options.samples > 1 and config.evaluation.temperature == 0:
        problems.append(
            f"--samples: {options.samples} greedy answers are one and the same; --set evaluation.temperature=0.7"
        )
    read = _collect(problems, lambda: _read_data(options.data, config, _run_of(options, source)))
    host = _collect(problems, lambda: build_host(config.rewards))
    if problems or read is None or host is None or source is None:
        raise UserError(problems)
    where, examples = read
    examples = examples[: options.limit]
    unfit = _find_unfit(host, examples)
    if unfit:
        raise UserError(unfit)
    section = config.evaluation
    settings = Settings(
        temperature=section.temperature,
        top_p=section.top_p,
        top_k=section.top_k,
        repetition_penalty=section.repetition_penalty,
        max_completion_length=section.max_completion_length or config.grpo.max_completion_length,
        samples=options.samples,
        seed=section.seed,
    )
    data = {"source": where, "examples": len(examples), "fingerprint": _fingerprint(examples)}
    unrewarded = sum(not host.functions_for(example.task) for example in examples)
    return Inputs(source, config, examples, data, settings, host, unrewarded)


def check_lengths(
    prompts: Sequence[Sequence[int]], examples: Sequence[Example], settings: Settings, context: int
) -> None:
    """UserError for prompts that leave no room for an answer in the model's context of so many tokens."""
    long = [
        f"{example.id} ({len(prompt)})"
        for prompt, example in zip(prompts, examples, strict=True)
        if len(prompt) + settings.max_completion_length > context
    ]
    if long:
        shown = ", ".join(long[:3]) + (f" and {len(long) - 3} more" if len(long) > 3 else "")
        raise UserError(
            f"--data: prompts of so many tokens and answers of {settings.max_completion_length} are beyond the model's "
            f"context of {context}: {shown}; --set evaluation.max_completion_length=N lowers it"
        )


def _find_config(options: argparse.Namespace, source: Source | None) -> RunConfig:
    from grpo.config import RunConfig, load_config

    if options.config:
        return load_config(options.config, options.overrides, options.profile)
    if source is None:
        raise UserError("--config: not given; name a YAML file or a shipped config such as v4_1")
    if source.run is None:
        raise UserError("--config: not given, and the model is no run that has one; name a YAML file or v4_1")
    config = load_run_config(source.run)
    if not options.overrides:
        return config
    return RunConfig.model_validate(_override(config.model_dump(mode="json"), options.overrides))


def _override(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The recorded config with `section.key=value` laid over it; UserError for a key that it does not have."""
    from pydantic import ValidationError

    from grpo.config import RunConfig
    from grpo.yaml_source import parse_value

    problems = []
    for text in overrides:
        key, equals, value = text.partition("=")
        place: Any = values
        *above, last = key.strip().split(".")
        for part in above:
            place = place.get(part) if isinstance(place, dict) else None
        if not equals or not isinstance(place, dict) or last not in place:
            problems.append(f"--set {text}: no such setting in the run's config; write section.key=value")
            continue
        place[last] = parse_value(value)
    if problems:
        raise UserError(problems)
    try:
        RunConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(
            [f"--set {'.'.join(map(str, e['loc']))}: {e['msg']}; found {e['input']!r}" for e in error.errors()]
        ) from None
    return values


def _read_data(data: str | None, config: RunConfig, run: Path | None) -> tuple[str, list[Example]]:
    """Where the rows are from, and the rows: of a file, or the held-out rows of a run or of the config."""
    from grpo.data.rows import read_rows
    from grpo.inputs import load_inputs

    if data is None and run is None:
        return f"held-out rows of {config.name}", load_inputs(config).held_out
    path = Path(data).expanduser() if data is not None else run
    if path.is_dir():
        if not is_run(path):
            raise UserError(f"--data {data}: a folder, but not that of a run; give a JSON Lines file")
        where = f"held-out rows of {path.resolve().name}"
        # Its evaluations hold the very rows that it answered, whatever became of their files since.
        for stage in ("before", "warmup", "final"):
            if (stored := path / "eval" / f"{stage}.jsonl").is_file():
                return where, _read_stored(stored)
        return where, load_inputs(load_run_config(path, rows=True)).held_out
    return path.name, _read_stored(path) if _is_stored(path) else read_rows(path)


def _read_stored(path: Path) -> list[Example]:
    from rewards.rows import read_examples

    return list({(example.task, example.id): example for example in read_examples(str(path))}.values())


def _run_of(options: argparse.Namespace, source: Source | None) -> Path | None:
    """The run whose held-out rows are meant where no data is named: that of the model, unless a config is named."""
    return source.run if source is not None and not options.config else None


def _is_stored(path: Path) -> bool:
    """Whether a file holds stored completions: their rows bring the columns in a place of their own."""
    try:
        with path.open("rb") as file:
            first = orjson.loads(next((line for line in file if line.strip()), b"null"))
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and {"completion", "scores"} <= first.keys()


def _find_unfit(host: RewardHost, examples: Sequence[Example]) -> list[str]:
    """What the reward functions miss in the rows, a line for each fault with the number of rows that have it."""
    from rewards.calls import ask_problems

    found: dict[tuple[str, str], list[str]] = {}
    for example in examples:
        for entry in host.functions_for(example.task):
            for line in ask_problems(entry.function, example):
                found.setdefault((entry.function.name, line), []).append(example.id)
    lines = [
        f"--data: example {ids[0]!r}{f' and {len(ids) - 1} more' if len(ids) > 1 else ''}: reward '{name}': {line}"
        for (name, line), ids in found.items()
    ]
    return lines[:_SHOWN] + ([f"--data: and {len(lines) - _SHOWN} more faults"] if len(lines) > _SHOWN else [])


def _fingerprint(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        turns = [dict(turn) for turn in example.prompt]
        columns = {name: value for name, value in example.columns.items() if name != "database"}
        digest.update(orjson.dumps([example.id, example.task, turns, example.reference, columns], default=str))
    return digest.hexdigest()[:16]


def _collect(problems: list[str], make: Any) -> Any:
    try:
        return make()
    except UserError as error:
        problems += error.problems
        return None
