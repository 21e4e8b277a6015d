"""The completions a report shows: best, worst, most changed, and one group of training. All of them are hostile text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callbacks.evaluation.endings import count_endings
from grpo.report.readings import Field, FieldReading, compare_fields, read_answer
from grpo.report.run_files import Record, as_list, as_mapping, is_number
from rewards.screen.harmless_text import make_label, make_visible
from rewards.statistics.estimates import ALL

SHOWN_IN_GROUP = 16


@dataclass(frozen=True, slots=True)
class ShownScore:
    """What one reward function said of a completion."""

    function: str
    value: float | None
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """One completion made fit to be shown; all texts are still to be escaped."""

    text: str
    reward: float | None
    truncated: bool
    reading: FieldReading
    verdicts: tuple[ShownScore, ...]
    advantage: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One held-out row with its answer at the end, and the one after the warm-up where it is compared."""

    id: str
    task: str
    prompt: str
    reference: str
    final: ShownAnswer
    warmup: ShownAnswer | None = None
    change: float | None = None
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """The completions of one prompt in one step of training, best first."""

    step: int
    task: str
    prompt: str
    answers: tuple[ShownAnswer, ...]
    left_out: int = 0


def choose_samples(warmup: Sequence[Record], final: Sequence[Record], count: int = 4) -> dict[str, list[Sample]]:
    """`best`, `worst`, `gained` and `lost`, up to `count` each, spread over the tasks; ties go by id.

    `gained` and `lost` are the largest changes of the reward from the warm-up to the end, of the same row.
    """
    rewards = {id(record): value for record in (*warmup, *final) if (value := _reward(record)) is not None}
    scored = [record for record in final if id(record) in rewards]
    earlier = {_key(record): record for record in warmup if id(record) in rewards}
    pairs = [
        (record, earlier[key], rewards[id(record)] - rewards[id(earlier[key])])
        for record in scored
        if (key := _key(record)) in earlier
    ]
    gained = sorted((pair for pair in pairs if pair[2] > 0), key=lambda pair: (-pair[2], _key(pair[0])))
    lost = sorted((pair for pair in pairs if pair[2] < 0), key=lambda pair: (pair[2], _key(pair[0])))
    best = _spread(sorted(scored, key=lambda r: (-rewards[id(r)], _key(r))), count, _task)
    worst = _spread(sorted(scored, key=lambda r: (rewards[id(r)], _key(r))), count, _task)
    return {
        "gained": [_make_sample(*pair) for pair in _spread(gained, count, lambda pair: _task(pair[0]))],
        "lost": [_make_sample(*pair) for pair in _spread(lost, count, lambda pair: _task(pair[0]))],
        "best": [_make_sample(record) for record in best],
        "worst": [_make_sample(record) for record in worst],
    }


def choose_group(records: Sequence[Record]) -> Group | None:
    """The group of a training step whose rewards lie farthest apart: what the policy was pushed towards, and away from."""
    groups: dict[str, list[tuple[float, Record]]] = {}
    for record in records:
        if "group" in record and (reward := _reward(record)) is not None:
            groups.setdefault(str(record["group"]), []).append((reward, record))
    spread = {
        name: max(reward for reward, _ in group) - min(reward for reward, _ in group)
        for name, group in groups.items()
        if len(group) > 1
    }
    if not spread:
        return None
    group = groups[max(spread, key=lambda name: (spread[name], name))]
    ordered = [record for _, record in sorted(group, key=lambda pair: -pair[0])]
    step = ordered[0].get("step")
    return Group(
        step=int(step) if is_number(step) else 0,
        task=make_label(_task(ordered[0])),
        prompt=make_visible(read_prompt(ordered[0])),
        answers=tuple(_make_answer(record, limit=600) for record in ordered[:SHOWN_IN_GROUP]),
        left_out=max(0, len(ordered) - SHOWN_IN_GROUP),
    )


def count_states(records: Iterable[Record]) -> dict[str, Any]:
    """How many completions were stored, truncated (`repeated` of them in a loop), repaired, not scored; `repairs` counts each kind, most frequent first."""
    counts: dict[str, Any] = {"completions": 0, "truncated": 0, "repeated": 0, "repaired": 0, "unscored": 0}
    kinds: dict[str, int] = {}
    for record in records:
        counts["completions"] += 1
        counts["truncated"] += bool(record.get("truncated"))
        counts["repeated"] += bool(record.get("repeated"))
        counts["unscored"] += _reward(record) is None
        found = {make_label(kind, 60) for kind in as_list(record.get("repairs"))}
        counts["repaired"] += bool(found)
        for kind in found:
            kinds[kind] = kinds.get(kind, 0) + 1
    counts["repairs"] = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:12]
    return counts


def count_cut_off(records: Mapping[str, Iterable[Record]]) -> list[dict[str, Any]]:
    """A row a task, `all` first: how its completions ended at each stage; none where nothing was cut off."""
    stages = {
        stage: count_endings(
            (make_label(_task(record)), bool(record.get("truncated")), bool(record.get("repeated"))) for record in found
        )
        for stage, found in records.items()
    }
    if not any(endings.truncated for found in stages.values() for endings in found.values()):
        return []
    names = {name for found in stages.values() for name in found}
    return [
        {"task": name, **{stage: found.get(name) for stage, found in stages.items()}}
        for name in sorted(names, key=lambda name: (name != ALL, name))
    ]


def read_prompt(record: Record) -> str:
    """The user's turns; the system's is the same in every row of a task."""
    prompt = record.get("prompt")
    if not isinstance(prompt, list):
        return _text(prompt)
    turns = [turn for turn in prompt if isinstance(turn, Mapping)]
    spoken = [turn for turn in turns if turn.get("role") != "system"] or turns
    return "\n\n".join(_text(turn.get("content")) for turn in spoken)


def _make_sample(final: Record, warmup: Record | None = None, change: float | None = None) -> Sample:
    answer, earlier = _make_answer(final), _make_answer(warmup) if warmup is not None else None
    return Sample(
        id=make_label(_key(final)[1]),
        task=make_label(_task(final)),
        prompt=make_visible(read_prompt(final)),
        reference=make_visible(_text(final.get("reference"))),
        final=answer,
        warmup=earlier,
        change=change,
        fields=compare_fields(
            _text(final.get("reference")), answer.reading, earlier.reading if earlier is not None else None
        ),
    )


def _make_answer(record: Record, limit: int = 1500) -> ShownAnswer:
    verdicts = [
        ShownScore(
            make_label(name, 60),
            float(score["value"]) if is_number(score.get("value")) else None,
            make_label(score.get("status") or "value", 20),
            make_label(score.get("reason"), 300),
        )
        for name, score in as_mapping(record.get("scores")).items()
        if isinstance(score, Mapping)
    ]
    text = _text(record.get("completion"))
    advantage = record.get("advantage")
    return ShownAnswer(
        text=make_visible(text, limit),
        reward=_reward(record),
        truncated=bool(record.get("truncated")),
        reading=read_answer(
            text, _text(record.get("reference")), [make_label(kind, 60) for kind in as_list(record.get("repairs"))]
        ),
        # A function that is not for this task has nothing to say about it.
        verdicts=tuple(v for v in verdicts if v.value is not None or v.status == "error") or tuple(verdicts[:3]),
        advantage=float(advantage) if is_number(advantage) else None,
    )


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
    return float(value) if is_number(value) else None


def _task(record: Record) -> str:
    return _text(record.get("task", "default"))


def _key(record: Record) -> tuple[str, str]:
    return _task(record), _text(record.get("id"))


def _text(value: Any) -> str:
    return "" if value is None else str(value)
