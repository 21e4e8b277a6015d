"""Checks that need the policy itself: its template against its vocabulary, the end of an answer, seconds an answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from grpo.checklist.checks import FAILED, PASSED, WARNING, Check
from grpo.policy.chat_reasoning import ASKED, MARKER, SAID

if TYPE_CHECKING:
    from grpo.evaluate.backends import Writer
    from grpo.generation.answers import Settings
    from grpo.policy.prompts import PromptBuilder
    from rewards.types import Example

_ROWS = 200
"""Rows that are rendered; a template that fails on one kind of row fails on the first of that kind."""


def check_template(prompts: PromptBuilder, rows: Sequence[Example]) -> Iterator[Check]:
    """The template's markers, its end of an answer, and whether training and generation see the same prompt."""
    source = prompts.template.source
    try:
        split = prompts.find_split_markers(rows[0].prompt)
    except Exception as fault:  # templates raise what they like
        yield Check("template_markers", FAILED, f"{source} cannot render {rows[0].id!r} ({str(fault)[:120]})")
        return
    listed = ", ".join(f"{marker} ({count} tokens)" for marker, count in split.items())
    said = f"markers of {source} that are not single tokens of the vocabulary: {listed or 'none'}"
    yield Check("template_markers", FAILED if split else PASSED, said, float(len(split)), limit=0)
    end = prompts.find_end_token()
    if end is None:
        yield Check(
            "end_token", FAILED, f"{source} ends an answer with no token of the vocabulary: it never learns to stop"
        )
    else:
        written = prompts.tokenizer.convert_ids_to_tokens(end)
        yield Check("end_token", PASSED, f"{written!r} (token {end}) ends each answer")
    problems: list[str] = []
    for row in rows[:_ROWS]:
        problems += prompts.problems(row.prompt, row.reference, where=f"row {row.id}")
    said = f"{min(_ROWS, len(rows))} rows render alike for training and for generation"
    yield Check(
        "prompt_parity", FAILED if problems else PASSED, problems[0] if problems else said, float(len(problems))
    )
    known = sorted(set(prompts.tokenizer.all_special_tokens))
    yield Check("special_tokens", PASSED, f"special tokens: {', '.join(known) or 'none'}", float(len(known)))


def list_markers(prompts: PromptBuilder) -> list[str]:
    """The markers that the template writes around turns, and the special tokens: nothing of them belongs in an answer."""
    turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
    try:
        frame = prompts.render(turns, reply=True)
    except Exception:  # templates raise what they like; check_template says so
        frame = ""
    found = {each[0] for each in MARKER.finditer(frame)}
    return sorted({*found, *prompts.tokenizer.all_special_tokens} - {""})


def check_latency(
    writer: Writer, rows: Sequence[Example], settings: Settings, limit: float | None, device: str
) -> Check:
    """Seconds an answer, asked one at a time as a user would; the first is not counted, it pays for what comes once."""
    seconds, tokens = [], 0
    for number, row in enumerate(rows):
        prompt = writer.prompts.prompt_ids(row.prompt)
        if number == 0:
            writer.start(len(prompt) + settings.max_completion_length)
            writer.write([row], [prompt], settings)
        started = time.perf_counter()
        answer: Any = writer.write([row], [prompt], settings)[0][0]
        seconds.append(time.perf_counter() - started)
        tokens += answer.tokens
    half = quantiles(seconds, n=2)[0] if len(seconds) > 1 else seconds[0]
    most = max(seconds) if len(seconds) < 20 else quantiles(seconds, n=20)[-1]
    pace = tokens / max(1e-9, sum(seconds))
    said = f"{half:.3f} s an answer (median), {most:.3f} s {'at most' if len(seconds) < 20 else 'at p95'}, "
    said += f"{pace:.0f} tokens/s, {len(seconds)} asked one at a time on {device}"
    if limit is None:
        return Check("latency", PASSED, f"{said}; no limit given (--latency SECONDS)", most, n=len(seconds))
    status = PASSED if most <= limit else FAILED
    return Check("latency", status, f"{said}; at most {limit:g} s is asked for", most, n=len(seconds), limit=limit)


def warn_unloaded() -> Check:
    """What stands in their place where the policy was not loaded."""
    return Check("policy", WARNING, "not loaded (--no-policy): template, end token and latency are unchecked")
