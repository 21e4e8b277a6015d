"""The chat template that goes with an export: the run's own text, settings baked in, without tags that others lack."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from grpo.policy.chat_template import find_variables, render_template, write_date
from rewards.errors import RecompensaError

if TYPE_CHECKING:
    from grpo.policy.chat_template import Messages
    from grpo.policy.prompts import PromptBuilder

_TAG = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
# The format that templates give their date; they look for the variable first.
_DATE = "%d %b %Y"


class TemplateFailed(RecompensaError):
    """The template cannot be exported as other engines need it; nothing was written."""


def export_template(prompts: PromptBuilder, conversations: Sequence[Messages]) -> str:
    """The template to write: renders every conversation to the very bytes that the run's own gives.

    Raises `TemplateFailed` where it does not.
    """
    own = prompts.template_text
    variables = dict(prompts.template.variables)
    head = _bake(own, variables)
    for text in (remove_marks(own), _neutralise_marks(own)):
        found = head + text
        if _first_difference(prompts, found, conversations) is None:
            return found
    place = _first_difference(prompts, found, conversations)
    raise TemplateFailed(
        f"the chat template cannot be written without its generation marks and settings: conversation {place} is rendered "
        "otherwise; give a plainer one in model.chat_template"
    )


def remove_marks(text: str) -> str:
    """The template without `{% generation %}` tags, and without the white space that the tags swallow."""
    pieces, end = [], 0
    for tag in _TAG.finditer(text):
        before = text[end : tag.start()]
        if tag[1] == "-":
            before = before.rstrip()
        elif tag[1] != "+":
            # lstrip_blocks: what stands between the line's start and a tag is not printed.
            line = before.rpartition("\n")[2]
            if not line.strip() and (line != before or end == 0):
                before = before[: len(before) - len(line)]
        pieces.append(before)
        end = tag.end()
        if tag[3] == "-":
            end += len(text[end:]) - len(text[end:].lstrip())
        elif tag[3] != "+" and text[end : end + 1] == "\n":
            end += 1
    return "".join([*pieces, text[end:]])


def _neutralise_marks(text: str) -> str:
    """The same with the tags turned into ones that every engine knows and that swallow the same white space."""
    return _TAG.sub(lambda tag: f"{{%{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}%}}", text)


def _bake(text: str, variables: dict[str, Any]) -> str:
    """Lines that give the run's settings to whoever renders the template without them."""
    read = find_variables(text)
    wanted = {name: value for name, value in variables.items() if name in read}
    if "strftime_now" in read and "date_string" in read:
        wanted.setdefault("date_string", write_date(_DATE))
    return "".join(
        f"{{%- if {name} is not defined %}}{{%- set {name} = {_literal(value)} %}}{{%- endif %}}"
        for name, value in wanted.items()
    )


def _literal(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return json.dumps(value, ensure_ascii=False)


def _first_difference(prompts: PromptBuilder, template: str, conversations: Sequence[Messages]) -> int | None:
    """The number of the first conversation that is rendered otherwise, as a prompt or as a whole; None for none."""
    tokenizer = prompts.tokenizer
    tokens = {f"{kind}_token": str(getattr(tokenizer, f"{kind}_token", None) or "") for kind in ("bos", "eos", "pad")}
    for number, messages in enumerate(conversations):
        for reply in (True, False):
            try:
                wanted = prompts.render(messages, reply=reply)
            except Exception:  # what the run's template refuses, the exported one may refuse as well
                continue
            try:
                found = render_template(template, messages, add_generation_prompt=reply, variables=tokens)
            except Exception:
                return number
            if found != wanted:
                return number
    return None
