"""Every causal type of transformers, tiny and random: its shared numbers are exact, or it says why it cannot share.

Exact are the log-probabilities of the loss, what generation writes, and the gradients of adapters, also where the loss
takes its forward from generation.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from transformers import CONFIG_MAPPING, AutoModelForCausalLM  # noqa: E402
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # noqa: E402

from grpo.generation.batch import has_window  # noqa: E402
from grpo.generation.generate import generate  # noqa: E402
from grpo.policy import head_logprobs, lean_activations  # noqa: E402
from grpo.policy.plain_blocks import FAMILIES  # noqa: E402
from grpo.policy.prefix_rules import EXACT_TYPES  # noqa: E402
from grpo.policy.prefix_support import supports  # noqa: E402
from grpo.policy.recording import begin_recording  # noqa: E402
from grpo.policy.shared_prefix import grouped_logps  # noqa: E402

VOCABULARY, WINDOW = 64, 5
# What is made small wherever a config has it. Later sizes are tried where earlier ones do not fit each other.
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "moe_intermediate_size": 16, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
    "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 6, "v_head_dim": 10,
    "shared_expert_intermediate_size": 16, "decoder_sparse_step": 1, "ffn_dim": 48, "d_model": 32, "n_embd": 32, "n_layer": 2,
    "n_head": 4, "n_positions": 256, "sliding_window": WINDOW, "use_sliding_window": True, "max_window_layers": 1,
    "original_max_position_embeddings": 256, "intermediate_size_mlp": 48, "num_layers": 2, "num_heads": 4, "rotary_dim": 8,
    "word_embed_proj_dim": 32, "ffn_hidden_size": 48, "num_shared_experts": 1, "num_dense_layers": 1, "state_size": 4,
    "floor_scale": 8, "vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 0,
    "attention_dropout": 0.0, "residual_dropout": 0.0,  # seed_oss has some, as its own numbers in training have
}  # fmt: skip
VARIANTS: tuple[dict[str, object], ...] = (
    {},
    {"head_dim": None},
    {"num_key_value_heads": 4},
    {"num_key_value_heads": 4, "head_dim": None},
    {"head_dim": 4, "num_key_value_heads": 4},
    {"sliding_window": None, "head_dim": None},
)


# What a model of the four families may be built with, besides: each runs merged and recorded, or by its modules.
SETTINGS: dict[str, dict[str, object]] = {
    "biases": {"attention_bias": True, "mlp_bias": True},
    "a head size of its own": {"head_dim": 16},
    "a key head for each head": {"num_key_value_heads": 4},
    "one key head": {"num_key_value_heads": 1},
    "a tied head": {"tie_word_embeddings": True},
    "llama 3's rotary positions": {
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        }
    },
    "yarn": {
        "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16,
        }
    },
    "stretched positions": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    "half of a head turned": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    },
    "another activation": {"hidden_act": "gelu_pytorch_tanh"},
    "a large epsilon": {"rms_norm_eps": 0.5},
    "a window": {"sliding_window": WINDOW, "use_sliding_window": True, "max_window_layers": 1},
}  # fmt: skip


def build(model_type: str, **settings: object):
    """The first of the variants that can be made and read a text; None where none can."""
    try:
        known = CONFIG_MAPPING[model_type]().to_dict()
    except Exception:  # it is made of other configs
        return None
    for variant in VARIANTS:
        sizes = {name: value for name, value in SIZES.items() if name in known}
        for name, value in variant.items():
            if value is None:
                sizes.pop(name, None)
            elif name in known:
                sizes[name] = value
        try:
            config = CONFIG_MAPPING[model_type](**sizes | settings)
            with torch.device("meta"):
                shape = AutoModelForCausalLM.from_config(config)
            if sum(weight.numel() for weight in shape.parameters()) > 20_000_000:
                continue
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(config).float().eval()
            with torch.no_grad():
                for weight in model.parameters():
                    if weight.dim() > 1:
                        weight.mul_(4.0)  # small random weights would let a wrong mask pass
                logits = model(input_ids=torch.arange(3, 40)[None], use_cache=False).logits
            if logits.shape[-1] and torch.isfinite(logits).all():
                return model
        except Exception:
            continue
    return None


def make_texts():
    """Prompts of 30 and 2 tokens with completions of 1 to 25: longer than any window, a row of 150 tokens."""
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(3, VOCABULARY, (length,), generator=generator) for length in (30, 2)]
    lengths = {0: (25, 1, 20), 1: (24, 12)}
    return [
        (prompts[group], torch.randint(3, VOCABULARY, (length,), generator=generator))
        for group, each in lengths.items()
        for length in each
    ]


def read_alone(model, texts):
    """The log-probabilities of each completion's tokens, read by the model with its prompt alone."""
    found = []
    for prompt, completion in texts:
        logits = model(input_ids=torch.cat((prompt, completion))[None], use_cache=False).logits[0]
        scores = logits[len(prompt) - 1 : -1].float().log_softmax(-1)
        found.append(scores.gather(1, completion[:, None])[:, 0])
    return found


