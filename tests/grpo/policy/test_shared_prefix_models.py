"""Every family of models either writes and scores exactly what it does alone, or says in one line why it cannot share."""

from types import SimpleNamespace

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from grpo.generation.generate import generate
from grpo.policy.prefix_support import supports
from grpo.policy.shared_prefix import band_mask, grouped_logps
from tests.grpo import random_models

VOCABULARY, EOS, OTHER_EOS, PAD = 61, 2, 3, 0
SIZES = random_models.SIZES | {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
    "bos_token_id": 1,
    "eos_token_id": EOS,
}
BOTH = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 5}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
LATENT = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 6, "v_head_dim": 10}


def turned(kind, **options):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, "factor": 4.0, **options}}


# Name: model type, options of its configuration (None takes one of SIZES out).
EXACT = {
    "afmoe": ("afmoe", {**BOTH, **EXPERTS, "num_experts": 4, "num_dense_layers": 1}),
    "apertus": ("apertus", {}),
    "cohere": ("cohere", {"logit_scale": 0.3, "head_dim": None}),
    "cohere2": ("cohere2", BOTH),
    "deepseek_v3": ("deepseek_v3", {**EXPERTS, **LATENT, "head_dim": 4, "num_key_value_heads": 4, "n_routed_experts": 4,
                                    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}),
    "gemma2": ("gemma2", {"attn_logit_softcapping": None, "sliding_window": 5, "query_pre_attn_scalar": 9}),
    "gemma3": ("gemma3_text", {**BOTH, "final_logit_softcapping": 5.0}),
    "gemma4": ("gemma4_text", {**BOTH, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0,
                               "global_head_dim": 12}),
    "glm4": ("glm4", {}),
    "granite": ("granite", {"logits_scaling": 3.0, "attention_multiplier": 0.3, "head_dim": None}),
    "jetmoe": ("jetmoe", {"kv_channels": 6, "num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": None,
                          "num_key_value_heads": 2, "num_attention_heads": None}),
    "llama, llama3": ("llama", turned("llama3", low_freq_factor=1.0, high_freq_factor=4.0,
                                      original_max_position_embeddings=16)),
    "llama, linear": ("llama", turned("linear")),
    "mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5}),
    "olmo2": ("olmo2", {"head_dim": None}),
    "olmo3": ("olmo3", {**BOTH, "head_dim": None}),
    "phi": ("phi", {"hidden_size": 32, "head_dim": None, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                                          "partial_rotary_factor": 0.5}}),
    "phi3": ("phi3", {"sliding_window": 5, "head_dim": None}),
    "qwen2": ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1, "head_dim": None}),
    "qwen3, yarn": ("qwen3", turned("yarn", original_max_position_embeddings=16)),
    "qwen3_moe": ("qwen3_moe", {**EXPERTS, "num_experts": 4}),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 0], "head_dim": None}),
    "starcoder2": ("starcoder2", {"sliding_window": 5, "head_dim": None}),
}  # fmt: skip
# Name: model type, options, part of the reason.
REFUSED = {
    "gemma2": ("gemma2", {"sliding_window": 5}, "caps its attention scores"),
    "gemma3 as an encoder": ("gemma3_text", {"use_bidirectional_attention": True}, "sees what comes later"),
    "dynamic": ("llama", turned("dynamic"), "change with the length"),
    "longrope": (
        "phi3",
        {**turned("longrope", short_factor=[1.0] * 3, long_factor=[2.0] * 3, original_max_position_embeddings=16),
         "original_max_position_embeddings": 16, "head_dim": None},
        "change with the length",
    ),
    "diffllama": ("diffllama", {"head_dim": None}, "more than once a layer"),
    "doge": ("doge", {"head_dim": None}, "a mask of its own"),
    "hybrid": ("lfm2", {"layer_types": ["conv", "full_attention"], "head_dim": None}, "other than keys and values"),
    "recurrent_gemma": (
        "recurrent_gemma", {"lru_width": 24, "attention_window_size": 5, "num_hidden_layers": 3}, "1 of 3 attention",
    ),
    "nemotron": ("nemotron", {}, "0 of 2 attention layers"),
    "qwen3_5": (
        "qwen3_5_text",
        {"layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2, "linear_num_value_heads": 2,
         "linear_key_head_dim": 6, "linear_value_head_dim": 6},
        "exchanged",
    ),
    "mamba": ("mamba", {"state_size": 4}, "exchanged"),
    "falcon": ("falcon", {"alibi": True, "head_dim": None}, "exchanged"),
    "gpt2": ("gpt2", {"head_dim": None}, "not rotary"),
    "phimoe": (
        "phimoe", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 32, "head_dim": None},
        "other log-probabilities",
    ),
    "qwen2_moe": (
        "qwen2_moe",
        {**EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 16, "use_sliding_window": True,
         "sliding_window": 32, "max_window_layers": 1, "head_dim": None},
        "other log-probabilities",
    ),
    "llama4": (
        "llama4_text",
        {"layer_types": ["full_attention"] * 2, "no_rope_layers": [1, 0], "attn_temperature_tuning": True,
         "num_local_experts": 2, "num_experts_per_tok": 1, "intermediate_size_mlp": 40},
        "their place in the row",
    ),
}  # fmt: skip


