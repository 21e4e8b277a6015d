"""What happens to a step that cannot be recorded, with a made-up CUDA device."""

from __future__ import annotations

import contextlib
import gc
import weakref

import pytest
import torch

import grpo.generation.cuda_graphs as cuda_graphs


class MadeUpGraph:
    """Captures by running; `begin` and `end` say what fails there."""

    begin = ""
    end = ""

    def capture_begin(self, *pool, capture_error_mode):
        self.shared = pool
        if self.begin:
            raise RuntimeError(self.begin)

    def capture_end(self):
        if self.end:
            raise RuntimeError(self.end)

    def pool(self):
        return id(self)


@pytest.fixture(autouse=True)
def device(monkeypatch):
    """A processor that answers as a CUDA device does."""
    monkeypatch.setattr(cuda_graphs, "NEWEST", {})
    for name, stand_in in {
        "CUDAGraph": MadeUpGraph, "Stream": lambda device: "stream", "synchronize": lambda device: None,
        "device": lambda device: contextlib.nullcontext(), "stream": lambda stream: contextlib.nullcontext(),
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return torch.device("cpu")


def test_record_when_another_graph_was_recorded_then_its_memory_is_taken_over_until_it_is_forgotten(device):
    """Nothing is asked of the driver for the second."""
    first, _ = cuda_graphs.record(lambda: None, device)
    second, _ = cuda_graphs.record(lambda: None, device)
    assert first.shared == () and second.shared == (id(first),)
    cuda_graphs.forget_graphs()
    assert cuda_graphs.record(lambda: None, device)[0].shared == ()


@pytest.mark.parametrize("where", ["begin", "end"])
def test_record_when_the_device_refuses_then_the_first_line_says_why_and_the_last_graph_stays(
    where, device, monkeypatch
):
    """A capture that is under way elsewhere is no reason to end a run."""
    kept, _ = cuda_graphs.record(lambda: None, device)
    monkeypatch.setattr(MadeUpGraph, where, "capture is under way\nmore")
    assert cuda_graphs.record(lambda: None, device) == (None, "capture is under way")
    assert cuda_graphs.NEWEST[device][0] is kept


def test_record_when_the_step_fails_then_its_own_fault_is_told_and_its_arrays_are_let_go(device, monkeypatch):
    """The fault's traceback holds the whole batch."""
    monkeypatch.setattr(MadeUpGraph, "end", "the capture was spoilt")
    held = torch.zeros(3)
    gone = weakref.ref(held)

    def step(array=held):
        raise RuntimeError(f"an array of {len(array)} waits for the device")

    gc.disable()
    try:
        assert cuda_graphs.record(step, device) == (None, "an array of 3 waits for the device")
        del held, step
        assert gone() is None
    finally:
        gc.enable()


def test_record_when_the_fault_says_nothing_then_neither_does_the_reason(device):
    """An empty message has no first line."""

    def step():
        raise RuntimeError

    assert cuda_graphs.record(step, device) == (None, "no reason given")
