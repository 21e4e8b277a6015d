"""Which of several values in a text is the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rewards.extraction.afterwords import CHOSEN, takes_back
from rewards.extraction.candidates import Candidate
from rewards.extraction.decoys import (
    expected_share,
    has_sure_placeholders,
    has_type_marks,
    holds_objects,
    is_decoy,
    placeholder_share,
)
from rewards.extraction.repairs import Repair, RepairKind
from rewards.extraction.taken_back import may_take_back
from rewards.extraction.words import (
    ANSWER_TAG,
    CONFIRMED_AFTER,
    CORRECTS,
    DENIED_AFTER,
    FENCE_AHEAD,
    FINAL,
    GOES_ON_BEHIND_FENCE,
    JSON_FENCES,
    NEXT_TURN,
    NOT_FINAL,
    PARAGRAPH_ENDS,
    REFUSED,
    REMARKS,
    REPLACED,
    SAID_AFTER,
    SAID_BEFORE,
    SENTENCE_END,
    SIDE_BY_SIDE,
    TITLE,
    TURN,
    TURNED_INTO,
    WEAK_FINAL,
)

_BETWEEN = 160
"""Characters between two values up to which all that is said there speaks of the first."""


class ChosenAnswer(NamedTuple):
    """The answer, how sure that is in 0..1, and the other values that the text offers, placeholders left out."""

    answer: Candidate
    certainty: float
    rivals: tuple[Any, ...] = ()


def choose(text: str, candidates: Sequence[Candidate], expect_keys: Sequence[str]) -> ChosenAnswer | None:
    """The most likely answer; None where no candidate can be an answer."""
    rows = _as_rows(text, candidates) if len(candidates) > 1 else None
    if rows is not None:
        return ChosenAnswer(rows, 0.7)
    eligible = [candidate for candidate in candidates if _may_answer(text, candidate, len(candidates) == 1)]
    if not eligible:
        return None
    known: dict[int, bool] = {}

    def is_known_decoy(candidate: Candidate) -> bool:
        # Asked several times of each, and all leaves of its value are looked at.
        if (found := known.get(id(candidate))) is None:
            found = known[id(candidate)] = is_decoy(candidate)
        return found

    chosen = _choose_among(text, eligible, expect_keys, is_known_decoy)
    if chosen is None:
        return None
    answer, certainty, others = chosen
    rivals = tuple(
        other.value for other in others if other.closed and holds_objects(other.value) and not is_known_decoy(other)
    )
    return ChosenAnswer(answer, certainty, rivals)


def _choose_among(
    text: str, eligible: list[Candidate], expect_keys: Sequence[str], is_decoy: Callable[[Candidate], bool]
) -> tuple[Candidate, float, list[Candidate]] | None:
    standing: list[Candidate] = eligible
    void = [may_take_back(after := text[it.end : it.end + 240]) and takes_back(after) for it in eligible]
    if any(void):
        standing = [candidate for candidate, is_void in zip(eligible, void, strict=True) if not is_void]
        if not standing:
            return None
    if len(eligible) == 1:
        return eligible[0], 1.0, []
    turn = NEXT_TURN.search(text, standing[0].end)
    if turn is not None and len(standing) > 1 and TURN.search(text, standing[0].floor, standing[0].start) is None:
        # The model went on with a conversation of its own: what stands there answers other questions.
        standing = [candidate for candidate in standing if candidate.end <= turn.start()]
    if len(standing) == 1:
        return standing[0], 0.9, []
    eligible = standing
    picked = _picked(text, eligible)
    if picked is not None:
        return eligible[picked], 0.8, eligible[:picked] + eligible[picked + 1 :]
    merged = _merge_records(text, eligible, is_decoy)
    ranks = [_rank(text, candidate, expect_keys, is_decoy) for candidate in merged]
    best = max(range(len(merged)), key=lambda index: (ranks[index], index))
    best = _prefer_announced(text, merged, ranks, best)
    if len(merged) == 1:
        return merged[0], 0.95, []
    others = merged[:best] + merged[best + 1 :]
    runner_up = max(rank for index, rank in enumerate(ranks) if index != best)
    rivals = [merged[index] for index, rank in enumerate(ranks) if index != best and rank == ranks[best]]
    if any(rival.value != merged[best].value for rival in rivals):
        return merged[best], 0.6, others
    return merged[best], 0.9 if runner_up < ranks[best] else 0.85, others


def _picked(text: str, candidates: list[Candidate]) -> int | None:
    """The value that the words behind all of them choose by its number or by the label before it; None where they do not."""
    after = text[candidates[-1].end : candidates[-1].end + 300]
    if len(after) < 8 or not 1 < len(candidates) < 10:
        return None
    match = CHOSEN.search(after)
    if match is None:
        return None
    first, last = match["first"] or match["former"], match["last"] or match["latter"]
    if first or last:
        return 0 if first else len(candidates) - 1 if last[:1].lower() not in "s" else 1
    name = match["winner"] or (match["label"] if match["noun"] else None)
    if name is None:
        return None
    label = re.compile(rf"(?<!\w){re.escape(name)}\W{{0,4}}\Z", re.IGNORECASE)
    named = [index for index, candidate in enumerate(candidates) if label.search(_before(text, candidate))]
    return named[0] if len(named) == 1 else None


def _as_rows(text: str, candidates: Sequence[Candidate]) -> Candidate | None:
    """Lists side by side, with nothing else in the text, as a list that lost its brackets."""
    if len(candidates) < 2 or not all(
        isinstance(candidate.value, list) and candidate.closed for candidate in candidates
    ):
        return None
    edges = [*(edge for candidate in candidates for edge in (candidate.start, candidate.end))][1:-1]
    gaps = [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    if any(gap.strip(" \t\r\n,;") for gap in gaps) or not all("," in gap for gap in gaps):
        return None
    before = text[candidates[0].floor : candidates[0].start][-200:].rstrip(" \t")
    after = text[candidates[-1].end : candidates[-1].end + 80].lstrip(" \t,;.")[:1]
    if (before and before[-1] not in ":\n") or after not in ("", "\n", "\r", "<", "`"):
        return None
    return _as_list(list(candidates))


def _may_answer(text: str, candidate: Candidate, alone: bool) -> bool:
    value = candidate.value
    before = text[candidate.previous : candidate.start]
    whole = not before.strip() and not text[candidate.end :].strip(" \t\r\n.;`~'}])")
    if whole or candidate.fence is not None:
        return True
    if not value:
        return candidate.closed and (
            _is_offered(text, candidate) or _announced(text, candidate) or (alone and _is_unsaid(text, candidate))
        )
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return _list_may_answer(text, candidate, alone)
    if isinstance(value, dict):
        if not candidate.closed and not candidate.cut and candidate.guesses > 1 and len(value) < 2:
            return True
        placeholders = placeholder_share(value)
        if placeholders >= 0.999 and has_type_marks(value):
            return False
    return True


def _is_unsaid(text: str, candidate: Candidate) -> bool:
    """True where beside an empty value nothing stands but comments, or nothing on one of its sides."""
    before, after = text[: candidate.start], text[candidate.end :]
    sides = (REMARKS.fullmatch(before) is not None) + (REMARKS.fullmatch(after) is not None)
    return sides == 2 or (sides == 1 and isinstance(candidate.value, dict))


def _list_may_answer(text: str, candidate: Candidate, alone: bool) -> bool:
    """Citations, placeholders and asides in prose are lists too; an answer is announced or stands on its own."""
    value = candidate.value
    if not candidate.closed and not candidate.cut:
        return False
    if all(isinstance(item, str) for item in value) and any(
        repair.kind is RepairKind.BARE_TEXT for repair in candidate.repairs
    ):
        return alone and len(value) > 1 and (_is_offered(text, candidate) or _is_own_line(text, candidate))
    if alone and len(value) > 1 and all(isinstance(item, str) for item in value) and not candidate.guesses:
        return text[candidate.start - 1 : candidate.start] in ("", " ", "\n", "\t", "`", "*", "(", ":")
    if alone and len(value) > 1 and not candidate.guesses and _is_named(text, candidate):
        return True
    before = text[max(candidate.previous, candidate.start - 200) : candidate.start].rstrip(" \t`*")
    if before[-1:] == "=" and "=" in before[:-1].rpartition("\n")[2]:
        # One of several fields, as Python's pydantic prints them.
        return False
    line_end = text[candidate.end : candidate.end + 6].lstrip(" \t.;,`*)]}")[:1]
    return (not before or before[-1] in ":=\n>-•") and (not line_end or line_end == "\n" or line_end == "<")


def _is_offered(text: str, candidate: Candidate) -> bool:
    """True when nothing else stands on its line, or only what announces it."""
    before = text[max(candidate.floor, candidate.start - 200) : candidate.start].rstrip(" \t`*_>")
    after = text[candidate.end : candidate.end + 80].lstrip(" \t.;,`*_)")[:1]
    return (not before or before[-1] in "\n:=(") and (not after or after in "\n<")


def _is_own_line(text: str, candidate: Candidate) -> bool:
    """True where nothing else stands on the lines of a value, and an empty line or the end follows it."""
    after = text[candidate.end : candidate.end + 20].lstrip(" \t\r")
    return _starts_line(text, candidate) and (not after or after.startswith(("\n\n", "\n\r\n", "\n</", "<")))


def _is_named(text: str, candidate: Candidate) -> bool:
    """True where a sentence says that the list is the answer."""
    line = max(candidate.floor, text.rfind("\n", max(0, candidate.start - 160), candidate.start) + 1)
    before, after = text[max(line, candidate.start - 160) : candidate.start], text[candidate.end : candidate.end + 60]
    return SAID_BEFORE.search(before) is not None or (not before.strip() and SAID_AFTER.match(after) is not None)


def _merge_records(text: str, candidates: list[Candidate], is_decoy: Callable[[Candidate], bool]) -> list[Candidate]:
    """Joins objects that stand side by side into one list, unless they are equal."""
    merged: list[Candidate] = []
    group: list[Candidate] = []

    def flush() -> None:
        if len(group) > 1 and any(record.value != group[0].value for record in group):
            merged.append(_as_list(group))
        elif group:
            merged.append(group[-1] if group[-1].closed or not group[0].closed else group[0])
        group.clear()

    for candidate in candidates:
        if not isinstance(candidate.value, dict) or not candidate.value or is_decoy(candidate):
            flush()
            merged.append(candidate)
            continue
        if group:
            between = text[group[-1].end : candidate.start]
            joined = (
                group[-1].end <= candidate.start and len(between) < 200 and SIDE_BY_SIDE.fullmatch(between) is not None
            )
            joined = joined and _is_open_record(text, group[0], candidate)
            alike = bool(group[-1].value.keys() & candidate.value.keys())
            joined = joined and (alike or ("e" not in between and _starts_line(text, group[0])))
            joined = joined and (candidate.closed or candidate.cut) and group[-1].closed
            if not joined:
                flush()
        group.append(candidate)
    flush()
    return merged


def _is_open_record(text: str, first: Candidate, following: Candidate) -> bool:
    """False where the first of two neighbours belongs to a sentence, a refusal or a quotation, and the second does not."""
    if "\n" not in text[first.end : following.start]:
        return True
    if _mark(text, first) < 0:
        return False
    line = max(first.floor, text.rfind("\n", max(0, first.start - 200), first.start) + 1)
    before = text[line : first.start].rstrip(" \t`*")
    return not before or before[-1] in ":=[(-•.)|" or before.endswith("<tool_call>")


def _starts_line(text: str, candidate: Candidate) -> bool:
    line = max(candidate.floor, text.rfind("\n", max(0, candidate.start - 200), candidate.start) + 1)
    return not text[line : candidate.start].strip(" \t`*->•")


def _as_list(group: list[Candidate]) -> Candidate:
    first, last = group[0], group[-1]
    repairs: list[Repair] = [Repair(RepairKind.RECORDS, first.start)]
    for record in group:
        repairs.extend(record.repairs)
    return Candidate(
        [record.value for record in group],
        first.start,
        last.end,
        tuple(repairs),
        last.closed,
        last.cut,
        first.fence,
        first.previous,
        first.floor,
        tuple((index, *path) for index, record in enumerate(group) for path in record.duplicates),
    )


def _rank(
    text: str, candidate: Candidate, expect_keys: Sequence[str], is_decoy: Callable[[Candidate], bool]
) -> tuple[float, ...]:
    value = candidate.value
    expected = expected_share(value, expect_keys) if expect_keys else 0.0
    filled = 2 if holds_objects(value) else 1 if value else 0
    mark = _mark(text, candidate)
    sound = 0 if is_decoy(candidate) and mark < 1 and not _is_titled(text, candidate) else 1
    quality = 3 if candidate.closed and not candidate.guesses else 2 if candidate.closed else 1 if candidate.cut else 0
    fence = candidate.fence
    offered = 0
    if ANSWER_TAG.search(text, max(0, candidate.start - 80), candidate.start):
        offered = 4
    elif fence is not None:
        offered = 3 if fence in JSON_FENCES else 1
    elif _is_offered(text, candidate):
        offered = 2
    if mark > 0 and quality == 1:
        quality = 2
    # What the caller knows, then what the text says of it, then how well it is written: a draft may be flawless.
    return expected, sound, filled, mark, quality, offered


def _is_titled(text: str, candidate: Candidate) -> bool:
    """True for words that formats and answers both use, where the text calls them its answer."""
    return TITLE.search(_before(text, candidate)) is not None and not has_sure_placeholders(candidate.value)


def _prefer_announced(text: str, candidates: list[Candidate], ranks: list[tuple[float, ...]], best: int) -> int:
    """An announced answer stands against a later value with other keys, such as a confidence; not against a correction."""
    winner = candidates[best].value
    if not isinstance(winner, dict) or _announced(text, candidates[best]):
        return best
    for index in range(best - 1, -1, -1):
        value = candidates[index].value
        if (
            ranks[index][:5] == ranks[best][:5]
            and isinstance(value, dict)
            and not value.keys() & winner.keys()
            and _announced(text, candidates[index])
        ):
            return index
    return best


def _before(text: str, candidate: Candidate) -> str:
    """The words just before a value: the last sentence of the last line that is not empty."""
    # Not across the value before it, whose words are its own, and no more than a line or two: a denial further up
    # speaks of something else.
    window = text[max(candidate.previous, candidate.start - 160) : candidate.start]
    if "`" in window or "~" in window or "'" in window:
        window = FENCE_AHEAD.sub("", window)
    window = window.rstrip()
    line = window.rpartition("\n")[2]
    return SENTENCE_END.split(line.rstrip(" .;"))[-1]


def _announced(text: str, candidate: Candidate) -> bool:
    before = _before(text, candidate)
    return bool(WEAK_FINAL.search(before) or FINAL.search(before)) and not NOT_FINAL.search(before)


def _mark(text: str, candidate: Candidate) -> int:
    """1 where the text says that this is the answer, -1 where it says that it is not, -2 what another replaces, else 0."""
    after = text[candidate.end : candidate.end + 60]
    if candidate.fence is not None and (goes_on := GOES_ON_BEHIND_FENCE.match(after)) is not None:
        after = after[goes_on.end() :]
    line = after.split("\n", 1)[0]
    if DENIED_AFTER.match(line):
        return -1
    before = _before(text, candidate)
    if candidate.previous > candidate.floor:
        between = text[candidate.previous : candidate.start]
        if CORRECTS.search(before if len(between) > _BETWEEN else between) or TURNED_INTO.fullmatch(between):
            return 1
    if not before:
        return 1 if CONFIRMED_AFTER.match(line) else 0
    if REPLACED.search(before, max(0, len(before) - 60)):
        return -2
    final = max((match.end() for match in FINAL.finditer(before)), default=-1)
    denial = REFUSED if PARAGRAPH_ENDS.search(text, max(0, candidate.start - 40), candidate.start) else NOT_FINAL
    denied = max((match.end() for match in denial.finditer(before)), default=-1)
    if final >= max(denied, 0) or (CONFIRMED_AFTER.match(line) and denied < 0):
        return 1
    return -1 if denied >= 0 else 0
