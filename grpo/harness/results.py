"""What a session found: each model by category with intervals, who is first, whether training hurt, the answers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from grpo.compare.comparability import check_likeness
from grpo.compare.promotion import RunComparison, compare_runs
from grpo.compare.promotion_rules import load_rules
from grpo.compare.reading import read_recorded
from grpo.compare.recorded import ALL, REWARD, RecordedRun
from grpo.harness.session import HarnessSession
from grpo.harness.suite import describe_expectations
from rewards.statistics.estimates import estimate_cell

CATEGORY = "task:"


def compare_session(folders: Sequence[Path]) -> tuple[list[RecordedRun], RunComparison | None]:
    """The evaluations as recorded runs, and their comparison, the first as baseline; None for fewer than two."""
    runs = read_recorded([str(folder) for folder in folders]) if folders else []
    if len(runs) < 2:
        return runs, None
    return runs, compare_runs(runs, load_rules(None), check_likeness(runs))


def summarise_session(session: HarnessSession) -> dict[str, Any]:
    """The session as plain values, for a screen, JSON, the table, the journal and the page."""
    runs, comparison = compare_session(session.evaluations)
    by_name = {run.name: run for run in runs}
    models = []
    for model in session.models:
        run = by_name.get(model.folder)
        cells = {name: _cell(run, name, session.categories) for name in (ALL, *session.categories)} if run else {}
        models.append({**model.to_json(), "results": cells, "unscored": run.unscored if run else None})
    said = comparison.to_json() if comparison else {}
    return {
        "suite": session.suite,
        "fingerprint": session.fingerprint,
        "started": session.started,
        "folder": str(session.folder),
        "prompts": sum(session.categories.values()),
        "categories": session.categories,
        "models": models,
        "baseline": comparison.baseline if comparison else None,
        "did_training_hurt": said.get("did_training_hurt", {}),
        "alarms": said.get("alarms", []),
        "leaderboard": said.get("leaderboard", {}),
        "differences": [
            item.to_json() for item in (comparison.differences if comparison else ()) if item.metric == REWARD
        ],
        "notes": list(comparison.notes) if comparison else [],
    }


def list_answers(session: HarnessSession) -> list[dict[str, Any]]:
    """Each prompt with what every model answered to it, in the order of the suite."""
    answers = {folder.name: _read_answers(folder / "rows.jsonl") for folder in session.evaluations}
    found = []
    for line in (session.folder / "rows.jsonl").read_bytes().splitlines():
        row = orjson.loads(line)
        asked = [turn["content"] for turn in row["prompt"] if turn["role"] != "system"]
        given = [
            {"model": name, **_describe(stored)}
            for name, rows in answers.items()
            if (stored := rows.get((row["task"], row["id"]))) is not None
        ]
        rewards = [each["reward"] for each in given if each["reward"] is not None]
        found.append(
            {
                "id": row["id"], "category": row["task"], "asked": "\n\n".join(asked),
                "expected": describe_expectations(row["expect"]), "answers": given,
                "differs": bool(rewards) and max(rewards) - min(rewards) > 1e-9,
            }
        )  # fmt: skip
    return found


def _cell(run: RecordedRun, category: str, categories: Mapping[str, int]) -> dict[str, Any] | None:
    # A suite of one category has no groups: that category is all of it.
    group = ALL if category == ALL or len(categories) == 1 else f"{CATEGORY}{category}"
    cell = run.cells.get((group, REWARD))
    if cell is None:
        return None
    estimate = estimate_cell(cell)
    return {"mean": cell.value, "n": cell.n, "low": estimate.low, "high": estimate.high}


def _read_answers(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    rows = (orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip())
    return {(row["task"], row["id"]): row for row in rows if not row.get("sample")}


def _describe(stored: Mapping[str, Any]) -> dict[str, Any]:
    score = (stored.get("scores") or {}).get("expectations") or {}
    return {
        "reward": stored.get("reward"),
        "text": stored.get("completion") or "",
        "reason": score.get("reason") or "",
        "parts": score.get("parts") or {},
        "truncated": bool(stored.get("truncated")),
    }
