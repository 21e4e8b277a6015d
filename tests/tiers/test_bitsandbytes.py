"""QLoRA and 8-bit optimisers as bitsandbytes computes them; the processor runs both, and a CUDA device where there is one."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
bnb = pytest.importorskip("bitsandbytes")

from grpo.config.sections import EmbeddedSection, GrpoSection, LoraSection, ModelSection  # noqa: E402
from grpo.data.rows import read_rows  # noqa: E402
from grpo.data.section import ShopSection  # noqa: E402
from grpo.data.shop import build_shop  # noqa: E402
from grpo.engines.transformers import TransformersEngine  # noqa: E402
from rewards.config import RewardsSection, build_host  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPE = EmbeddedSection(layers=1, hidden_size=128, intermediate_size=128, heads=2, kv_heads=1, vocabulary=400)
SECTION = GrpoSection(
    max_steps=2, learning_rate=1e-2, prompts_per_step=2, num_generations=4, max_completion_length=12, warmup_steps=0
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A few rows of the shop."""
    section = ShopSection(train_rows=40, held_out_rows=8, warmup_rows=0, instructions="short")
    return read_rows(build_shop(tmp_path_factory.mktemp("shop") / "files", section).train)


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    """A small pretrained model on disk, as a hub model would be."""
    from grpo.policy.loading import load_policy
    from grpo.policy.tokenizer import training_texts

    section = ModelSection(embedded=SHAPE, lora=None, max_sequence_length=512)
    directory = tmp_path_factory.mktemp("model")
    load_policy(section, texts=training_texts(rows), seed=1, device="cpu").save(directory)
    return directory


def load(folder, rank: int = 32):
    from grpo.policy.loading import load_policy

    section = ModelSection(
        name=str(folder), quantization="nf4", lora=LoraSection(r=rank, alpha=2 * rank), max_sequence_length=512
    )
    return load_policy(section, texts=(), seed=1, device=DEVICE)


def train(policy, rows, directory, **settings):
    from grpo.training.trainer import SharedPrefixTrainer
    from grpo.training.trl_arguments import trl_arguments

    section = SECTION.model_copy(update=settings)
    arguments = trl_arguments(
        section, directory=directory, seed=3, device=DEVICE, bf16=False, gradient_checkpointing=False
    )
    host = build_host(RewardsSection(functions=[{"name": "text_overlap"}]))
    # Rewards of an untrained policy are all 0: tell the completions of a group apart by their length instead.
    host.score = _by_length(host)
    trainer = SharedPrefixTrainer(policy, rows, host, arguments, record=lambda *_: None)
    TransformersEngine(ModelSection(name="any", quantization="nf4")).attach(trainer)
    trainer.train()
    return trainer


def _by_length(host):
    from dataclasses import replace

    original = host.score

    def score(pairs):
        return [replace(each, reward=len(each.completion.text) % 7 / 7) for each in original(pairs)]

    return score


def test_nf4_when_loaded_then_linear_layers_are_four_bit_with_double_quantisation(folder):
    """Frozen weights are NF4, their scales quantised once more; embeddings and adapters are not."""
    policy = load(folder)
    layers = [module for module in policy.model.modules() if isinstance(module, bnb.nn.Linear4bit)]
    assert len(layers) == 7
    for layer in layers:
        assert layer.weight.quant_state.quant_type == "nf4"
        assert layer.weight.quant_state.nested
        assert layer.weight.element_size() == 1
    trained = {name for name, weight in policy.model.named_parameters() if weight.requires_grad}
    assert trained and all("lora_" in name for name in trained)


def test_grpo_when_policy_is_nf4_then_adapters_learn_and_frozen_weights_stay(folder, rows, tmp_path):
    """A QLoRA step shares its prompts like any other, and moves the adapters only."""
    policy = load(folder)
    before = {name: weight.detach().clone() for name, weight in policy.model.named_parameters()}
    trainer = train(policy, rows, tmp_path)
    assert trainer.fallback is None
    assert trainer.state.global_step == SECTION.max_steps
    moved = {name for name, weight in policy.model.named_parameters() if not weight.equal(before[name])}
    assert moved and all("lora_" in name for name in moved)


