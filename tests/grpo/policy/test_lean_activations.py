"""A pass that keeps less for its backward has the very same numbers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from grpo.policy import lean_activations, merged_blocks  # noqa: E402
from grpo.policy.shared_prefix import grouped_logps  # noqa: E402
from grpo.training.micro_batch import count_saved_bytes  # noqa: E402
from tests.grpo.generation.test_decoder import FAMILIES, adapt, build  # noqa: E402
from tests.grpo.policy.test_head_logprobs import make_group  # noqa: E402


@pytest.fixture
def modules_only(monkeypatch):
    """No block's adapters are merged: every module runs."""
    monkeypatch.setattr(merged_blocks, "find_blocks", lambda *_: [])


def pull(model):
    """Log-probabilities and all gradients."""
    model.zero_grad()
    logps, _ = grouped_logps(model, *make_group())
    (logps * torch.linspace(-1, 1, 48).view(6, 8)).sum().backward()
    return logps.detach(), {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_when_activations_are_made_again_then_every_bit_is_the_same(
    family, adapter, monkeypatch, modules_only
):
    """All weights or adapters alone; the modules are as they were afterwards."""
    model = build(family, **FAMILIES[family]).train()
    model = adapt(model) if adapter else model
    wanted, wanted_gradients = pull(model)
    monkeypatch.setattr(lean_activations, "LEAST_BYTES", 0)
    found, gradients = pull(model)
    assert torch.equal(found, wanted)
    assert gradients.keys() == wanted_gradients.keys()
    for name, gradient in gradients.items():
        assert torch.equal(gradient, wanted_gradients[name]), name
    assert not any("forward" in vars(module) for module in model.modules())


def test_bytes_when_activations_are_made_again_then_a_third_is_saved(monkeypatch, modules_only):
    """Counted as autograd keeps them, with adapters on every layer."""
    model = adapt(build("llama", hidden_size=64, intermediate_size=192, head_dim=16))
    whole = count_saved_bytes(model, 40, 20, 4)
    monkeypatch.setattr(lean_activations, "LEAST_BYTES", 0)
    assert count_saved_bytes(model, 40, 20, 4) < 0.72 * whole


@pytest.mark.parametrize("reason", ["few tokens", "family", "checkpointing", "a forward of its own"])
def test_activations_when_a_model_is_built_otherwise_then_are_kept(reason, monkeypatch):
    """What costs a product, or is not known, is left alone."""
    model = build("gemma" if reason == "family" else "llama", **({"head_dim": 8} if reason == "family" else {}))
    monkeypatch.setattr(lean_activations, "LEAST_BYTES", 0 if reason != "few tokens" else 1 << 26)
    if reason == "checkpointing":
        model.gradient_checkpointing_enable()
    if reason == "a forward of its own":
        model.model.layers[1].mlp.forward = lambda states: states
    assert not lean_activations.is_worth_it(model, 1000)
