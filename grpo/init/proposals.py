"""Rewards proposed for rows by what their answers are: JSON, tool calls, SQL, short labels, or text; each with its reason."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import unescape
from statistics import fmean
from typing import Any

from grpo.init.schema import describe_schema, infer_schema
from rewards.audit.derivability import FieldCount, measure_derivability
from rewards.audit.masking import MASKED_SHARE
from rewards.types import Example

JSON, CALLS, SQL, LABEL, TEXT = KINDS = ("json", "calls", "sql", "label", "text")
_MEASURED_ROWS = 5_000
_LABEL_CHARACTERS, _LABEL_WORDS, _MOST_LABELS = 60, 6, 60
_PORTUGUESE = ["não", "uma", "um", "está", "meu", "minha", "foi", "você", "da", "dos", "em", "pelo", "ao", "já"]
# Of the languages told apart only Portuguese has ã and õ, these endings, and this word for "with".
_LETTERS = re.compile(r"[ãõ]|ç[ao]s?\b|[aeiou]nh[ao]s?\b|lh[aeo]s?\b|^com$")
_OTHERS = [
    "the", "and", "of", "is", "to", "el", "los", "las", "con", "una", "y", "der", "und", "die", "le", "les", "des", "et",
]  # fmt: skip
_TAG = re.compile(r"<[^<>]*>")
_WRITTEN_CALL = re.compile(r"\[\s*[A-Za-z_][\w.]*\(")
_QUERY = re.compile(r"(?:```(?:sql\w*)?\s+)?(?:select\b|with\s(?=.*\sselect\s))", re.IGNORECASE | re.DOTALL)
# From so many words on a text field is prose: two right answers hardly ever have the same.
_SHORT_WORDS, _FREE_WORDS = 3, 5


@dataclass(frozen=True)
class Reward:
    """One reward function of the config to be: `tasks` None leaves it to all, `weight` None to what its range is."""

    name: str
    weight: float | None
    reason: str
    options: dict[str, Any] = field(default_factory=dict)
    tasks: list[str] | None = None


@dataclass
class Proposal:
    """`kinds` by task; `schema` is the text of schema.json where answers are JSON; `notes` are for the user to read."""

    kinds: dict[str, str]
    rewards: list[Reward]
    schema: dict[str, Any] | None = None
    about: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def sort_by_kind(rows: Sequence[Example]) -> tuple[list[Example], dict[str, str]]:
    """The rows, and the kind of answer of each task. A task whose answers are of several kinds becomes one for each."""
    kinds: dict[str, str] = {}
    tasks: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        tasks[row.task].append(row)
    renamed: dict[str, str] = {}
    for task, members in tasks.items():
        found = _find_kinds([row.reference or "" for row in members])
        main = Counter(found).most_common(1)[0][0]
        kinds[task] = main
        for row, kind in zip(members, found, strict=True):
            if kind != main:
                renamed[row.id] = f"{task}_{kind}"
                kinds[f"{task}_{kind}"] = kind
    return [replace(row, task=renamed[row.id]) if row.id in renamed else row for row in rows], kinds


def propose_rewards(rows: Sequence[Example], kinds: dict[str, str], schema_name: str = "schema.json") -> Proposal:
    """Reward functions for the rows; `rows` are all of them, so that what is inferred holds for each."""
    proposal = Proposal(kinds, [])
    by_kind: dict[str, list[str]] = defaultdict(list)
    for task, kind in kinds.items():
        by_kind[kind].append(task)
    for kind in KINDS:
        tasks = by_kind.get(kind)
        if tasks:
            members = [row for row in rows if row.task in tasks]
            scope = tasks if len(by_kind) > 1 or kind == SQL else None
            _PROPOSE[kind](members, scope, proposal, schema_name)
    return proposal


def _find_kinds(references: Sequence[str]) -> list[str]:
    """The kind of each answer; a task of prose is not taken apart by what one of its texts looks like."""
    from rewards.sql.statements import find_statement
    from rewards.tool_calls.dialects import read_calls

    found = []
    for text in references:
        bare = text.strip()
        if "<tool_call>" in bare or _is_call(bare):
            found.append(CALLS if read_calls(bare).calls else TEXT)
        elif bare[:1] in ("{", "[") and _is_json(bare):
            found.append(JSON)
        elif _QUERY.match(bare):
            found.append(SQL if find_statement(bare).sql is not None else TEXT)
        else:
            found.append(TEXT)
    counts = Counter(found)
    if counts[CALLS]:
        # An empty list beside calls is the answer that no call is to be made.
        found = [CALLS if text.strip() in ("[]", "{}") else kind for kind, text in zip(found, references, strict=True)]
    main, number = counts.most_common(1)[0]
    if main in (TEXT, SQL) and number >= 0.9 * len(found):
        found = [main] * len(found)
    texts = [text.strip() for kind, text in zip(found, references, strict=True) if kind == TEXT]
    if texts and _are_labels(texts):
        found = [LABEL if kind == TEXT else kind for kind in found]
    return found


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_call(text: str) -> bool:
    """Whether a text is a call: one JSON object with a name and arguments, a list of nothing else, or `[f(x=1), g()]`."""
    if _WRITTEN_CALL.match(text) and text.endswith(")]"):
        return True
    if text[:1] not in ("{", "[") or '"arguments"' not in text:
        return False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(isinstance(item, dict) and {"name", "arguments"} <= item.keys() for item in items)


def _are_labels(texts: Sequence[str]) -> bool:
    labels = Counter(texts)
    short = all(len(label) <= _LABEL_CHARACTERS and len(label.split()) <= _LABEL_WORDS for label in labels)
    return short and len(labels) <= min(_MOST_LABELS, max(2, len(texts) // 4))


def _propose_json(rows: list[Example], tasks: list[str] | None, proposal: Proposal, schema_name: str) -> None:
    values = [json.loads(row.reference or "null") for row in rows]
    # What each field follows from shows in a few thousand rows; the audit measures all of them.
    measured = measure_derivability(rows[:: max(1, -(-len(rows) // _MEASURED_ROWS))])
    schema = infer_schema(values, _find_copied(measured))
    proposal.schema = schema
    proposal.about[JSON] = describe_schema(schema)
    ignored, free = _find_unfit_fields(measured, values, proposal)
    options: dict[str, Any] = {}
    reasons = ["most of the reward: each field that is right counts, none for the frame alone"]
    if ignored:
        options["ignore_fields"] = ignored
        reasons.append("fields that no prompt contains are left out")
    if free:
        options["fold_text"] = True
        reasons.append("texts are compared without case and accents")
    tolerance = _find_tolerance(values)
    if tolerance:
        options["relative_tolerance"] = tolerance
        reasons.append(f"measured numbers may be off by {tolerance:.0%}")
    proposal.rewards += [
        Reward("json_valid", 0.5, "an answer that is not JSON helps nobody; partial credit for repairs", {}, tasks),
        Reward(
            "schema_valid",
            1.0,
            f"the right keys, types and choices of {schema_name}, as shares: partial credit along the way",
            {"schema": schema_name},
            tasks,
        ),
        Reward("field_f1", 3.0, "; ".join(reasons), options, tasks),
    ]


def _find_copied(measured: Mapping[str, Mapping[str, FieldCount]]) -> set[str]:
    """Fields whose values nearly always stand in the prompt."""
    fields = [item for found in measured.values() for item in found.items()]
    return {name for name, count in fields if count.stated >= 0.9 * count.leaves}


def _find_unfit_fields(
    measured: Mapping[str, Mapping[str, FieldCount]], values: list[Any], proposal: Proposal
) -> tuple[list[str], bool]:
    """Fields to be left out of the comparison, and whether any text field is left that people would write with other case."""
    counts: dict[str, list[FieldCount]] = defaultdict(list)
    for fields in measured.values():
        for name, count in fields.items():
            counts[name].append(count)
    words: dict[str, list[int]] = defaultdict(list)
    for value in values:
        for name, leaf in _leaves(value):
            if isinstance(leaf, str):
                words[name].append(len(leaf.split()))
    made_up, prose, look = [], [], []
    for name, found in counts.items():
        leaves = sum(count.leaves for count in found)
        missing = sum(count.underivable + count.made_up for count in found) / leaves
        if sum(count.made_up for count in found) >= MASKED_SHARE * leaves:
            made_up.append(name)
        elif missing >= MASKED_SHARE and words.get(name) and fmean(words[name]) >= _FREE_WORDS:
            prose.append(name)
        elif missing >= 0.1:
            look.append(f"{name} ({missing:.0%})")
    if made_up:
        proposal.notes.append(
            f"{', '.join(made_up)}: identifiers, links or times that no prompt contains; left out of field_f1, because nobody can guess them"
        )
    if prose:
        proposal.notes.append(
            f"{', '.join(prose)}: prose that no prompt gives word for word; left out of field_f1, schema_valid still asks for it"
        )
    if look:
        proposal.notes.append(
            f"{', '.join(look[:5])}{f' and {len(look) - 5} more' if len(look) > 5 else ''}: this share of the values stands in no "
            "prompt; if they are not computed or known, put them into ignore_fields of field_f1"
        )
    ignored = [name.replace("[]", "").strip(".") for name in (*made_up, *prose)]
    left = [name for name in counts if name not in made_up and name not in prose]
    if ignored and any(not any(name in left for name, _ in _leaves(value)) for value in values):
        proposal.notes.append("some answers would have nothing left to compare, so all fields are compared")
        ignored = []
    return [name for name in ignored if name], any(words.get(name) for name in left)


def _find_tolerance(values: list[Any]) -> float | None:
    """1 % where numbers are measured (three decimals or more on most); money and counts must be exact."""
    floats = [leaf for value in values for _, leaf in _leaves(value) if isinstance(leaf, float)]
    fine = [leaf for leaf in floats if round(leaf, 2) != leaf]
    return 0.01 if floats and 2 * len(fine) > len(floats) else None


def _leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Dotted path and value of each leaf, lists as `[]`."""
    found: list[tuple[str, Any]] = []
    stack = [(path, value)]
    while stack:
        place, item = stack.pop()
        if isinstance(item, dict) and item:
            stack += [(f"{place}.{key}" if place else key, child) for key, child in item.items()]
        elif isinstance(item, list) and item:
            stack += [(f"{place}[]", child) for child in item]
        else:
            found.append((place, item))
    return found


