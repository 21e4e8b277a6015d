"""Time and memory estimates against numbers computed by hand: every factor of the formulas stands for itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grpo.config.sections import GrpoSection, ModelSection
from grpo.machine.device import Device
from grpo.plan.memory_estimate import Shape, estimate_memory
from grpo.plan.time_estimate import Speed, Work, estimate_duration, find_speed

# One forward pass takes 2 * 500 / 1e6 = 0.001 s a token; a decoding step at least 2 layers * 0.01 s.
SPEED = Speed(operations=1e6, bandwidth=1e5, layer_seconds=0.01)
WORK = Work(
    parameters=500,
    layers=2,
    weight_bytes=1000,
    frozen=False,
    recomputes=False,
    steps=4,
    passes_per_step=5,
    generations=3,
    prompts_per_step=2,
    num_generations=8,
    prompt_tokens=10,
    completion_tokens=6,
    decoding_steps=7,
    evaluations=2,
    held_out=25,
    evaluation_batch=10,
    sft_steps=9,
    sft_batch=2,
)
TINY = Shape(layers=2, hidden_size=8, intermediate_size=16, heads=2, kv_heads=1, head_dim=4, vocabulary=32)


def test_generation_when_launches_are_the_slowest_then_takes_them_and_the_prompts():
    """Three times 2 prompts of 10 tokens at 1 ms, and 7 decoding steps of 20 ms (16 rows would compute for 16 ms)."""
    assert estimate_duration(WORK, SPEED).generation == pytest.approx(3 * (2 * 10 * 0.001 + 7 * 0.020))


def test_generation_when_weights_are_read_slowly_or_rows_are_many_then_takes_that():
    """3,000 bytes at 1e5 a second are 30 ms a step; 2 * 40 rows of 1 ms are 80 ms."""
    slow = estimate_duration(replace(WORK, weight_bytes=3000), SPEED).generation
    many = estimate_duration(replace(WORK, num_generations=40), SPEED).generation
    assert slow == pytest.approx(3 * (0.020 + 7 * 0.030))
    assert many == pytest.approx(3 * (0.020 + 7 * 0.080))


@pytest.mark.parametrize(
    ("frozen", "recomputes", "passes"), [(False, False, 3), (True, False, 2), (False, True, 4), (True, True, 3)]
)
def test_training_when_weights_are_frozen_or_recomputed_then_takes_so_many_forward_passes(frozen, recomputes, passes):
    """2 prompts of 10 tokens once and 16 completions of 6 are 116 tokens; 5 passes a step launch 2 layers each."""
    work = replace(WORK, frozen=frozen, recomputes=recomputes)
    assert estimate_duration(work, SPEED).training == pytest.approx(4 * (passes * 0.001 * 116 + 5 * passes * 0.020))


def test_evaluation_when_the_last_batch_is_short_then_counts_as_a_batch():
    """Twice 25 prompts of 10 tokens, and 3 batches of 7 steps of 20 ms."""
    assert estimate_duration(WORK, SPEED).evaluation == pytest.approx(2 * (25 * 10 * 0.001 + 3 * 7 * 0.020))


def test_warmup_when_estimated_then_takes_its_tokens_and_launches():
    """Nine steps of three passes over 2 * 16 tokens, and the launches of one; the total is the sum of the parts."""
    duration = estimate_duration(WORK, SPEED)
    assert duration.sft_warmup == pytest.approx(9 * (3 * 0.001 * 32 + 3 * 0.020))
    assert duration.total == pytest.approx(0.48 + 4 * 0.648 + 1.34 + 9 * 0.156)


@pytest.mark.parametrize(
    ("name", "operations", "bandwidth"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12, 3.35e12),
        ("NVIDIA L40S", 362e12, 0.86e12),
        ("NVIDIA A100-SXM4", 312e12, 1.55e12),
        ("a card nobody knows", 121e12, 0.30e12),
    ],
)
def test_speed_when_the_card_is_named_then_is_35_percent_of_its_peak(name, operations, bandwidth):
    """The peaks are the data sheets'; an unknown card counts as an L4."""
    speed = find_speed(Device("cuda", name, None, 1))
    assert (speed.operations, speed.bandwidth) == (pytest.approx(operations * 0.35), bandwidth)
    assert speed.layer_seconds == pytest.approx(0.0009)


def test_speed_when_it_is_a_processor_then_is_that_of_two_cores():
    """40 billion operations and 10 billion bytes a second, half a millisecond a layer."""
    assert find_speed(Device("cpu", "", None, 2)) == Speed(40e9, 10e9, 0.0005)


@pytest.mark.parametrize(("checkpointing", "blocks"), [(False, 2 * 608), (True, 2 * 8 * 4 + 608)])
def test_activations_when_counted_by_hand_then_agree(checkpointing, blocks):
    """A token keeps 6*8 + 3*8 + 4*4 + 4*16 = 152 numbers of 4 bytes a block; a logit takes 12 bytes, a prompt counts once."""
    model = ModelSection(lora=None, dtype="float32", gradient_checkpointing=checkpointing)
    grpo = GrpoSection(prompts_per_step=2, num_generations=4, micro_batch_size=2)
    memory = estimate_memory(TINY, model, grpo, device_kind="cpu", prompt_tokens=10, completion_tokens=6)
    assert memory.activations == (10 + 2 * 6) * blocks + 2 * 6 * 32 * 12


def test_logits_when_in_bfloat16_then_take_two_bytes_and_eight_for_float32():
    """One completion of one token without a prompt: the blocks' numbers and 32 words of 10 bytes."""
    model = ModelSection(lora=None, dtype="bfloat16", gradient_checkpointing=False)
    grpo = GrpoSection(prompts_per_step=1, num_generations=4, micro_batch_size=1)
    memory = estimate_memory(TINY, model, grpo, device_kind="cuda", prompt_tokens=0, completion_tokens=1)
    assert memory.activations == 2 * 152 * 2 + 32 * 10


def test_memory_when_processes_share_the_step_then_each_holds_its_part():
    """Eight completions on two processes: four of 16 tokens in the cache of each, 2 * 2 * 4 numbers of 4 bytes a token."""
    model = ModelSection(lora=None, dtype="float32", gradient_checkpointing=False)
    grpo = GrpoSection(prompts_per_step=2, num_generations=4)
    memory = estimate_memory(TINY, model, grpo, device_kind="cpu", prompt_tokens=10, completion_tokens=6, world_size=2)
    assert memory.kv_cache == 4 * 16 * (2 * 2 * 4) * 4
    assert memory.activations == (10 + 4 * 6) * 2 * 608 + 4 * 6 * 32 * 12
