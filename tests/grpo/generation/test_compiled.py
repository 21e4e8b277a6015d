"""Decoding with static shapes and parts that torch.compile really compiles, for the processor, writes what plain decoding writes."""

from __future__ import annotations

import shutil

import pytest
import torch

import grpo.generation.batch as batch
import grpo.generation.decoder as decoders
import grpo.generation.kv_cache as kv_cache
from grpo.generation.fused import compiled
from grpo.generation.kv_cache import KVCache
from tests.grpo.generation.test_static_shapes import build, write


@pytest.mark.slow
@pytest.mark.timeout(900)  # a C++ compiler at work, on a machine that may be busy with others
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a processor")
def test_generate_when_its_parts_are_compiled_then_tokens_are_the_same_and_few_graphs_serve_every_bucket(monkeypatch):
    """Rows leave and room grows twice, from bucket to bucket; attention, a Triton kernel on a CUDA device, is the plain one."""
    model = build("qwen3")
    plain = write(model, stem=40)
    monkeypatch.setattr(batch, "wants_static_shapes", lambda model: True)
    monkeypatch.setattr(kv_cache, "STATIC_ROOM", 40)
    monkeypatch.setattr(decoders, "can_fuse", lambda model: True)
    versions = []

    def make_cache(width, tails, device, static, fused):
        assert static and fused
        versions.append(KVCache(width, tails, device, static))
        return versions[-1]

    monkeypatch.setattr(batch, "KVCache", make_cache)
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)  # no pool of processes that outlives the test
    compiled.cache_clear()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    written = write(model, stem=40, fused=True)
    assert decoders.FUSES[model]
    assert versions[0].version > 3  # buckets that it went through
    counters = torch._dynamo.utils.counters
    made = counters["inductor"]["fxgraph_cache_miss"] + counters["inductor"]["fxgraph_cache_hit"]
    # Each part once for a single row, with which a decoder is tried, and once for all others; inductor compiled every one.
    assert 2 <= counters["stats"]["unique_graphs"] <= 4
    assert made == counters["stats"]["unique_graphs"]
    assert written.completion_ids == plain.completion_ids
    assert len(set(map(len, plain.completion_ids))) > 5
    for ours, theirs in zip(written.logprobs, plain.logprobs, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
