"""report.html and report.md of a run: the verdict first, then what it rests on, down to the completions."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from html import escape, unescape
from pathlib import Path
from shlex import quote
from typing import Any

from callbacks.decision.decision import OWN, RECIPE
from callbacks.evaluation.judged import JUDGED
from grpo.language.catalogue import ENGLISH, Catalogue, read_catalogue
from grpo.lifecycle.run_directory import name_policy, read_policy_note
from grpo.report import tables
from grpo.report.brief import list_origins, make_brief, make_use, read_section, say_cost
from grpo.report.charts import Curve, draw, draw_sparkline, place_on_bar, share_scale
from grpo.report.checks import PROBES, make_audit
from grpo.report.commands import make_commands, place_of
from grpo.report.curves import draw_tasks, make_curves, make_lines, read_thresholds
from grpo.report.exports import make_exports
from grpo.report.run_files import RunFiles, as_list, as_mapping, is_number, read_run
from grpo.report.samples import choose_group, choose_samples, count_cut_off, count_states
from grpo.report.tree import lay_out
from grpo.report.verdict import make_decision, make_state
from rewards.screen.amounts import format_seconds
from rewards.screen.harmless_text import make_label, make_visible
from rewards.statistics.estimates import ALL
from rewards.statistics.seeds import MEASURED_SD
from rewards.writing.files import write_whole
from rewards.writing.secrets import hide_environment

_HINTS = re.compile(r'(<title>|aria-label=")([^<"]+)(</title>|")')


def write_report(run_directory: Path | str, language: str | None = None) -> tuple[Path, Path]:
    """Write report.html and report.md into the folder of a run and return their paths.

    `language` is en or pt-BR, by default what the run's config says. The same folder gives the same bytes. Raises
    UserError when there is no run in the folder; missing pieces are said in the report.
    """
    folder = Path(run_directory)
    run = read_run(folder)
    view = make_view(run, language)
    paths = folder / "report.html", folder / "report.md"
    for path, template in zip(paths, ("report.html.j2", "report.md.j2"), strict=True):
        environment = _make_environment(escape=path.suffix == ".html", language=view["language"])
        text = environment.get_template(template).render(view)
        # Half of a surrogate pair has no UTF-8; it must not cost the report.
        write_whole(path, hide_environment(text).encode("utf-8", "replace"))
    return paths


def make_view(run: RunFiles, language: str | None = None) -> dict[str, Any]:
    """Everything the templates show, as plain values; a part that cannot be made is noted and left out."""

    def build(what: str, make: Callable[[], Any], nothing: Any) -> Any:
        try:
            return make()
        except Exception as error:  # a report with a gap is worth more than none
            run.notes.append(f"{what} could not be shown: {type(error).__name__}: {make_label(error, 200)}")
            return nothing

    section = read_section(run, language)
    words = read_catalogue(section.language)
    final, warmup = tables.find_end(run), tables.find_start(run)
    rows = build("the tasks", lambda: tables.make_task_rows(run), [])
    decision = build("the decision", lambda: make_decision(run.decision), make_decision({}))
    curves = build("the curves", lambda: make_curves(run), [])
    lines = build("the metrics of training", lambda: make_lines(run), [])
    functions = build("the reward functions", lambda: tables.make_function_rows(run), [])
    tasks = [row["task"] for row in rows if row["task"] != ALL]
    view = {
        "language": section.language,
        "brief": build("the summary", lambda: make_brief(run, rows, decision, section, words), []),
        "use": build("the model", lambda: make_use(run, tasks), ""),
        "cost": build("the cost", lambda: say_cost(run, section, words), ""),
        "origins": build("what it was made of", lambda: list_origins(run), []),
        "explain_with": f"python -m rewards explain {quote(place_of(run))}",
        "name": make_label(run.config.get("name") or run.folder.resolve().name, 120),
        "profile": run.profile,
        "rehearsal": decision["rehearsal"] if run.decision else run.profile == "embedded",
        "model": name_model(run),
        "state": build("the state of the run", lambda: make_state(run), None),
        "decision": decision,
        "tree": build("the decision tree", lambda: lay_out(decision), None),
        "has_next_config": run.has_next_config,
        "warmup": warmup.estimates[ALL] if warmup else None,
        "final": final.estimates[ALL] if final else None,
        "final_is_end": tables.is_over(run),
        "final_step": final.step if final else None,
        "change": next((row["change"] for row in rows if row["task"] == ALL), None),
        "best": run.best,
        "judged": run.judged,
        "has_best": run.best.step is not None,
        "kept": make_label(name_policy(kept), 200) if (kept := read_policy_note(run.folder)) else "",
        "seconds": run.status["seconds"] if is_number(run.status.get("seconds")) else None,
        "tasks": build(
            "the tasks' intervals",
            lambda: [
                {**row, "spread": translate_titles(row["spread"], words)} if "spread" in row else row
                for row in draw_tasks(run, rows)
            ],
            rows,
        ),
        "thresholds": build("the thresholds", lambda: read_thresholds(run)[1] == RECIPE, False),
        "own": build("the thresholds", lambda: read_thresholds(run)[1] == OWN, False),
        "has_sft": any(row["sft"] is not None for row in rows),
        "sft": {key: value for key, value in run.sft_baseline.items() if is_number(value)},
        "sft_estimate": next((row["sft"] for row in rows if row["task"] == ALL), None),
        "chosen": run.best.estimates.get(ALL),
        "charts": build("the curves", lambda: draw_curves(curves, words), []),
        "lines": build(
            "the metrics of training",
            lambda: [
                (line, translate_titles(draw(translate_curve(line, words), write=words.number), words))
                for line in lines
            ],
            [],
        ),
        "functions": [{**row, "spark": translate_titles(draw_sparkline(row["trained"]), words)} for row in functions],
        "samples": build("the completions", lambda: choose_samples(run.records["warmup"], run.records["final"]), {}),
        "group": build("the group of training", lambda: choose_group(run.records["train"]), None),
        "states": build(
            "the counts of completions",
            lambda: {
                stage: count_states(run.records[stage]) for stage in ("before", "warmup", "final") if run.records[stage]
            },
            {},
        ),
        "cut_off": build(
            "the share that was cut off",
            lambda: count_cut_off({stage: run.records[stage] for stage in ("before", "warmup", "final")}),
            [],
        ),
        "ended": run.ended,
        "stored": run.stored_completions,
        "watched": run.watched,
        "events": build("the watch events", lambda: make_events(run), []),
        "audit": build("the audit", lambda: make_audit(run.audit), {}),
        "probe_names": PROBES,
        "plan_rows": build("the plan", lambda: tables.make_plan_rows(run), []),
        "plan_notes": [make_label(note, 400) for note in as_list(run.plan.get("notes"))[:20]],
        "time_rows": build("the times", lambda: tables.make_time_rows(run), []),
        "environment": tables.flatten(
            {key: item for key, item in run.environment.items() if key not in ("packages", "settings", "rewards")},
            compact=True,
        ),
        "packages": tables.flatten(as_mapping(run.environment.get("packages"))),
        "changed_settings": [
            make_label(line, 400)
            for line in as_list(as_mapping(run.environment.get("settings")).get("changed_by_libraries"))[:40]
        ],
        "settings": tables.flatten(run.config),
        "commands": make_commands(run),
        "evaluation": as_mapping(run.config.get("evaluation")),
        "notes": [*run.notes, *note_seed(run)],
    }
    exports = build("the tables as CSV", lambda: make_exports(view), {})
    view["exports"] = {name: b64encode(text.encode("utf-8", "replace")).decode() for name, text in exports.items()}
    return view


def draw_curves(curves: Sequence[Curve], words: Catalogue) -> list[tuple[Curve, str]]:
    """The learning curves; those of the tasks share one scale, so that their heights can be compared."""
    scale = share_scale(curves[1:])
    return [
        (curve, translate_titles(draw(translate_curve(curve, words), scale if number else None, words.number), words))
        for number, curve in enumerate(curves)
    ]


def translate_titles(drawing: str, words: Catalogue) -> str:
    """A drawing whose hints (what stands beside the pointer, what is read aloud) are in the language."""
    if words.language == ENGLISH:
        return drawing

    def translate(found: re.Match[str]) -> str:
        return f"{found[1]}{escape(words.translate(unescape(found[2])))}{found[3]}"

    return _HINTS.sub(translate, drawing)


def translate_curve(curve: Curve, words: Catalogue) -> Curve:
    """The curve with its names in the language."""
    marks = [(words.translate(name), value) for name, value in curve.marks]
    band = (*curve.band[:2], words.translate(curve.band[2])) if curve.band is not None else None
    return replace(curve, name=words.translate(curve.name), marks=marks, band=band)


def make_events(run: RunFiles) -> list[dict[str, Any]]:
    """The watch rules that were broken, in order; the last two hundred."""
    return [
        {
            "step": event["step"] if is_number(event.get("step")) else None,
            "stage": make_label(event.get("stage"), 20),
            "rule": make_label(event.get("rule"), 60),
            "stops": event.get("action") == "stop",
            "metric": make_label(event.get("metric"), 80),
            "value": event["value"] if is_number(event.get("value")) else None,
            "limit": event["limit"] if is_number(event.get("limit")) else None,
            "message": make_label(event.get("message") or event.get("text"), 400),
        }
        for event in run.events[-200:]
    ]


def note_seed(run: RunFiles) -> list[str]:
    """What one seed cannot show, once the run has an end."""
    if run.judged is None or run.judged.stage != JUDGED:
        return []
    return [
        f"one seed (the sd over seeds was {MEASURED_SD:g} where it was measured, six seeds of the embedded recipe): the "
        "intervals here are of this policy on other examples; whether the recipe is better than another takes several "
        "seeds of both (recompensa run --seeds 5)"
    ]


def name_model(run: RunFiles) -> str:
    """The policy's name as it is shown."""
    model = as_mapping(run.config.get("model"))
    return "embedded policy" if model.get("embedded") else make_label(model.get("name") or "unknown model", 120)