def _propose_calls(rows: list[Example], tasks: list[str] | None, proposal: Proposal, schema_name: str) -> None:
    from rewards.tool_calls.dialects import read_calls

    names = Counter(call.name for row in rows for call in read_calls(row.reference or "").calls)
    none = sum(not read_calls(row.reference or "").calls for row in rows)
    proposal.about[CALLS] = f"{names.total()} calls of {len(names)} function{'s' if len(names) != 1 else ''}" + (
        f", {none} answers without one" if none else ""
    )
    proposal.rewards.append(
        Reward(
            "tool_call",
            1.0,
            "the right function, its arguments one by one, and the whole call, in any dialect",
            {},
            tasks,
        )
    )


def _propose_sql(rows: list[Example], tasks: list[str] | None, proposal: Proposal, schema_name: str) -> None:
    proposal.about[SQL] = "SQL queries"
    if all(isinstance(row.columns.get("database"), str) for row in rows):
        reason = "the query is run on the row's database and its result compared; partial credit for like queries"
        proposal.rewards.append(Reward("sql_qa", 1.0, reason, {}, tasks))
        return
    proposal.notes.append(
        "the rows name no database and contain no CREATE TABLE that SQLite accepts, so queries are compared as text; given a "
        "column `database` (a SQLite file), the reward sql_qa runs them and compares results"
    )
    reason = "shared words in their order; no database to run the query on"
    _add_overlap(Reward("text_overlap", 1.0, reason, {"measure": "rougeL", "words": "unicode"}, tasks), proposal)


