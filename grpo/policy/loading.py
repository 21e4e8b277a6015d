"""The policy: model and tokenizer, made or loaded, with LoRA and quantisation where the config says so."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.config.sections import ModelSection
from grpo.policy.adapters import Adapter, adapter_problems, attach, base_section, find_adapter, save_without_hub
from grpo.policy.attention import register_attention
from grpo.policy.chat_template import ChatTemplate, read_template
from grpo.policy.generation_settings import give_back, take_from
from grpo.policy.gguf_file import find_gguf, gguf_tokenizer, read_gguf
from grpo.policy.light_tokenizer import no_template
from grpo.policy.local_files import fetch_model_json, looks_local, model_folder
from grpo.policy.prompts import PromptBuilder
from grpo.policy.special_tokens import reconcile
from rewards.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class Policy:
    """What is trained, and how it is spoken to.

    `fallback` is an engine's reason not to share prompts, None without; `authors` what the model's own
    generation_config.json says, which is saved with it again; `fused` asks for few kernels a token on a CUDA device.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fallback: str | None = None
    authors: dict[str, Any] | None = None
    template: ChatTemplate = field(default_factory=ChatTemplate)
    fused: bool = False
    prompts: PromptBuilder = field(init=False)

    def __post_init__(self) -> None:
        self.prompts = PromptBuilder(self.tokenizer, self.template, self._configured_ends())
        end = self.prompts.find_end_token()
        if end is not None and end not in self.eos_ids:
            # What the template ends an answer with ends a completion too, whoever forgot to say so.
            self.model.generation_config.eos_token_id = sorted({*self.eos_ids, end})

    @property
    def eos_ids(self) -> list[int]:
        """Every token that ends a completion."""
        return sorted({*self._configured_ends(), self.tokenizer.eos_token_id} - {None})

    def _configured_ends(self) -> list[int]:
        configured = self.model.generation_config.eos_token_id
        return [configured] if isinstance(configured, int) else list(configured or [])

    def save(self, directory: Path, weights: dict[str, Any] | None = None) -> None:
        """Write model and tokenizer; `weights` are given where the model holds only a part of them."""
        self.model.save_pretrained(directory, state_dict=weights)
        self.tokenizer.save_pretrained(directory)
        self.give_back_settings(directory)

    def give_back_settings(self, directory: Path) -> None:
        """Put the authors' generation_config.json in the place of ours, which is neutral; nothing where they had none."""
        give_back(self.authors, directory, self.eos_ids)


def load_policy(section: ModelSection, *, texts: Iterable[str], seed: int, device: str) -> Policy:
    """The policy of a config on `device` ("cpu", "cuda" or "mps").

    `texts` teach the embedded policy's tokenizer; a pretrained one ignores them. Raises `UserError` in one line for a
    model that is not there, needs a token, or does not fit what the config asks of it.
    """
    register_attention()  # before the first pass: a stage that is resumed computes with the kernels it began with
    policy = _load(section, texts, seed, device)
    policy.fused = section.fused_decoding
    return policy


def _load(section: ModelSection, texts: Iterable[str], seed: int, device: str) -> Policy:
    if section.embedded is not None:
        from grpo.policy.embedded import make_model, make_tokenizer

        tokenizer = make_tokenizer(texts, section.embedded)
        model = make_model(tokenizer, section.embedded, context=section.max_sequence_length, seed=seed)
        model.to(device)
        return Policy(model if section.lora is None else _attach_lora(model, section, seed), tokenizer)
    adapter = find_adapter(section)
    if adapter is not None and (problems := adapter_problems(adapter, section)):
        raise UserError(problems)
    policy = _load_pretrained(section if adapter is None else base_section(adapter, section), device)
    policy.model.to(device) if section.quantization == "none" else None
    if adapter is not None and section.adapter == "stack":
        return _stack(policy, adapter, section, seed, device)
    if adapter is not None:
        tokenizer = _adapter_tokenizer(adapter, section) or policy.tokenizer
        model = attach(ready_for_adapters(policy.model, section), adapter, section)
        return Policy(model, tokenizer, authors=policy.authors, template=policy.template)
    if section.lora is not None:
        policy.model = _attach_lora(policy.model, section, seed)
    return policy


