"""A module that is not what its family has is found: taken for a plain one, its part of the forward would be left out in silence."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from grpo.policy.plain_blocks import Unusual, check_modules, read_linear  # noqa: E402


class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(4, 3)
        self.b = torch.nn.Linear(3, 2, bias=False)


def adapt(names=("a",), module=None, **options):
    """A module with LoRA on some of its layers, whose factors are not zero."""
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(0)
    settings = {"r": 2, "lora_alpha": 6, "init_lora_weights": False, **options}
    return inject_adapter_in_model(LoraConfig(target_modules=list(names), **settings), module or Two())


def test_linear_when_it_is_plain_then_weight_and_bias_are_its_own():
    """With or without a bias; nothing is added to it."""
    module = Two()
    weight, bias, adapter = read_linear(module.a)
    assert weight is module.a.weight and bias is module.a.bias and adapter is None
    assert read_linear(module.b)[1] is None


def test_linear_when_it_has_an_adapter_then_what_is_read_adds_up_to_what_it_computes():
    """weight + scale * B @ A, at alpha / r = 3."""
    layer = adapt(("a", "b")).eval().a
    weight, bias, (first, second, scale) = read_linear(layer)
    assert scale == 3.0
    states = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(states @ (weight + scale * second @ first).T + bias, layer(states))


def test_linear_when_its_active_adapter_is_not_on_it_then_it_is_a_plain_one():
    """A second adapter is on another layer alone, and is the one that is active."""
    from peft import LoraConfig, inject_adapter_in_model

    module = adapt(("a",))
    inject_adapter_in_model(LoraConfig(target_modules=["b"]), module, adapter_name="other")
    module.a.set_adapter("other")
    assert read_linear(module.a)[2] is None and read_linear(module.a)[0] is module.a.base_layer.weight


class Doubled(torch.nn.Linear):
    def forward(self, states):
        return 2 * super().forward(states)


def make_doubled_base():
    module = Two()
    module.a = Doubled(4, 3)
    return adapt(module=module).a


def make_other_kind():
    from peft import IA3Config, inject_adapter_in_model

    return inject_adapter_in_model(IA3Config(target_modules=["a"], feedforward_modules=[]), Two()).a


def make_transposed():
    from transformers.pytorch_utils import Conv1D

    module = Two()
    module.a = Conv1D(3, 4)
    return adapt(module=module, fan_in_fan_out=True).a


def change(layer, call):
    call(layer)
    return layer


UNUSUAL = {
    "a class of its own": lambda: Doubled(4, 3),
    "no linear layer": lambda: torch.nn.Embedding(4, 3),
    "a base of its own class": make_doubled_base,
    "another kind of adapter": make_other_kind,
    "a transposed weight": make_transposed,
    "switched off": lambda: change(adapt().a, lambda layer: layer.enable_adapters(False)),
    "merged": lambda: change(adapt().a, lambda layer: layer.merge()),
    "two at once": lambda: change(adapt().a, lambda layer: setattr(layer, "_active_adapter", ["default", "other"])),
    "none at all": lambda: change(adapt().a, lambda layer: setattr(layer, "_active_adapter", [])),
    "DoRA": lambda: adapt(use_dora=True).a,
    "DoRA by its flag": lambda: change(adapt().a, lambda layer: layer.use_dora.update(default=True)),
    "a variant": lambda: change(adapt().a, lambda layer: layer.lora_variant.update(default=object())),
    "a bias of the adapter": lambda: adapt(lora_bias=True).a,
    "fan in, fan out": lambda: change(adapt().a, lambda layer: setattr(layer, "fan_in_fan_out", True)),
    "dropout in training": lambda: adapt(lora_dropout=0.5).train().a,
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_linear_when_it_computes_something_else_then_it_is_unusual(kind):
    """Each of these alone."""
    with pytest.raises(Unusual):
        read_linear(UNUSUAL[kind]())


def test_linear_when_its_dropout_does_nothing_then_it_is_read():
    """In evaluation, or with a probability of 0."""
    assert read_linear(adapt(lora_dropout=0.5).eval().a)[2] is not None
    assert read_linear(adapt(lora_dropout=0.0).train().a)[2] is not None


# -- whole models -----------------------------------------------------------------------------------------------------------


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for name in ("input_layernorm", "post_attention_layernorm", "self_attn", "mlp"):
            setattr(self, name, torch.nn.Identity())


class Model(torch.nn.Module):
    """The modules of a family, and nothing in them."""

    def __init__(self, **config):
        super().__init__()
        self.model = torch.nn.Module()
        self.model.layers = torch.nn.ModuleList([Layer(), Layer()])
        self.lm_head = torch.nn.Identity()
        self.config = SimpleNamespace(**{"model_type": "llama", **config})


def with_one(call, **config):
    model = Model(**config)
    call(model)
    return model


PLAIN = {
    "llama": lambda: Model(),
    "no window in any layer": lambda: Model(layer_types=["full_attention"] * 2, sliding_window=8),
    "no window": lambda: Model(sliding_window=None),
    "a forward of accelerate's": lambda: with_one(
        lambda model: model.__dict__.update(forward=print, _original_forward=print)
    ),
}
ODD = {
    "another family": lambda: Model(model_type="gemma2"),
    "no family": lambda: with_one(lambda model: delattr(model.config, "model_type")),
    "a window in one layer": lambda: Model(layer_types=["full_attention", "sliding_attention"], sliding_window=8),
    "a window": lambda: Model(sliding_window=8),
    "a hook": lambda: with_one(lambda model: model.model.layers[1].mlp.register_forward_hook(print)),
    "a hook before": lambda: with_one(lambda model: model.model.layers[1].mlp.register_forward_pre_hook(print)),
    "a forward of its own": lambda: with_one(lambda model: model.model.layers[1].mlp.__dict__.update(forward=print)),
    "a forward of its own in a part": lambda: with_one(
        lambda model: model.model.layers[1].mlp.__dict__.update(forward=print, _original_forward=print)
    ),
    "the whole model's own forward": lambda: with_one(lambda model: model.__dict__.update(forward=print)),
    "a part more in the last layer": lambda: with_one(
        lambda model: model.model.layers[1].add_module("more", torch.nn.Identity())
    ),
    "a part less in the first layer": lambda: with_one(lambda model: delattr(model.model.layers[0], "mlp")),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_model_when_its_modules_are_those_of_its_family_then_it_is_taken(kind):
    """What changes nothing in the blocks is allowed."""
    check_modules(PLAIN[kind]())


@pytest.mark.parametrize("kind", ODD)
def test_model_when_one_module_is_odd_then_it_is_unusual(kind):
    """Wherever it is; one that is looked at elsewhere is left out."""
    with pytest.raises(Unusual):
        check_modules(ODD[kind]())


def test_model_when_an_odd_module_is_looked_at_elsewhere_then_it_is_left_out():
    """The head, whose own rules come later."""
    model = Model()
    model.lm_head.register_forward_hook(print)
    with pytest.raises(Unusual):
        check_modules(model)
    check_modules(model, besides=[model.lm_head])
