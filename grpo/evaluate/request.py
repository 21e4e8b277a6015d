"""What an evaluation is asked for: the config, the rows and the settings, with everything wrong in them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.evaluate import row_stream as rows
from grpo.evaluate.policy_source import PolicySource, find_source, is_run, load_run_config
from grpo.generation.answers import Settings
from rewards.errors import UserError

if TYPE_CHECKING:
    import argparse

    from grpo.config.run_config import RunConfig
    from grpo.evaluate.journal import Key
    from rewards.host.scoring import RewardHost


@dataclass
class Inputs:
    """A checked request."""

    source: PolicySource
    config: RunConfig
    rows: rows.CheckedRows
    settings: Settings
    host: RewardHost

    def keys(self) -> Iterator[Key]:
        """The key of each answer, in the data's order."""
        for example in self.rows:
            for sample in range(self.settings.samples):
                yield example.task, example.id, sample

    def to_json(self) -> dict[str, Any]:
        """All that the answers and their scores follow from; a resumed evaluation must have the same."""
        from grpo.compare.reading import describe_rewards

        return {
            "model": self.source.to_json(),
            "data": self.rows.to_json(),
            "settings": self.settings.to_json(),
            "rewards": describe_rewards(self.config.rewards.model_dump(mode="json")),
            "versions": {name: str(identity) for name, identity in self.host.identities().items()},
            "batch_size": self.config.evaluation.batch_size,
            "loading": self.config.model.model_dump(mode="json", include={"engine", "dtype", "quantization"}),
        }


def prepare(options: argparse.Namespace, processes: int = 1) -> Inputs:
    """The request that the command line makes; UserError with all that can be found wrong without a model."""
    from grpo.evaluate.backends import find_problems
    from rewards.config import build_host

    problems: list[str] = []
    source = _collect(problems, lambda: find_source(options.model))
    config = _collect(problems, lambda: find_config(options, source))
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
    host = _collect(problems, lambda: build_host(config.rewards))
    data = _collect(problems, lambda: _find_rows(options.data, config, _run_of(options, source)))
    if source is not None:
        named = config.model.name in (source.location, source.base)
        source = replace(source, revision=config.model.revision if named else None)
        problems += find_problems(config, source, processes)
    surveyed = None
    if data is not None and host is not None:
        surveyed = _collect(problems, lambda: rows.survey(data, host, options.limit))
    if problems or surveyed is None or source is None:
        raise UserError(problems)
    return Inputs(source, config, surveyed, make_settings(config, options.samples), host)


def make_settings(config: RunConfig, samples: int) -> Settings:
    """How a config's evaluation samples."""
    section = config.evaluation
    return Settings(
        temperature=section.temperature,
        top_p=section.top_p,
        top_k=section.top_k,
        repetition_penalty=section.repetition_penalty,
        max_completion_length=section.max_completion_length or config.grpo.max_completion_length,
        samples=samples,
        seed=section.seed,
        stop_repetition=section.stop_repetition,
    )


def find_config(options: argparse.Namespace, source: PolicySource | None) -> RunConfig:
    """The config of an evaluation: the one that `--config` names, else that of the run or of a single prompt, with the
    overrides.

    Raises UserError if no config is given and the model is not a run that has one.
    """
    from grpo.config.loading import load_config
    from grpo.config.run_config import RunConfig

    if options.config:
        return load_config(options.config, options.overrides, options.profile)
    if source is None:
        raise UserError("--config: not given; name a YAML file or a shipped config such as v4_1")
    if source.run is None and getattr(options, "prompt", None) is not None:
        # One question needs no rewards and no rows: nothing but the model, and its likeliest answer.
        return load_config("base", ["evaluation.temperature=0", *options.overrides], options.profile)
    if source.run is None:
        raise UserError(
            f"--config: not given, and --model {options.model} is not a run here that has one; name a YAML file or v4_1"
        )
    config = load_run_config(source.run)
    if not options.overrides:
        return config
    return RunConfig.model_validate(_override(config.model_dump(mode="json"), options.overrides))


def _override(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The recorded config with `section.key=value` laid over it; UserError for a key that it does not have."""
    from pydantic import ValidationError

    from grpo.config.run_config import RunConfig
    from grpo.config.yaml_layer import YamlLayer, parse_value

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
        source = YamlLayer(f"--set {key.strip()}", folder=Path.cwd())
        place[last] = parse_value(value, source)
        problems += source.problems
    if problems:
        raise UserError(problems)
    try:
        RunConfig.model_validate(values)
    except ValidationError as error:
        from grpo.config.problems import explain_config

        raise UserError(explain_config(error, lambda key: ("--set", None))) from None
    return values


def _find_rows(data: str | None, config: RunConfig, run: Path | None) -> rows.RowSource:
    """The rows of a file, or the held-out rows of a run or of the config."""
    from grpo.data.run_rows import load_inputs

    def held_out_of(config: RunConfig, name: str) -> rows.RowSource:
        held_out = load_inputs(config).held_out
        return rows.RowSource(f"held-out rows of {name}", lambda: iter(held_out))

    path = Path(data).expanduser() if data is not None else run
    if path is None:
        return held_out_of(config, config.name)
    if not path.is_dir():
        return rows.find_file(path)
    if not is_run(path):
        raise UserError(f"--data {data}: a folder, but not that of a run; give a JSON Lines file")
    name = path.resolve().name
    # Its evaluations hold the very rows that it answered, whatever became of their files since.
    for stage in ("before", "warmup", "final"):
        if (stored := path / "eval" / f"{stage}.jsonl").is_file():
            return rows.RowSource(f"held-out rows of {name}", lambda: rows.read_stored(stored), stored)
    return held_out_of(load_run_config(path, rows=True), name)


def _run_of(options: argparse.Namespace, source: PolicySource | None) -> Path | None:
    """The run whose held-out rows are meant where no data is named: that of the model, unless a config is named."""
    return source.run if source is not None and not options.config else None


def _collect(problems: list[str], make: Any) -> Any:
    try:
        return make()
    except UserError as error:
        problems += error.problems
        return None
