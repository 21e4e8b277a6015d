"""`recompensa data filter`: keep the rows that pass every check, and say of each that is removed why."""

from __future__ import annotations

import argparse
import ast
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from grpo.data.records import DataRecord, read_records
from grpo.data_tools.conversation import Dialogue, read_column, read_dialogue, spell, told_tools
from grpo.data_tools.options import (
    add_json,
    add_out,
    add_sources,
    add_tokenizer,
    make_counter,
    make_tool_parser,
    writing,
)
from rewards.errors import UserError
from rewards.screen.command_line import DONE, print_json, refuse_idle

EXAMPLES = """examples:
  python -m grpo.data filter raw.jsonl --out kept.jsonl --removed removed.jsonl --quality
  python -m grpo.data filter raw.jsonl --out kept.jsonl --language pt --min-messages 2 --max-characters 20000
  python -m grpo.data filter raw.jsonl --out kept.jsonl --max-tokens 2048 --tokenizer Qwen/Qwen3-8B
  python -m grpo.data filter raw.jsonl --out weak.jsonl --where target_layer=o1_nrm --where target_layer=a1_policy
  python -m grpo.data filter code.jsonl --out py3.jsonl --no-python2
"""
LANGUAGES = ("ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "zh")
_BATCH = 500
_FENCE = re.compile(r"```(?:python|py)?\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)
_PYTHON_2 = re.compile(
    r"^\s*print\s+(?![=(.])\S|^\s*except\s+[\w.()]+\s*,\s*\w+\s*:|\braw_input\(|\bxrange\(|\.has_key\(|\.iteritems\(|"
    r"^\s*raise\s+\w+\s*,\s*|^\s*exec\s+[\"'\w]|<>|\bur\"|\bunicode\(|\burllib2\b",
    re.MULTILINE,
)
_SURE = re.compile(r"\braw_input\(|\bxrange\(|\.has_key\(|\.iteritems\(|\burllib2\b|\bunicode\(")
_REFUSAL = re.compile(r"\bas an ai (?:language )?model\b|\bcomo (?:um )?modelo de linguagem\b", re.IGNORECASE)
_WORDS, _REPEATED = 4, 0.5
_TELLING = 12
"""Letters from which a language is told: a shorter question with a shorter answer is kept, whatever it is."""
Check = Callable[[DataRecord, Dialogue], str | None]


def make_parser() -> Any:
    parser = make_tool_parser("filter", "Keep the rows that pass every check given.", EXAMPLES)
    add_sources(parser)
    add_out(parser)
    parser.add_argument("--removed", type=Path, metavar="FILE", help="the other rows, with removed_because")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="of one column any, of two both"
    )
    parser.add_argument(
        "--language", action="append", default=[], choices=LANGUAGES, help="languages to keep, by the answer"
    )
    parser.add_argument("--no-python2", action="store_true", help="remove answers whose code is Python 2")
    parser.add_argument(
        "--quality", action="store_true", help="remove empty, echoed, garbled, repetitive and refusing answers"
    )
    for name, what in (("messages", "messages in a row"), ("characters", "characters of the answer")):
        parser.add_argument(f"--min-{name}", type=int, metavar="N", help=f"fewest {what}")
        parser.add_argument(f"--max-{name}", type=int, metavar="N", help=f"most {what}")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of prompt and answer together")
    add_tokenizer(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    if options.max_tokens is None:
        refuse_idle(options, "counts for --max-tokens; give that too", tokenizer=None)
    checks = make_checks(options)
    count, _ = make_counter(options.tokenizer)
    if not checks and options.max_tokens is None:
        raise UserError("filter: no check is given; add one, such as --quality or --max-tokens 2048")
    kept, reasons = 0, Counter[str]()
    with writing(options.out) as keep, writing(options.removed) as remove:
        waiting: list[tuple[DataRecord, Dialogue]] = []

        def settle() -> int:
            lengths = count([_whole(*each) for each in waiting]) if options.max_tokens else []
            good = 0
            for place, (record, _) in enumerate(waiting):
                if options.max_tokens and lengths[place] > options.max_tokens:
                    _remove(record, [f"more than {options.max_tokens} tokens"], reasons, remove)
                    continue
                keep(record.line())
                good += 1
            waiting.clear()
            return good

        for record in read_records(options.sources):
            if record.values is None:
                _remove(record, ["unreadable"], reasons, remove)
                continue
            dialogue = read_dialogue(record.values)
            found = [reason for check in checks if (reason := check(record, dialogue)) is not None]
            if found:
                _remove(record, found, reasons, remove)
                continue
            waiting.append((record, dialogue))
            if len(waiting) >= _BATCH:
                kept += settle()
        kept += settle()
    report(kept, reasons, options.out, as_json=options.json)
    return DONE


def _whole(record: DataRecord, dialogue: Dialogue) -> str:
    return "\n".join(dialogue.texts) + told_tools(record.values or {}, dialogue)


def report(kept: int, reasons: Counter[str], out: Path, *, as_json: bool) -> None:
    """How many rows were kept and why the others were not; a row removed for two reasons counts under the first."""
    removed = reasons.total()
    retention = kept / (kept + removed) if kept + removed else 0.0
    if as_json:
        print_json({"kept": kept, "removed": removed, "retention": retention, "reasons": dict(reasons.most_common())})
        return
    print(f"{out}: {kept:,} kept, {removed:,} removed, {retention:.1%} retained")
    for reason, count in reasons.most_common():
        print(f"  {count:>9,}  {reason}")


def _remove(record: DataRecord, found: Sequence[str], reasons: Counter[str], remove: Callable[[bytes], Any]) -> None:
    reasons[found[0]] += 1
    values = record.values if record.values is not None else {"line": (record.raw or b"").decode("utf-8", "replace")}
    remove(orjson.dumps({**values, "removed_because": list(found), "removed_from": record.where}) + b"\n")


def make_checks(options: argparse.Namespace) -> list[Check]:
    """The checks that the options ask for, each of which gives a reason to remove a row or None."""
    checks: list[Check] = []
    wanted: dict[str, set[str]] = {}
    for pair in options.where:
        column, equals, value = pair.partition("=")
        if not equals or not column:
            raise UserError(f"--where {pair}: not COLUMN=VALUE, such as target_layer=o1_nrm")
        wanted.setdefault(column, set()).add(value)
    for column, values in wanted.items():
        checks.append(_make_where(column, values))
    if options.min_messages or options.max_messages:
        checks.append(_make_range("messages", options.min_messages, options.max_messages, lambda each: len(each.roles)))
    if options.min_characters or options.max_characters:
        low, high = options.min_characters, options.max_characters
        checks.append(_make_range("characters", low, high, lambda each: len(each.answer)))
    if options.quality:
        checks.append(lambda record, dialogue: find_flaw(dialogue))
    if options.no_python2:
        checks.append(lambda record, dialogue: "Python 2" if is_python_2(dialogue.answer) else None)
    if options.language:
        checks.append(_make_language(options.language))
    return checks


def _make_where(column: str, values: set[str]) -> Check:
    return lambda record, dialogue: (
        None if spell(read_column(record.values or {}, column)) in values else f"{column} is another value"
    )


def _make_range(name: str, low: int | None, high: int | None, measure: Callable[[Dialogue], int]) -> Check:
    def check(record: DataRecord, dialogue: Dialogue) -> str | None:
        found = measure(dialogue)
        if low is not None and found < low:
            return f"fewer than {low} {name}"
        return f"more than {high} {name}" if high is not None and found > high else None

    return check


def _make_language(languages: Sequence[str]) -> Check:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UserError("--language: telling languages needs py3langid; pip install -e '.[data]'") from None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(LANGUAGES))

    def check(record: DataRecord, dialogue: Dialogue) -> str | None:
        text = _FENCE.sub(" ", dialogue.answer)
        # JSON, code and a bare "42" have no language: what was asked has one.
        if text.lstrip()[:1] in ("{", "[", "") or _count_letters(text) < _TELLING:
            text = dialogue.asked
        if _count_letters(text) < _TELLING:
            return None
        found = identifier.classify(text[:2000])[0]
        return None if found in languages else f"language {found}"

    return check


def _count_letters(text: str) -> int:
    """Letters of a text's beginning; one that is a syllable or a word of its own (Chinese, Japanese, Korean) counts for four."""
    return sum(4 if char > "\u2e80" else 1 for char in text[:200] if char.isalpha())


def is_python_2(text: str) -> bool:
    """Whether code of an answer is Python 2: what Python 3 cannot parse and Python 2 writes so, or its names."""
    blocks = _FENCE.findall(text) or (
        [text] if re.search(r"^\s*(?:def|import|print|class)\b", text, re.MULTILINE) else []
    )
    for block in blocks:
        if not _PYTHON_2.search(block):
            continue
        if _SURE.search(block):
            return True
        try:
            ast.parse(block)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return True
    return False


def find_flaw(dialogue: Dialogue) -> str | None:
    """What is wrong with an answer to learn from; None for nothing."""
    answer = dialogue.answer.strip()
    if not dialogue.roles:
        return "no conversation"
    if not answer:
        return "empty answer"
    if answer == dialogue.asked.strip():
        return "answer repeats the prompt"
    if "\ufffd" in answer or sum(not char.isprintable() and char not in "\n\t\r" for char in answer) > 0.02 * len(
        answer
    ):
        return "garbled text"
    if _REFUSAL.search(answer):
        return "refusal"
    words = answer.split()
    phrases = [tuple(words[start : start + _WORDS]) for start in range(len(words) - _WORDS + 1)]
    if len(phrases) >= 20 and 1 - len(set(phrases)) / len(phrases) > _REPEATED:
        return "repetitive answer"
    return None
