"""report.html and report.md of a run: the verdict first, then what it rests on, down to the completions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from callbacks.config import DecisionSection
from callbacks.progress import format_seconds
from callbacks.task_scores import ALL
from grpo.report import tables
from grpo.report.charts import Curve, Point, draw_curves, draw_lines
from grpo.report.run_files import RunFiles, read_run
from grpo.report.samples import choose_samples, count_states, make_visible

# Metrics of training worth a look, with the bounds the recipe watches.
WATCHED = (
    ("reward", "training reward", ()),
    ("frac_reward_zero_std", "zero-spread groups", ((0.5, "stop"),)),
    ("completions/mean_length", "completion length, tokens", ()),
    ("completions/clipped_ratio", "truncated completions", ()),
    ("entropy", "entropy", ()),
    ("grad_norm", "gradient norm", ((2.0, "stop"),)),
)


def write_report(run_directory: Path | str) -> tuple[Path, Path]:
    """Write report.html and report.md into the folder of a run and return their paths.

    The same folder gives the same bytes. Raises UserError when there is no run in the folder; missing pieces are said
    in the report.
    """
    folder = Path(run_directory)
    view = make_view(read_run(folder))
    paths = folder / "report.html", folder / "report.md"
    for path, template in zip(paths, ("report.html.j2", "report.md.j2"), strict=True):
        text = _make_environment(escape=path.suffix == ".html").get_template(template).render(view)
        draft = path.with_name(path.name + ".draft")
        # A lone surrogate of a completion has no UTF-8; it must not cost the report.
        draft.write_bytes(text.encode("utf-8", "replace"))
        os.replace(draft, path)
    return paths


def make_view(run: RunFiles) -> dict[str, Any]:
    """Everything the templates show, as plain values."""
    decision = run.decision
    final = run.find_evaluation("final") or (run.evaluations[-1] if run.evaluations else None)
    warmup = run.find_evaluation("warmup")
    rows = tables.make_task_rows(run)
    curves, lines = _make_curves(run), _make_lines(run)
    return {
        "name": make_visible(str(run.config.get("name") or run.folder.resolve().name), 120),
        "folder": run.folder.resolve().name,
        "profile": run.profile,
        "rehearsal": bool(decision.get("rehearsal")) if decision else run.profile == "embedded",
        "model": _name_model(run),
        "decision": decision,
        "path": decision.get("path") or [],
        "answers": list((decision.get("answers") or {}).values()),
        "has_next_config": run.has_next_config,
        "warmup": warmup.estimates[ALL] if warmup else None,
        "final": final.estimates[ALL] if final else None,
        "final_step": final.step if final else None,
        "change": next((row["change"] for row in rows if row["task"] == ALL), None),
        "best": run.best,
        "seconds": run.status.get("seconds"),
        "tasks": rows,
        "has_best": run.best.step is not None,
        "has_sft": any(row["sft"] is not None for row in rows),
        "sft": run.sft_baseline,
        "charts": list(zip(curves, draw_curves(curves), strict=True)),
        "lines": list(zip(lines, draw_lines(lines), strict=True)),
        "functions": tables.make_function_rows(run),
        "samples": choose_samples(run.records.get("warmup", []), run.records.get("final", [])),
        "states": {stage: count_states(records) for stage, records in run.records.items() if records},
        "stored": run.stored_completions,
        "audit": run.audit,
        "audit_rows": tables.flatten(run.audit, compact=True),
        "plan_rows": tables.make_plan_rows(run),
        "plan_notes": [str(note) for note in run.plan.get("notes") or []],
        "time_rows": tables.make_time_rows(run),
        "environment": _head_of(run.environment),
        "packages": run.environment.get("packages") or {},
        "changed_settings": _find_changed_settings(run.environment),
        "settings": tables.flatten(run.config),
        "commands": _make_commands(run),
        "evaluation": run.config.get("evaluation") or {},
        "notes": run.notes,
    }


def _make_curves(run: RunFiles) -> list[Curve]:
    """A learning curve for all and for each task, with the lines the decision was made against."""
    section = DecisionSection()
    saved = run.config.get("decision")
    if isinstance(saved, Mapping):
        known = {key: value for key, value in saved.items() if key in DecisionSection.model_fields}
        # The thresholds of another version of the config are no reason to have no report.
        with suppress(ValueError):
            section = DecisionSection.model_validate(known)
    relative = section.relative_to == "warmup" or bool(run.decision.get("rehearsal"))
    warmup, before = run.find_evaluation("warmup"), run.find_evaluation("before")
    curves = []
    for name in tables.list_tasks(run):
        points = {
            item.step: Point(item.step, estimate.mean, estimate.low, estimate.high)
            for item in run.evaluations
            if item.stage != "before" and (estimate := item.task(name)) is not None
        }
        marks: list[tuple[str, float]] = []
        start = warmup.task(name) if warmup else None
        if relative and start is not None:
            if name == ALL:
                marks.append((f"warm-up +{section.rehearsal_gain:.0%}", start.mean * (1 + section.rehearsal_gain)))
            elif start.low is not None:
                marks.append(("floor: low end of the warm-up", start.low))
        elif name == ALL:
            marks.append((f"scale up at {section.scale_at:g}", section.scale_at))
        elif name in section.floors:
            marks.append((f"floor {section.floors[name]:g}", section.floors[name]))
        untrained = before.task(name) if before else None
        curves.append(
            Curve(
                name="all tasks" if name == ALL else make_visible(name, 60),
                points=[points[step] for step in sorted(points)],
                marks=marks,
                best_step=run.best.step,
                before=untrained.mean if untrained else None,
            )
        )
    return curves


def _make_lines(run: RunFiles) -> list[Curve]:
    lines = []
    for key, name, bounds in WATCHED:
        values = [
            (row["step"], float(row[key]))
            for row in run.metrics
            if row.get("stage") == "train"
            and isinstance(row.get("step"), int)
            and isinstance(row.get(key), int | float)
        ]
        if len(values) < 2:
            continue
        top = max(value for _, value in values)
        marks = [(label, bound) for bound, label in bounds if top >= 0.6 * bound]
        lines.append(Curve(name=name, points=(), marks=marks, line_only=values))
    return lines


def _name_model(run: RunFiles) -> str:
    model = run.config.get("model")
    model = model if isinstance(model, Mapping) else {}
    if model.get("embedded"):
        return "embedded policy"
    return make_visible(str(model.get("name") or "unknown"), 120)


def _head_of(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The facts about the machine; settings, packages and rewards have places of their own."""
    kept = {key: value for key, value in environment.items() if key not in ("packages", "settings", "rewards")}
    return tables.flatten(kept, compact=True)


