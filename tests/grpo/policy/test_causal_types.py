"""Every causal type of transformers, tiny and random: its shared numbers are exact, or it says why it cannot share."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from transformers import CONFIG_MAPPING, AutoModelForCausalLM  # noqa: E402
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # noqa: E402

from grpo.policy.prefix_rules import EXACT_TYPES  # noqa: E402
from grpo.policy.prefix_support import supports  # noqa: E402
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
}  # fmt: skip
VARIANTS: tuple[dict[str, object], ...] = (
    {},
    {"head_dim": None},
    {"num_key_value_heads": 4},
    {"num_key_value_heads": 4, "head_dim": None},
    {"head_dim": 4, "num_key_value_heads": 4},
    {"sliding_window": None, "head_dim": None},
)


def build(model_type: str):
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
            config = CONFIG_MAPPING[model_type](**sizes)
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


def compare(model) -> float:
    """The largest difference of a log-probability, shared beside each text alone."""
    texts = make_texts()
    width, longest = max(len(p) for p, _ in texts), max(len(c) for _, c in texts)
    ids, mask = (torch.zeros(len(texts), width + longest, dtype=torch.long) for _ in range(2))
    wanted = torch.zeros(len(texts), longest)
    for row, (prompt, completion) in enumerate(texts):
        ids[row, width - len(prompt) : width + len(completion)] = torch.cat((prompt, completion))
        mask[row, width - len(prompt) : width + len(completion)] = 1
        logits = model(input_ids=torch.cat((prompt, completion))[None], use_cache=False).logits[0]
        scores = logits[len(prompt) - 1 : -1].float().log_softmax(-1)
        wanted[row, : len(completion)] = scores.gather(1, completion[:, None])[:, 0]
    found, _ = grouped_logps(model, ids[:, :width], mask[:, :width], ids[:, width:], mask[:, width:])
    return (found - wanted).abs().max().item()


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
def test_type_when_tiny_and_random_then_is_exact_or_refused(model_type):
    """None is silently wrong; types that cannot be made this small are skipped, by name."""
    model = build(model_type)
    if model is None:
        pytest.skip(f"{model_type}: not made by these sizes")
    with torch.no_grad():
        reason = supports(model)
        assert (reason is None) == (model_type in EXACT_TYPES)
        if reason is None:
            assert compare(model) < 1e-4
        else:
            assert "\n" not in reason
