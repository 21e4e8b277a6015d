"""What the pages of completions show: groups of a step, one group with its answers, one prompt over steps, errors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from markupsafe import Markup, escape

from grpo.report.run_files import as_list, as_mapping, is_number
from grpo.service.groups import (
    CompletionGroup,
    StoredCompletions,
    choose,
    evaluation_file,
    follow_prompt,
    list_evaluations,
    list_steps,
    search,
    step_file,
)
from rewards.screen.harmless_text import make_label, make_visible

GROUPS_A_PAGE = 50
ANSWERS_A_PAGE = 48
_BARS = 48
_SHOWN = 6000
_MOST_DIFFED = 6000
_MOST_EXAMPLES = 8


def make_groups_view(
    store: StoredCompletions, path: Path, *, sort: str, only: str, task: str, words: str, page: int, group: int | None
) -> dict[str, Any]:
    """A page of the groups of a file, and the group that is looked at: the one asked for, else the first."""
    index = store.index(path)
    chosen = choose(
        index, sort=sort, only=only, task=task or None, wanted=search(store, path, words) if words else None
    )
    places = {each.number: place for place, each in enumerate(chosen)}
    if group is not None and group in places and page == 0:
        page = places[group] // GROUPS_A_PAGE + 1
    pages = max(1, -(-len(chosen) // GROUPS_A_PAGE))
    page = min(max(1, page), pages)
    shown = chosen[(page - 1) * GROUPS_A_PAGE : page * GROUPS_A_PAGE]
    open_group = next((each for each in index if each.number == group), None) if group is not None else None
    detail = open_group or (shown[0] if shown else None)
    place = places.get(detail.number) if detail else None
    return {
        "groups": [_summarise(each) for each in shown],
        "total": len(chosen),
        "all_groups": len(index),
        "completions": sum(len(each.rewards) for each in index),
        "zero": sum(each.is_zero_spread for each in index),
        "truncated": sum(sum(each.truncated) for each in index),
        "failed": sum(sum(each.failed) for each in index),
        "tasks": sorted({each.task for each in index}),
        "page": page,
        "pages": pages,
        "chosen": open_group is not None,
        "current": detail.number if detail else None,
        "previous_group": chosen[place - 1].number if place else None,
        "next_group": chosen[place + 1].number if place is not None and place + 1 < len(chosen) else None,
    }


def make_group_view(store: StoredCompletions, path: Path, number: int, first: int = 0) -> dict[str, Any] | None:
    """One group: its prompt once, the reference, and its answers, the best first; None where there is no such group."""
    group = next((each for each in store.index(path) if each.number == number), None)
    if group is None:
        return None
    rows = store.read(path, group)
    if not rows:
        return None
    answers = sorted(
        (make_answer(row, place) for place, row in enumerate(rows)),
        key=lambda answer: (answer["reward"] is None, -(answer["reward"] or 0.0), answer["place"]),
    )
    turns = rows[0].get("prompt")
    turns = turns if isinstance(turns, list) else [{"role": "user", "content": turns}]
    return {
        **_summarise(group),
        "turns": [
            {"role": make_label(turn.get("role"), 20), "text": make_visible(_text(turn.get("content")), _SHOWN)}
            for turn in turns
            if isinstance(turn, Mapping)
        ],
        "reference": make_visible(_text(rows[0].get("reference")), _SHOWN),
        "answers": answers[first : first + ANSWERS_A_PAGE],
        "first": first,
        "all_answers": len(answers),
        "more": first + ANSWERS_A_PAGE if first + ANSWERS_A_PAGE < len(answers) else None,
    }


def make_answer(row: Mapping[str, Any], place: int) -> dict[str, Any]:
    """One completion with what each function said of it."""
    scores = []
    for name, score in as_mapping(row.get("scores")).items():
        if not isinstance(score, Mapping):
            continue
        status = make_label(score.get("status") or "value", 20)
        if status == "unscored":
            # A function that is not for this task has nothing to say about it.
            continue
        scores.append(
            {
                "function": make_label(name, 60),
                "value": score["value"] if is_number(score.get("value")) else None,
                "status": status,
                "reason": make_label(score.get("reason"), 600),
                "version": make_label(score.get("version"), 20),
                "parts": [
                    (make_label(part, 40), float(share))
                    for part, share in as_mapping(score.get("parts")).items()
                    if is_number(share)
                ][:30],
            }
        )
    reward, advantage = row.get("reward"), row.get("advantage")
    return {
        "place": place,
        "text": make_visible(_text(row.get("completion")), _SHOWN),
        "reward": float(reward) if is_number(reward) else None,
        "advantage": float(advantage) if is_number(advantage) else None,
        "truncated": row.get("truncated") is True,
        "repairs": [make_label(kind, 40) for kind in as_list(row.get("repairs"))][:8],
        "scores": scores,
    }


def make_prompt_view(store: StoredCompletions, run: Path, id: str) -> dict[str, Any] | None:
    """The answers to one prompt in the order they were given, each beside the one before; None where there is none."""
    found: list[tuple[str, int | None, str | None, Path, CompletionGroup]] = []
    needle = orjson.dumps(id)
    for evaluation in list_evaluations(run):
        path = evaluation_file(run, evaluation)
        with suppress(OSError):
            if path is not None and needle in path.read_bytes():
                found += [
                    ("evaluation", None, evaluation, path, group) for group in store.index(path) if group.id == id
                ]
    found += [("step", step, None, path, group) for step, path, group in follow_prompt(run, id)]
    moments: list[dict[str, Any]] = []
    before: str | None = None
    prompt = reference = task = ""
    for kind, step, name, path, group in found:
        rows = store.read(path, group)
        if not rows:
            continue
        best = max(rows, key=lambda row: row["reward"] if is_number(row.get("reward")) else -1.0)
        text = _text(best.get("completion"))
        moments.append(
            {
                "kind": kind, "step": step, "evaluation": name, "group": group.number, "answers": len(rows),
                "answer": make_answer(best, rows.index(best)), "diff": None if before is None else show_difference(before, text),
                "same": before == text,
            }
        )  # fmt: skip
        before = text
        prompt, reference, task = prompt or _read_prompt(best), reference or _text(best.get("reference")), group.task
    if not moments:
        return None
    return {
        "id": id, "task": task, "moments": moments, "prompt": make_visible(prompt, _SHOWN),
        "reference": make_visible(reference, _SHOWN),
    }  # fmt: skip


def show_difference(before: str, after: str) -> Markup:
    """The second text with what it took from the first and what it added, word by word; long texts line by line."""
    long = len(before) + len(after) > 2 * _MOST_DIFFED
    cut = re.compile(r"[^\n]*\n|[^\n]+") if long else re.compile(r"\w+|\s+|[^\w\s]")
    old, new = (cut.findall(text[: 4 * _MOST_DIFFED])[:4000] for text in (before, after))
    parts = []
    for kind, start, end, new_start, new_end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(escape(make_visible("".join(new[new_start:new_end]), _SHOWN)))
            continue
        for tag, words in (("del", old[start:end]), ("ins", new[new_start:new_end])):
            if words:
                parts.append(Markup(f"<{tag}>{{}}</{tag}>").format(make_visible("".join(words), _SHOWN)))
    return Markup("").join(parts)


def make_errors_view(run: Path) -> list[dict[str, Any]]:
    """What went wrong by function: counts of errors and of completions left unscored, reasons, and where to look."""
    functions: dict[str, dict[str, Any]] = {}
    places: list[tuple[str, Path]] = [(f"steps/{step}", step_file(run, step)) for step in list_steps(run)]
    places += [(f"evals/{name}", path) for name in list_evaluations(run) if (path := evaluation_file(run, name))]
    for where, path in places:
        for row in _read_faulty(path):
            for name, score in as_mapping(row.get("scores")).items():
                if not isinstance(score, Mapping) or score.get("status") != "error":
                    continue
                entry = functions.setdefault(
                    make_label(name, 60), {"errors": 0, "reasons": {}, "examples": [], "versions": set()}
                )
                entry["errors"] += 1
                reason = re.sub(r"\d+", "#", make_label(score.get("reason"), 160))
                entry["reasons"][reason] = entry["reasons"].get(reason, 0) + 1
                entry["versions"].add(make_label(score.get("version"), 20))
                if len(entry["examples"]) < _MOST_EXAMPLES:
                    entry["examples"].append((where, make_label(row.get("id"), 80)))
    return [
        {
            "function": name, "errors": entry["errors"], "versions": sorted(entry["versions"]), "examples": entry["examples"],
            "reasons": sorted(entry["reasons"].items(), key=lambda item: (-item[1], item[0]))[:10],
        }
        for name, entry in sorted(functions.items(), key=lambda item: -item[1]["errors"])
    ]  # fmt: skip


def changed_rows(first: Path, other: Path, most: int = 20) -> dict[str, list[dict[str, Any]]]:
    """Held-out rows whose reward at the end fell or rose most from the first run to the other, with both answers."""
    # The judged checkpoint, estimated again, where both have one; the end of the run in those of earlier versions.
    name = next(
        (
            each
            for each in ("judged", "final")
            if all((run / "eval" / f"{each}.jsonl").is_file() for run in (first, other))
        ),
        "final",
    )
    earlier = {(row.get("task"), row.get("id")): row for row in _read_rows(first / "eval" / f"{name}.jsonl")}
    pairs = []
    for row in _read_rows(other / "eval" / f"{name}.jsonl"):
        mine = earlier.get((row.get("task"), row.get("id")))
        if mine is not None and is_number(mine.get("reward")) and is_number(row.get("reward")):
            change = row["reward"] - mine["reward"]
            if change:
                pairs.append((change, mine, row))
    pairs.sort(key=lambda pair: pair[0])
    chosen = {"fell": [p for p in pairs if p[0] < 0][:most], "rose": [p for p in pairs[::-1] if p[0] > 0][:most]}
    return {
        name: [
            {
                "id": make_label(row.get("id"), 80), "task": make_label(row.get("task"), 60), "change": change,
                "before": mine["reward"], "after": row["reward"],
                "diff": show_difference(_text(mine.get("completion")), _text(row.get("completion"))),
            }
            for change, mine, row in rows
        ]
        for name, rows in chosen.items()
    }  # fmt: skip


def _summarise(group: CompletionGroup) -> dict[str, Any]:
    return {
        "number": group.number,
        "id": make_label(group.id, 100),
        "key": group.id,
        "task": make_label(group.task, 60),
        "mean": group.mean,
        "spread": group.spread,
        "zero": group.is_zero_spread,
        "truncated": sum(group.truncated),
        "failed": sum(group.failed),
        "size": len(group.rewards),
        "bars": draw_bars(group.rewards),
    }


def draw_bars(rewards: Sequence[float | None]) -> dict[str, Any]:
    """The rewards of a group as bars, the highest first: a path, and how wide the drawing is."""
    ordered = sorted((value for value in rewards if value is not None), reverse=True)
    if len(ordered) > _BARS:
        ordered = [ordered[round(place * (len(ordered) - 1) / (_BARS - 1))] for place in range(_BARS)]
    bars = "".join(
        f"M{4 + 7 * place} 30V{30 - max(1.0, 28 * min(1.0, max(0.0, value))):.1f}"
        for place, value in enumerate(ordered)
    )
    return {"path": bars, "width": 7 * len(ordered) + 1}


def _read_faulty(path: Path) -> Iterable[dict[str, Any]]:
    with suppress(OSError), path.open("rb") as file:
        for line in file:
            # Nearly all lines have no error: looking for the word costs a hundredth of reading the row.
            if b'"error"' in line:
                with suppress(ValueError):
                    row = orjson.loads(line)
                    if isinstance(row, dict):
                        yield row


def _read_rows(path: Path) -> Iterable[dict[str, Any]]:
    with suppress(OSError), path.open("rb") as file:
        for line in file:
            with suppress(ValueError):
                row = orjson.loads(line)
                if isinstance(row, dict):
                    yield row


def _read_prompt(row: Mapping[str, Any]) -> str:
    prompt = row.get("prompt")
    if not isinstance(prompt, list):
        return _text(prompt)
    turns = [turn for turn in prompt if isinstance(turn, Mapping)]
    return "\n\n".join(_text(turn.get("content")) for turn in turns if turn.get("role") != "system")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
