"""The half page for whoever pays: what was trained, what it brought, how sure that is, what it cost, where the model is."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from callbacks.evaluation.judged import JUDGED
from grpo.config.report_section import ReportSection
from grpo.language.catalogue import Catalogue
from grpo.report import tables
from grpo.report.commands import place_of
from grpo.report.run_files import RunFiles, as_list, as_mapping, is_number
from rewards.screen.amounts import format_seconds
from rewards.screen.harmless_text import make_label
from rewards.statistics.estimates import ALL, Estimate
from rewards.statistics.seeds import MEASURED_SD
from rewards.writing.files import read_object

_SHOWN_DIGITS = 16


def read_section(run: RunFiles, language: str | None = None) -> ReportSection:
    """The run's own section, in another language where one is given; the defaults where it recorded none."""
    section = ReportSection()
    # A section of another version of the config is no reason to have no report.
    with suppress(ValueError):
        section = ReportSection.model_validate(as_mapping(run.config.get("report")))
    return section if language is None else section.model_copy(update={"language": language})


def make_brief(
    run: RunFiles, rows: list[dict[str, Any]], decision: Mapping[str, Any], section: ReportSection, words: Catalogue
) -> list[tuple[str, str]]:
    """What is said of a run in short: what it is about, in English, and the words in the section's language."""
    say, number = words.say, _make_writers(words)
    brief: list[tuple[str, str]] = []
    tasks = [row["task"] for row in rows if row["task"] != ALL]
    trained = run.plan.get("train_rows")
    if is_number(trained):
        steps = say("{count} steps", count=words.number(f"{run.last_step:,}"))
        brief.append(
            (
                "what was trained",
                say(
                    "{rows} rows of {tasks}; {steps}",
                    rows=words.number(f"{trained:,.0f}"),
                    tasks=", ".join(tasks),
                    steps=steps,
                ),
            )
        )
    total = next((row for row in rows if row["task"] == ALL), None)
    if total is not None and total["final"] is not None:
        brief.append(("what it gained", _say_change(total, say, number)))
        lowest = min(
            (row for row in rows if row["task"] != ALL and row["final"] and row["final"].mean is not None),
            key=lambda row: row["final"].mean,
            default=None,
        )
        fell = [row["task"] for row in rows if row["task"] != ALL and row["direction"] == "down"]
        said = (
            say(
                "lowest: {task} with {value}",
                task=lowest["task"],
                value=number(lowest["final"].mean) + _say_ends(lowest["final"], say, number),
            )
            if lowest
            else ""
        )
        said += "; " if said else ""
        said += say("fell: {names}", names=", ".join(fell)) if fell else say("no task fell")
        brief.append(("task by task", said))
    brief.append(("what to trust", _say_trust(run, say, words)))
    cost = say_cost(run, section, words)
    seconds = run.status.get("seconds")
    if is_number(seconds):
        device = make_label(run.environment.get("name") or run.environment.get("device"), 60)
        said = (
            say("{time} on {device}", time=format_seconds(seconds), device=device)
            if device
            else format_seconds(seconds)
        )
        brief.append(("cost", f"{said}: {cost}" if cost else said))
    if decision.get("action"):
        brief.append(("next step", words.translate(str(decision["action"]))))
    place = find_model(run)
    if place:
        brief.append(("where the model is", place))
    return brief


def say_cost(run: RunFiles, section: ReportSection, words: Catalogue) -> str:
    """What the run cost at the section's price; empty where that, or the time, is not known."""
    seconds = run.status.get("seconds")
    if section.price_per_hour is None or not is_number(seconds):
        return ""
    cost = seconds / 3600 * section.price_per_hour
    return f"{section.currency} {words.number(f'{cost:,.2f}')}"


def find_model(run: RunFiles) -> str:
    """The folder of the model to use: the best checkpoint's, else the last one's; empty where none was saved."""
    if (run.folder / "best").is_dir():
        return f"{place_of(run)}/best"
    saved = sorted(
        (path for path in (run.folder / "checkpoints").glob("checkpoint-*") if path.name.rsplit("-", 1)[1].isdecimal()),
        key=lambda path: int(path.name.rsplit("-", 1)[1]),
    )
    return f"{place_of(run)}/checkpoints/{saved[-1].name}" if saved else ""


def make_use(run: RunFiles, tasks: list[str]) -> str:
    """The command that talks to the trained policy; empty where no model was saved or no task is known."""
    if not find_model(run) or not tasks:
        return ""
    return shlex.join(["python", "-m", "grpo.chat", place_of(run), "--task", tasks[0]])


def list_origins(run: RunFiles) -> list[tuple[str, str]]:
    """What would have to be the same for the same numbers: code, rows and scorers, by their hashes."""
    origins = []
    commit = run.environment.get("commit")
    if isinstance(commit, str):
        origins.append(("commit of the code", make_label(commit, 60)))
    identity = read_object(run.folder / "identity.json")
    for name, digest in as_mapping(identity.get("rows")).items():
        if isinstance(digest, str):
            origins.append((make_label(name, 40), make_label(digest[:_SHOWN_DIGITS], 40)))
    for reward in as_list(identity.get("rewards")):
        if isinstance(reward, Mapping) and isinstance(reward.get("fingerprint"), str):
            name = f"{make_label(reward.get('name'), 40)} {make_label(reward.get('version'), 20)}"
            origins.append((name, make_label(reward["fingerprint"], 40)))
    return origins


def _say_change(total: Mapping[str, Any], say: Callable[..., str], number: Callable[..., str]) -> str:
    change, warmup, final = total["change"], total["warmup"], total["final"]
    if warmup is None or change is None or change.mean is None:
        return say("mean {value} on {count} held-out rows", value=number(final.mean), count=final.n or "–")
    said = say(
        "mean {before} → {after} ({change})",
        before=number(warmup.mean),
        after=number(final.mean),
        change=number(change.mean, signed=True),
    )
    if change.low is not None:
        said += ", " + say(
            "95 %: {low} to {high}", low=number(change.low, signed=True), high=number(change.high, signed=True)
        )
        clear = change.low > 0 or change.high < 0
        said += "; " + (say("clear of noise") if clear else say("within noise"))
    return said


def _say_ends(estimate: Estimate, say: Callable[..., str], number: Callable[..., str]) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    ends = say("{low} to {high}", low=number(estimate.low), high=number(estimate.high))
    return f" ({ends}, n {estimate.n})"


def _say_trust(run: RunFiles, say: Callable[..., str], words: Catalogue) -> str:
    parts = []
    references = run.audit.get("references")
    judged = run.audit.get("judging") != []
    if is_number(references) and judged and not as_list(run.audit.get("gold_failures")):
        parts.append(say("all {count} reference answers earn full reward", count=words.number(f"{references:,.0f}")))
    faults = sum(row["errors"] for row in tables.make_function_rows(run))
    parts.append(
        say("{count} errors of reward functions", count=faults) if faults else say("no reward function failed")
    )
    stops = len(run.events)
    parts.append(say("watch events: {count}", count=stops) if stops else say("no watch rule was broken"))
    if run.judged is not None and run.judged.stage == JUDGED:
        parts.append(
            say("one seed; in our own measurement seeds differed by {sd} (sd)", sd=words.number(f"{MEASURED_SD:g}"))
        )
    return "; ".join(parts)


def _make_writers(words: Catalogue) -> Callable[..., str]:
    def write(value: Any, *, signed: bool = False) -> str:
        return (
            words.number(f"{value:+.3f}" if signed else f"{value:.3f}").replace("-", "−") if is_number(value) else "–"
        )

    return write
