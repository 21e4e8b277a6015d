"""Decoding in few kernels, as a CUDA device does it, writes what decoding in many writes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, get_peft_model

import grpo.generation.decoder as decoders
import grpo.generation.fused as fused
from grpo.generation.decoder import Decoder, enter_block, find_decoder, leave_block
from grpo.generation.kv_cache import KVCache, Piece
from tests.grpo.generation.test_static_shapes import build, on_gpu, write


def with_adapters(name, device="cpu", dtype=torch.float32):
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(build(name, device).to(dtype), config).eval()
    for key, weight in model.named_parameters():
        if "lora_" in key:
            weight.data = 0.1 * weight.data.float()
    return model


@pytest.mark.parametrize("name", ["qwen3", "llama"])
def test_decoder_when_adapters_lie_below_the_weights_then_logits_round_no_worse(name, monkeypatch):
    """In bfloat16 one product reads weights and adapters: its distance from float32 is that of the products apart."""
    monkeypatch.setattr(decoders, "compiled", lambda part: part)
    model = with_adapters(name, dtype=torch.bfloat16)
    exact = with_adapters(name)
    ids = torch.arange(1, 30)[:, None]
    place = torch.zeros_like(ids)

    def logits(policy, fused):
        found = Decoder(policy.base_model.model, 64, fused)
        return found.step(ids, place, lambda layer, query, key, value, scaling: value.repeat_interleave(2, 1)).float()

    with torch.inference_mode():
        wanted = logits(exact, False)
        apart, below = (logits(model, fused) - wanted for fused in (False, True))
        stacked = Decoder(model.base_model.model, 64, True)
    assert stacked.blocks[0].gate_up.below and stacked.blocks[0].gate_up.down is None
    assert below.abs().mean() <= 1.2 * apart.abs().mean()
    assert below.abs().max() <= 0.05 * wanted.abs().max()


def test_parts_of_a_block_when_compiled_then_one_graph_serves_every_number_of_rows(monkeypatch):
    """Dynamo finds no break in them, and rows that leave cost no second graph."""
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    model = with_adapters("qwen3").base_model.model
    parts = {
        part: torch.compile(part, backend=count, dynamic=True, fullgraph=True) for part in (enter_block, leave_block)
    }
    monkeypatch.setattr(decoders, "compiled", parts.__getitem__)
    whole, few = Decoder(model, 64), Decoder(model, 64, fused=True)
    ids = torch.arange(1, 29)[:, None]

    def attend(layer, query, key, value, scaling):
        return value.repeat_interleave(2, 1)

    with torch.inference_mode():
        for rows in (28, 13, 2):
            step = ids[:rows], torch.zeros_like(ids[:rows]), attend
            assert torch.equal(few.step(*step), whole.step(*step))
    assert len(graphs) == 2


def test_runs_when_some_chunks_have_a_stem_then_every_chunk_is_in_one():
    """A kernel is launched for each run: none may be left out, and none served twice."""
    pieces = [Piece([1], 0, None, prompt) for prompt in range(6)]
    memory = KVCache(1, pieces, torch.device("cpu"))
    for stems in ([None] * 6, [0] * 6, [None, 0, 0, None, 1, None], [0, 0, 1, 1, None, None], [2]):
        memory.stems_of_chunks = stems
        runs = memory.runs()
        assert [stem for start, end, stem in runs for _ in range(start, end)] == stems
        assert all(start < end for start, end, _ in runs)


def test_can_fuse_when_there_is_no_cuda_device_then_it_does_not(recwarn):
    """On a processor nothing is tried, and nobody is told."""
    model = build("llama")
    assert not fused.can_fuse(model)
    assert find_decoder(model, 64, fused=True).fused is False
    assert not recwarn.list


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("name", ["qwen3", "llama"])
@pytest.mark.parametrize("stem", [0, 40])
def test_generate_when_fused_then_tokens_and_logprobs_are_those_of_many_kernels(name, stem):
    """Float32 on a GPU; rows leave, room is rebuilt, some prompts share a stem."""
    model = with_adapters(name, "cuda")
    many = write(model, stem)
    few = write(model, stem, fused=True)
    assert decoders.FUSES[model.base_model.model]
    assert few.completion_ids == many.completion_ids
    assert len(set(map(len, few.completion_ids))) > 3
    for ours, theirs in zip(few.logprobs, many.logprobs, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_kernel_when_triton_interprets_it_then_a_processor_shows_that_it_gives_plain_attention():
    """In a process of its own, which has no GPU's compiler to ask; heads of 24 are no power of two, so masks count."""
    pytest.importorskip("triton")
    code = (
        "import torch; from grpo.generation.fused import difference; "
        "print(max(difference(torch.device('cpu'), torch.float32, size) for size in (16, 24)))"
    )
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) <= 1e-5


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_kernel_when_asked_in_each_type_then_it_gives_plain_attention(dtype):
    """To the type's rounding."""
    assert fused.difference(torch.device("cuda"), dtype) <= (1e-5 if dtype == torch.float32 else 2e-2)
