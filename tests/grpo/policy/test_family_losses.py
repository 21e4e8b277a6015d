"""The gradients of each family's loss beside those of plain transformers, recorded while completions are written or read again."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from grpo.config.sections import ModelSection  # noqa: E402
from grpo.generation.generate import generate  # noqa: E402
from grpo.policy import head_logprobs, lean_activations, packed_products  # noqa: E402
from grpo.policy.loading import _attach_lora  # noqa: E402
from grpo.policy.prefix_support import supports  # noqa: E402
from grpo.policy.recording import begin_recording  # noqa: E402
from grpo.policy.shared_prefix import grouped_logps, unwrap  # noqa: E402
from rewards.errors import UserError  # noqa: E402

spec = importlib.util.spec_from_file_location("loss_families", Path(__file__).with_name("families.py"))
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

# Of the shapes of the matrix those whose blocks are written out; all others read their completions again.
RECORDED = {"llama", "mistral", "qwen2", "qwen3"}
FAST = ("llama3", "gemma")
PROMPTS, SAMPLES, MOST = [[5, 6, 7, 8, 9, 10], [5, 6, 7, 11]], 3, 7


def make_model(kind, shape, adapted):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(kind, **{**families.COMMON, **shape}, vocab_size=90, pad_token_id=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        if adapted:
            model = _attach_lora(model, ModelSection(name="tiny", lora={"r": 3, "alpha": 6, "dropout": 0.0}), 3)
            for key, weight in model.named_parameters():
                if "lora_B" in key:
                    torch.nn.init.normal_(weight, std=0.1)
    return model.train()


def pull(model, logps):
    model.zero_grad()
    (logps * torch.linspace(-1, 1, len(logps))).sum().backward()
    return {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


def read_plainly(model, completions):
    """The log-probabilities of all tokens, a row at a time, by the model's own forward."""
    found = []
    for number, row in enumerate(completions):
        prompt = PROMPTS[number // SAMPLES]
        logits = model(torch.tensor([prompt + row]), use_cache=False).logits[0, len(prompt) - 1 : -1].float()
        found.append(torch.log_softmax(logits, -1).gather(1, torch.tensor(row)[:, None])[:, 0])
    return torch.cat(found)


def check(name, adapted, monkeypatch):
    kind, shape = families.SHAPES[name]
    model = make_model(kind, shape, adapted)
    if obstacle := supports(unwrap(model)):
        pytest.skip(f"no shared pass, TRL's own is used: {obstacle}")
    for module, constant in (
        (lean_activations, "LEAST_BYTES"),
        (head_logprobs, "LEAST_LOGITS"),
        (packed_products, "LEAST_WEIGHTS"),
    ):
        monkeypatch.setattr(module, constant, 0)
    recording = begin_recording(unwrap(model), PROMPTS, SAMPLES, MOST, 1.0, True, None)
    completions = generate(
        model, PROMPTS, samples=SAMPLES, max_new_tokens=MOST, temperature=1.0, eos_ids=[2, 3, 4], pad_id=0,
        generator=torch.Generator().manual_seed(0), entropies=True, recording=recording,
    ).completion_ids  # fmt: skip
    assert (recording is not None) is (kind in RECORDED)
    width, longest = max(map(len, PROMPTS)), max(map(len, completions))
    rows = [PROMPTS[number // SAMPLES] for number in range(len(completions))]
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in completions])
    batch = (
        torch.tensor([[0] * (width - len(row)) + row for row in rows]),
        torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows]),
        torch.tensor([row + [0] * (longest - len(row)) for row in completions]),
        mask,
    )
    recorded = {"recording": recording, "numbers": list(range(len(rows)))} if recording is not None else {}
    logps, _ = grouped_logps(model, *batch, temperature=1.0, compute_entropy=False, **recorded)
    own = logps[mask.bool()]
    gradients = pull(model, own)
    plain = read_plainly(model, completions)
    torch.testing.assert_close(own, plain, atol=2e-5, rtol=0)
    wanted = pull(model, plain)
    whole = sum(each.norm() ** 2 for each in wanted.values()).sqrt()
    assert wanted.keys() == gradients.keys()
    for key, gradient in wanted.items():
        assert (gradients[key] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-5 * whole, key


@pytest.mark.parametrize("adapted", [True, False], ids=["adapters", "all weights"])
@pytest.mark.parametrize("name", FAST)
def test_gradients_of_a_family_when_recorded_or_not_then_are_plain_transformers(name, adapted, monkeypatch):
    """One whose blocks are written out, one that reads again."""
    check(name, adapted, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("adapted", [True, False], ids=["adapters", "all weights"])
@pytest.mark.parametrize("name", sorted(families.SHAPES))
def test_gradients_of_any_family_when_recorded_or_not_then_are_plain_transformers(name, adapted, monkeypatch):
    """Every shape of the matrix, adapted and whole."""
    check(name, adapted, monkeypatch)


def test_adapters_when_a_layer_is_not_in_the_model_then_one_line_says_so():
    """Never PEFT's traceback after the weights were loaded."""
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **families.COMMON, vocab_size=90))
    section = ModelSection(name="tiny", lora={"r": 3, "alpha": 6, "target_modules": ["c_attn"]})
    with pytest.raises(UserError, match=r"model.lora.target_modules: .*c_attn.*name other layers"):
        _attach_lora(model, section, 3)
