"""The journal: sessions of the harness and training runs in the order of time, written from what they left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from grpo.checklist.checks import FAILED
from grpo.checklist.run_files import check_files
from grpo.evaluate.policy_source import is_run
from grpo.harness.page import read_summary
from grpo.harness.session import HarnessSession
from rewards.errors import RecompensaError
from rewards.screen.amounts import format_seconds
from rewards.screen.harmless_text import make_label
from rewards.writing.files import read_object

_TOLD = ("finished", "gain", "regressed_tasks", "watch_rules")


def make_journal(sessions: Sequence[HarnessSession], runs: Sequence[Path] = ()) -> str:
    """The sessions and the runs as a journal in Markdown, the newest first: what was done, what came of it, what it means."""
    entries = [(session.started, _write_session(session)) for session in sessions]
    entries += [(_find_start(run), _write_run(run)) for run in runs]
    lines = ["# Journal", ""]
    for _, written in sorted(entries, key=lambda entry: entry[0], reverse=True):
        lines += [*written, ""]
    return "\n".join(lines)


def list_runs(home: Path) -> list[Path]:
    """The training runs of a folder: itself where it is one, else those right below it."""
    if is_run(home):
        return [home]
    return [path.parent for path in sorted(home.glob("*/config.json")) if is_run(path.parent)]


def _find_start(run: Path) -> str:
    """When a run's folder was begun: its config is written first and never again."""
    return f"{datetime.fromtimestamp((run / 'config.json').stat().st_mtime, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _write_run(run: Path) -> list[str]:
    config = read_object(run / "config.json").get("config") or {}
    status, decision = read_object(run / "status.json"), read_object(run / "decision.json")
    model = config.get("model") or {}
    policy = "embedded policy" if model.get("embedded") else str(model.get("name"))
    stages = " then ".join(config.get("stages") or (["sft"] if (run / "sft").is_dir() else []) + ["grpo"])
    seconds = status.get("seconds")
    took = f", {format_seconds(seconds)}" if isinstance(seconds, int | float) else ""
    lines = [f"## {_find_start(run)[:10]} {_plain(run.resolve().name)}", ""]
    lines += [f"Training: recipe {_plain(config.get('name') or '?')}, {_plain(policy)}, {_plain(stages)}{took}.", ""]
    try:
        checks = [check for check in check_files(run) if check.name in _TOLD]
    except (RecompensaError, OSError) as error:  # one broken folder does not take the others from the journal
        return [*lines, f"- cannot be read: {_plain(str(error))}"]
    lines += [f"- {'FAILED: ' if check.status == FAILED else ''}{_plain(check.said)}" for check in checks]
    if decision.get("action"):
        lines.append(f"- decision: {_plain(decision.get('title') or '')}. {_plain(decision['action'])}")
    return lines


def _write_session(session: HarnessSession) -> list[str]:
    summary = read_summary(session)
    lines = [f"## {session.started[:10]} {_plain(session.suite)}", ""]
    shares = ", ".join(f"{_plain(name)} {count}" for name, count in session.categories.items())
    lines += [f"{summary['prompts']} prompts ({shares}), suite {session.fingerprint}, `{session.folder.name}`.", ""]
    for model in summary["models"]:
        total = model["results"].get("all")
        if total is None:
            said = ": ".join(filter(None, (model["status"], model["said"])))
            lines.append(f"- {_plain(model['name'])}: {_plain(said)}")
            continue
        interval = "" if total["low"] is None else f" ({total['low']:.3f} to {total['high']:.3f}, n {total['n']})"
        hurt = summary["did_training_hurt"].get(model["folder"], {}).get("answer")
        verdict = f"; {hurt}" if hurt else "; the baseline" if model["folder"] == summary["baseline"] else ""
        lines.append(f"- {_plain(model['name'])}: {total['mean']:.3f}{interval}{_plain(verdict)}")
    for alarm in summary["alarms"]:
        lines.append(f"- ALARM: {_plain(alarm)}")
    if statement := summary["leaderboard"].get("statement"):
        lines += ["", f"{_plain(statement)}."]
    return lines


def _plain(text: object) -> str:
    """Foreign text for one line of Markdown, in which nothing is markup."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#~" else letter for letter in make_label(text, 300))