def _find_changed_settings(environment: Mapping[str, Any]) -> list[str]:
    settings = environment.get("settings")
    changed = settings.get("changed_by_libraries") if isinstance(settings, Mapping) else None
    return [str(line) for line in changed or []]


def _make_commands(run: RunFiles) -> list[tuple[str, str]]:
    commands = []
    if run.source:
        words = ["python", "-m", "grpo.run", "--config", str(run.source)]
        words += ["--profile", run.profile] if run.profile else []
        for override in run.overrides:
            words += ["--set", override]
        commands.append(("the same run again", shlex.join(words)))
    whole, here = run.folder.resolve(), Path.cwd()
    place = str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)
    if run.status and not run.status.get("finished"):
        commands.append(("go on with it", shlex.join(["python", "-m", "grpo.run", "--resume", place])))
    if run.has_next_config:
        commands.append(
            ("the next run", shlex.join(["python", "-m", "grpo.run", "--config", f"{place}/next_config.yaml"]))
        )
    decide = ["python", "-m", "grpo.decide", "--metrics", f"{place}/metrics.jsonl"]
    decide += ["--config", str(run.source)] if run.source else []
    decide += ["--profile", "embedded"] if run.profile == "embedded" else []
    commands.append(("the decision again", shlex.join(decide)))
    commands.append(("this report again", shlex.join(["python", "-m", "grpo.report", place])))
    return commands


def _make_environment(*, escape: bool) -> Any:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=escape,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number, signed=_signed, interval=_interval, seconds=format_seconds, cell=_cell, place=_place
    )
    return environment


def _finalize(value: Any) -> Any:
    """Every text that a template prints, whatever its source: names and versions are as foreign as completions."""
    return make_visible(value, 100_000) if type(value) is str else value


def _number(value: Any, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("-", "−") if isinstance(value, int | float) else "–"


def _signed(value: Any) -> str:
    return f"{value:+.3f}".replace("-", "−") if isinstance(value, int | float) else "–"


def _interval(thing: Any, signed: bool = False) -> str:
    """The ends of an interval of an Estimate or a node; nothing where it is unknown."""
    low, high = (thing.get("low"), thing.get("high")) if isinstance(thing, Mapping) else (thing.low, thing.high)
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return ""
    show = _signed if signed else _number
    return f"{show(low)} to {show(high)}"


def _cell(value: Any) -> str:
    """A text as one cell of a Markdown table, in which no character can start markup or HTML."""
    text = make_visible(" ".join(str(value).split()), 300)
    return "".join("\\" + letter if letter in "\\`*_{}[]<>|#!~" else letter for letter in text)


def _place(node: Mapping[str, Any]) -> dict[str, float] | None:
    """Where value, threshold and interval of a node lie on a bar of 100 units; None where there is nothing to draw."""
    value, threshold = node.get("value"), node.get("threshold")
    if not isinstance(value, int | float) or not isinstance(threshold, int | float):
        return None
    low, high = (node[end] if isinstance(node.get(end), int | float) else value for end in ("low", "high"))
    least, most = min(low, threshold), max(high, threshold)
    space = 0.2 * (most - least) or 0.1
    scale = 100.0 / (most - least + 2 * space)
    spots = {"low": low, "high": high, "value": value, "threshold": threshold}
    return {name: round((spot - least + space) * scale, 2) for name, spot in spots.items()}