def resolve_dtype(section: ModelSection, device: str) -> torch.dtype:
    """bfloat16 where the device has it and the config leaves the choice, else float32: on a CPU bf16 only costs."""
    import torch

    if section.dtype == "auto":
        return torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return getattr(torch, section.dtype)


def read_saved(directory: Path, section: ModelSection, device: str) -> Policy:
    """A policy of which all weights were saved in `directory`, as it was when they were."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=resolve_dtype(section, device), trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    fused = section.fused_decoding
    if section.embedded is not None:
        return Policy(model.to(device), tokenizer, fused=fused)
    authors, template = take_from(model, str(directory)), read_template(section)
    reconcile(model, tokenizer, template)
    return Policy(model.to(device), tokenizer, authors=authors, template=template, fused=fused)


def _load_pretrained(section: ModelSection, device: str) -> Policy:
    """The whole model of that section, without adapters."""
    if section.gguf is not None:
        model, tokenizer = _read_gguf(find_gguf(section.gguf), section, device)
    else:
        model, tokenizer = _read_named(section, device)
    return finish_pretrained(model, tokenizer, section)


def _read_named(section: ModelSection, device: str) -> tuple[Any, Any]:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = f"model.name: {section.name}"
    if looks_local(section.name) and not Path(section.name).expanduser().is_dir():
        raise UserError(f"{where}: no such directory; give a Hub id or a directory with config.json")
    # One question first: the libraries below ask many times before they give up.
    answer = fetch_model_json(section.name, section.revision, "config.json")
    if answer.value is None and model_folder(section.name, section.revision) is None:
        here = "" if answer.final else "no such folder here, and "
        raise UserError(f"{where}: {here}{answer.reason}")
    name = str(Path(section.name).expanduser()) if looks_local(section.name) else section.name
    options: dict[str, Any] = {"revision": section.revision, "dtype": resolve_dtype(section, device)}
    if section.quantization == "nf4":
        options["quantization_config"] = _nf4(section, device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=section.revision, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(name, **options, trust_remote_code=False)
    except GatedRepoError:
        raise UserError(f"{where}: gated on the Hub; accept its terms there and set HF_TOKEN") from None
    except RepositoryNotFoundError:
        raise UserError(f"{where}: not on the Hub, or private: check the name, or set HF_TOKEN") from None
    except (OSError, HfHubHTTPError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as fault:
        if "trust_remote_code" in str(fault):
            raise UserError(
                f"{where}: needs code of its own repository, which is never run; take a model that transformers knows"
            ) from None
        reason = (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]
        raise UserError(
            f"{where}: cannot be loaded ({reason}); check the name, the network, HF_TOKEN or HF_HOME"
        ) from None
    return model, tokenizer


def _read_gguf(path: Path, section: ModelSection, device: str) -> tuple[Any, Any]:
    """Weights and tokenizer of a GGUF file; what was quantised is made full, and is a model like any other then."""
    from importlib.util import find_spec

    if find_spec("gguf") is None:
        raise UserError("model.gguf: reading one needs the package gguf; pip install 'gguf>=0.17,<1'")
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

    header = read_gguf(path)
    header.require_whole()
    where = {"gguf_file": path.name}
    try:
        # Its bar heeds no setting of transformers, and a run has bars of its own.
        with redirect_stderr(io.StringIO()):
            model = AutoModelForCausalLM.from_pretrained(
                path.parent, dtype=resolve_dtype(section, device), **where, trust_remote_code=False
            )
        backend = gguf_tokenizer(header)
        tokenizer = (
            AutoTokenizer.from_pretrained(path.parent, **where, trust_remote_code=False)
            if backend is None
            else PreTrainedTokenizerFast(
                tokenizer_object=backend,
                bos_token=header.token("bos"),
                eos_token=header.token("eos"),
                pad_token=header.token("padding"),
                clean_up_tokenization_spaces=False,
            )
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, NotImplementedError, IndexError) as fault:
        reason = (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]
        raise UserError(
            f"model.gguf: {path} cannot be loaded ({reason}); give a file that transformers can read"
        ) from None
    if header.chat_template is not None:
        tokenizer.chat_template = header.chat_template
    # The weights are plain now; with these notes nothing would let them be saved.
    model.hf_quantizer, model.is_quantized = None, False
    for note in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, note):
            delattr(model.config, note)
    # An adapter on it is an adapter of the model that the file was made from.
    model.config._name_or_path = model.name_or_path = section.name
    return model, tokenizer


def _stack(policy: Policy, adapter: Adapter, section: ModelSection, seed: int, device: str) -> Policy:
    """A new adapter on the model that the old one was merged into; that model is kept, so that the new one has its base."""
    from grpo.machine.cache import cache_folder
    from grpo.policy.stacking import merged_folder, save_merged

    folder = merged_folder(adapter, section, cache_folder())
    tokenizer = _adapter_tokenizer(adapter, section) or policy.tokenizer
    save_merged(attach(policy.model, adapter, section), tokenizer, folder)
    return load_policy(
        section.model_copy(update={"name": str(folder), "revision": None, "gguf": None, "adapter": "continue"}),
        texts=(), seed=seed, device=device,
    )  # fmt: skip


def _adapter_tokenizer(adapter: Adapter, section: ModelSection) -> Any:
    """The adapter's own tokenizer, where it brings one: it may know tokens that the base does not."""
    folder = model_folder(adapter.name, adapter.own_revision)
    if folder is None or not (folder / "tokenizer_config.json").is_file():
        return None
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return tokenizer if tokenizer.chat_template is not None or section.chat_template is not None else None