def _propose_labels(rows: list[Example], tasks: list[str] | None, proposal: Proposal, schema_name: str) -> None:
    labels = Counter((row.reference or "").strip() for row in rows)
    shown = ", ".join(f"{label} {count}" for label, count in labels.most_common(4))
    proposal.about[LABEL] = f"{len(labels)} labels ({shown}{', ...' if len(labels) > 4 else ''})"
    most = labels.most_common(1)[0][1] / len(rows)
    if most > 0.6:
        proposal.notes.append(
            f"{most:.0%} of the answers are one label: a policy that always says it earns that much; look at each label in the report"
        )
    reason = "exactly the label, 1 or 0: a near miss is wrong too"
    _add_overlap(Reward("text_overlap", 1.0, reason, {"measure": "exact"}, tasks), proposal)


def _propose_text(rows: list[Example], tasks: list[str] | None, proposal: Proposal, schema_name: str) -> None:
    from rewards.functions.text_overlap import measure_overlap

    if _propose_final_answer(rows, tasks, proposal):
        return
    lengths = [len((row.reference or "").split()) for row in rows]
    span = f"{min(lengths)} to {max(lengths)}" if min(lengths) < max(lengths) else f"{max(lengths)}"
    proposal.about[TEXT] = f"texts of {span} words"
    wordless = any(measure_overlap(row.reference or "", row.reference or "", "unicode")["rougeL"] < 1.0 for row in rows)
    if max(lengths) <= _SHORT_WORDS or wordless:
        reason = "short answers: exactly the text, 1 or 0"
        _add_overlap(Reward("text_overlap", 1.0, reason, {"measure": "exact"}, tasks), proposal)
        return
    proposal.notes.append(
        "texts are judged by the words they share with the reference, which rewards similarity, not truth; a reward of your own "
        "may know better: python -m rewards new my_reward"
    )
    reason = "the reference's words in their order (ROUGE-L), whatever else may be right"
    _add_overlap(Reward("text_overlap", 1.0, reason, {"measure": "rougeL", "words": "unicode"}, tasks), proposal)


