"""Which device a run computes on: CUDA, a Mac's own GPU or the processor, as far as that shows on a machine without them."""

from __future__ import annotations

import resource
import sys

import pytest

from grpo.config.loading import load_config
from grpo.machine import device as devices
from grpo.machine.device import Device, choose_device, measure_peak_memory
from rewards.errors import UserError

CPU, CUDA = Device("cpu", "CPU, 8 cores", 16 << 30, 1), Device("cuda", "L4", 24 << 30, 1)


@pytest.fixture
def mac(monkeypatch):
    """A Mac with a GPU, by the names that Python and torch give it."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(devices.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 3 << 30)
    return torch


def test_choose_device_when_on_a_mac_then_small_takes_its_gpu_and_the_rest_what_they_name(mac):
    """Profile small trains a real model wherever it can; the rehearsal stays on the processor; any model goes anywhere."""
    assert choose_device("auto", "small", CPU).kind == "mps"
    assert choose_device("auto", "small", CUDA).kind == "cuda"
    assert choose_device("auto", "embedded", CPU).kind == "cpu"
    assert choose_device("auto", "gpu", CPU).kind == "cpu"
    for profile in ("gpu", "small", "embedded"):
        found = choose_device("mps", profile, CPU)
        assert (found.kind, found.name, found.count) == ("mps", "Apple GPU", 1) and found.memory_bytes
        assert choose_device("cpu", profile, CPU).kind == "cpu"


@pytest.mark.parametrize("wanted", ["mps", "cuda"])
def test_choose_device_when_the_machine_lacks_it_then_one_line_names_both(wanted, monkeypatch):
    """Told before anything is loaded."""
    monkeypatch.setattr(devices.platform, "system", lambda: "Linux")
    with pytest.raises(UserError, match=rf"model.device: {wanted} is not on this machine \(found CPU, 8 cores"):
        choose_device(wanted, "small", CPU)


def test_torch_device_when_its_build_lacks_mps_then_the_run_is_refused_in_one_line(mac, monkeypatch):
    """An x86 build of Python on a Mac has no Metal."""
    from grpo.machine.environment import describe_device, require_torch_device

    require_torch_device("mps")
    assert describe_device("mps")["device"] == "mps"
    monkeypatch.setattr(mac.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"cannot use mps here; install its build for mps, or set model.device=cpu"):
        require_torch_device("mps")


def test_small_profile_when_it_trains_on_a_macs_gpu_then_settings_are_those_of_plain_float32(mac):
    """No bfloat16, no checkpointing, no quantisation is asked of a device that has none."""
    model = load_config("v4_1.yaml", ["model.device=mps"], "small").model
    assert model.effective_dtype("mps") == "float32" and model.quantization == "none"
    assert not model.checkpoints_gradients("mps", 135_000_000)


def test_peak_memory_when_tensors_are_on_a_macs_gpu_then_they_are_added_to_the_process(mac):
    """Its driver's memory is none of the process's own."""
    scale = 1 if sys.platform == "darwin" else 1024
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    assert process + (3 << 30) <= measure_peak_memory("mps") < process + (4 << 30)
    assert measure_peak_memory("cpu") < measure_peak_memory("mps")
