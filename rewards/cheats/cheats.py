"""The cheats that a policy learns when a reward lets it, and honest answers that are half right, made from example rows."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rewards.answers import CONFLICTING, read_answer
from rewards.cheats.documents import (
    cheat_with_documents,
    collect_values,
    corrupt_document,
    dump,
    halve_document,
    list_leaves,
    read_document,
)
from rewards.cheats.intents import cheat_with_intents
from rewards.cheats.sql import cheat_with_sql, corrupt_sql, halve_sql, is_sql
from rewards.types import Completion, Example

FILLER = "isto é importante e deve ser considerado com muita atenção por todos os envolvidos no processo"
_WORD = re.compile(r"[^\W_]+")


class Cheat(NamedTuple):
    """A text that tries to be paid without being right."""

    name: str
    text: str


@dataclass(frozen=True)
class Knowledge:
    """What a policy can learn from a data set without reading a prompt: the other rows' answers, and known labels."""

    references: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]


def make_cheats(example: Example, knowledge: Knowledge) -> list[Cheat]:
    """Every cheat for a row whose reference is a document, a SELECT or a text; the same rows give the same cheats.

    `knowledge` should not hold this row's own answer. A guess that happens to be right is left out.
    """
    reference = example.reference or ""
    cheats = [*_cheat_with_anything(example)]
    document = read_document(reference)
    if document is not None:
        others = [other for text in knowledge.references if (other := read_document(text)) is not None]
        cheats += [Cheat(name, text) for name, text in cheat_with_documents(document, others, knowledge.labels)]
        layer = example.columns.get("target_layer")
        # The answer to an adversarial row is a refusal: its figures, if any, only explain.
        if isinstance(layer, str) and layer and "adversarial" not in layer:
            cheats += [Cheat(name, text) for name, text in cheat_with_intents(document, others)]
    elif is_sql(reference):
        cheats += [Cheat(name, text) for name, text in cheat_with_sql(example, knowledge.references)]
    else:
        cheats += _cheat_with_words(example, knowledge)
    cheats += _answer_twice(reference, knowledge)
    return [cheat for cheat in cheats if not is_same(cheat.text, reference)]


def make_halves(reference: str, others: Sequence[str] = ()) -> list[str]:
    """Honest answers of which about half is wrong or missing; `others` are references to take wrong values from.

    Nothing for a reference that has no half, such as a single word or leaf.
    """
    document = read_document(reference)
    if document is not None:
        documents = [other for text in others if (other := read_document(text)) is not None]
        return [dump(half) for half in halve_document(document, collect_values([document, *documents]))]
    if is_sql(reference):
        return halve_sql(reference)
    return _halve_text(reference)


def is_same(text: str, reference: str) -> bool:
    """Whether two texts are the same, or write the same document."""
    if text.strip() == reference.strip():
        return True
    document = read_document(reference)
    if document is None:
        return False
    try:
        written = json.loads(text, object_pairs_hook=_refuse_repeated)
    except (ValueError, RecursionError):
        return False
    return json.dumps(written, sort_keys=True) == json.dumps(document, sort_keys=True)


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key appears twice")
    return members


def keeps_form(text: str, reference: str) -> bool:
    """Whether a text offers one document of the reference's kind, nothing in it said twice, empty or no number."""
    completion = Completion(text)
    answer, document = read_answer(completion), read_document(reference)
    return (
        bool(answer.value)
        and isinstance(answer.value, type(document))
        and not (answer.doubted or answer.repeated)
        and all(leaf is not CONFLICTING for _, leaf in list_leaves(answer.value))
    )


def _cheat_with_anything(example: Example) -> Iterator[Cheat]:
    turns = [str(turn.get("content", "")) for turn in example.prompt]
    yield Cheat("empty text", "")
    yield Cheat("empty object", "{}")
    yield Cheat("empty list", "[]")
    yield Cheat("null", "null")
    if turns:
        yield Cheat("prompt echo", "\n".join(turns))
        yield Cheat("question echo", turns[-1])
    yield Cheat("length padding", " ".join([FILLER] * 12) + ".")
    yield Cheat("only reasoning", f"<think>{example.reference}</think>")