def _propose_final_answer(rows: list[Example], tasks: list[str] | None, proposal: Proposal) -> bool:
    """Whether the answers are numbers, or explanations with a marked answer at their end, nearly all of them."""
    from grpo.init.units import are_led_by_words, tell_units
    from rewards.final_answers.finding import read_marked
    from rewards.final_answers.reading import read_answer
    from rewards.functions.final_answer import FinalAnswer

    function = FinalAnswer()
    marked = [read_marked(row.reference or "") for row in rows]
    bare = [
        answer is None and bool(read_answer(row.reference or "").numbers)
        for answer, row in zip(marked, rows, strict=True)
    ]
    short = [len((row.reference or "").split()) <= _SHORT_WORDS for row in rows]
    fit = [
        (answer is not None or (is_number and is_short)) and not function.problems(row)
        for answer, is_number, is_short, row in zip(marked, bare, short, rows, strict=True)
    ]
    if not all(fit) or (not any(marked) and are_led_by_words([row.reference or "" for row in rows])):
        return False
    count = sum(answer is not None for answer in marked)
    proposal.about[TEXT] = "explanations with a marked answer" if count == len(rows) else "numbers"
    if not count:
        proposal.notes.append(
            "the answers are bare numbers, and max_completion_length fits those: a policy that is to work them out first needs more"
        )
    proposal.notes += tell_units(row.reference or "" for row in rows)
    reason = "the right final answer, 1 or 0, however it is written; the way to it is not judged"
    proposal.rewards.append(Reward("final_answer", 1.0, reason, {}, tasks))
    return True


def _add_overlap(reward: Reward, proposal: Proposal) -> None:
    """One text_overlap serves all texts of a run, since a function is named once; the gentler measure wins."""
    known = next((known for known in proposal.rewards if known.name == reward.name), None)
    if known is None:
        proposal.rewards.append(reward)
        return
    gentler = known if known.options["measure"] != "exact" else reward
    tasks = sorted({*(known.tasks or ()), *(reward.tasks or ())})
    proposal.rewards[proposal.rewards.index(known)] = replace(gentler, tasks=tasks or None)


_PROPOSE = {JSON: _propose_json, CALLS: _propose_calls, SQL: _propose_sql, LABEL: _propose_labels, TEXT: _propose_text}


def instruct(rows: Sequence[Example], kinds: dict[str, str], proposal: Proposal) -> tuple[list[Example], str | None]:
    """The rows with a system turn that says what is wanted, where no row has any and the answer's form is told nowhere.

    Only labels and JSON need it: without it no policy could know their choices or keys before it is trained.
    """
    if any(turn["role"] == "system" for row in rows for turn in row.prompt) or len(kinds) != 1:
        return list(rows), None
    (kind,) = kinds.values()
    portuguese = speaks_portuguese(rows)
    if kind == LABEL:
        labels = ", ".join(sorted({(row.reference or "").strip() for row in rows}))
        told = (
            f"Responda só com uma destas opções: {labels}."
            if portuguese
            else f"Answer with one of these only: {labels}."
        )
    elif kind == JSON and proposal.schema and proposal.schema.get("properties"):
        keys = ", ".join(proposal.schema["properties"])
        told = f"Responda só com um objeto JSON com as chaves {keys}."
        told = told if portuguese else f"Answer with one JSON object only, with the keys {keys}."
    else:
        return list(rows), None
    return [replace(row, prompt=[{"role": "system", "content": told}, *row.prompt]) for row in rows], told


def speaks_portuguese(rows: Sequence[Example]) -> bool:
    """Whether the users of the first rows write Portuguese rather than English or another language, by its small words; HTML is read as its text."""
    asked = (turn["content"] for row in rows[:200] for turn in row.prompt if turn["role"] == "user")
    words = Counter(word for text in asked for word in _TAG.sub(" ", unescape(text)).lower().split())
    own, others = (sum(words[word] for word in small) for small in (_PORTUGUESE, _OTHERS))
    # Advertisements hardly have small words: there the letters that only Portuguese has, and its money, tell.
    own += sum(count for word, count in words.items() if word.startswith("r$") or _LETTERS.search(word))
    return own > others and own >= len(rows[:200]) / 4
