"""`recompensa data contrast`: give each row what other personas answered to the same question, for the reward `contrastive`."""

from __future__ import annotations

import argparse
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import orjson

from grpo.data.records import DataRecord, read_records
from grpo.data_tools.conversation import Dialogue, fingerprint, read_column, read_dialogue
from grpo.data_tools.options import add_json, add_out, add_seed, add_sources, make_tool_parser, writing
from rewards.errors import UserError
from rewards.functions.text_overlap import measure_overlap
from rewards.screen.command_line import DONE, print_json
from rewards.screen.harmless_text import make_label

EXAMPLES = """A row's question is its last user turn, whatever the system says before it, or the column --question. Answers of other values
of the column --by to the same question become its column `contrast`; answers too much like its own teach no difference and
are left out. A row without any is left out, or kept with --keep.

examples:
  python -m grpo.data contrast voices.jsonl --by persona --out train.jsonl
  python -m grpo.data contrast 'personas/*.jsonl' --by speaker --question topic --count 3 --out train.jsonl
"""
_Answers = dict[int, list[tuple[str, str]]]


def make_parser() -> Any:
    parser = make_tool_parser("contrast", "Give rows the answers of other personas to the same question.", EXAMPLES)
    add_sources(parser)
    parser.add_argument("--by", default="persona", metavar="COLUMN", help="who answers (persona)")
    parser.add_argument("--question", metavar="COLUMN", help="what is asked (default: the last user turn)")
    parser.add_argument("--count", type=int, default=2, metavar="N", help="at most so many answers a row (2)")
    parser.add_argument(
        "--least-difference", type=float, default=0.1, metavar="D",
        help="1 - ROUGE-L that an answer must be away from the row's own (0.1, as the reward asks)",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep rows that have no contrast")
    add_out(parser)
    add_seed(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    if options.count < 1:
        raise UserError(f"--count {options.count}: give 1 or more")
    if not 0.0 < options.least_difference <= 1.0:
        raise UserError(f"--least-difference {options.least_difference:g}: give a share above 0, at most 1")
    answers, personas = _collect_answers(options)
    if len(personas) < 2:
        named = ", ".join(map(repr, personas)) or "none"
        raise UserError(f"--by {options.by}: rows of at least two personas are needed, there are: {named}")
    counts: Counter[str] = Counter()
    with writing(options.out) as write:
        for record in read_records(options.sources):
            counts["read"] += 1
            contrasts, reason = _choose(record, answers, options)
            if reason:
                counts[reason] += 1
            if record.values is None or (not contrasts and not options.keep):
                continue
            counts["kept"] += 1
            if contrasts:
                counts["with_contrast"] += 1
                write(orjson.dumps({**record.values, "contrast": contrasts}) + b"\n")
            else:
                write(record.line())
        if not counts["with_contrast"]:
            raise UserError(
                f"{' '.join(options.sources)}: no two personas answer the same question; name the question's column with --question COLUMN"
            )
    _show(options, counts, personas)
    return DONE


def _collect_answers(options: argparse.Namespace) -> tuple[_Answers, Counter[str]]:
    answers: _Answers = defaultdict(list)
    personas: Counter[str] = Counter()
    for record in read_records(options.sources):
        found = _read(record, options)
        if isinstance(found, str):
            continue
        question, persona, answer = found
        personas[persona] += 1
        if (persona, answer) not in answers[question]:
            answers[question].append((persona, answer))
    return answers, personas


def _read(record: DataRecord, options: argparse.Namespace) -> tuple[int, str, str] | str:
    """The question, who answers and the answer; or why the row has none."""
    if record.values is None:
        return "unreadable"
    persona = read_column(record.values, options.by)
    if not isinstance(persona, str) or not persona:
        return "no_persona"
    dialogue = read_dialogue(record.values)
    asked = _find_question(record.values, dialogue, options.question)
    if not asked or not dialogue.answer:
        return "no_question_or_answer"
    return fingerprint(asked), persona, dialogue.answer


def _find_question(values: Mapping[str, Any], dialogue: Dialogue, column: str | None) -> str:
    if column is not None:
        value = read_column(values, column)
        return "" if value is None else str(value)
    pairs = zip(reversed(dialogue.roles), reversed(dialogue.texts), strict=True)
    return next((text for role, text in pairs if role == "user"), "")


def _choose(record: DataRecord, answers: _Answers, options: argparse.Namespace) -> tuple[list[str], str]:
    """The contrasts of a row, drawn by its own content, so that no other row changes them; and why there is none."""
    found = _read(record, options)
    if isinstance(found, str):
        return [], found
    question, persona, answer = found
    others = [(name, text) for name, text in answers[question] if name != persona]
    if not others:
        return [], "no_other_answer"
    far = [
        (name, text)
        for name, text in others
        if 1.0 - measure_overlap(answer, text, "unicode")["rougeL"] >= options.least_difference
    ]
    if not far:
        return [], "too_alike"
    rng = random.Random(f"{options.seed}/{question}/{persona}/{answer}")
    rng.shuffle(far)
    chosen: dict[str, str] = {}
    for name, text in far:  # one of each persona before a second of any
        chosen.setdefault(name, text)
    texts = list(dict.fromkeys([*chosen.values(), *(text for _, text in far)]))
    return texts[: options.count], ""


def _show(options: argparse.Namespace, counts: Counter[str], personas: Counter[str]) -> None:
    left_out = {name: counts[name] for name in _REASONS if counts[name]}
    if options.json:
        plain = {name: counts[name] for name in ("read", "kept", "with_contrast")}
        print_json({**plain, "without": left_out, "personas": dict(personas.most_common()), "out": str(options.out)})
        return
    print(f"{options.out}: {counts['kept']:,} of {counts['read']:,} rows, {counts['with_contrast']:,} with contrasts")
    for name, count in left_out.items():
        print(f"  {count:,} {_REASONS[name]}{' (kept)' if options.keep and name != 'unreadable' else ''}")
    print(f"  personas: {', '.join(f'{make_label(name)} {count:,}' for name, count in personas.most_common(20))}")


_REASONS = {
    "unreadable": "are no rows",
    "no_persona": "name no persona",
    "no_question_or_answer": "have no question or no answer",
    "no_other_answer": "have a question that no other persona answers",
    "too_alike": "have only answers too much like their own",
}
