"""What a config.json alone tells about sharing prompts, before any weights are loaded."""

from __future__ import annotations

import pytest

from grpo.policy.prefix_rules import foretell


@pytest.mark.parametrize(
    ("config", "shares", "why"),
    [
        ({"model_type": "qwen3", "rope_theta": 1e6}, True, "exact"),
        ({"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2.0}}, True, "exact"),
        ({"model_type": "llama", "rope_scaling": {"type": "dynamic", "factor": 2.0}}, False, "change with the length"),
        ({"model_type": "gemma2", "rope_parameters": {"rope_type": "default"}, "attn_logit_softcapping": 50.0}, False, "caps"),
        ({"model_type": "qwen2_moe", "sliding_window": 4096, "rope_parameters": {"rope_type": "default"}}, False, "a mask"),
        (
            {"model_type": "qwen2_moe", "sliding_window": 4096, "use_sliding_window": False,
             "rope_parameters": {"rope_type": "default"}},
            None, "asked when it is loaded",
        ),
        ({"model_type": "lfm2", "layer_types": ["conv", "full_attention"]}, False, "other than keys and values"),
        ({"model_type": "qwen3_vl", "text_config": {}}, False, "not a plain decoder"),
        ({"model_type": "never_heard_of"}, None, "asked when it is loaded"),
        ({}, None, "asked when it is loaded"),
    ],
)  # fmt: skip
def test_sharing_when_foretold_then_follows_from_the_file(config, shares, why):
    """True and False are sure, None waits for the model's own numbers."""
    found, reason = foretell(config)
    assert found is shares and why in reason
