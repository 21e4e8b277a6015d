"""Chat templates as texts: which one a run uses, what it is rendered with, and how that is done without transformers."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from rewards.errors import UserError

if TYPE_CHECKING:
    from jinja2 import Environment, Template

    from grpo.config.sections import ModelSection

Messages = Sequence[Mapping[str, Any]]

FIXED_DATE = datetime(2024, 7, 26)
"""Today, for templates that ask: the date that Llama's templates fall back on. A run must not change at midnight."""


@dataclass(frozen=True)
class ChatTemplate:
    """The template of a run: `text` is None for the tokenizer's own; `variables` are what the user sets in it."""

    text: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    source: str = "the model's chat template"

    def fill(self, text: str) -> dict[str, Any]:
        """What the template `text` is rendered with beside the messages."""
        return {**({"strftime_now": write_date} if "strftime_now" in text else {}), **self.variables}


def read_template(section: ModelSection) -> ChatTemplate:
    """The template that a config asks for; `UserError` where its file cannot be read or is not a template."""
    if section.embedded is not None:
        return ChatTemplate()
    variables = dict(section.chat_template_kwargs)
    if section.chat_template is None:
        return ChatTemplate(None, variables, f"the chat template of {section.name}")
    from jinja2 import TemplateSyntaxError

    file = section.chat_template
    try:
        text = file.read_text(encoding="utf-8")
        _compile(text)
    except OSError as fault:
        raise UserError(f"model.chat_template: {file} cannot be read ({fault.strerror}); give a Jinja file") from None
    except UnicodeDecodeError:
        raise UserError(f"model.chat_template: {file} is not UTF-8 text; give a Jinja file") from None
    except TemplateSyntaxError as fault:
        raise UserError(
            f"model.chat_template: {file}: line {fault.lineno}: {fault.message}; fix the template"
        ) from None
    return ChatTemplate(text, variables, f"model.chat_template {file.name}")


def write_date(form: str) -> str:
    """`strftime_now` of the templates, on the fixed date."""
    return FIXED_DATE.strftime(form)


def render_template(
    text: str, messages: Messages, *, add_generation_prompt: bool, variables: Mapping[str, Any] | None = None
) -> str:
    """The conversation as one text; jinja2's TemplateError where the template cannot render it."""
    return _compile(text).render(
        messages=[dict(message) for message in messages],
        add_generation_prompt=add_generation_prompt,
        tools=None,
        documents=None,
        **(variables or {}),
    )


def find_variables(text: str) -> frozenset[str]:
    """The names that a template reads and does not set itself; none where it cannot be parsed."""
    from jinja2 import TemplateSyntaxError, meta

    try:
        return frozenset(meta.find_undeclared_variables(_environment().parse(text)))
    except TemplateSyntaxError:
        return frozenset()


def find_training_template(tokenizer: Any, text: str) -> str | None:
    """TRL's twin of this template, which marks what an assistant wrote; None for templates that TRL does not know."""
    from trl.chat_template_utils import get_training_chat_template

    twin = copy.copy(tokenizer)
    twin.chat_template = text
    try:
        return get_training_chat_template(twin)
    except Exception:  # it renders tool calls to see what the template can do, and templates raise what they like
        return None


def has_marks(text: str) -> bool:
    """Whether a template marks assistant turns itself."""
    return "generation" in text and "endgeneration" in text


@cache
def _compile(text: str) -> Template:
    return _environment().from_string(text)


@cache
def _environment() -> Environment:
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        # transformers' own extension also records where the block lies; for a count its text is enough.
        tags: set[str] = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _write_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = write_date
    return environment


def _write_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)
