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
# The variable of Llama's templates, and the form they give it.
_DATE, _DATE_FORM = "date_string", "%d %b %Y"
_DATE_CALL = re.compile(r"""\bstrftime_now\(\s*(["'])([^"'\\]*)\1\s*\)""")
_DATE_ASKED = re.compile(r"\bstrftime_now\s+is\s+(not\s+)?defined\b")


class TemplateFailed(RecompensaError):
    """The template cannot be exported as other engines need it; nothing was written."""


def export_template(prompts: PromptBuilder, conversations: Sequence[Messages]) -> str:
    """The template to write: renders every conversation to the very bytes that the run's own gives.

    Raises `TemplateFailed` where it does not.
    """
    own = prompts.template_text
    variables = dict(prompts.template.variables)
    head = _bake(own, variables)
    for text in map(_fix_date, (remove_marks(own), _neutralise_marks(own))):
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
            # lstrip_blocks: white space between the line's start and a tag is not printed.
            start = text.rfind("\n", 0, tag.start()) + 1
            if not text[start : tag.start()].strip():
                before = text[end : max(end, start)]
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
    if _DATE in read and "strftime_now" in text:
        wanted.setdefault(_DATE, write_date(_DATE_FORM))
    head = ""
    for name, value in wanted.items():
        line = f"{{%- set {name} = {_literal(value)} %}}"
        # llama.cpp gives every template of Llama's today's date, asked or not: the run's stands whoever says otherwise.
        head += line if name == _DATE else f"{{%- if {name} is not defined %}}{line}{{%- endif %}}"
    return head


def _fix_date(text: str) -> str:
    """The same with the run's date in place of today's: an engine's own clock would give other prompts than those trained on."""
    text = _DATE_CALL.sub(lambda call: _literal(write_date(call[2])), text)
    return _DATE_ASKED.sub(lambda asked: "false" if asked[1] else "true", text)


def _literal(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return json.dumps(value, ensure_ascii=False)


def _first_difference(prompts: PromptBuilder, template: str, conversations: Sequence[Messages]) -> int | None:
    """The number of the first conversation that is rendered otherwise, as a prompt or as a whole; None for none."""
    tokenizer = prompts.tokenizer
    # Today's date of an engine is none of the run's: what still asks for it is found here.
    tokens: dict[str, Any] = {"strftime_now": lambda form: "another day"}
    tokens |= {f"{kind}_token": str(getattr(tokenizer, f"{kind}_token", None) or "") for kind in ("bos", "eos", "pad")}
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
