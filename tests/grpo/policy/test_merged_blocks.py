"""Blocks whose adapters are merged for a pass have the numbers of the modules they stand for, forward and backward."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from grpo.policy import lean_activations, merged_blocks, packed_products, shared_prefix  # noqa: E402
from grpo.policy.shared_prefix import grouped_logps  # noqa: E402
from grpo.training.micro_batch import count_saved_bytes  # noqa: E402
from tests.grpo.generation.test_decoder import FAMILIES, adapt, build, spread_norms  # noqa: E402
from tests.grpo.policy.test_head_logprobs import make_group  # noqa: E402
from tests.grpo.policy.test_lean_activations import pull  # noqa: E402


def is_merged(model) -> bool:
    with merged_blocks.merged_blocks(model, 1000) as found:
        return found


def hold_against(model, wanted, wanted_gradients):
    """Log-probabilities and gradients of the model beside those of its modules in float64."""
    found, gradients = pull(model)
    torch.testing.assert_close(found, wanted.float(), atol=1e-5, rtol=0)
    assert gradients.keys() == wanted_gradients.keys()
    for name, gradient in gradients.items():
        theirs = wanted_gradients[name].float()
        torch.testing.assert_close(gradient, theirs, atol=1e-5 * theirs.abs().max().item(), rtol=1e-4, msg=name)


@pytest.mark.parametrize("modules", ["all-linear", ["q_proj", "up_proj"]])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_when_adapters_are_merged_for_a_pass_then_they_are_those_of_the_modules(family, modules, monkeypatch):
    """Every family, adapters everywhere or on some; biases and norms of heads too; the modules are as they were after it."""
    from peft import LoraConfig, get_peft_model

    from grpo.policy.shared_prefix import unwrap

    model = build(family, **FAMILIES[family])
    spread_norms(model)
    for layer in model.model.layers:
        layer.self_attn.scaling *= 0.75  # some families have one of their own
    model = get_peft_model(model, LoraConfig(r=3, lora_alpha=7, target_modules=modules, task_type="CAUSAL_LM"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    model = model.double().train()
    assert not is_merged(unwrap(model))  # no float32
    wanted, wanted_gradients = pull(model)
    model.float()
    monkeypatch.setattr(lean_activations, "LEAST_BYTES", 0)
    assert is_merged(unwrap(model))
    hold_against(model, wanted, wanted_gradients)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("frozen", [(), ("input_layernorm", "v_proj", "down_proj", "embed")], ids=["all", "most"])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_when_weights_are_trained_themselves_then_they_are_those_of_the_modules(family, frozen, monkeypatch):
    """All of them, or all but some: weights, biases, norms."""
    model = build(family, **FAMILIES[family])
    spread_norms(model)
    for name, weight in model.named_parameters():
        weight.requires_grad_(not any(part in name for part in frozen))
    wanted, wanted_gradients = pull(model.double().train())
    monkeypatch.setattr(packed_products, "LEAST_WEIGHTS", 0)
    assert is_merged(model.float())
    hold_against(model, wanted, wanted_gradients)


def test_gradients_when_completions_of_like_length_attend_together_then_they_are_those_of_a_group(monkeypatch):
    """Rows of eleven lengths in any order, one of a single token, under a model that is held to be no small one."""
    model = build("llama", **FAMILIES["llama"]).train()
    lengths = torch.tensor([3, 20, 1, 9, 18, 5, 2, 13, 20, 7, 4])[:, None]
    prompt_ids = torch.arange(5, 17).expand(len(lengths), -1)
    ids = torch.randint(5, 60, (len(lengths), 20), generator=torch.Generator().manual_seed(0))
    batch = prompt_ids, torch.ones_like(prompt_ids), ids, (torch.arange(20) < lengths).long()
    counts = []
    found = []
    cut = shared_prefix.cut_by_length
    monkeypatch.setattr(shared_prefix, "cut_by_length", lambda rows: [counts.append(len(rows)), cut(rows)][1])
    for least in (1 << 21, 0):
        monkeypatch.setattr(packed_products, "LEAST_WEIGHTS", least)
        model.zero_grad()
        logps, _ = grouped_logps(model, *batch)
        (logps * torch.linspace(-1, 1, logps.numel()).view(logps.shape)).sum().backward()
        found.append([logps.detach(), *(each.grad.clone() for each in model.parameters())])
    assert counts == [10]
    assert cut([20, 20, 18, 13, 9, 7, 5, 4, 3, 1]) == [[20, 20, 18, 13], [9, 7, 5, 4], [3, 1]]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5 * max(1.0, one.abs().max().item()), rtol=1e-4)


def test_bytes_when_adapters_are_merged_then_no_more_is_kept_than_by_the_lean_modules(monkeypatch):
    """Counted as autograd keeps them."""
    model = adapt(build("llama", hidden_size=64, intermediate_size=192, head_dim=16))
    monkeypatch.setattr(lean_activations, "LEAST_BYTES", 0)
    merged = count_saved_bytes(model, 40, 20, 4)
    monkeypatch.setattr(merged_blocks, "find_blocks", lambda *_: [])
    assert merged <= count_saved_bytes(model, 40, 20, 4)


@pytest.mark.parametrize(
    "reason",
    [
        "a small model", "dropout", "a hook", "two adapters", "switched off", "a saved norm", "dropout of attention",
        "a trained weight more", "half precision",
    ],
)  # fmt: skip
def test_blocks_when_a_model_is_built_otherwise_then_its_modules_run(reason, monkeypatch):
    """What a merged block would leave out is left to the modules."""
    from grpo.policy.shared_prefix import unwrap

    monkeypatch.setattr(lean_activations, "LEAST_BYTES", 0)
    model = build("llama", **FAMILIES["llama"])
    model = (model if reason == "a small model" else adapt(model)).train()
    inner = unwrap(model)
    assert is_merged(inner) == (reason != "a small model")
    first = inner.model.layers[0]
    if reason == "dropout":
        first.mlp.up_proj.lora_dropout["default"] = torch.nn.Dropout(0.1)
    if reason == "a hook":
        first.self_attn.register_forward_hook(lambda *_: None)
    if reason == "two adapters":
        from peft import LoraConfig

        model.add_adapter("second", LoraConfig(r=2, target_modules="all-linear"))
        model.base_model.set_adapter(["default", "second"])
    if reason == "switched off":
        model.base_model.disable_adapter_layers()
    if reason == "a saved norm":
        from peft.utils.other import ModulesToSaveWrapper

        first.input_layernorm = ModulesToSaveWrapper(first.input_layernorm, "default")
    if reason == "dropout of attention":
        first.self_attn.attention_dropout = 0.1
    if reason == "a trained weight more":  # whose gradient nobody here would make
        first.register_parameter("gate", torch.nn.Parameter(torch.ones(1)))
    if reason == "half precision":
        model.bfloat16()
    assert not is_merged(inner)
    grouped_logps(model, *make_group())  # and runs


def test_blocks_when_what_is_odd_changes_nothing_then_they_run_merged(monkeypatch):
    """Dropout of attention while nobody trains, a frozen weight more, a head that another function stands in for."""
    from grpo.policy.head_logprobs import without_head
    from grpo.policy.shared_prefix import unwrap

    monkeypatch.setattr(lean_activations, "LEAST_BYTES", 0)
    model = adapt(build("llama", **FAMILIES["llama"])).eval()
    first = unwrap(model).model.layers[0]
    first.self_attn.attention_dropout = 0.1
    first.register_parameter("gate", torch.nn.Parameter(torch.ones(1), requires_grad=False))
    with without_head(unwrap(model)):
        assert is_merged(unwrap(model))
