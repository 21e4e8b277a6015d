"""The commands a reader of the report may want next, each ready to be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

from grpo.report.run_files import RunFiles


def make_commands(run: RunFiles) -> list[tuple[str, str]]:
    """What each command does, and the command; places are as seen from the present folder where the run lies in it."""
    commands = []
    if run.source:
        words = ["python", "-m", "grpo.run", "--config", run.source]
        words += ["--profile", run.profile] if run.profile else []
        for override in run.overrides:
            words += ["--set", override]
        commands.append(("the same run again", shlex.join(words)))
    place = place_of(run)
    if run.status and not run.status.get("finished"):
        commands.append(("resume it", shlex.join(["python", "-m", "grpo.run", "--resume", place])))
    if (run.folder / "best").is_dir():
        name = run.folder.resolve().name
        words = ["python", "-m", "grpo.export", place, "--to", f"exports/{name}"]
        commands.append(("the best policy as files that answer anywhere", shlex.join(words)))
        commands.append(("a chat with it", shlex.join(["python", "-m", "grpo.chat", place])))
    if run.has_next_config:
        commands.append(
            ("the next run", shlex.join(["python", "-m", "grpo.run", "--config", f"{place}/next_config.yaml"]))
        )
    decide = ["python", "-m", "grpo.decide", "--metrics", f"{place}/metrics.jsonl"]
    decide += ["--config", run.source] if run.source else []
    decide += ["--profile", "embedded"] if run.profile == "embedded" else []
    commands.append(("the decision again", shlex.join(decide)))
    commands.append(("this report again", shlex.join(["python", "-m", "grpo.report", place])))
    return commands


def place_of(run: RunFiles) -> str:
    """The run's folder as a command names it."""
    whole, here = run.folder.resolve(), Path.cwd()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)
