"""A model's own generation_config.json: what it asks for is told and set aside, and saved with the policy again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grpo.config.sections import GrpoSection, ModelSection
from grpo.policy.local_files import fetch_model_json, read_model_json

FILE = "generation_config.json"

# What does not change which tokens are written: ends and paddings are reconciled with the tokenizer's
# (`grpo.policy.special_tokens`), the rest is bookkeeping, speed, or the length that section grpo gives.
_HARMLESS = frozenset(
    {
        "_from_model_config", "assistant_confidence_threshold", "assistant_ensemble_weight", "assistant_early_exit", "assistant_lookbehind",
        "bos_token_id", "cache_config", "cache_implementation", "compile_config", "continuous_batching_config",
        "decoder_start_token_id", "disable_compile", "eos_token_id", "is_assistant", "low_memory", "max_cache_len", "max_length",
        "max_matching_ngram_size", "max_new_tokens", "max_time", "num_assistant_tokens",
        "num_assistant_tokens_schedule", "num_return_sequences", "output_attentions", "output_hidden_states",
        "output_logits", "output_scores", "pad_token_id", "prefill_chunk_size", "prompt_lookup_num_tokens",
        "remove_invalid_values", "return_dict_in_generate", "speculation_type", "target_lookbehind", "token_healing",
        "trust_remote_code", "transformers_version", "use_cache", "use_model_defaults", "use_mtp",
    }
)  # fmt: skip
# What says nothing: the value that a key has where nothing is asked for.
_OFF: dict[str, tuple[Any, ...]] = {
    "do_sample": (True,),
    "temperature": (1,),
    "top_p": (1,),
    "top_k": (0,),
    "repetition_penalty": (1,),
    "typical_p": (1,),
    "encoder_repetition_penalty": (1,),
    "length_penalty": (1,),
    "num_beams": (1,),
    "num_beam_groups": (1,),
    "diversity_penalty": (0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "min_p": (0,),
    "top_h": (0,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "guidance_scale": (1,),
    "renormalize_logits": (False,),
    "early_stopping": (False,),
    "penalty_alpha": (0,),
    "dola_layers": (),
}
# What the shipped models' authors recommend, for a machine that does not hold the file: a plan needs no network.
_KNOWN: dict[str, dict[str, Any]] = {
    **{
        f"Polygl0t/Tucano2-qwen-{size}": {"do_sample": True, "temperature": 0.1, "top_k": 50, "repetition_penalty": 1.2}
        for size in ("0.5B-Instruct", "0.5B-Base", "3.7B-Instruct")
    },
    "Qwen/Qwen3-8B": {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95},
}
_OWN = ("temperature", "top_p", "top_k", "repetition_penalty")


def set_aside(model: ModelSection, grpo: GrpoSection) -> dict[str, Any]:
    """What the model's own file asks of generation and section grpo does not; {} where that is nothing, or unknown.

    Every key counts that transformers would obey, known here or not: a run obeys none of them.
    """
    if model.embedded is not None or model.gguf is not None:
        return {}
    found = read_model_json(model.name, model.revision, FILE) or _KNOWN.get(model.name)
    if found is None:
        found = fetch_model_json(model.name, model.revision, FILE).value or {}
    different = {}
    for key, value in found.items():
        if key in _HARMLESS or value is None or value in ([], {}):
            continue
        # 0 is how section grpo switches top_k off.
        same = (getattr(grpo, key),) if key in _OWN else _OFF.get(key, ())
        if value not in same:
            different[key] = value
    return different


def take_from(model: Any, name: str | None = None, revision: str | None = None) -> dict[str, Any] | None:
    """Leave a loaded model with the sampling of section grpo alone; what its authors' file says, None without one.

    transformers fills whatever a call of `generate` leaves open from the model's settings, so they are made neutral:
    only ends and padding stay. `name` is the folder or Hub name it was read from.
    """
    from transformers import GenerationConfig

    config = model.generation_config
    kept = {key: getattr(config, key, None) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(
        **kept, do_sample=True, temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0
    )
    return read_model_json(name, revision, FILE) if name is not None else None


def give_back(authors: dict[str, Any] | None, directory: Path, ends: list[int]) -> None:
    """Put the authors' own file into a saved model's folder; nothing where they had none.

    It stays as they wrote it, unless it does not name the ends that the policy was trained with.
    """
    if authors is None or not (directory / FILE).is_file():
        return
    named = authors.get("eos_token_id")
    named = [named] if isinstance(named, int) else list(named or [])
    if not set(ends) <= set(named):
        authors = authors | {"eos_token_id": ends if len(ends) > 1 else ends[0]} if ends else authors
    (directory / FILE).write_text(json.dumps(authors, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