def build(model_type, options):
    sizes = {n: value for n, value in {**SIZES, **options}.items() if value is not None or n not in SIZES}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[model_type](**sizes)).float().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(4.0)  # small random weights would let a wrong mask pass
    return model


def make_texts():
    """Prompts of 1 to 11 tokens, two of which hold ends of texts, and completions of 0 to 9 tokens for them."""
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(4, VOCABULARY, (length,), generator=generator) for length in (9, 1, 11)]
    prompts[0][4], prompts[2][0] = EOS, OTHER_EOS
    lengths = {0: (6, 2, 9), 1: (1, 3), 2: (0, 7)}
    return [
        (prompts[group], torch.randint(1, VOCABULARY, (length,), generator=generator))
        for group, each in lengths.items()
        for length in each
    ]


def pad(rows, side):
    """Padded ids and their mask."""
    width = max(map(len, rows))
    ids, mask = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(2))
    for row, tokens in enumerate(rows):
        place = slice(width - len(tokens), width) if side == "left" else slice(len(tokens))
        ids[row, place], mask[row, place] = tokens, 1
    return ids, mask


def logps_alone(model, texts):
    """Each text in a row of its own: no padding, no neighbour."""
    found = torch.zeros(len(texts), max(len(completion) for _, completion in texts))
    for row, (prompt, completion) in enumerate(texts):
        if len(completion):
            logits = model(input_ids=torch.cat((prompt, completion))[None], use_cache=False).logits
            scores = logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            found[row, : len(completion)] = scores.gather(1, completion[:, None])[:, 0]
    return found


