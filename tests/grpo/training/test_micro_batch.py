"""`micro_batch_size: auto` is a number that fits, found without reading any memory, the same every time."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from grpo.config.sections import GrpoSection, ModelSection  # noqa: E402
from grpo.machine.device import Device  # noqa: E402
from grpo.plan.memory_estimate import Shape, estimate_memory  # noqa: E402
from grpo.plan.micro_batch import choose_size, find_budget, plan_micro_batch  # noqa: E402
from grpo.training.micro_batch import count_saved_bytes, measure_activations, measure_micro_batch  # noqa: E402


@pytest.mark.parametrize(("budget", "size"), [(None, 32), (10_000, 32), (3_000, 16), (1_500, 8), (350, 1), (10, 1)])
def test_size_when_chosen_then_is_the_largest_cut_that_fits(budget, size):
    """100 bytes a completion, 300 a group of 16: whole groups first, then parts of one."""
    assert choose_size(32, 16, lambda count: -(-count // 16) * 300 + count * 100, budget) == size


def test_budget_when_found_then_weights_are_left_out_on_a_device_of_their_own():
    """A processor's memory serves others too."""
    assert find_budget(Device("cuda", "x", 1000, 1), 300) == 550
    assert find_budget(Device("cpu", "x", 1200, 1), 300) == 100
    assert find_budget(Device("mps", "x", None, 1), 300) is None


def test_plan_when_auto_then_its_estimate_fits_the_budget():
    """The next larger cut would not."""
    shape = Shape(30, 576, 1536, 9, 3, 64, 49152, head_norms=False)
    model, device = ModelSection(dtype="float32"), Device("cpu", "x", 24 * 2**30, 1)
    grpo = GrpoSection(prompts_per_step=2, num_generations=16, max_completion_length=100, micro_batch_size="auto")
    chosen = plan_micro_batch(grpo, model, shape, device, prompt_tokens=300)
    assert isinstance(chosen.micro_batch_size, int) and chosen.micro_batch_size < 32

    def activations(size):
        section = grpo.with_micro_batch(size)
        return estimate_memory(
            shape, model, section, device_kind="cpu", prompt_tokens=300, completion_tokens=100
        ).activations

    assert activations(chosen.micro_batch_size) <= 2 * 2**30 < activations(2 * chosen.micro_batch_size)
    assert plan_micro_batch(grpo.with_micro_batch(4), model, shape, device, 300).micro_batch_size == 4


def test_activations_when_measured_then_tell_those_of_a_larger_group(policy):
    """Two small passes foretell what a pass over eight completions keeps, the same every time."""
    prompt, each = measure_activations(policy.model, 40, 12)
    assert (prompt, each) == measure_activations(policy.model, 40, 12)
    assert prompt + 8 * each == pytest.approx(count_saved_bytes(policy.model, 40, 12, 8), rel=0.1)
    assert not any(weight.grad is not None for weight in policy.model.parameters())


def test_micro_batch_when_measured_then_shrinks_with_the_memory(policy):
    """The whole step on a large machine, less on a small one."""
    grpo = GrpoSection(prompts_per_step=2, num_generations=4, max_completion_length=12, micro_batch_size="auto")
    sizes = [
        measure_micro_batch(grpo, policy.model, 40, Device("cpu", "x", memory, 1), 1).micro_batch_size
        for memory in (2**34, 2**23, 2**10)
    ]
    assert sizes[0] == 8 and sizes == sorted(sizes, reverse=True) and sizes[-1] == 1
