"""The shape of a policy, and what its weights, optimiser, activations and key-value cache take; estimates, no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grpo.config.sections import EmbeddedSection, GrpoSection, ModelSection
from grpo.plan.weight_count import BY_FORMULA, count_weights
from grpo.policy.adapters import base_section, find_adapter
from grpo.policy.chunk_sizes import CHUNK_LOGITS, CHUNK_LOGITS_CPU, LEAST_LOGITS
from grpo.policy.gguf_file import find_gguf, read_gguf
from grpo.policy.local_files import fetch_model_json, read_model_json

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

# NF4: half a byte a weight, and with double quantisation 0.127 bits a weight for its scales (QLoRA, section 3).
NF4_BYTES = 0.5 + 0.127 / 8


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder-only transformer as Qwen3 and Llama are, of other families as near as it comes; `counted` overrules.

    `experts` of a sparse layer have `intermediate_size` each, `active_experts` of them read a token; the first
    `dense_layers` have none. `biased` names the linear layers with a bias, `norms` counts the norms of a block.
    """

    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool = True
    head_norms: bool = True
    context: int | None = None

    gated: bool = True
    biased: tuple[str, ...] = ()
    experts: int = 1
    active_experts: int = 1
    dense_layers: int = 0
    dense_intermediate_size: int = 0
    norms: int = 2
    counted: int | None = None

    @property
    def attention_shapes(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of a block's four attention layers, by the names most families give them."""
        queries, keys, h = self.heads * self.head_dim, self.kv_heads * self.head_dim, self.hidden_size
        return {"q_proj": (h, queries), "k_proj": (h, keys), "v_proj": (h, keys), "o_proj": (queries, h)}

    def feed_forward_shapes(self, width: int) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of one feed-forward part of that inner width."""
        h = self.hidden_size
        shapes = {"gate_proj": (h, width), "up_proj": (h, width), "down_proj": (width, h)}
        return shapes if self.gated else {name: shapes[name] for name in ("up_proj", "down_proj")}

    def linear_layers(self) -> list[tuple[str, int, int, int]]:
        """Every kind of linear layer in the blocks: name, inputs, outputs, how many there are of it."""
        kinds = [(name, *shape, self.layers) for name, shape in self.attention_shapes.items()]
        sparse = self.layers - self.dense_layers
        kinds += [
            (name, *shape, sparse * self.experts)
            for name, shape in self.feed_forward_shapes(self.intermediate_size).items()
        ]
        if self.dense_layers:
            dense = self.feed_forward_shapes(self.dense_intermediate_size)
            kinds += [(name, *shape, self.dense_layers) for name, shape in dense.items()]
        if self.experts > 1:
            kinds.append(("router", self.hidden_size, self.experts, sparse))
        return kinds

    @property
    def linear_parameters(self) -> int:
        """Weights of the blocks' linear layers: what NF4 quantises."""
        return sum(inputs * outputs * count for _, inputs, outputs, count in self.linear_layers())

    @property
    def parameters(self) -> int:
        """All weights, tied embeddings counted once; as they were counted, where they were."""
        if self.counted is not None:
            return self.counted
        norms = self.layers * (self.norms * self.hidden_size + (2 * self.head_dim if self.head_norms else 0))
        biases = sum(outputs * count for name, _, outputs, count in self.linear_layers() if name in self.biased)
        embeddings = self.vocabulary * self.hidden_size * (1 if self.tied else 2)
        return self.linear_parameters + norms + biases + self.hidden_size + embeddings

    @property
    def active_parameters(self) -> int:
        """Weights that a token passes through: of a layer's experts only those chosen for it."""
        idle = (self.experts - self.active_experts) * (self.layers - self.dense_layers)
        expert = sum(inputs * outputs for inputs, outputs in self.feed_forward_shapes(self.intermediate_size).values())
        return self.parameters - idle * expert

    def lora_parameters(self, rank: int, targets: str | Sequence[str] = "all-linear") -> int:
        """Weights of adapters of that rank on those linear layers of the blocks; experts and routers get none."""
        total = 0
        for name, inputs, outputs, count in self.linear_layers():
            if name == "router" or (self.experts > 1 and name in ("gate_proj", "up_proj", "down_proj")):
                continue  # the experts of a layer are one packed weight, which PEFT's all-linear does not see
            if targets == "all-linear" or _is_target(name, targets):
                total += count * rank * (inputs + outputs)
        return total

    def cache_bytes_per_token(self, element_bytes: int) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * element_bytes

    def activation_elements(self) -> int:
        """Numbers that one block keeps for the backward pass, a token: norms, projections, attention, feed-forward."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return 6 * self.hidden_size + 3 * queries + 4 * keys + 4 * self.intermediate_size


# Tucano2 0.5B: 490,799,104 parameters with a vocabulary of 49,152 are exactly Qwen3-0.6B's blocks.
# 3.7B: taken to be Qwen3-4B's blocks with the same vocabulary (3.76e9). Qwen3-8B: its published shape.
_TUCANO_SMALL = Shape(28, 1024, 3072, 16, 8, 128, 49_152, context=4096)
_TUCANO_LARGE = Shape(36, 2560, 9728, 32, 8, 128, 49_152, context=4096)
KNOWN_SHAPES = {
    "Polygl0t/Tucano2-qwen-0.5B-Instruct": _TUCANO_SMALL,
    "Polygl0t/Tucano2-qwen-0.5B-Base": _TUCANO_SMALL,
    "Polygl0t/Tucano2-qwen-3.7B-Instruct": _TUCANO_LARGE,
    "Qwen/Qwen3-8B": Shape(36, 4096, 12_288, 32, 8, 128, 151_936, tied=False, context=40_960),
}


def find_shape(section: ModelSection) -> tuple[Shape | None, str]:
    """The policy's shape and where it was found, or None and why it cannot be had.

    It stands in the config, in the header of a GGUF file, or in the model's config.json: in its folder, in the Hub's
    cache, or on the Hub. An adapter has the shape of the model below it.
    """
    if section.embedded is not None:
        return embedded_shape(section.embedded, section.max_sequence_length), "the config"
    if section.gguf is not None:
        shape = shape_from(read_gguf(find_gguf(section.gguf)).config())
        return shape, "its GGUF file" if shape is not None else "not told by its GGUF file"
    adapter = find_adapter(section)
    if adapter is not None and adapter.base is not None:
        section = base_section(adapter, section)
    found = read_model_json(section.name, section.revision, "config.json")
    if found is None and section.name in KNOWN_SHAPES:
        return KNOWN_SHAPES[section.name], "the table of shipped models"
    answer = fetch_model_json(section.name, section.revision, "config.json")
    if answer.value is None:
        return None, answer.reason or "unknown"
    shape = shape_from(answer.value)
    if shape is None:
        return None, f"not told by its config.json (model_type {answer.value.get('model_type')})"
    return shape, "its config.json"


def trained_parameters(shape: Shape, section: ModelSection) -> int:
    """Weights that a run trains: those of the adapters, of the adapter that is trained on, or all."""
    if section.lora is None:
        return shape.parameters
    adapter = find_adapter(section)
    if adapter is not None and adapter.r is not None:
        return shape.lora_parameters(adapter.r, adapter.target_modules)
    return shape.lora_parameters(section.lora.r, section.lora.target_modules)


def embedded_shape(section: EmbeddedSection, context: int) -> Shape:
    """The shape of the policy made on the spot."""
    return Shape(
        section.layers,
        section.hidden_size,
        section.intermediate_size,
        section.heads,
        section.kv_heads,
        section.hidden_size // section.heads,
        section.vocabulary,
        context=context,
    )


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes on one device. Generation and the backward pass take turns, so the peak has the larger of the two."""

    weights: int
    gradients: int
    optimiser: int
    activations: int
    kv_cache: int

    @property
    def peak(self) -> int:
        """Bytes at the peak: activations and the KV cache are never held at the same time."""
        return self.weights + self.gradients + self.optimiser + max(self.activations, self.kv_cache)


def estimate_memory(
    shape: Shape,
    model: ModelSection,
    grpo: GrpoSection,
    *,
    device_kind: Literal["cuda", "mps", "cpu"],
    prompt_tokens: int,
    completion_tokens: int,
    world_size: int = 1,
) -> MemoryEstimate:
    """Memory of training with prompts and completions of at most this many tokens, the allocator's waste left out."""
    element = BYTES[model.effective_dtype(device_kind)]
    share = max(1, grpo.completions_per_step // world_size)
    micro = min(grpo.micro_batch_size, share) if isinstance(grpo.micro_batch_size, int) else share
    length = prompt_tokens + completion_tokens
    # A pass reads the prompt of a group once, but with unsloth's own loss.
    prompts = micro if model.engine == "unsloth" else math.ceil(micro / grpo.num_generations)
    tokens = micro * completion_tokens + prompts * prompt_tokens

    weights = shape.parameters * element
    if model.quantization == "nf4":
        weights = round(shape.linear_parameters * NF4_BYTES) + (shape.parameters - shape.linear_parameters) * element
    trained, trained_element = trained_parameters(shape, model), element
    if model.lora is not None:
        trained_element = 4
        weights += trained * trained_element
    # Adam keeps two numbers a weight; its 8-bit kin keep them in a byte each.
    optimiser = 2 * trained * (1 if "8bit" in grpo.optim else trained_element)

    block = shape.activation_elements() * element
    blocks = shape.layers * block
    if model.checkpoints_gradients(device_kind, shape.parameters):
        blocks = shape.layers * shape.hidden_size * element + block
    # The logits of the completion, their float32 copy and its gradient; of many only a chunk at a time is there, and for
    # each token the pull on its hidden state.
    counted = micro * completion_tokens * shape.vocabulary
    logits = counted * (element + 8)
    if model.engine != "unsloth" and counted > LEAST_LOGITS:
        chunk = CHUNK_LOGITS if device_kind == "cuda" else CHUNK_LOGITS_CPU
        logits = min(counted, chunk) * (element + 8) + micro * completion_tokens * shape.hidden_size * 2 * element
    return MemoryEstimate(
        weights=weights,
        gradients=trained * trained_element,
        optimiser=optimiser,
        activations=tokens * blocks + logits,
        kv_cache=share * length * shape.cache_bytes_per_token(element),
    )


def shape_from(config: dict[str, Any]) -> Shape | None:
    """The shape that a config.json tells; None for one that does not describe a plain decoder."""
    inner = config.get("text_config")
    if isinstance(inner, dict):
        config = {"tie_word_embeddings": config.get("tie_word_embeddings"), **inner}

    def read(*names: str) -> Any:
        return next((config[name] for name in names if config.get(name) is not None), None)

    family = str(config.get("model_type", ""))
    try:
        hidden, heads = (
            int(read("hidden_size", "n_embd", "d_model")),
            int(read("num_attention_heads", "n_head", "n_heads")),
        )
        inner_size = int(read("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size") or 4 * hidden)
        experts = int(read("num_experts", "num_local_experts", "n_routed_experts") or 1)
        layers = int(read("num_hidden_layers", "n_layer", "n_layers", "num_layers"))
        sparse = int(read("moe_intermediate_size") or inner_size) if experts > 1 else inner_size
        context = read("max_position_embeddings", "n_positions", "max_seq_len")
        tied = read("tie_word_embeddings")
        return Shape(
            layers=layers,
            hidden_size=hidden,
            intermediate_size=sparse,
            heads=heads,
            kv_heads=int(read("num_key_value_heads") or heads),
            head_dim=int(read("head_dim") or hidden // heads),
            vocabulary=int(read("vocab_size")),
            tied=family in _TIED_BY_DEFAULT if tied is None else bool(tied),
            head_norms=family.startswith(("qwen3", "gemma3")),
            context=int(context) if context else None,
            gated=not family.startswith(_UNGATED) or family.startswith(_GATED_AFTER_ALL),
            biased=_biases(family, config),
            experts=experts,
            active_experts=min(experts, int(read("num_experts_per_tok", "top_k_experts") or experts)),
            dense_layers=min(layers, int(read("first_k_dense_replace") or 0)) if experts > 1 else 0,
            dense_intermediate_size=inner_size if experts > 1 else 0,
            norms=4 if family.startswith(("gemma2", "gemma3", "glm4")) else 2,
            counted=None if family in BY_FORMULA else count_weights(config),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


# Families whose feed-forward part has no gate, and those that tie their embeddings where the file does not say.
_UNGATED = ("gpt", "opt", "phi", "bloom", "falcon", "mpt", "starcoder2", "stablelm_epoch", "nemotron")
_TIED_BY_DEFAULT = frozenset(
    {"gemma", "gemma2", "gemma3", "gemma3_text", "gpt2", "opt", "bloom", "falcon", "mpt", "cohere", "cohere2"}
)
_GATED_AFTER_ALL = ("phi3",)
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


def _biases(family: str, config: dict[str, Any]) -> tuple[str, ...]:
    """The linear layers that have a bias."""
    if family.startswith("qwen2"):
        return _ATTENTION[:3]
    found = _ATTENTION if config.get("attention_bias") else ()
    return (*found, "gate_proj", "up_proj", "down_proj") if config.get("mlp_bias") else found


def _is_target(name: str, targets: str | Sequence[str]) -> bool:
    """Whether PEFT would put an adapter on a layer whose path ends in this name."""
    if isinstance(targets, str):
        return bool(
            re.fullmatch(targets, f"model.layers.0.self_attn.{name}")
            or re.fullmatch(targets, f"model.layers.0.mlp.{name}")
        )
    return any(target == name or target.endswith(f".{name}") for target in targets)
