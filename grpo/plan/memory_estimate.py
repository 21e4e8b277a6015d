"""The shape of a policy, and what its weights, optimiser, activations and key-value cache take; estimates, no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from grpo.config.sections import EmbeddedSection, GrpoSection, ModelSection
from grpo.policy.local_files import read_model_json

BYTES = {"float32": 4, "bfloat16": 2}

# NF4: half a byte a weight, and with double quantisation 0.127 bits a weight for its scales (QLoRA, section 3).
NF4_BYTES = 0.5 + 0.127 / 8


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder-only transformer with gated feed-forward layers, as Qwen3 and Llama have them."""

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

    @property
    def linear_shapes(self) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of the seven linear layers of one block."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        h, i = self.hidden_size, self.intermediate_size
        return ((h, queries), (h, keys), (h, keys), (queries, h), (h, i), (h, i), (i, h))

    @property
    def linear_parameters(self) -> int:
        """Weights of the blocks' linear layers: what NF4 quantises."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear_shapes)

    @property
    def parameters(self) -> int:
        """All weights, tied embeddings counted once."""
        norms = self.layers * (2 * self.hidden_size + (2 * self.head_dim if self.head_norms else 0)) + self.hidden_size
        return self.linear_parameters + norms + self.vocabulary * self.hidden_size * (1 if self.tied else 2)

    def lora_parameters(self, rank: int) -> int:
        """Weights of adapters of that rank on every linear layer of the blocks."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.linear_shapes)

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
    """The policy's shape and where it was found; None where this machine cannot tell without a download."""
    if section.embedded is not None:
        return embedded_shape(section.embedded, section.max_sequence_length), "the config"
    found = read_model_json(section.name, section.revision, "config.json")
    if found is not None:
        shape = _shape_from(found)
        if shape is not None:
            return shape, "its config.json"
    if section.name in KNOWN_SHAPES:
        return KNOWN_SHAPES[section.name], "the table of shipped models"
    return None, "unknown until the model is downloaded"


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


def guess_parameters(name: str) -> int | None:
    """The number a model's name gives, as `7B` or `360M`, or None."""
    match = re.search(r"(?<![\w.])(\d+(?:[.,]\d+)?)([BM])(?![a-z])", name.rpartition("/")[2].replace("-", " "))
    if match is None:
        return None
    return round(float(match[1].replace(",", ".")) * (1e9 if match[2] == "B" else 1e6))


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one device. Generation and the backward pass take turns, so the peak has the larger of the two."""

    weights: int
    gradients: int
    optimiser: int
    activations: int
    kv_cache: int

    @property
    def peak(self) -> int:
        return self.weights + self.gradients + self.optimiser + max(self.activations, self.kv_cache)


def estimate_memory(
    shape: Shape,
    model: ModelSection,
    grpo: GrpoSection,
    *,
    device_kind: Literal["cuda", "cpu"],
    prompt_tokens: int,
    completion_tokens: int,
    world_size: int = 1,
) -> Memory:
    """Memory of training with prompts and completions of at most so many tokens, the allocator's waste left out."""
    element = BYTES[model.effective_dtype(device_kind)]
    share = max(1, grpo.completions_per_step // world_size)
    micro = min(grpo.micro_batch_size or share, share)
    length = prompt_tokens + completion_tokens

    weights = shape.parameters * element
    if model.quantization == "nf4":
        weights = round(shape.linear_parameters * NF4_BYTES) + (shape.parameters - shape.linear_parameters) * element
    trained, trained_element = shape.parameters, element
    if model.lora is not None:
        trained, trained_element = shape.lora_parameters(model.lora.r), 4
        weights += trained * trained_element
    # Adam keeps two numbers a weight; its 8-bit kin keep them in a byte each.
    optimiser = 2 * trained * (1 if "8bit" in grpo.optim else trained_element)

    block = shape.activation_elements() * element
    blocks = shape.layers * block
    if model.checkpoints_gradients(device_kind, shape.parameters):
        blocks = shape.layers * shape.hidden_size * element + block
    # The logits of the completion, their float32 copy and its gradient.
    logits = micro * completion_tokens * shape.vocabulary * (element + 8)
    return Memory(
        weights=weights,
        gradients=trained * trained_element,
        optimiser=optimiser,
        activations=micro * length * blocks + logits,
        kv_cache=share * length * shape.cache_bytes_per_token(element),
    )


def _shape_from(config: dict[str, Any]) -> Shape | None:
    try:
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        return Shape(
            layers=int(config["num_hidden_layers"]),
            hidden_size=hidden,
            intermediate_size=int(config["intermediate_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or hidden // heads),
            vocabulary=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
            head_norms=str(config.get("model_type", "")).startswith("qwen3"),
            context=int(config["max_position_embeddings"]) if config.get("max_position_embeddings") else None,
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
