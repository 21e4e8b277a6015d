"""What a pretrained model's chat template means for a run, found with its tokenizer before any weights are loaded."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from grpo.policy.chat_reasoning import ASKED, SAID, find_habit
from grpo.policy.chat_template import FIXED_DATE, find_variables
from grpo.policy.prompts import Messages, PromptBuilder, advise, describe
from rewards.extraction.reasoning import split_reasoning

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig
    from grpo.data.run_rows import RunRows
    from rewards.types import Example

SHOWN = 3
_ROLES, _SHAPES = 12, 60
"""Turns by which conversations differ, and different ones that are looked at."""
_SPEAKER = re.compile(r"assistant|model|chatbot|\bbot\b|\bai\b", re.IGNORECASE)
_DATES = frozenset({"date_string", "current_date", "today", "date"})
_REASONING = frozenset({"enable_thinking", "thinking", "reasoning_effort", "reasoning_strength"})


class TemplateFindings(NamedTuple):
    """Reasons not to start, and what to know before starting; one line each."""

    refusals: list[str]
    notes: list[str]


def examine_template(prompts: PromptBuilder, config: RunConfig, inputs: RunRows) -> TemplateFindings:
    """Render every prompt of the run, and a demonstration of each kind; then look at what the template adds to them."""
    demonstrations = config.sft_warmup.enabled
    warmup = inputs.warmup if demonstrations else []
    refusals = _render_all(prompts, inputs.train, inputs.held_out, warmup)
    if not refusals:
        refusals = _find_special_references(prompts, chain(inputs.train, inputs.held_out, warmup))
    if not refusals:
        for row in _pick(chain(warmup, inputs.train)):
            refusals += prompts.problems(
                row.prompt, row.reference, where=f"task {row.task}", demonstrations=demonstrations
            )
    if refusals:
        return TemplateFindings(list(dict.fromkeys(refusals)), [])
    some = inputs.train[0].prompt
    return TemplateFindings(
        [],
        [
            *_note_reasoning(prompts, config),
            *_note_header(prompts),
            *_note_special_prompts(prompts, chain(inputs.train, inputs.held_out)),
            *_note_split_markers(prompts, some),
            *_note_system_prompt(prompts, chain(inputs.train, inputs.held_out)),
            *_note_date(prompts),
            *_note_unknown_variables(prompts),
        ],
    )


def _render_all(prompts: PromptBuilder, *groups: Sequence[Example]) -> list[str]:
    faults: dict[tuple[str, str], list[str]] = defaultdict(list)
    for example in chain(*groups):
        try:
            prompts.render(example.prompt, reply=True)
        except Exception as fault:  # templates raise what they like
            faults[describe(fault), advise(fault)].append(example.id)
    refusals = []
    for (reason, advice), rows in faults.items():
        refusals.append(f"data: {prompts.template.source} cannot render {_list_rows(rows)} ({reason}); {advice}")
    return refusals


def _pick(rows: Iterable[Example]) -> list[Example]:
    """A row of each task and shape: templates treat conversations differently by their roles, and answers by their reasoning."""
    found: dict[tuple[object, ...], Example] = {}
    for row in rows:
        roles = tuple(turn["role"] for turn in row.prompt[:_ROLES])
        thinks = (
            row.reference is not None and "</" in row.reference and split_reasoning(row.reference).unclosed is False
        )
        found.setdefault((row.task, roles, thinks, row.reference is None), row)
    return [found[key] for key in sorted(found, key=str)][:_SHAPES]


def _find_special_references(prompts: PromptBuilder, rows: Iterable[Example]) -> list[str]:
    """References that hold a special token in words: an answer would end there, or lose it."""
    named: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.reference is not None and (special := prompts.find_special(row.reference)):
            named[special].append(row.id)
    return [
        f"data: the reference of {_list_rows(ids)} holds {special}, a special token of this vocabulary: no answer's text can; "
        "take it out, or leave such rows out"
        for special, ids in named.items()
    ]


def _note_special_prompts(prompts: PromptBuilder, rows: Iterable[Example]) -> list[str]:
    named: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for turn in row.prompt:
            if special := prompts.find_special(turn["content"]):
                named[special].append(row.id)
                break
    return [
        f"the prompt of {_list_rows(ids)} holds {special} in its words, which this vocabulary reads as its special token"
        for special, ids in named.items()
    ]


def _note_header(prompts: PromptBuilder) -> list[str]:
    turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
    try:
        prompt, whole = prompts.render(turns[:1], reply=True), prompts.render(turns, reply=False)
    except Exception:  # it renders the rows, which is all that counts
        return []
    header = whole.removeprefix(prompt).partition(SAID)[0] if whole.startswith(prompt) else ""
    if not _SPEAKER.search(header):
        return []
    return [
        f"{prompts.template.source} does not open the assistant's turn (it has no use for add_generation_prompt): the policy "
        f"writes {header!r} itself before each answer; another in model.chat_template may open it"
    ]


def _list_rows(named: Sequence[str]) -> str:
    ids = list(dict.fromkeys(named))  # demonstrations are training rows, unless they have a file of their own
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return f"row {', '.join(map(repr, ids[:SHOWN]))}{more}"


def _note_reasoning(prompts: PromptBuilder, config: RunConfig) -> list[str]:
    habit = find_habit(prompts.render)
    if not habit.on:
        return []
    length, switch = config.grpo.max_completion_length, habit.switch
    if switch is not None and switch in prompts.template.variables:
        remedy = f"model.chat_template_kwargs sets {switch} to {prompts.template.variables[switch]}"
    elif switch in ("enable_thinking", "thinking"):
        remedy = f"to answer at once, set model.chat_template_kwargs={{{switch}: false}}"
    elif switch:
        remedy = f"set model.chat_template_kwargs={{{switch}: low}} to reason less"
    else:
        remedy = "its template has no switch for it"
    opened = "the prompt ends inside its reasoning" if prompts.style.opened else "it reasons before it answers"
    return [
        f"{config.model.name} thinks by default: {opened}, so the {length} tokens of grpo.max_completion_length are shared by "
        f"reasoning and answer, and a completion cut off while reasoning has an empty answer; {remedy}"
    ]


def _note_split_markers(prompts: PromptBuilder, some: Messages) -> list[str]:
    split = prompts.find_split_markers(some)
    if not split:
        return []
    listed = ", ".join(f"{marker} ({count} tokens)" for marker, count in split.items())
    return [
        f"markers of {prompts.template.source} are not single tokens of the vocabulary: {listed}; right only where the model "
        "was trained so"
    ]


def _note_system_prompt(prompts: PromptBuilder, rows: Iterable[Example]) -> list[str]:
    if all(example.prompt and example.prompt[0]["role"] == "system" for example in rows):
        return []
    try:
        header = prompts.render([{"role": "user", "content": ASKED}], reply=True).partition(ASKED)[0]
    except Exception:  # it renders the rows, which is all that counts
        return []
    said = prompts.plain_words(header)
    if len(said.split()) < 4:
        return []
    return [
        f"{prompts.template.source} gives rows without a system message one of its own: {said[:80]!r}; write one into the "
        "rows to decide it"
    ]


def _note_date(prompts: PromptBuilder) -> list[str]:
    text = prompts.template_text
    read = find_variables(text) & _DATES
    if not (read or "strftime_now" in text) or read & prompts.template.variables.keys():
        return []
    settable = f"; model.chat_template_kwargs can set {', '.join(sorted(read))}" if read else ""
    return [
        f"{prompts.template.source} writes a date into its prompts: always {FIXED_DATE:%d %b %Y} or its own constant here, so "
        f"that a run repeats and resumes{settable}"
    ]


def _note_unknown_variables(prompts: PromptBuilder) -> list[str]:
    known = find_variables(prompts.template_text)
    unknown = sorted(key for key in prompts.template.variables if key not in known)
    if not unknown:
        return []
    near = sorted(known & _REASONING) or ["none for reasoning"]
    return [
        f"model.chat_template_kwargs: {prompts.template.source} does not read {', '.join(unknown)}; it reads {', '.join(near)}"
    ]
