"""Shapes and memory: parameter counts against published ones, and the terms of the estimate by hand."""

import json
from dataclasses import replace

import pytest

from grpo.config.sections import EmbeddedSection, GrpoSection, ModelSection
from grpo.plan.memory_estimate import KNOWN_SHAPES, Shape, embedded_shape, estimate_memory, find_shape, shape_from

TINY = Shape(layers=2, hidden_size=8, intermediate_size=16, heads=2, kv_heads=1, head_dim=4, vocabulary=32)


def test_parameters_when_counted_then_are_the_published_ones():
    """Qwen3-0.6B, 4B and 8B by their configs, Tucano2 0.5B by its card."""
    assert Shape(28, 1024, 3072, 16, 8, 128, 151_936).parameters == 596_049_920
    assert Shape(36, 2560, 9728, 32, 8, 128, 151_936).parameters == 4_022_468_096
    assert KNOWN_SHAPES["Qwen/Qwen3-8B"].parameters == 8_190_735_360
    assert KNOWN_SHAPES["Polygl0t/Tucano2-qwen-0.5B-Instruct"].parameters == 490_799_104


def test_parameters_when_counted_by_hand_then_agree():
    """A model small enough to count: attention 8x8 + 2 of 8x4 + 8x8, feed-forward 3 of 8x16, norms, embeddings."""
    block = 64 + 32 + 32 + 64 + 3 * 128
    assert TINY.linear_parameters == 2 * block
    assert TINY.parameters == 2 * (block + 2 * 8 + 2 * 4) + 8 + 32 * 8
    assert TINY.lora_parameters(2) == 2 * 2 * (16 + 12 + 12 + 16 + 24 + 24 + 24)


def test_parameters_of_experts_when_counted_by_hand_then_agree():
    """Three layers, one of them dense: attention 192 each; two times four experts of 384 and a router of 32; 3 of 8x24.

    A token passes two of four experts. Adapters see no experts: 16 + 12 + 12 + 16 in each layer.
    """
    shape = replace(TINY, layers=3, experts=4, active_experts=2, dense_layers=1, dense_intermediate_size=24)
    assert shape.linear_parameters == 3 * 192 + 2 * (4 * 384 + 32) + 576
    assert shape.parameters == 4288 + 3 * 24 + 8 + 256
    assert shape.active_parameters == shape.parameters - 2 * 2 * 384
    assert shape.lora_parameters(2) == 3 * 2 * 56


def test_parameters_when_a_family_has_other_parts_then_they_count_by_hand():
    """Two matrices without a gate, biases, four norms, a head of its own."""
    assert replace(TINY, gated=False).linear_parameters == 2 * (192 + 2 * 128)
    assert replace(TINY, biased=("q_proj", "up_proj")).parameters - TINY.parameters == 2 * (8 + 16)
    assert replace(TINY, norms=4).parameters - TINY.parameters == 2 * 2 * 8
    assert replace(TINY, tied=False).parameters - TINY.parameters == 256
    assert replace(TINY, head_norms=False).parameters - TINY.parameters == -2 * 2 * 4
    assert replace(TINY, counted=77).parameters == 77


def test_adapters_when_layers_are_named_then_by_their_last_name_or_a_pattern():
    """q_proj has 8 + 8 ends, up_proj 8 + 16; a name inside another is not it."""
    assert TINY.lora_parameters(2, ["q_proj", "mlp.up_proj", "roj"]) == 2 * 2 * (16 + 24)
    assert TINY.lora_parameters(2, r".*\.(q|k)_proj") == 2 * 2 * (16 + 12)


def test_what_a_token_costs_when_counted_by_hand_then_agrees():
    """6 x 8 of norms, 3 x 8 of queries, 4 x 4 of keys and values, 4 x 16 of the feed-forward; keys and values of 2 layers."""
    assert TINY.activation_elements() == 48 + 24 + 16 + 64
    assert TINY.cache_bytes_per_token(2) == 2 * 2 * 4 * 2
    assert replace(TINY, kv_heads=2).cache_bytes_per_token(2) == 2 * TINY.cache_bytes_per_token(2)


def test_shape_when_a_config_leaves_things_out_then_the_familys_habits_hold():
    """Four times the width, as many key heads as heads, embeddings tied where the family ties them."""
    bare = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 32}
    gemma, llama = (shape_from({"model_type": family, **bare}) for family in ("gemma", "llama"))
    assert (llama.intermediate_size, llama.kv_heads, llama.head_dim, llama.tied) == (32, 2, 4, False)
    assert gemma.tied and (llama.experts, llama.dense_layers, llama.context) == (1, 0, None)


