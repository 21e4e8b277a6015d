"""Gradients of indexed weights are the same bytes every time, and torch's settings are as they were afterwards."""

import pytest

torch = pytest.importorskip("torch")

from grpo.machine.repeatable import repeatable  # noqa: E402


def test_repeatable_when_several_threads_add_to_one_bias_then_the_sums_are_equal_every_time():
    """An expert's bias, as gpt-oss indexes it: outside of the block every second sum differs in its last bit."""
    threads = torch.get_num_threads()
    chosen = (torch.arange(4000) % 7 > 2).long()
    weights = torch.randn(4000, 64, generator=torch.Generator().manual_seed(1))

    def gradient():
        bias = torch.zeros(2, 64, requires_grad=True)
        (bias[chosen] * weights).sum().backward()
        return bias.grad

    torch.set_num_threads(2)
    try:
        with repeatable("cpu"):
            first = gradient()
            assert all(torch.equal(first, gradient()) for _ in range(30))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_repeatable_when_left_then_torch_is_as_it_was(device):
    """Also after a fault, and an accelerator is never touched."""
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    with pytest.raises(ZeroDivisionError), repeatable(device):
        assert torch.are_deterministic_algorithms_enabled() == (device == "cpu")
        raise ZeroDivisionError
    assert before == (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )
