"""A session: one suite asked of several models at one time, each by `python -m grpo.evaluate` in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grpo.evaluate.policy_source import find_source
from grpo.harness.suite import Suite
from rewards.errors import UserError
from rewards.screen.command_line import DONE, INTERRUPTED
from rewards.siblings import command_words
from rewards.writing.files import read_object, write_json

FILE = "session.json"
WAITING, DONE_STATUS, FAILED, STOPPED = "waiting", "done", "failed", "interrupted"
_LAST_LINES = 3


@dataclass
class AskedModel:
    """One model of a session: as it was named, the folder of its answers, and how far it came."""

    name: str
    model: str
    folder: str
    status: str = WAITING
    said: str = ""

    def to_json(self) -> dict[str, Any]:
        """The model as the results name it."""
        return {name: getattr(self, name) for name in ("name", "model", "folder", "status", "said")}


@dataclass
class HarnessSession:
    """`folder` holds `session.json`, the suite's `rows.jsonl`, and a folder of answers a model."""

    folder: Path
    suite: str
    fingerprint: str
    started: str
    options: list[str]
    models: list[AskedModel]
    categories: dict[str, int]

    def save(self) -> None:
        write_json(
            self.folder / FILE,
            {
                "suite": self.suite, "fingerprint": self.fingerprint, "started": self.started, "options": self.options,
                "categories": self.categories, "models": [model.to_json() for model in self.models],
            },
        )  # fmt: skip

    @property
    def evaluations(self) -> list[Path]:
        """The folders of the models that answered everything."""
        return [self.folder / model.folder for model in self.models if model.status == DONE_STATUS]


def open_session(home: Path, suite: Suite, models: Sequence[str], options: Sequence[str]) -> HarnessSession:
    """A new session in a folder of its own below `home`; `UserError` for a model that is none."""
    problems: list[str] = []
    asked: list[AskedModel] = []
    for model in models:
        try:
            source = find_source(model)
        except UserError as error:
            problems += error.problems
            continue
        name = re.sub(r"[^\w.-]+", "-", source.name).strip("-.") or "model"
        taken = sum(re.sub(r"-\d+\Z", "", other.folder) == name for other in asked)
        own = name if not taken else f"{name}-{taken + 1}"
        asked.append(AskedModel(own, model, own))
    if problems:
        raise UserError(problems)
    now = datetime.now(UTC)
    stem = re.sub(r"[^\w.-]+", "-", suite.name).strip("-.") or "suite"
    folder = home / f"{now:%Y%m%d-%H%M%S}-{stem}"
    number = 1
    while folder.exists():
        number += 1
        folder = home / f"{now:%Y%m%d-%H%M%S}-{stem}-{number}"
    try:
        folder.mkdir(parents=True)
        suite.write_rows(folder / "rows.jsonl")
    except OSError as error:
        raise UserError(f"--home {home}: cannot be written ({error.strerror}); give another folder") from None
    session = HarnessSession(
        folder, suite.name, suite.fingerprint, f"{now:%Y-%m-%dT%H:%M:%SZ}", list(options), asked, suite.categories
    )
    session.save()
    return session


def read_session(folder: Path) -> HarnessSession:
    """The session of a folder; `UserError` where it is none."""
    found = read_object(folder / FILE)
    try:
        models = [
            AskedModel(**{key: str(model[key]) for key in AskedModel.__annotations__}) for model in found["models"]
        ]
        return HarnessSession(
            folder, str(found["suite"]), str(found["fingerprint"]), str(found["started"]),
            [str(each) for each in found["options"]], models,
            {str(name): int(count) for name, count in found["categories"].items()},
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UserError(
            f"{folder}: no session ({FILE} is missing or broken); begin one: python -m grpo.harness run"
        ) from None


def list_sessions(home: Path) -> list[HarnessSession]:
    """The sessions below a folder, the oldest first; what is none is passed over."""
    found = []
    for path in sorted(home.glob(f"*/{FILE}")):
        try:
            found.append(read_session(path.parent))
        except UserError:
            continue
    return found


def ask_models(session: HarnessSession, say: Callable[[str], Any]) -> int:
    """Ask every model that has not answered; the exit code: 0 all did, 1 one failed, 75 interrupted.

    One that fails does not stop the others: it stands in the table with the last line that it said.
    """
    for model in session.models:
        if model.status == DONE_STATUS:
            continue
        say(f"{model.name}: asking {sum(session.categories.values())} prompts")
        code, said = _evaluate(session, model)
        model.status = DONE_STATUS if code == DONE else STOPPED if code == INTERRUPTED else FAILED
        model.said = "" if code == DONE else said
        session.save()
        say(": ".join(filter(None, (model.name, model.status, model.said))))
        if model.status == STOPPED:
            return INTERRUPTED
    return DONE if all(model.status == DONE_STATUS for model in session.models) else 1


def _evaluate(session: HarnessSession, model: AskedModel) -> tuple[int, str]:
    out = session.folder / model.folder
    words = command_words(
        "evaluate", "--model", model.model, "--data", str(session.folder / "rows.jsonl"), "--out", str(out), "--quiet",
        *(["--resume"] if (out / "evaluation.json").is_file() or (out / "rows.jsonl").is_file() else []),
        *session.options,
        *(() if "--config" in session.options or find_source(model.model).run else ("--config", "base")),
        "--set", "rewards.functions=[{name: expectations, weight: 1.0}]",
    )  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    lines: list[str] = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            lines = [*lines[-_LAST_LINES:], line.strip()]
            print(line, end="", file=sys.stderr, flush=True)
        return process.wait(), next((line for line in reversed(lines) if line.startswith("error")), " ".join(lines))[
            :500
        ]
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        return INTERRUPTED, "stopped"
