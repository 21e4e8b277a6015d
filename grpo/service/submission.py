"""What a team hands in: a config, changes to it, its place in the queue; and what of it is refused before it is queued."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from grpo.service.ledger import DECISION, QueuedRun
from rewards.errors import UserError
from rewards.siblings import command_words

MOST_RUNS = 32
NAME = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}$"
_SECONDS_OF_PREFLIGHT = 600.0

_NO_NUL = r"^[^\x00]*$"
Scalar = (
    bool
    | int
    | Annotated[float, Field(allow_inf_nan=False)]
    | Annotated[str, Field(max_length=1000, pattern=_NO_NUL)]
    | None
)


def _text(pattern: str, allowed: str, longest: int) -> Any:
    """A text that keeps a pattern, and is told in words how to be written where it does not."""

    def check(text: str) -> str:
        # fullmatch: `$` alone would let a line break at the end pass; a lone surrogate cannot be written to a file.
        written = text.encode("utf-8", "ignore").decode() == text
        if len(text) > longest or not written or not re.fullmatch(pattern, text):
            raise ValueError(f"cannot be read; allowed: {allowed}, at most {longest:,} characters")
        return text

    return Annotated[str, AfterValidator(check), Field(json_schema_extra={"pattern": pattern, "maxLength": longest})]


if TYPE_CHECKING:
    RunName = str
    Override = str
    SettingName = str
else:
    RunName = _text(NAME, "letters without accents, digits and . _ -, beginning with a letter or digit", 100)
    Override = _text(
        r"^[A-Za-z_][A-Za-z0-9_.\[\]\-]*=[^\x00]*$", "a change KEY=VALUE, such as grpo.max_steps=100", 4000
    )
    SettingName = _text(r"^[A-Za-z_][A-Za-z0-9_.]*$", "the name of a setting, such as grpo.learning_rate", 200)


class Submission(BaseModel):
    """A run to queue, or with `seeds` and `sweep` a group of them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"config": "v4_1.yaml", "set": ["seed=7"]}],
            "oneOf": [{"required": ["config"]}, {"required": ["yaml"]}],
        },
    )

    name: RunName | None = Field(None, description="The name of the run; by default config, date and time.")
    config: str | None = Field(
        None, min_length=1, max_length=1000,
        description="A shipped config by name, a file in an allowed folder, or `decision`: the one that the run under "
        "`after` decides for.",
    )  # fmt: skip
    yaml: str | None = Field(
        None, min_length=1, max_length=200_000, description="The text of a config, in place of one."
    )
    set: list[Override] = Field(
        default_factory=list, max_length=200, description="Changes to it, such as grpo.max_steps=100."
    )
    profile: Literal["auto", "gpu", "small", "embedded"] = "auto"
    priority: int = Field(0, ge=-1000, le=1000, description="Higher ones are started first.")
    after: RunName | None = Field(None, description="The run that must finish before this one starts.")
    seeds: list[int] = Field(default_factory=list, max_length=MOST_RUNS, description="One run a seed.")
    sweep: dict[SettingName, list[Scalar]] = Field(
        default_factory=dict, max_length=8, description="One run for each combination of these settings' values."
    )

    @model_validator(mode="after")
    def _says_what(self) -> Submission:
        if (self.config is None) == (self.yaml is None):
            raise ValueError("give either config or yaml")
        if self.config == DECISION and (self.after is None or self.seeds or self.sweep):
            raise ValueError("config decision needs the run it follows under after, and takes neither seeds nor sweep")
        if any(not values for values in self.sweep.values()):
            raise ValueError("sweep: a setting without values")
        if self.count() > MOST_RUNS:
            raise ValueError(f"{self.count()} runs at once; at most {MOST_RUNS}")
        return self

    def count(self) -> int:
        """How many runs it makes."""
        runs = max(1, len(self.seeds))
        for values in self.sweep.values():
            runs *= len(values)
        return runs

    def list_overrides(self) -> list[list[str]]:
        """The changes of each run; those of a combination come before the seeds."""
        swept = [[f"{key}={_write(value)}" for value in values] for key, values in self.sweep.items()]
        seeds = [[f"seed={seed}"] for seed in self.seeds] or [[]]
        return [[*self.set, *chosen, *seed] for chosen in itertools.product(*swept) for seed in seeds]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a config from the network may touch: files in these folders, and plugins that are installed."""

    folders: tuple[Path, ...]
    modules: frozenset[str]

    def holds(self, path: Path) -> bool:
        """Whether a file lies in an allowed folder, links followed."""
        try:
            whole = path.expanduser().resolve()
        except (OSError, ValueError, RuntimeError):  # a NUL, nobody's home, a circle of links
            return False
        return any(whole.is_relative_to(folder.resolve()) for folder in self.folders)


def find_allowed(folders: Sequence[Path]) -> Allowed:
    """The folders, and the modules that installed distributions offer as plugins."""
    from importlib.metadata import entry_points

    points = entry_points(group="recompensa")
    return Allowed(tuple(folders), frozenset(point.value.split(":")[0] for point in points))


Preflight = Callable[[str, Sequence[str], str], list[str]]


def make_runs(submission: Submission, kept: Path, allowed: Allowed, preflight: Preflight) -> list[QueuedRun]:
    """The runs of a submission, checked and proven; UserError with every line of what is wrong.

    A text is written into `kept` first, into a folder of its own, and is gone again where it is refused. Nothing of a config is imported before its plugins and paths are known to be
    allowed; then the run's own preflight says the rest, once for each combination of a sweep.
    """
    stem = (
        submission.name or f"{_stem(submission)}-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() // 1000 % 1000:03d}"
    )
    variants = submission.list_overrides()
    names = (
        [stem] if len(variants) == 1 else [f"{stem}-{_suffix(submission, number)}" for number in range(len(variants))]
    )
    config = submission.config or ""
    if config != DECISION:
        if submission.yaml is not None:
            # Not one of the name alone: a group that is still queued may have it.
            path = kept / "configs" / str(time.time_ns()) / f"{stem}.yaml"
            path.parent.mkdir(parents=True)
            path.write_text(submission.yaml, encoding="utf-8")
            config = str(path)
        try:
            check_allowed(config, variants, allowed, uploaded=submission.yaml is not None)
            seeds = max(1, len(submission.seeds))
            problems = [line for each in variants[::seeds] for line in preflight(config, each, submission.profile)]
            if problems:
                raise UserError(
                    [line.replace(config, "yaml") if submission.yaml else line for line in dict.fromkeys(problems)]
                )
        except BaseException:
            if submission.yaml is not None:
                forget_text(config)
            raise
    return [
        QueuedRun(
            name, config, "waiting" if submission.after else "queued", tuple(overrides), submission.profile,
            submission.priority, stem if len(variants) > 1 else None, submission.after,
        )
        for name, overrides in zip(names, variants, strict=True)
    ]  # fmt: skip


def forget_text(config: str) -> None:
    """Delete the text of a submission that came to nothing."""
    shutil.rmtree(Path(config).parent, ignore_errors=True)


def check_allowed(config: str, variants: Sequence[Sequence[str]], allowed: Allowed, *, uploaded: bool = False) -> None:
    """Refuse a config with a plugin that is not installed, or a path outside of the allowed folders; UserError says which."""
    from grpo.config.loading import configs_folder, find_config
    from grpo.config.yaml_layer import YamlLayer, parse_value, read_source

    problems: list[str] = []
    shipped = Allowed((*allowed.folders, configs_folder()), allowed.modules)
    path = find_config(config)
    if not uploaded and not shipped.holds(path):
        raise UserError(f"config: {config}: not in an allowed folder ({_list(allowed)}); serve --allow adds one")
    seen: set[Path] = set()
    while path.resolve() not in seen:
        seen.add(path.resolve())
        layer = read_source(path, "yaml" if uploaded and len(seen) == 1 else str(path))
        problems += layer.problems
        problems += _check_texts(layer.data, layer.name, layer.folder or path.parent, shipped)
        base = layer.data.get("extends")
        if not isinstance(base, str):
            break
        path = find_config(base, layer.folder) if _is_there(base, layer.folder) else find_config(base)
        if not shipped.holds(path):
            problems.append(f"{layer.name}: extends: {base}: not in an allowed folder ({_list(allowed)})")
            break
    for override in {text for variant in variants for text in variant}:
        key, _, text = override.partition("=")
        layer = YamlLayer("set")
        value = parse_value(text, layer)
        problems += layer.problems
        problems += _check_texts({key: value}, "set", Path.cwd(), shipped)
    if problems:
        raise UserError(problems)


def run_preflight_apart(config: str, overrides: Sequence[str], profile: str) -> list[str]:
    """What the run's own plan and preflight say against a config, in a process of its own; nothing where it may start."""
    words = ["--dry-run", "--quiet", "--config", config, "--profile", profile]
    for override in overrides:
        words += ["--set", override]
    try:
        done = subprocess.run(
            command_words("run", *words), capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            timeout=_SECONDS_OF_PREFLIGHT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [f"preflight took longer than {_SECONDS_OF_PREFLIGHT:.0f} s"]
    if done.returncode == 0:
        return []
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors or lines[-20:] or [f"preflight ended with exit code {done.returncode}"]


def _check_texts(value: Any, where: str, folder: Path, allowed: Allowed, key: str = "") -> list[str]:
    if isinstance(value, dict):
        return [
            line
            for name, item in value.items()
            if not (name == "extends" and not key)
            for line in _check_texts(item, where, folder, allowed, f"{key}.{name}" if key else str(name))
        ]
    if isinstance(value, list):
        return [line for item in value for line in _check_texts(item, where, folder, allowed, key)]
    if not isinstance(value, str) or not value or len(value) > 4000 or "\n" in value:
        return []
    if key.endswith("plugins") and not _looks_like_path(value):
        beside = any((place / f"{value}.py").is_file() for place in (folder, Path.cwd()))
        if value not in allowed.modules and not beside:
            return [
                f"{where}: {key}: {value}: not an installed plugin; install its distribution on the service's machine"
            ]
        return (
            [] if value in allowed.modules or allowed.holds(folder / f"{value}.py") else [_outside(where, key, value)]
        )
    if not _looks_like_path(value) and not _is_there(value, folder):
        return []
    inside = allowed.holds(Path(value) if value.startswith("~") else folder / value)
    return [] if inside else [_outside(where, key, value)]


def _outside(where: str, key: str, value: str) -> str:
    return f"{where}: {key}: {value}: outside of the allowed folders"


def _looks_like_path(text: str) -> bool:
    if text.startswith(("/", "~", "./", "../", "\\")):
        return True
    return "/../" in text or text.endswith(("/..", ".py"))


def _is_there(text: str, folder: Path | None) -> bool:
    try:
        return ((folder or Path.cwd()) / Path(text).expanduser()).exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _list(allowed: Allowed) -> str:
    return ", ".join(map(str, allowed.folders)) or "none"


def _stem(submission: Submission) -> str:
    text = submission.config or ""
    if submission.yaml is not None:
        found = re.search(r"^name:\s*['\"]?([A-Za-z0-9._\-]+)", submission.yaml, re.MULTILINE)
        text = found[1] if found else "run"
    return re.sub(r"[^A-Za-z0-9._\-]+", "-", Path(text).stem).strip("-._")[:60] or "run"


def _suffix(submission: Submission, number: int) -> str:
    seeds = submission.seeds
    if not submission.sweep:
        return f"seed{seeds[number]}"
    combination = number // max(1, len(seeds)) + 1
    return f"{combination:02d}" + (f"-seed{seeds[number % len(seeds)]}" if seeds else "")


def _write(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
