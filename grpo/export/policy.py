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
    from grpo.policy.adapters import AdapterUnfit, put_on
    from grpo.policy.loading import Policy, load_policy, read_saved, ready_for_adapters

    source, section = choice.source, choice.config.model
    if source.kind == "model" and choice.run is not None:
        try:
            return read_saved(Path(source.location), section, device)
        except Exception as fault:  # whatever the libraries raise of a torn file: tokenizers a plain Exception
            raise UserError(
                f"{source.location}: cannot be loaded ({_first_line(fault)}); give another policy of the run: --sft, or --step N"
            ) from None
    if source.kind == "model":
        return load_policy(section, texts=(), seed=choice.config.seed, device=device)
    try:
        policy = _load_base(choice, device)
    except UserError as fault:
        if choice.run is not None or choice.source.base is None:
            raise
        lines = [line.removeprefix("model.name: ") for line in fault.problems]
        where = f"{source.location}: the base that its adapter_config.json names is not available"
        raise UserError([f"{where}: {line}" for line in lines]) from None
    folder = Path(source.location)
    try:
        model = put_on(ready_for_adapters(policy.model, section), str(folder))
    except AdapterUnfit as fault:
        raise UserError(f"{folder}: the adapter does not fit its base ({fault}); name the run it comes from") from None
    tokenizer = policy.tokenizer
    if (folder / "tokenizer_config.json").is_file() and section.embedded is None:
        tokenizer = _with_own_tokens(_read_tokenizer(folder), policy.tokenizer)
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


def _read_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as fault:  # as above
        raise UserError(
            f"{folder}: its tokenizer cannot be read ({_first_line(fault)}); without tokenizer files there, the base's is taken"
        ) from None


def _first_line(fault: Exception) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]


def _with_own_tokens(own: Any, base: Any) -> Any:
    """The adapter's own tokenizer, completed by the base's template, end and padding where it brings none."""
    if own.chat_template is None:
        own.chat_template = base.chat_template
    if own.pad_token_id is None:
        own.pad_token = base.pad_token or own.eos_token
    return own
