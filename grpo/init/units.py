"""Detects answers in several units that final_answer does not know and therefore does not compare."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from rewards.final_answers.finding import read_marked
from rewards.final_answers.reading import read_answer

_NUMBER = re.compile(r"[-+−]?\d[\d.,  ]*(?:[eE][-+]?\d+)?")
_UNIT = re.compile(r"[^\W\d_]|[°%$€£µ]")
_LED_BY_WORD = re.compile(r"\W*(?![A-Z]{3}\b)[^\W\d_]{3,}")
_LONGEST_UNIT = 12
_SHOWN = 4
_RARE = 0.02


def tell_units(references: Iterable[str]) -> list[str]:
    """A note, if the answers use at least two units that final_answer does not know; otherwise an empty list."""
    seen: Counter[str] = Counter()
    for reference in references:
        marked = read_marked(reference)
        answer = marked or read_answer(reference)
        if answer.units or answer.percent or answer.unscaled:
            continue
        unit = " ".join(_NUMBER.sub(" ", answer.text).split())
        if len(unit) <= _LONGEST_UNIT and _UNIT.search(unit):
            seen[unit] += 1
    units = [unit for unit, count in seen.most_common() if count > _RARE * seen.total()]
    if len(units) < 2:
        return []
    shown = ", ".join(units[:_SHOWN]) + (", ..." if len(units) > _SHOWN else "")
    return [
        f"the answers use several units that final_answer does not know ({shown}), so only the number is compared: 5 {units[0]} earns as much as "
        f"5 {units[1]}; state the unit in the prompt, or write a reward that reads it: python -m rewards new my_reward"
    ]


def are_led_by_words(answers: Sequence[str]) -> bool:
    """Whether most answers begin with a word that is part of them, as in `Room 12`; a currency code does not count."""
    return 2 * sum(_LED_BY_WORD.match(answer) is not None for answer in answers) > len(answers)
