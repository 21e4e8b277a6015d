"""A pretrained model's tokenizer and chat template as far as a plan needs them, read without transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.policy.chat_template import Messages, read_template, render_template
from grpo.policy.gguf_file import find_gguf, gguf_tokenizer, read_gguf
from grpo.policy.local_files import model_folder
from grpo.policy.prompts import PromptBuilder
from rewards.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from grpo.config.sections import ModelSection

_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class LightTokenizer:
    """Speaks like a tokenizer of transformers where `PromptBuilder` asks it; `special_tokens` by their role in it."""

    tokenizer: Tokenizer
    chat_template: str | None
    special_tokens: Mapping[str, str] = field(default_factory=dict)

    @property
    def eos_token_id(self) -> int | None:
        eos = self.special_tokens.get("eos_token")
        return self.tokenizer.token_to_id(eos) if eos else None

    def apply_chat_template(
        self,
        conversation: Messages,
        *,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        return_dict: bool = True,
        **variables: Any,
    ) -> Any:
        """The conversation as text, or as `{"input_ids": ...}`; jinja2's TemplateError where it cannot be rendered."""
        text = render_template(
            self.get_chat_template(chat_template),
            conversation,
            add_generation_prompt=add_generation_prompt,
            variables={**self.special_tokens, **variables},
        )
        if not tokenize:
            return text
        ids = self.encode(text, add_special_tokens=False)
        return {"input_ids": ids} if return_dict else ids

    def get_chat_template(self, chat_template: str | None = None) -> str:
        template = chat_template or self.chat_template
        if template is None:
            raise ValueError("the tokenizer has no chat template")
        return template

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)

    @property
    def added_tokens_decoder(self) -> dict[int, Any]:
        """The added tokens by their numbers; `content` and `special` are theirs."""
        return self.tokenizer.get_added_tokens_decoder()

    def get_added_vocab(self) -> dict[str, int]:
        return {token.content: number for number, token in self.tokenizer.get_added_tokens_decoder().items()}


def read_light_tokenizer(folder: Path) -> LightTokenizer | None:
    """The tokenizer of a model's folder; None where it has no tokenizer.json, or one that the library cannot read."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # the library raises plain Exception; whether the model loads is for its loading to say
        return None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    settings = {**_read_object(folder / "special_tokens_map.json"), **_read_object(folder / "tokenizer_config.json")}
    special = {role: text for role in _ROLES if (text := _text_of(settings.get(role)))}
    return LightTokenizer(tokenizer, _find_template(folder, settings.get("chat_template")), special)


def open_prompts(section: ModelSection) -> PromptBuilder | None:
    """The prompt builder of a pretrained model whose tokenizer this machine has; None where nothing is at hand.

    Raises `UserError` for a template file that cannot be read, and for a tokenizer without any template.
    """
    template = read_template(section)
    ends: set[int] = set()
    if section.embedded is not None:
        return None
    if section.gguf is not None:
        tokenizer = _read_gguf(section.gguf)
    else:
        folder = model_folder(section.name, section.revision)
        tokenizer = (read_light_tokenizer(folder) or _read_fully(folder)) if folder is not None else None
        ends = _read_ends(folder) if folder is not None else ends
    if tokenizer is None:
        return None
    if template.text is None and tokenizer.chat_template is None:
        raise UserError(no_template(section.name))
    return PromptBuilder(tokenizer, template, ends)


def _read_gguf(value: str) -> LightTokenizer | None:
    """The tokenizer in a GGUF file; None where the file is refused, or only transformers can read it."""
    try:
        header = read_gguf(find_gguf(value))
    except UserError:  # the plan says why
        return None
    tokenizer = gguf_tokenizer(header)
    roles = {
        role: header.token(name)
        for role, name in (("bos_token", "bos"), ("eos_token", "eos"), ("pad_token", "padding"))
    }
    special = {role: token for role, token in roles.items() if token is not None}
    return LightTokenizer(tokenizer, header.chat_template, special) if tokenizer is not None else None


def no_template(name: str) -> str:
    """The line for a tokenizer that cannot be spoken to."""
    return f"model.name: {name}: its tokenizer has no chat template; use a chat model, or give a template in model.chat_template"


def _read_fully(folder: Path) -> Any:
    """The tokenizer by transformers, for folders without a tokenizer.json; None where that is not to be had."""
    if find_spec("transformers") is None or not any(folder.glob("*token*")):
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception:  # whether the model loads is for its loading to say
        return None


def _read_ends(folder: Path) -> set[int]:
    """The tokens that generation_config.json and config.json name as ends."""
    ends: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        named = _read_object(folder / name).get("eos_token_id")
        ends.update(each for each in (named if isinstance(named, list) else [named]) if isinstance(each, int))
    return ends


def _find_template(folder: Path, configured: Any) -> str | None:
    """The model's own template, from its file or its tokenizer_config.json; of several the one named default."""
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        pass
    if isinstance(configured, list):
        configured = {each.get("name"): each.get("template") for each in configured if isinstance(each, dict)}
    if isinstance(configured, dict):
        configured = configured.get("default")
    if isinstance(configured, str):
        return configured
    legacy = _read_object(folder / "chat_template.json").get("chat_template")
    return legacy if isinstance(legacy, str) else None


def _text_of(token: Any) -> str | None:
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def _read_object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
