"""The page of a session, and the table of many: one file each, nothing in them that an answer could start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grpo.harness.results import list_answers, summarise_session
from grpo.harness.session import HarnessSession
from rewards.errors import UserError
from rewards.screen.harmless_text import make_visible
from rewards.writing.files import write_whole
from rewards.writing.secrets import hide_environment

_TEMPLATES = Path(__file__).with_name("templates")
_STYLE = Path(__file__).parents[1] / "report" / "templates"


def write_page(session: HarnessSession, summary: dict[str, Any]) -> Path:
    """Write `report.html` into the session's folder, the models side by side, and return its path."""
    path = session.folder / "report.html"
    text = _render("session.html.j2", session=summary, answers=list_answers(session))
    write_whole(path, hide_environment(text).encode("utf-8", "replace"))
    return path


def make_table(sessions: Sequence[HarnessSession]) -> list[dict[str, Any]]:
    """Every model of every session, the oldest first: when, which suite, how far it came, its mean with its interval."""
    rows = []
    for session in sessions:
        summary = read_summary(session)
        for model in summary["models"]:
            total = model["results"].get("all") or {}
            hurt = summary["did_training_hurt"].get(model["folder"], {}).get("answer", "")
            rows.append(
                {
                    "date": session.started, "suite": session.suite, "fingerprint": session.fingerprint,
                    "session": session.folder.name, "model": model["name"], "status": model["status"],
                    "mean": total.get("mean"), "low": total.get("low"), "high": total.get("high"), "n": total.get("n"),
                    "against_baseline": "baseline" if model["folder"] == summary["baseline"] else hurt,
                    "said": model["said"],
                }
            )  # fmt: skip
    return rows


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The cumulative table as one page."""
    write_whole(path, hide_environment(_render("table.html.j2", rows=rows)).encode("utf-8", "replace"))


def read_summary(session: HarnessSession) -> dict[str, Any]:
    """The summary of a session; if it cannot be read, one that says so for each model."""
    try:
        return summarise_session(session)
    except (UserError, OSError) as error:  # one broken folder does not take the others from the table
        models = [
            {**model.to_json(), "status": "unreadable", "said": str(error)[:200], "results": {}}
            for model in session.models
        ]
        return {
            "models": models, "did_training_hurt": {}, "baseline": None, "alarms": [], "leaderboard": {},
            "prompts": sum(session.categories.values()),
        }  # fmt: skip


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader([_TEMPLATES, _STYLE]),
        autoescape=True,
        finalize=lambda value: make_visible(value, 20_000) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value, digits=3: "–" if value is None else f"{value:.{digits}f}"
    return environment.get_template(template).render(values)