@pytest.mark.parametrize("optimiser", ["adamw_8bit", "paged_adamw_8bit"])
def test_grpo_when_optimiser_is_8_bit_then_its_state_is_bytes_and_weights_move(folder, rows, tmp_path, optimiser):
    """The moments of large tensors are kept in one byte each."""
    import torch

    policy = load(folder)
    trainer = train(policy, rows, tmp_path, optim=optimiser)
    optimiser_state = trainer.optimizer.state
    sizes = {
        state["state1"].dtype
        for weight, state in optimiser_state.items()
        if weight.numel() >= 4096 and "state1" in state
    }
    assert sizes == {torch.uint8}
    assert any(
        weight.abs().sum() > 0 for name, weight in policy.model.named_parameters() if "lora_B" in name
    )  # B starts at zero


def test_grpo_when_the_learning_rate_is_small_then_no_update_of_the_adapters_is_lost(folder, rows, tmp_path):
    """TRL keeps adapters over 4-bit weights in bfloat16, in which a step of 5e-6 leaves a weight of 0.05 where it is."""
    import torch

    policy = load(folder)
    with torch.no_grad():
        for name, weight in policy.model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.05)  # zero, as it starts, would leave A without a gradient
            if weight.requires_grad:
                weight.copy_(weight.bfloat16())  # so that a mere rounding is not taken for an update
    before = {name: weight.detach().clone() for name, weight in policy.model.named_parameters() if weight.requires_grad}
    train(policy, rows, tmp_path, learning_rate=5e-6)
    moved = stays = 0
    for name, weight in policy.model.named_parameters():
        if weight.requires_grad:
            moved += int((weight.float() != before[name].float()).sum())
            stays += int((weight.float() == before[name].float()).sum())
    assert moved > 0.95 * (moved + stays)


def test_run_when_the_policy_is_qlora_then_it_trains_from_start_to_report(start, folder, read_rows):
    """NF4 with double quantisation and a paged 8-bit optimiser, through the command that a user gives."""
    from safetensors import safe_open

    directory, _ = start(
        "qlora", "model.embedded=null", f"model.name={folder}", "model.quantization=nf4", "model.lora={r: 32, alpha: 64}",
        "sft_warmup.max_steps=60", "grpo.optim=paged_adamw_8bit", "model.max_sequence_length=512",
    )  # fmt: skip
    rows = read_rows(directory, "grad_norm")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert any(row["grad_norm"] > 0 for row in rows)
    # TRL's trainers make adapters over 4-bit weights bfloat16; these learnt and were saved in float32, the warm-up's too.
    for part in ("sft", "best"):
        with safe_open(directory / part / "adapter_model.safetensors", "pt") as adapter:
            assert {adapter.get_slice(name).get_dtype() for name in adapter.keys()} == {"F32"}  # noqa: SIM118
    recorded = json.loads((directory / "environment.json").read_text())
    assert recorded["packages"]["bitsandbytes"]
    assert recorded["settings"]["grpo"]["optim"] == "paged_adamw_8bit"
    assert not recorded["settings"]["changed_by_libraries"]
    assert (directory / "report.html").is_file()


def test_gradients_when_compared_with_the_same_weights_unpacked_then_they_agree(folder):
    """What bitsandbytes sends back through its 4-bit kernels is what plain layers with those weights send back.

    Also after a forward in evaluation mode, at which it packs weights for inference on some processors.
    """
    import torch

    from grpo.policy.shared_prefix import grouped_logps

    results = []
    for unpacked in (False, True):
        model = load(folder).model
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.copy_(torch.randn(weight.shape, generator=generator) * 0.05)
        if unpacked:
            _unpack(model)
        ids = torch.randint(5, 300, (4, 20), generator=torch.Generator().manual_seed(1))
        ids[:, :12] = ids[0, :12]
        mask = torch.ones_like(ids)
        with torch.no_grad():
            model.eval()(ids)
        model.train()
        logps, _ = grouped_logps(model, ids[:, :12], mask[:, :12], ids[:, 12:], mask[:, 12:])
        logps.square().mean().backward()
        gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        results.append((logps.detach(), gradients))
    (logps, gradients), (their_logps, their_gradients) = results
    assert torch.allclose(logps, their_logps, atol=1e-4)
    assert gradients.keys() == their_gradients.keys() and len(gradients) == 14
    for name, gradient in gradients.items():
        assert (gradient - their_gradients[name]).norm() <= 1e-3 * their_gradients[name].norm(), name


def _unpack(model) -> None:
    """Exchange every 4-bit layer inside the adapters for a plain one with the weights it stands for."""
    import torch

    for module in model.modules():
        layer = getattr(module, "base_layer", None)
        if isinstance(layer, bnb.nn.Linear4bit):
            weight = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
            plain = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            plain.weight = torch.nn.Parameter(weight.float(), requires_grad=False)
            module.base_layer = plain