def gradients(model, logps):
    model.zero_grad()
    (logps * torch.randn(logps.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def assert_as_alone(model):
    texts = make_texts()
    wanted = logps_alone(model, texts)
    wanted_gradients = gradients(model, wanted)
    prompts, completions = (list(each) for each in zip(*texts, strict=True))
    found, _ = grouped_logps(model, *pad(prompts, "left"), *pad(completions, "right"))
    torch.testing.assert_close(found, wanted.detach(), atol=1e-5, rtol=0)
    found_gradients = gradients(model, found)
    for name, gradient in wanted_gradients.items():
        assert (found_gradients[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-5, name


@pytest.mark.parametrize("name", EXACT)
def test_models_when_supported_then_log_probs_gradients_and_greedy_tokens_are_exact(name):
    """Windows, latent keys, experts, layers without positions, scaled and capped heads: as each text alone."""
    model = build(*EXACT[name])
    assert supports(model) is None
    assert_as_alone(model)
    prompts = [prompt.tolist() for prompt, _ in make_texts()[::2]]
    ends = [EOS, OTHER_EOS]
    found = generate(model, prompts, samples=2, max_new_tokens=16, temperature=0, eos_ids=ends, pad_id=PAD)
    for number, prompt in enumerate(prompts):
        ids = torch.tensor([prompt])
        with torch.no_grad():
            for _ in range(16):
                ids = torch.cat((ids, model(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)), 1)
                if ids[0, -1] in ends:
                    break
        assert found.completion_ids[2 * number : 2 * number + 2] == [ids[0, len(prompt) :].tolist()] * 2


@pytest.mark.parametrize("name", REFUSED)
def test_models_when_they_cannot_share_then_one_line_says_why(name):
    """A wrong number is worse than a slow one, and an error in the middle of a run hardly better."""
    model_type, options, reason = REFUSED[name]
    found = supports(build(model_type, options))
    assert reason in found
    assert "\n" not in found


def test_supports_when_tokens_mix_outside_attention_then_the_numbers_tell():
    """No flag of a model says that a layer looks at its neighbours; the mode of the model is given back."""
    model = build("llama", {}).train()
    mlp = model.model.layers[0].mlp
    inner = mlp.forward
    mlp.forward = lambda states: inner(states + states.roll(1, 1))
    assert "other log-probabilities" in supports(model)
    assert model.training and mlp.training


def test_supports_when_asked_again_then_the_model_is_not_run_again():
    """Evaluation asks for every batch."""
    model = build("llama", {})
    seen = []
    model.model.embed_tokens.register_forward_hook(lambda *_: seen.append(1))
    supports(model)
    first = len(seen)
    assert first and supports(model) is None
    assert len(seen) == first


def test_supports_when_weights_are_elsewhere_then_the_model_is_not_run():
    """With sharded weights one process alone cannot run the model."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(CONFIG_MAPPING["llama"](**SIZES))
    assert supports(model) is None


def test_supports_when_the_model_names_an_attention_that_is_not_there_then_sdpa_serves():
    """The shared pass needs no flash attention, whatever a config asks for; a compiled model is refused."""
    model = build("llama", {})
    model.config._attn_implementation = "flash_attention_2"
    assert supports(model) is None
    assert model.config._attn_implementation == "flash_attention_2"
    assert "compiled" in supports(SimpleNamespace(_orig_mod=model))


def test_supports_when_an_adapter_acts_from_some_token_on_then_it_is_refused():
    """aLoRA looks for its tokens once a row, and a packed row holds many texts."""
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", alora_invocation_tokens=[5, 6])
    assert "aLoRA" in supports(get_peft_model(build("llama", {}), adapter))


@pytest.mark.parametrize("name", ["dora", "saved modules"])
def test_grouped_logps_when_an_adapter_is_unusual_then_texts_alone_give_the_same(name):
    """DoRA's weights have a norm of their own, and a saved module is trained whole."""
    from peft import LoraConfig, get_peft_model

    options = {"use_dora": True} if name == "dora" else {"modules_to_save": ["lm_head"]}
    adapter = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, **options)
    model = get_peft_model(build("llama", {}), adapter).eval()
    assert supports(model) is None
    assert_as_alone(model)


@pytest.mark.parametrize("name", ["mixtral", "gemma3"])
def test_grouped_logps_when_a_window_goes_in_blocks_then_they_meet(name, monkeypatch):
    """No mask has the length of a prompt twice."""
    monkeypatch.setattr("grpo.policy.shared_prefix.BAND_QUERIES", 2)
    assert_as_alone(build(*EXACT[name]))


def test_grouped_logps_when_there_are_many_layers_then_they_share_their_masks(monkeypatch):
    """A mask made in each layer would be kept in each layer until the backward."""
    made = []
    monkeypatch.setattr(
        "grpo.policy.shared_prefix.band_mask", lambda *args, **kw: made.append(1) or band_mask(*args, **kw)
    )
    prompts, completions = torch.ones(6, 7, dtype=torch.long), torch.ones(6, 5, dtype=torch.long)
    prompts[3:] = 2
    counts = []
    for layers in (1, 4):
        model = build("llama", {"num_hidden_layers": layers})
        made.clear()
        grouped_logps(model, prompts, torch.ones_like(prompts), completions, torch.ones_like(completions))
        counts.append(len(made))
    assert counts == [2, 2]  # one for each group


@pytest.mark.parametrize(("queries", "keys", "window"), [(1, 1, None), (3, 8, None), (5, 9, 3), (17, 33, 16)])
def test_band_mask_when_made_then_each_query_sees_its_window_and_rows_are_aligned(queries, keys, window):
    """The last query sees the last key; CUDA's kernels want rows that begin at multiples of 8 numbers."""
    mask = band_mask(queries, keys, window, torch.zeros(1, dtype=torch.bfloat16), repeats=2)
    seen = [[0 <= keys - queries + q - k < (window or keys) for k in range(keys)] for q in range(queries)]
    assert (mask == 0).tolist() == seen * 2
    assert (mask == -torch.inf).tolist() == [[not each for each in row] for row in seen * 2]
    assert mask.dtype == torch.bfloat16 and mask.stride(0) % 8 == 0 and mask.stride(1) == 1