def finish_pretrained(model: Any, tokenizer: Any, section: ModelSection) -> Policy:
    """Check what was loaded, set its authors' sampling aside and settle its ends; `UserError` in one line."""
    where = f"model.name: {section.name}"
    template = read_template(section)
    if tokenizer.chat_template is None and template.text is None:
        raise UserError(no_template(section.name))
    keep_differentiable(model)
    # The sampling is section grpo's (or evaluation's) alone; what a model's authors recommend must not creep in.
    authors = take_from(model, section.name if section.gguf is None else None, section.revision)
    if not reconcile(model, tokenizer, template):
        raise UserError(
            f"{where}: neither its tokenizer, its config nor its chat template names a token that ends an answer, so every "
            "completion would run to the limit; set eos_token in its tokenizer_config.json"
        )
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and section.max_sequence_length > context:
        raise UserError(
            f"model.max_sequence_length: {section.max_sequence_length} is beyond the context of {section.name}, "
            f"{context}; lower it"
        )
    return Policy(model, tokenizer, authors=authors, template=template)


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
        raise UserError("model.quantization: nf4 needs bitsandbytes; pip install -e '.[quant]'")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=resolve_dtype(section, device),
    )


def _attach_lora(model: Any, section: ModelSection, seed: int) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    model = ready_for_adapters(model, section)
    lora = section.lora
    assert lora is not None  # the callers look first
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="CAUSAL_LM",
    )
    if lora.target_modules == "all-linear" and model.config.model_type in _STATE_SPACE:
        config.exclude_modules = ["out_proj", "conv1d"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = get_peft_model(model, config)
        except ValueError as error:  # names that are no layers of this model, or layers that PEFT refuses
            said = " ".join(str(error).split())[:300]
            raise UserError(f"model.lora.target_modules: {said}; name other layers, or write all-linear") from None
    return save_without_hub(model)


# Their fused kernels read the weights of two layers past any adapter: PEFT refuses adapters there.
_STATE_SPACE = frozenset({"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"})


def ready_for_adapters(model: Any, section: ModelSection) -> Any:
    """4-bit weights need their norms in float32 and gradients at the input."""
    if section.quantization == "none":
        return model
    from peft import prepare_model_for_kbit_training

    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=section.gradient_checkpointing is True)
