"""The completions a report shows: best, worst, and most changed by the training. All of them are hostile text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]
SHOWN_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one reward function said of a completion."""

    function: str
    value: float | None
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion made fit to be shown; `text` is still to be escaped."""

    text: str
    reward: float | None
    truncated: bool
    repairs: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One held-out row with its answer at the end, and the one after the warm-up where it is compared."""

    id: str
    task: str
    prompt: str
    reference: str
    final: Answer
    warmup: Answer | None = None
    change: float | None = None


def choose_samples(warmup: Sequence[Record], final: Sequence[Record], count: int = 4) -> dict[str, list[Sample]]:
    """`best`, `worst`, `gained` and `lost`, up to `count` each, spread over the tasks; ties go by id.

    `gained` and `lost` are the largest changes of the reward from the warm-up to the end, of the same row.
    """
    scored = [record for record in final if _reward(record) is not None]
    earlier = {(record.get("task"), record.get("id")): record for record in warmup if _reward(record) is not None}
    pairs = [
        (record, earlier[key], _reward(record) - _reward(earlier[key]))
        for record in scored
        if (key := (record.get("task"), record.get("id"))) in earlier
    ]
    best = _spread(sorted(scored, key=lambda r: (-_reward(r), _key(r))), count, _task)
    worst = _spread(sorted(scored, key=lambda r: (_reward(r), _key(r))), count, _task)
    gained = sorted((pair for pair in pairs if pair[2] > 0), key=lambda pair: (-pair[2], _key(pair[0])))
    lost = sorted((pair for pair in pairs if pair[2] < 0), key=lambda pair: (pair[2], _key(pair[0])))
    return {
        "best": [_make_sample(record) for record in best],
        "worst": [_make_sample(record) for record in worst],
        "gained": [_make_sample(*pair) for pair in _spread(gained, count, lambda pair: _task(pair[0]))],
        "lost": [_make_sample(*pair) for pair in _spread(lost, count, lambda pair: _task(pair[0]))],
    }


def make_visible(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """The text without what could hide or reorder it: control, direction and other invisible characters are named.

    Longer texts are cut at `limit` characters and say how many are left out.
    """
    shown = "".join(_show(character) for character in text[:limit])
    return shown if len(text) <= limit else f"{shown} … ({len(text) - limit} more characters)"


def _show(character: str) -> str:
    if character in "\n\t" or character.isprintable():
        return character
    code = ord(character)
    if code < 32:
        return chr(0x2400 + code)
    if unicodedata.category(character) == "Zs":
        return " "
    return f"⟨U+{code:04X}⟩"


def _make_sample(final: Record, warmup: Record | None = None, change: float | None = None) -> Sample:
    return Sample(
        id=make_visible(_key(final)[1], 80),
        task=make_visible(_task(final), 80),
        prompt=make_visible(_read_prompt(final)),
        reference=make_visible(_text(final.get("reference"))),
        final=_make_answer(final),
        warmup=_make_answer(warmup) if warmup is not None else None,
        change=change,
    )


def _make_answer(record: Record) -> Answer:
    scores = record.get("scores")
    verdicts = [
        Verdict(
            make_visible(str(name), 60),
            score.get("value"),
            str(score.get("status", "value")),
            make_visible(_text(score.get("reason")), 300),
        )
        for name, score in (scores.items() if isinstance(scores, Mapping) else ())
        if isinstance(score, Mapping)
    ]
    return Answer(
        text=make_visible(_text(record.get("completion"))),
        reward=_reward(record),
        truncated=bool(record.get("truncated")),
        repairs=tuple(make_visible(str(kind), 60) for kind in record.get("repairs") or ()),
        verdicts=tuple(verdicts),
    )


def _read_prompt(record: Record) -> str:
    """The user's turns; the system's is the same in every row of a task."""
    prompt = record.get("prompt")
    if not isinstance(prompt, list):
        return _text(prompt)
    turns = [turn for turn in prompt if isinstance(turn, Mapping)]
    spoken = [turn for turn in turns if turn.get("role") != "system"] or turns
    return "\n\n".join(_text(turn.get("content")) for turn in spoken)


def _spread(items: Sequence[Any], count: int, task_of: Callable[[Any], str]) -> list[Any]:
    """The first items, one a task before a second of any."""
    queues: dict[str, list[Any]] = {}
    for item in items:
        queues.setdefault(task_of(item), []).append(item)
    order = {id(item): place for place, item in enumerate(items)}
    chosen: list[Any] = []
    for layer in range(max(map(len, queues.values()), default=0)):
        chosen += [queue[layer] for queue in queues.values() if layer < len(queue)]
        if len(chosen) >= count:
            break
    return sorted(chosen[:count], key=lambda item: order[id(item)])


def _reward(record: Record) -> float | None:
    value = record.get("reward")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _task(record: Record) -> str:
    return str(record.get("task", "default"))


def _key(record: Record) -> tuple[str, str]:
    return _task(record), str(record.get("id", ""))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def count_states(records: Iterable[Record]) -> dict[str, int]:
    """How many completions were stored, truncated, repaired, not scored."""
    counts = {"completions": 0, "truncated": 0, "repaired": 0, "unscored": 0}
    for record in records:
        counts["completions"] += 1
        counts["truncated"] += bool(record.get("truncated"))
        counts["repaired"] += bool(record.get("repairs"))
        counts["unscored"] += _reward(record) is None
    return counts
