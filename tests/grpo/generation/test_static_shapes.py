"""Decoding with static shapes, as CUDA graphs need it, writes what decoding with growing ones writes."""

from __future__ import annotations

import warnings

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

import grpo.generation.batch as batch
import grpo.generation.cuda_graphs as cuda_graphs
import grpo.generation.kv_cache as kv_cache
from grpo.generation.generate import generate

SIZES = {
    "vocab_size": 31, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 6, "max_position_embeddings": 512,
}  # fmt: skip
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def build(name, device="cpu"):
    torch.manual_seed(0)
    model = {
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, tie_word_embeddings=True)),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    }[name]()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(3.0)  # small random weights would let a wrong mask pass
    return model.eval().to(device)


def write(model, stem=0, steps=150, seed=0, **options):
    """Completions of seven prompts, of which some share `stem` tokens; some end early, so that rows leave."""
    draw = torch.Generator().manual_seed(seed)
    shared = torch.randint(3, 31, (stem,), generator=draw).tolist()
    prompts = [shared + torch.randint(3, 31, (n,), generator=draw).tolist() for n in (3, 9, 1, 12, 5, 30, 2)]
    return generate(
        model, prompts, samples=4, max_new_tokens=steps, eos_ids=2, pad_id=0, entropies=True,
        generator=torch.Generator().manual_seed(seed), **options,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["qwen3", "llama"])
@pytest.mark.parametrize("stem", [0, 40])
def test_generate_when_shapes_are_static_then_tokens_and_logprobs_are_those_of_growing_ones(name, stem, monkeypatch):
    """Room grows twice and rows leave; what stands behind the mask must not be seen."""
    model = build(name)
    growing = write(model, stem)
    monkeypatch.setattr(batch, "wants_static_shapes", lambda model: True)
    monkeypatch.setattr(kv_cache, "STATIC_ROOM", 40)
    static = write(model, stem)
    assert static.completion_ids == growing.completion_ids
    assert len(set(map(len, static.completion_ids))) > 5
    for ours, theirs in zip(static.logprobs, growing.logprobs, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("stem", [0, 40])
def test_generate_when_on_cuda_then_recorded_steps_write_what_unrecorded_ones_write(stem, monkeypatch):
    """A replayed graph reads the arrays of its own version of the cache, and no others."""
    monkeypatch.setattr(kv_cache, "STATIC_ROOM", 40)
    model = build("qwen3", "cuda")
    recorded = []
    record = cuda_graphs.StepGraph.record
    monkeypatch.setattr(
        cuda_graphs.StepGraph, "record", lambda self, *args: (record(self, *args), recorded.append(self.graph))
    )
    graphed = write(model, stem)
    monkeypatch.setattr(cuda_graphs.StepGraph, "record", lambda self, *args: None)
    plain = write(model, stem)
    assert len(recorded) > 3 and None not in recorded
    assert graphed.completion_ids == plain.completion_ids
    for ours, theirs in zip(graphed.logprobs, plain.logprobs, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.gpu
@on_gpu
def test_generate_when_a_forward_cannot_be_recorded_then_it_runs_on_with_a_warning():
    """A model that waits for the device in its forward."""
    model = build("llama", "cuda")
    expected = write(model, steps=20)
    model.model.norm.register_forward_hook(lambda module, args, out: out + 0 * out.sum().item())
    with pytest.warns(UserWarning, match="decodes without CUDA graphs"):
        found = write(model, steps=20)
    assert found.completion_ids == expected.completion_ids
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.cuda.synchronize()