def read_shared(model, texts, **options):
    """The same by `grouped_logps`, from a batch padded as TRL pads it."""
    width, longest = max(len(p) for p, _ in texts), max(len(c) for _, c in texts)
    ids, mask = (torch.zeros(len(texts), width + longest, dtype=torch.long) for _ in range(2))
    for row, (prompt, completion) in enumerate(texts):
        ids[row, width - len(prompt) : width + len(completion)] = torch.cat((prompt, completion))
        mask[row, width - len(prompt) : width + len(completion)] = 1
    scores, _ = grouped_logps(model, ids[:, :width], mask[:, :width], ids[:, width:], mask[:, width:], **options)
    return [row[: len(completion)] for row, (_, completion) in zip(scores, texts, strict=True)]


def differ(found, wanted) -> float:
    """The largest difference of a log-probability."""
    return max((one - other).abs().max().item() for one, other in zip(found, wanted, strict=True))


def adapt(model):
    """The model with random adapters on all linear layers, or as it is, all weights trained, where it has none."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    try:
        return get_peft_model(model, LoraConfig(r=3, init_lora_weights=False, target_modules="all-linear"))
    except ValueError:
        return model


def pull(model, scores):
    """The gradients of a weighted sum of log-probabilities."""
    model.zero_grad()
    sum((row * torch.linspace(-1, 1, len(row))).sum() for row in scores).backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def check_step(model) -> bool:
    """Write two groups, read them for the loss, and hold both against each text alone; whether generation was recorded."""
    model = adapt(model).train()
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    prompts = [prompt.tolist() for prompt in {len(prompt): prompt for prompt, _ in make_texts()}.values()]
    recording = begin_recording(inner, prompts, 3, 20, 1.0, True, None)
    written = generate(
        model, prompts, samples=3, max_new_tokens=20, eos_ids=[3, 4], pad_id=0, entropies=True, recording=recording,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    texts = [
        (torch.tensor(prompts[number // 3]), torch.tensor(completion))
        for number, completion in enumerate(written.completion_ids)
    ]
    options = {"recording": recording, "numbers": range(len(texts))} if recording is not None else {}
    alone = read_alone(model, texts)
    wanted = pull(model, alone)
    assert differ([torch.tensor(row) for row in written.logprobs], alone) < 1e-4
    shared = read_shared(model, texts, **options)
    assert differ(shared, alone) < 1e-4
    found = pull(model, shared)
    assert found.keys() == wanted.keys()
    whole = torch.stack([gradient.norm() for gradient in wanted.values()]).norm()
    for name, gradient in wanted.items():
        assert (found[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-5 * whole, name
    return recording is not None


@pytest.fixture
def large(monkeypatch):
    """Passes and vocabularies of any size are large ones, so that what is done for large ones is."""
    monkeypatch.setattr(lean_activations, "LEAST_BYTES", 0)
    monkeypatch.setattr(head_logprobs, "LEAST_LOGITS", 0)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
def test_type_when_tiny_and_random_then_is_exact_or_refused(model_type, large):
    """None is silently wrong; types that cannot be made this small are skipped, by name."""
    model = build(model_type)
    if model is None:
        pytest.skip(f"{model_type}: not made by these sizes")
    with torch.no_grad():
        reason = supports(model)
        assert (reason is None) == (model_type in EXACT_TYPES)
        if reason is not None:
            assert "\n" not in reason
            return
        texts = make_texts()
        assert differ(read_shared(model, texts), read_alone(model, texts)) < 1e-4
    merged = model_type in FAMILIES and not has_window(model.config)
    assert check_step(model) == merged


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_family_when_built_with_other_settings_then_what_is_recorded_is_exact(model_type, setting, large):
    """The four families whose blocks run merged, however a checkpoint may have set them up."""
    model = build(model_type, **({"sliding_window": None} if model_type == "mistral" else {}) | SETTINGS[setting])
    assert model is not None
    with torch.no_grad():
        if supports(model) is not None:
            return
    check_step(model)
