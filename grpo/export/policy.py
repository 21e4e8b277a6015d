"""The policy as it was trained: the base it stood on, with its adapter beside it and not yet merged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.export.choice import PolicyToExport
from rewards.errors import UserError

if TYPE_CHECKING:
    from grpo.policy.loading import Policy


def open_policy(choice: PolicyToExport, device: str) -> Policy:
    """The chosen policy on `device`, its adapter unmerged; UserError where it or its base cannot be loaded.

    Quantised weights stay quantised: this is the function that was trained, which any merge is measured against.
    """
    from grpo.policy.loading import load_policy, read_saved

    source, section = choice.source, choice.config.model
    if source.kind == "model":
        if choice.run is not None:
            return read_saved(Path(source.location), section, device)
        return load_policy(section, texts=(), seed=choice.config.seed, device=device)
    policy = _load_base(choice, device)
    from peft import PeftModel
    from transformers import AutoTokenizer

    from grpo.policy.loading import Policy, ready_for_adapters

    folder = Path(source.location)
    try:
        model = PeftModel.from_pretrained(ready_for_adapters(policy.model, section), str(folder))
    except (RuntimeError, ValueError, OSError, KeyError, TypeError) as fault:
        reason = (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]
        raise UserError(f"{folder}: the adapter does not fit its base ({reason}); name the run it comes from") from None
    tokenizer = policy.tokenizer
    if (folder / "tokenizer_config.json").is_file() and section.embedded is None:
        tokenizer = _with_own_tokens(AutoTokenizer.from_pretrained(folder), policy.tokenizer)
    return Policy(model.eval(), tokenizer, authors=policy.authors, template=policy.template)


def unwrapped(model: Any) -> Any:
    """The transformers model below PEFT's wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model


def _load_base(choice: PolicyToExport, device: str) -> Policy:
    from grpo.policy.adapters import base_section, find_adapter
    from grpo.policy.loading import load_policy

    config = choice.config
    texts: list[str] = []
    section = config.model
    if section.embedded is not None:
        from grpo.data.run_rows import load_inputs
        from grpo.policy.tokenizer import training_texts

        texts = training_texts(load_inputs(config).taught)
    elif section.adapter == "stack" and choice.source.base is not None:
        # The run merged the adapter below and kept the result, which its own adapter names as its base.
        section = section.model_copy(
            update={"name": choice.source.base, "revision": None, "gguf": None, "adapter": "continue"}
        )
    elif (below := find_adapter(section)) is not None:
        section = base_section(below, section)
    return load_policy(section.model_copy(update={"lora": None}), texts=texts, seed=config.seed, device=device)


def _with_own_tokens(own: Any, base: Any) -> Any:
    """The adapter's own tokenizer, completed by the base's template, end and padding where it brings none."""
    if own.chat_template is None:
        own.chat_template = base.chat_template
    if own.pad_token_id is None:
        own.pad_token = base.pad_token or own.eos_token
    return own