@lru_cache(maxsize=4)
def _make_environment(*, escape: bool, language: str = ENGLISH) -> Any:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=escape,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = read_catalogue(language)

    def number(value: Any, digits: int = 3) -> str:
        return words.number(_number(value, digits))

    def signed(value: Any) -> str:
        return words.number(_signed(value))

    def interval(thing: Any, with_sign: bool = False) -> str:
        ends = find_ends(thing)
        show = signed if with_sign else number
        return words.say("{low} to {high}", low=show(ends[0]), high=show(ends[1])) if ends else ""

    environment.filters.update(
        number=number,
        signed=signed,
        interval=interval,
        short=lambda value: words.number(f"{value:.3g}") if is_number(value) else "–",
        count=lambda value: words.number(f"{value:,.0f}") if is_number(value) else "–",
        seconds=format_seconds,
        quote=quote,
        cell=_cell,
        place=place_on_bar,
        fence=_fence,
    )
    # A word that is not in the catalogue stays as it is: a hole in it is none of ours.
    environment.globals.update(
        _=lambda key, **values: words.say(key, **values), tr=lambda text: words.translate(str(text or ""))
    )
    return environment


def _finalize(value: Any) -> Any:
    """Every text that a template prints, whatever its source: names and versions are as foreign as completions."""
    return make_visible(value, 100_000) if type(value) is str else value


def _number(value: Any, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("-", "−") if is_number(value) else "–"


def _signed(value: Any) -> str:
    return f"{value:+.3f}".replace("-", "−") if is_number(value) else "–"


def find_ends(thing: Any) -> tuple[float, float] | None:
    """The ends of an interval of an Estimate or a node; None where it is unknown."""
    low, high = (thing.get("low"), thing.get("high")) if isinstance(thing, Mapping) else (thing.low, thing.high)
    return (low, high) if is_number(low) and is_number(high) else None


def _cell(value: Any) -> str:
    """A text as one cell of a Markdown table, in which no character can start markup or HTML."""
    text = make_visible(" ".join(str(value).split()), 300)
    return "".join("\\" + letter if letter in "\\`*_{}[]<>|#!~" else letter for letter in text)


def _fence(text: str) -> str:
    """A text as a fenced block of Markdown that nothing in it can end."""
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