def test_memory_when_all_weights_are_trained_then_adam_keeps_two_copies():
    """float32: 4 bytes a weight, 4 a gradient, 8 for Adam; the cache holds keys and values of every layer."""
    model = ModelSection(lora=None, dtype="float32", gradient_checkpointing=False)
    grpo = GrpoSection(prompts_per_step=1, num_generations=4)
    memory = estimate_memory(TINY, model, grpo, device_kind="cpu", prompt_tokens=10, completion_tokens=6)
    weights = TINY.parameters * 4
    assert (memory.weights, memory.gradients, memory.optimiser) == (weights, weights, 2 * weights)
    assert memory.kv_cache == 4 * 16 * (2 * 2 * 1 * 4) * 4
    assert memory.peak == 4 * weights + max(memory.activations, memory.kv_cache)


def test_memory_when_quantised_then_only_the_blocks_shrink():
    """NF4 stores the blocks' weights in 0.516 bytes; the embeddings stay in bfloat16."""
    shape = KNOWN_SHAPES["Qwen/Qwen3-8B"]
    model = ModelSection(quantization="nf4", lora={"r": 64, "alpha": 128}, dtype="bfloat16")
    memory = estimate_memory(shape, model, GrpoSection(), device_kind="cuda", prompt_tokens=1, completion_tokens=1)
    embeddings = shape.parameters - shape.linear_parameters
    adapters = shape.lora_parameters(64)
    assert memory.weights == pytest.approx(shape.linear_parameters * 0.515875 + embeddings * 2 + adapters * 4, rel=1e-4)
    assert memory.optimiser == adapters * 8


def test_activations_when_passes_are_smaller_then_shrink_by_hand_computed_tokens():
    """32 completions of 7 tokens are two groups of 16 with prompts of 9; 8 of them are half of one group."""
    model = ModelSection(gradient_checkpointing=False)
    whole, quarter = (
        estimate_memory(
            TINY, model, GrpoSection(micro_batch_size=size), device_kind="cuda", prompt_tokens=9, completion_tokens=7
        )
        for size in (32, 8)
    )
    blocks = TINY.layers * TINY.activation_elements() * 2
    assert whole.activations == (32 * 7 + 2 * 9) * blocks + 32 * 7 * 32 * (2 + 8)
    assert quarter.activations == (8 * 7 + 9) * blocks + 8 * 7 * 32 * (2 + 8)
    assert whole.kv_cache == quarter.kv_cache


def test_activations_when_the_vocabulary_is_large_then_logits_are_bounded():
    """A pass keeps a chunk of logits and, for each token, what pulls on its hidden state."""
    shape = replace(TINY, vocabulary=1 << 20)
    model = ModelSection(dtype="float32", gradient_checkpointing=False)
    memory = estimate_memory(shape, model, GrpoSection(), device_kind="cpu", prompt_tokens=9, completion_tokens=100)
    blocks = (32 * 100 + 2 * 9) * TINY.layers * TINY.activation_elements() * 4
    assert memory.activations == blocks + (1 << 23) * 12 + 32 * 100 * 8 * 8


def test_checkpointing_when_auto_then_is_for_large_models_on_cuda_only():
    """It only costs where memory is not a worry."""
    auto = ModelSection()
    assert auto.checkpoints_gradients("cuda", 3_700_000_000)
    assert not auto.checkpoints_gradients("cuda", 490_799_104)
    assert not auto.checkpoints_gradients("cpu", 3_700_000_000)
    assert ModelSection(gradient_checkpointing=True).checkpoints_gradients("cpu", 1)


def test_dtype_when_auto_then_is_bfloat16_on_cuda_only():
    """A processor computes in float32, as the embedded policy does anywhere."""
    assert ModelSection().effective_dtype("cuda") == "bfloat16"
    assert ModelSection().effective_dtype("cpu") == "float32"
    assert ModelSection(embedded={}).effective_dtype("cuda") == "float32"
    assert ModelSection(dtype="float32").effective_dtype("cuda") == "float32"


def test_shape_when_the_model_is_local_then_comes_from_its_config(tmp_path):
    """A local folder's config.json is read."""
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 100,
        "tie_word_embeddings": False,
        "max_position_embeddings": 512,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shape, source = find_shape(ModelSection(name=str(tmp_path)))
    assert shape == Shape(3, 64, 128, 4, 2, 16, 100, tied=False, head_norms=False, context=512)
    assert source == "its config.json"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"hidden_size": "wide"}'])
def test_shape_when_the_config_is_broken_then_is_unknown(tmp_path, text):
    """A broken config.json is not a crash of the plan."""
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    assert find_shape(ModelSection(name=str(tmp_path)))[0] is None


def test_embedded_shape_when_default_then_stays_below_five_million():
    """The policy made on the spot is small."""
    assert embedded_shape(EmbeddedSection(), 512).parameters < 5_000_000
