"""The accelerator of this machine, found without torch; the profile that follows from it, and what a run computes on."""

from __future__ import annotations

import ctypes
import os
import platform
from dataclasses import dataclass
from typing import Literal

from rewards.errors import UserError

PROFILES = ("auto", "gpu", "small", "embedded")

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Device:
    """What the run computes on; `memory_bytes` is the whole memory of one device, `count` how many are visible."""

    kind: Literal["cuda", "mps", "cpu"]
    name: str
    memory_bytes: int | None
    count: int

    def __str__(self) -> str:
        memory = f", {self.memory_bytes / GIB:.0f} GiB" if self.memory_bytes else ""
        many = f"{self.count} x " if self.count > 1 else ""
        return f"{many}{self.name}{memory}"


def find_device() -> Device:
    """The first visible CUDA device, or the processor. Starts no CUDA context and imports no torch."""
    return _find_cuda() or find_processor()


def find_processor() -> Device:
    """The processor, whatever stands beside it."""
    return Device("cpu", f"CPU, {_usable_cores()} cores", _system_memory(), 1)


def choose_device(wanted: str, profile: str, found: Device | None = None) -> Device:
    """What `model.device` means under a profile on this machine; `UserError` for a device that is not here.

    `auto` is a CUDA device under profile gpu, or the processor where there is none (which `require_cuda` then refuses);
    the processor under profile embedded; CUDA, a Mac's own GPU or the processor under profile small.
    """
    found = found or find_device()
    if wanted == "auto":
        wanted = "cpu" if profile == "embedded" else found.kind
        if wanted == "cpu" and profile == "small" and _has_mps():
            wanted = "mps"
    if wanted == found.kind:
        return found
    if wanted == "cpu":
        return find_processor()
    if wanted == "mps" and _has_mps():
        return Device("mps", "Apple GPU", _system_memory(), 1)
    checks = "check nvidia-smi and CUDA_VISIBLE_DEVICES" if wanted == "cuda" else "it is a Mac's own GPU"
    raise UserError(f"model.device: {wanted} is not on this machine (found {found}); {checks}, or write auto or cpu")


def resolve_profile(profile: str, device: Device | None = None) -> tuple[Literal["gpu", "small", "embedded"], str]:
    """The profile that `auto` stands for on this device, and the one line that says why."""
    if profile not in PROFILES:
        raise UserError(f"--profile: {profile!r} is not a profile; allowed: {', '.join(PROFILES)}")
    if profile == "gpu":
        return "gpu", "profile gpu: the recipe as it is written"
    if profile == "small":
        return "small", "profile small: a pretrained model of 135M parameters rehearses the recipe, on any machine"
    if profile == "embedded":
        return "embedded", "profile embedded: a small policy made on the spot rehearses the recipe"
    device = device or find_device()
    if device.kind == "cuda":
        return "gpu", f"profile auto: {device} found, so profile gpu: the recipe as it is written"
    return (
        "embedded",
        "profile auto: no CUDA device here, so profile embedded: a small policy made on the spot rehearses the recipe",
    )


def require_cuda(device: Device) -> None:
    """Raise `UserError` where profile gpu finds no CUDA device, and `model.device` names no other."""
    if device.kind != "cuda":
        raise UserError(
            f"--profile gpu: no CUDA device is visible here (found {device}); check nvidia-smi and CUDA_VISIBLE_DEVICES, "
            "rehearse with --profile embedded or small, or train here anyway with --set model.device=cpu"
        )


def require_one_device(device: Device, world_size: int = 1) -> None:
    """Raise `UserError` where one process sees several CUDA devices."""
    if multiplies_batch(device, world_size):
        raise UserError(
            f"device: one process sees {device.count} CUDA devices, and transformers would silently train on "
            f"{device.count} times the prompts a step; start with torchrun --nproc_per_node {device.count}, or set "
            "CUDA_VISIBLE_DEVICES=0"
        )


def multiplies_batch(device: Device, world_size: int) -> bool:
    """Whether transformers would copy the batch to every device: one process that sees several (Trainer's n_gpu)."""
    return device.kind == "cuda" and device.count > 1 and world_size == 1


class _NvmlMemory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def _find_cuda() -> Device | None:
    # NVML rather than cuInit: a process that has initialised CUDA cannot fork workers that use it.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.split(",")[0].strip() in ("", "-1", "NoDevFiles"):
        return None
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        count = ctypes.c_uint(0)
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0 or count.value == 0:
            return None
        listed = [entry.strip() for entry in visible.split(",")] if visible else []
        index = int(listed[0]) if listed and listed[0].isdigit() else 0
        if index >= count.value:
            return None
        handle = ctypes.c_void_p()
        if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)) != 0:
            return None
        name = ctypes.create_string_buffer(96)
        known = nvml.nvmlDeviceGetName(handle, name, ctypes.c_uint(96)) == 0
        memory = _NvmlMemory()
        measured = nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0
        return Device(
            "cuda",
            name.value.decode("utf-8", "replace") if known else "CUDA device",
            int(memory.total) if measured else None,
            len(listed) or count.value,
        )
    finally:
        nvml.nvmlShutdown()


def _has_mps() -> bool:
    """Whether this is a Mac with a GPU that torch can use."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _system_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def measure_peak_memory(device: str) -> int:
    """The most bytes held so far: by tensors on a CUDA device, else by the whole process with its libraries.

    On a Mac's GPU what the driver holds for tensors now is added, which the process's own figure leaves out.
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    import resource
    import sys

    # Linux counts in KiB, macOS in bytes.
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if device == "mps":
        import torch

        held += torch.mps.driver_allocated_memory()
    return held
