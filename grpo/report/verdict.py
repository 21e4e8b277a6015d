"""What the report opens with: the decision in words that can be trusted to be words, and how far the run came."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from callbacks.decision.decision import TREES
from grpo.report.commands import place_of
from grpo.report.run_files import RunFiles, as_list, as_mapping, is_number
from rewards.screen.harmless_text import make_label

OUTCOMES = ("yes", "no", "within noise", "not judged")
_STAGES = {
    "sft": "before GRPO",
    "grpo": "in GRPO",
    "final": "before its final evaluation",
    "decision": "before its decision",
}


def make_decision(saved: Mapping[str, Any]) -> dict[str, Any]:
    """decision.json with every value of the kind that is expected there, whatever the file holds."""
    answers = as_mapping(saved.get("answers"))
    scenario = saved.get("scenario")
    return {
        "scenario": scenario if scenario in ("A", "B", "C") else "?",
        "made": bool(saved),
        "title": _drop_letter(make_label(saved.get("title"), 200)),
        "reason": make_label(saved.get("reason"), 1000),
        "action": make_label(saved.get("action"), 1000),
        "commands": [make_label(line, 600) for line in as_list(saved.get("commands"))[:6]],
        "next_config": make_label(saved.get("next_config"), 200),
        "rehearsal": saved.get("rehearsal") is True,
        "tree": saved.get("tree") if saved.get("tree") in TREES else None,
        "not_judged": [make_label(line, 300) for line in as_list(saved.get("not_judged"))[:20]],
        "routes": [(make_label(task, 60), make_label(to, 120)) for task, to in as_mapping(saved.get("routes")).items()],
        "answers": [
            (make_label(item.get("question"), 200), make_label(item.get("answer"), 300))
            for item in answers.values()
            if isinstance(item, Mapping)
        ],
        "path": [_make_node(node) for node in as_list(saved.get("path"))[:60] if isinstance(node, Mapping)],
    }


def make_state(run: RunFiles) -> dict[str, Any] | None:
    """Where a run stands that has not finished: a headline, and the command that continues with it; None when it has."""
    if run.status.get("finished") is True:
        return None
    planned = run.plan.get("max_steps")
    at = f"at step {run.last_step}" + (f" of {planned}" if is_number(planned) else "")
    share = min(1.0, run.last_step / planned) if is_number(planned) and planned > 0 else None
    go_on = shlex.join(["python", "-m", "grpo.run", "--resume", place_of(run)])
    if run.status.get("stopped_by"):
        rule = make_label(run.status["stopped_by"], 60)
        return {"kind": "stopped", "title": f"Stopped by the watch rule {rule} {at}", "share": share, "command": go_on}
    if not run.status:
        return {"kind": "open", "title": "Whether this run finished was not recorded", "share": None, "command": None}
    where = _STAGES.get(str(run.status.get("stage")), "on its way")
    title = f"Not finished: {where}, {at}" if run.last_step else f"Not finished: {where}"
    return {"kind": "open", "title": title, "share": share, "command": go_on}


def _drop_letter(title: str) -> str:
    """The title without the scenario's letter, which stands beside it already."""
    bare = title[3:] if title[:3] in ("A: ", "B: ", "C: ") else title
    return bare[:1].upper() + bare[1:]


def _make_node(node: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {
        key: node[key] if is_number(node.get(key)) else None
        for key in ("value", "threshold", "margin", "n", "low", "high", "further_examples", "further_examples_80")
    }
    texts = {key: make_label(node.get(key), 300) for key in ("name", "question", "outcome", "note", "task")}
    if texts["outcome"] not in OUTCOMES:
        texts["outcome"] = "unknown"
    return {**numbers, **texts}
