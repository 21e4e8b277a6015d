"""The policy: model and tokenizer, made or loaded, with LoRA and quantisation where the config says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.config.sections import ModelSection
from grpo.policy.prompts import PromptBuilder
from rewards.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class Policy:
    """What is trained, and how it is spoken to; `fallback` is an engine's reason not to share prompts, None without."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fallback: str | None = None
    prompts: PromptBuilder = field(init=False)

    def __post_init__(self) -> None:
        self.prompts = PromptBuilder(self.tokenizer)

    @property
    def eos_ids(self) -> list[int]:
        """Every token that ends a completion."""
        configured = self.model.generation_config.eos_token_id
        ids = {self.tokenizer.eos_token_id}
        ids.update([configured] if isinstance(configured, int) else configured or [])
        return sorted(i for i in ids if i is not None)

    def save(self, directory: Path, weights: dict[str, Any] | None = None) -> None:
        """Write model and tokenizer; `weights` are given where the model holds only a part of them."""
        self.model.save_pretrained(directory, state_dict=weights)
        self.tokenizer.save_pretrained(directory)


def load_policy(section: ModelSection, *, texts: Iterable[str], seed: int, device: str) -> Policy:
    """The policy of a config on `device` ("cpu" or "cuda").

    `texts` teach the embedded policy's tokenizer; a pretrained one ignores them. Raises `UserError` in one line for a
    model that is not there, needs a token, or does not fit what the config asks of it.
    """
    if section.embedded is not None:
        from grpo.policy.embedded import make_model, make_tokenizer

        tokenizer = make_tokenizer(texts, section.embedded)
        model = make_model(tokenizer, section.embedded, context=section.max_sequence_length, seed=seed)
    else:
        model, tokenizer = _load_pretrained(section, device)
    model.to(device) if section.quantization == "none" else None
    if section.lora is not None:
        model = _attach_lora(model, section, seed)
    return Policy(model, tokenizer)


def resolve_dtype(section: ModelSection, device: str) -> torch.dtype:
    """bfloat16 where the device has it and the config leaves the choice, else float32: on a CPU bf16 only costs."""
    import torch

    if section.dtype == "auto":
        return torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return getattr(torch, section.dtype)


def _load_pretrained(section: ModelSection, device: str) -> tuple[Any, Any]:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = f"model.name: {section.name}"
    if (
        "/" in section.name
        and section.name.startswith((".", "/", "~"))
        and not Path(section.name).expanduser().is_dir()
    ):
        raise UserError(f"{where}: no such directory; give a Hub id or a directory with config.json")
    options: dict[str, Any] = {"revision": section.revision, "dtype": resolve_dtype(section, device)}
    if section.quantization == "nf4":
        options["quantization_config"] = _nf4(section, device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(section.name, revision=section.revision)
        model = AutoModelForCausalLM.from_pretrained(section.name, **options)
    except GatedRepoError:
        raise UserError(f"{where}: gated on the Hub; accept its terms there and set HF_TOKEN") from None
    except RepositoryNotFoundError:
        raise UserError(f"{where}: not on the Hub, or private: check the name, or set HF_TOKEN") from None
    except (OSError, HfHubHTTPError, ValueError) as fault:
        reason = str(fault).strip().splitlines()[0][:200]
        raise UserError(
            f"{where}: cannot be loaded ({reason}); check the name, the network, HF_TOKEN or HF_HOME"
        ) from None
    finish_pretrained(model, tokenizer, section)
    return model, tokenizer


def finish_pretrained(model: Any, tokenizer: Any, section: ModelSection) -> None:
    """Check what was loaded, and take the sampling settings of its authors out of it; `UserError` in one line."""
    where = f"model.name: {section.name}"
    if tokenizer.chat_template is None:
        raise UserError(f"{where}: its tokenizer has no chat template; use a chat model or save one with the tokenizer")
    keep_differentiable(model)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    # The sampling is section grpo's (or evaluation's) alone; what a model's authors recommend must not creep in.
    for name, neutral in (
        ("do_sample", True),
        ("temperature", 1.0),
        ("top_p", 1.0),
        ("top_k", 0),
        ("repetition_penalty", 1.0),
    ):
        setattr(model.generation_config, name, neutral)
    if section.max_sequence_length > model.config.max_position_embeddings:
        raise UserError(
            f"model.max_sequence_length: {section.max_sequence_length} is beyond the context of {section.name}, "
            f"{model.config.max_position_embeddings}; lower it"
        )


def keep_differentiable(model: Any) -> None:
    """Stop bitsandbytes from packing 4-bit layers for inference, as it does on processors with AVX-512 BF16.

    It does so at the first forward in evaluation mode and never undoes it; the packed product has no gradient, so that
    after one generation the adapters below would learn nothing, without an error.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _nf4(section: ModelSection, device: str) -> Any:
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise UserError("model.quantization: nf4 needs bitsandbytes; pip install 'recompensa[quant]'")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=resolve_dtype(section, device),
    )


def _attach_lora(model: Any, section: ModelSection, seed: int) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if section.quantization != "none":
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=section.gradient_checkpointing is True
        )
    lora = section.lora
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(
            model,
            LoraConfig(
                r=lora.r,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=lora.target_modules,
                task_type="CAUSAL_LM",
            ),
        )