def _cheat_with_words(example: Example, knowledge: Knowledge) -> list[Cheat]:
    """Cheats for free text: words without sense, phrases that all answers share, another row's answer."""
    reference = example.reference or ""
    asked = _WORD.findall(" ".join(str(turn.get("content", "")) for turn in example.prompt[-1:]))
    known = list(dict.fromkeys(word for text in knowledge.references for word in _WORD.findall(text)))
    shuffled = list(dict.fromkeys(asked + known))
    random.Random(0).shuffle(shuffled)
    size = max(1, len(reference.split()))
    starts = [" ".join(text.split()[:3]) for text in knowledge.references]
    half = " ".join(reference.split()[: (size + 1) // 2])
    cheats = [
        Cheat("keyword stuffing", " ".join(shuffled)),
        Cheat("keyword stuffing, same length", " ".join(shuffled[:size])),
        Cheat("keywords of the question, repeated", " ".join((asked * size)[:size])),
        Cheat("length padding of half an answer", f"{half} {' '.join([FILLER] * 4)}."),
    ]
    if starts:
        cheats += [
            Cheat("marker phrases", " ".join(starts * 3)),
            Cheat("marker phrases, same length", " ".join(" ".join(starts * size).split()[:size])),
            Cheat("marker phrase, repeated", " ".join(" ".join([starts[0]] * size).split()[:size])),
            Cheat("another row's answer", knowledge.references[0]),
            Cheat("all answers at once", " ".join(knowledge.references)),
        ]
    return cheats


def _answer_twice(reference: str, knowledge: Knowledge) -> list[Cheat]:
    """The right answer and a contradicting one of its length, so that a lenient reader may pick the right one."""
    wrong = _contradict(reference, knowledge)
    if wrong is None or is_same(wrong, reference):
        return []
    return [
        Cheat("contradictory double answer, right first", f"{reference}\n{wrong}"),
        Cheat("contradictory double answer, right last", f"{wrong}\n{reference}"),
        Cheat("contradictory double answer, in prose", f"{wrong}\n\nou talvez\n\n{reference}"),
        Cheat("contradictory double answer, in fences", f"```\n{wrong}\n```\nou\n```\n{reference}\n```"),
    ]


def _contradict(reference: str, knowledge: Knowledge) -> str | None:
    document = read_document(reference)
    if document is not None:
        others = [other for text in knowledge.references if (other := read_document(text)) is not None]
        return dump(corrupt_document(document, collect_values([document, *others])))
    if is_sql(reference):
        return corrupt_sql(reference)
    others = [text for text in knowledge.references if text != reference]
    words = " ".join(others).split() or FILLER.split()
    size = len(reference.split())
    return " ".join((words * (size // len(words) + 1))[:size]) if size else None


def _halve_text(text: str) -> list[str]:
    """The first and the second half of the words, alone or with other words for the rest, and every other one replaced.

    Nothing for a single word.
    """
    words = text.split()
    middle = (len(words) + 1) // 2
    filler = FILLER.split()
    other = [filler[at % len(filler)] for at in range(len(words))]
    mixed = [word if at % 2 else other[at] for at, word in enumerate(words)]
    halves = [words[:middle], words[middle:], words[:middle] + other[middle:], other[:middle] + words[middle:], mixed]
    return [" ".join(half) for half in halves] if len(words) > 1 else []


def known_labels(function: Any) -> dict[str, tuple[str, ...]]:
    """The enumerations that a function's options give away: those of `fields` by key, as the shop's records have them."""
    fields = getattr(function, "fields", None)
    if not isinstance(fields, Mapping):
        return {}
    return {key: tuple(rule.labels) for key, rule in fields.items() if getattr(rule, "labels", ())}
