"""Which columns are asked and which are the answer, and the rows made of them."""

from __future__ import annotations

import ast
import json
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from grpo.data.sources import FoundRecords, SourceRecord, iterate_columns
from grpo.init.cell_numbers import ReadNumber, as_comma_number, find_numeric
from rewards.errors import UserError
from rewards.row_forms.columns import name_form, read_ground_truth, unify_form
from rewards.row_forms.conversations import FORMS, cut_conversation, kind_of, read_turns, tell_tools
from rewards.row_forms.transcripts import unify_tags
from rewards.rows import make_strict_example
from rewards.types import Example

# Pairs of names by which data sets call what is asked and the answer; a prompt of two columns is their texts in order.
PAIRS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("prompt",), "reference"), (("prompt",), "completion"), (("prompt",), "chosen"), (("prompt",), "response"),
    (("prompt",), "answer"), (("prompt",), "output"), (("instruction", "input"), "output"), (("instruction", "input"), "response"),
    (("instruction", "context"), "response"), (("instruction", "context"), "output"), (("instruction",), "output"), (("instruction",), "response"),
    (("instruction",), "completion"), (("context", "question"), "answer"), (("context", "question"), "answers"),
    (("schema", "question"), "sql"), (("sql_context", "sql_prompt"), "sql"), (("question",), "sql"), (("question",), "query"), (("question",), "answer"),
    (("question",), "answers"), (("question",), "response"), (("query",), "response"), (("query",), "answer"),
    (("problem",), "solution"), (("problem",), "answer"), (("input",), "output"), (("input",), "target"), (("input",), "label"),
    (("source",), "target"), (("document",), "summary"), (("article",), "summary"), (("article",), "highlights"),
    (("text",), "summary"), (("text",), "label"), (("text",), "labels"), (("text",), "category"), (("text",), "intent"),
    (("text",), "class"), (("text",), "json"), (("text",), "entities"), (("text",), "output"), (("text",), "target"), (("text",), "answer"),
    (("prompt",), "reward_model"), (("prompt",), "ground_truth"), (("prompt",), "solution"), (("utterance",), "intent"), (("invocation",), "cmd"), (("nl",), "cmd"), (("nl",), "bash"), (("nl",), "sql"),
    (("premise", "hypothesis"), "label"), (("sentence1", "sentence2"), "label"), (("q",), "a"),
    (("ocr",), "ground_truth"), (("sentence",), "label"), (("review",), "label"), (("review",), "sentiment"),
    (("message",), "label"), (("message",), "category"), (("ticket",), "label"), (("ticket",), "category"),
    (("description",), "category"), (("description",), "label"), (("content",), "label"), (("content",), "category"),
    (("pergunta",), "resposta"), (("pergunta",), "sql"), (("instrucao", "entrada"), "saida"), (("instrucao",), "resposta"),
    (("instrucao",), "saida"), (("entrada",), "saida"), (("texto",), "rotulo"), (("texto",), "categoria"), (("texto",), "classe"),
    (("texto",), "etiqueta"), (("texto",), "resumo"), (("texto",), "resposta"), (("texto",), "json"), (("mensagem",), "categoria"),
    (("mensagem",), "rotulo"), (("mensagem",), "resposta"), (("chamado",), "categoria"), (("chamado",), "rotulo"),
    (("descricao",), "categoria"), (("descricao",), "rotulo"), (("avaliacao",), "sentimento"), (("avaliacao",), "rotulo"),
)  # fmt: skip
_QUERIES = ("sql", "query")
_OPTIONAL = ("input", "context", "entrada", "schema", "sql_context")
_NAMED = ("text", "name", "str", "names")
_SHOWN_COLUMNS = 20
# What is asked, where a reward of the user's needs no answer beside it.
_ASKED = ("prompt", "question", "query", "problem", "instruction", "pergunta", "instrucao", "input", "text", "texto")
_SYSTEM = ("system", "system_prompt", "sistema")
_NOT_COLUMNS = frozenset({"id", "task", "prompt", "reference", "completion", "truncated", "scores", *FORMS})
_SHOP_TASKS = frozenset({"extraction", "sql_qa", "insights", "push", "all", "mean_reward"})
_FENCE = re.compile(r"\s*```(?:json)?\s*\n?(.*?)\n?\s*```\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """How rows are made: `form` is a conversation's column or None; else the columns of the prompt and of the answer.

    `preferred`: the conversations were made of preferences.
    """

    form: str | None = None
    prompt: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    preferred: bool = False

    def __str__(self) -> str:
        if self.preferred:
            return "the prompt is asked, what was chosen is the answer"
        if self.form:
            return f"conversations under {self.form!r}, whose last answer is the reference"
        asked, answer = ("are" if len(names) > 1 else "is" for names in (self.prompt, self.reference))
        if not self.reference:
            return f"{_say(self.prompt)} {asked} asked, and no answer is given"
        return f"{_say(self.prompt)} {asked} asked, {_say(self.reference)} {answer} the answer"


@dataclass
class MadeRows:
    """The examples, what was wrong with other records, and what was changed on the way. `lines` names each one's place."""

    examples: list[Example]
    lines: dict[str, str]
    problems: list[str]
    notes: list[str]


def choose_columns(
    found: FoundRecords, prompt: Sequence[str] = (), reference: Sequence[str] = (), *, answered: bool = True
) -> ColumnChoice:
    """The columns that the user named, else a conversation, else the pair of names that data sets use.

    Where they need not be `answered`, prompts alone will do, where no column is known for an answer. Raises `UserError` with the columns there are where none fits, or a named one is not there.
    """
    columns = list(iterate_columns(found))
    missing = [name for name in (*prompt, *reference) if name not in columns]
    if missing:
        raise UserError(f"{found.name}: no column {missing[0]!r}; there are {', '.join(columns)}")
    if prompt and reference:
        return ColumnChoice(None, tuple(prompt), tuple(reference))
    by_name = {_fold(name): name for name in reversed(columns)}
    if not prompt and not reference:
        form = next((by_name[name] for name in FORMS if name in by_name), None)
        if form is not None:
            return ColumnChoice(form, preferred=form == "messages" and "rejected" in by_name)
    for whole in (True, False):  # a pair of which every column is there before one that lacks an optional column
        for asked, answer in PAIRS:
            there = tuple(by_name[name] for name in asked if name in by_name)
            needed = [name for name in asked if whole or name not in _OPTIONAL or len(asked) == 1]
            if any(name not in by_name for name in needed) or (answer not in by_name and not reference):
                continue
            if (prompt and there != tuple(prompt)) or (reference and set(there) & set(reference)):
                continue
            if not reference and answer in _QUERIES and not _are_texts(found, by_name[answer]):
                continue  # Spider's `sql` is the parsed query, its `query` the text
            answers = tuple(reference) or (_find_named(found, by_name, answer),)
            return ColumnChoice(None, tuple(prompt) or there, answers)
    if not answered and not reference:
        alone = tuple(prompt) or tuple(by_name[name] for name in _ASKED if name in by_name)[:1]
        if alone:
            return ColumnChoice(None, alone)
    shown = ", ".join(columns[:_SHOWN_COLUMNS]) or "none"
    more = f" and {len(columns) - _SHOWN_COLUMNS} more" if len(columns) > _SHOWN_COLUMNS else ""
    raise UserError(
        f"{found.name}: which column is asked, and which is the answer? There are {shown}{more}; "
        f"say so with --prompt COLUMN --reference COLUMN (several with commas){_suggest(found, columns)}"
    )


def _find_named(found: FoundRecords, by_name: Mapping[str, str], answer: str) -> str:
    """The column of the answer, or the one beside it that spells out what its numbers stand for, as `label_text` does."""
    named = next((by_name[f"{answer}_{end}"] for end in _NAMED if f"{answer}_{end}" in by_name), None)
    if named is None or _are_texts(found, by_name[answer]) or not _are_texts(found, named):
        return by_name[answer]
    return named


def _suggest(found: FoundRecords, columns: Sequence[str]) -> str:
    """The options as they would be if the column of the longest texts is asked; nothing where that is a guess too wild."""
    lengths = {
        name: sum(len(str(record.values.get(name) or "")) for record in found.records[:200])
        for name in columns
        if _fold(name) not in ("id", "task", *_SYSTEM)
    }
    if not 2 <= len(lengths) <= _SHOWN_COLUMNS:
        return ""
    # Of two columns the first is asked, as people write tables; of more, the one that holds most of the text.
    asked = next(iter(lengths)) if len(lengths) == 2 else max(lengths, key=lambda name: lengths[name])
    answers = ",".join(name for name in lengths if name != asked)
    return f", for example: {shlex.join(['--prompt', asked, '--reference', answers])}"


def _are_texts(found: FoundRecords, column: str) -> bool:
    first = next((record.values[column] for record in found.records if record.values.get(column) is not None), None)
    return isinstance(first, str)


def unify_records(found: FoundRecords) -> FoundRecords:
    """Preferences, xLAM's calls and Glaive's texts as conversations, tagged words as a text and its entities, with a note of
    it; a pair of texts is told by its columns' names."""
    records, calls, chosen, chats, tagged = [], 0, 0, 0, 0
    for record in found.records:
        values = dict(record.values)
        texts = isinstance(values.get("prompt"), str) and isinstance(values.get("chosen"), str)
        form = name_form(values)
        foreign = form in ("preference", "xlam", "glaive") and not texts
        made = unify_form(values) if foreign else unify_tags(values)
        chats += form == "glaive"
        tagged += "entities" in made and "entities" not in values
        chosen += "messages" in made and "rejected" in made and foreign
        calls += "messages" in made and "query" in values and foreign
        records.append(SourceRecord(record.where, made))
    notes = [*found.notes]
    if chosen:
        notes.append(f"{chosen} rows are preferences: what was chosen is the answer, `rejected` stays a column")
    if calls:
        notes.append(f"{calls} rows have xLAM's form: `query` is asked, the calls under `answers` are the answer")
    if chats:
        notes.append(
            f"{chats} rows have Glaive's form: `chat` is a conversation in one text; its last answer is the reference"
        )
    if tagged:
        notes.append(f"{tagged} rows are words with a tag each: the text is asked, its entities by kind are the answer")
    if unwanted := sum(record.values.get("label") is False and "messages" in record.values for record in records):
        notes.append(
            f"{unwanted} rows have `label` false, as KTO marks answers that are not wanted: leave them out first"
        )
    return replace(found, records=records, notes=notes)


def make_rows(
    found: FoundRecords, choice: ColumnChoice, *, task: str | None = None, keep_answers: bool = False
) -> MadeRows:
    """Every record as a row that a run reads; a record that cannot be one is a problem with its place.

    With `keep_answers` the columns of the answer stay columns too, for a reward that reads them by name.
    """
    rows = MadeRows([], {}, [], [])
    digits = len(str(len(found.records)))
    own_ids = _find_own_ids(found.records)
    numeric = find_numeric(found, choice.reference)
    rewritten = 0
    no_paths = _find_no_paths(found.records, rows.notes)
    for number, record in enumerate(found.records, 1):
        row_id = str(record.values["id"]) if own_ids else f"row-{number:0{digits}d}"
        problems: list[str] = []
        row = _read_record(record, choice, numeric, problems)
        if row is not None and not problems:
            strict = None if row["reference"] is None else _as_strict_json(row["reference"])
            rewritten += strict is not None
            kept = record.values.get("task")
            row = {
                **_other_columns(record.values, choice, keep_answers, no_paths),
                **row,
                "id": row_id,
                "task": kept if isinstance(kept, str) and kept else task or "default",
                "reference": strict or row["reference"],
            }
            example, found_problems = make_strict_example(row, record.where, row_id)
            problems += found_problems + _find_halves(row, record.where)
            if example is not None and not problems:
                rows.examples.append(example)
                rows.lines[row_id] = record.where
        rows.problems += problems
    if commas := [name for name, read in numeric.items() if read is as_comma_number]:
        rows.notes.append(f"{', '.join(commas)}: numbers with decimal commas are written as JSON's numbers")
    if rewritten:
        rows.notes.append(f"{rewritten} answers that were JSON in another notation are written as strict JSON")
    return rows


def name_task(source: str) -> str:
    """A task's name from that of its file or data set."""
    stem = re.sub(r"\.\w+$", "", re.sub(r"\.(gz|bz2|xz|zst)$", "", source.rstrip("/").rsplit("/", 1)[-1]))
    name = re.sub(r"[^a-z0-9]+", "_", _fold(stem)).strip("_")[:30]
    return (
        name if name and name not in _SHOP_TASKS and not name.endswith(("_n", "_std", "_low", "_high")) else "default"
    )


def _read_record(
    record: SourceRecord, choice: ColumnChoice, numeric: Mapping[str, ReadNumber], problems: list[str]
) -> dict[str, Any] | None:
    values, where = record.values, record.where
    if choice.form is not None:
        # A conversation in a cell of CSV or Parquet is JSON text.
        given = {**values, choice.form: _parse_cell(values.get(choice.form))}
        form = _fold(choice.form)
        cut = cut_conversation({**given, form: given[choice.form]}, form, where, problems)
        return None if cut is None else {"prompt": cut[0], "reference": cut[1]}
    prompt = _read_prompt(values, choice.prompt, where, problems)
    if not choice.reference:
        return None if prompt is None else {"prompt": prompt, "reference": None}
    reference = _read_reference(values, choice.reference, numeric, where, problems)
    return None if prompt is None or reference is None else {"prompt": prompt, "reference": reference}


def _read_prompt(
    values: Mapping[str, Any], columns: Sequence[str], where: str, problems: list[str]
) -> list[dict[str, str]] | None:
    system = next((values[name] for name in values if _fold(name) in _SYSTEM and isinstance(values[name], str)), "")
    single = _parse_cell(values.get(columns[0])) if len(columns) == 1 else None
    if isinstance(single, list):
        found: list[str] = []
        turns = read_turns(single, f"{where}: {columns[0]}", found)
        turns = tell_tools(turns, values, where, found) if not found else turns
        problems += found
        return None if found else turns
    parts = []
    for name in columns:
        value = values.get(name)
        if value in (None, "", [], {}):
            continue
        parts.append(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    if not any(part.strip() for part in parts):
        problems.append(f"{where}: nothing is asked: {_say(columns)} is empty")
        return None
    turns = [{"role": "user", "content": "\n\n".join(parts)}]
    if system.strip() and "system" not in map(_fold, columns):
        turns.insert(0, {"role": "system", "content": system})
    return tell_tools(turns, values, where, problems)


def _read_reference(
    values: Mapping[str, Any],
    columns: Sequence[str],
    numeric: Mapping[str, ReadNumber],
    where: str,
    problems: list[str],
) -> str | None:
    if len(columns) > 1:
        return json.dumps(
            {name: numeric[name](values.get(name)) if name in numeric else values.get(name) for name in columns},
            ensure_ascii=False,
        )
    value = values.get(columns[0])
    answer = _parse_cell(value)
    if isinstance(answer, list) and answer and isinstance(answer[-1], dict) and ({"role", "from"} & answer[-1].keys()):
        found: list[str] = []
        turns = read_turns(answer, f"{where}: {columns[0]}", found)
        if not found and (turns[-1]["role"] != "assistant" or not turns[-1]["content"]):
            found.append(f"{where}: {columns[0]}: the last turn must be the assistant's, and say something")
        problems += found
        return None if found else turns[-1]["content"]
    if isinstance(value, dict) and isinstance(value.get("text"), list) and {"answer_start"} & value.keys():
        value = next(iter(value["text"]), None)  # as SQuAD has its answers
    value = truth if (truth := read_ground_truth(value)) is not None else value
    if isinstance(value, str):
        value = value if value.strip() else None
    if value is None:
        problems.append(f"{where}: no answer: {columns[0]} is {kind_of(values.get(columns[0]))}")
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parse_cell(value: Any) -> Any:
    """A text that is JSON of a list as that list; any other value as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] != "[":
        return value
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return parsed if isinstance(parsed, list) and parsed and isinstance(parsed[0], dict) else value


def _as_strict_json(text: str) -> str | None:
    """The text as strict JSON where it is an object or a list in another notation (Python's, or in a fence); else None."""
    fenced = _FENCE.fullmatch(text)
    bare = (fenced[1] if fenced else text).strip()
    if bare[:1] not in ("{", "["):
        return None
    try:
        json.loads(bare)
        return bare if fenced else None
    except (ValueError, RecursionError):
        pass
    if len(bare) > 20_000:
        return None
    try:
        value = ast.literal_eval(bare)
        return json.dumps(value, ensure_ascii=False, allow_nan=False) if isinstance(value, dict | list) else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def _find_no_paths(records: Sequence[SourceRecord], notes: list[str]) -> bool:
    """Whether `database` values that are no texts are left out: where most are texts, one that is not is a fault of its row."""
    named = [value for record in records if (value := record.values.get("database")) is not None]
    texts = sum(isinstance(value, str) for value in named)
    odd = len(named) - texts
    if odd and odd >= texts:
        notes.append(f"{odd} row{'s have' if odd > 1 else ' has'} a `database` that is not a path: left out")
    return odd >= texts


def _other_columns(
    values: Mapping[str, Any], choice: ColumnChoice, keep_answers: bool, no_paths: bool
) -> dict[str, Any]:
    # An answer of several columns, or one that is no text, is a text in the reference: a reward may need it as it was.
    single = len(choice.reference) == 1 and not keep_answers
    told = [name for name in choice.reference if single and isinstance(values.get(name), str)]
    used = {*choice.prompt, *told, choice.form}
    return {
        key: value
        for key, value in values.items()
        if key not in used and _fold(key) not in _NOT_COLUMNS and _fold(key) not in _SYSTEM
        and value is not None and not (no_paths and _fold(key) == "database" and not isinstance(value, str))
    }  # fmt: skip


def _find_own_ids(records: Sequence[SourceRecord]) -> bool:
    """Whether every record has an id of its own."""
    ids = [record.values.get("id") for record in records]
    return (
        bool(ids)
        and all(isinstance(item, str | int) and str(item).strip() for item in ids)
        and len(set(map(str, ids))) == len(ids)
    )


def _find_halves(row: Mapping[str, Any], where: str) -> list[str]:
    text = json.dumps(row, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError:
        return [f"{where}: half of a character (a lone surrogate); write it whole"]
    return []


def _fold(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.strip().lower())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _say(columns: Sequence[str]) -> str:
    return " and ".join(f"'{name}'" for name in columns)
