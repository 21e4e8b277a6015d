"""Finding the device through a stand-in of NVIDIA's management library."""

import ctypes

import pytest

from grpo.machine.device import GIB, find_device


class FakeNvml:
    """As much of NVML as is asked for: two devices of 80 GiB."""

    def __init__(self, count: int = 2, ready: bool = True):
        self.count, self.ready, self.open = count, ready, False

    def nvmlInit_v2(self):
        self.open = self.ready
        return 0 if self.ready else 9

    def nvmlShutdown(self):
        self.open = False
        return 0

    def nvmlDeviceGetCount_v2(self, count):
        count._obj.value = self.count
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle):
        handle._obj.value = 1000 + index.value
        return 0

    def nvmlDeviceGetName(self, handle, name, length):
        name.value = f"NVIDIA Test {handle.value - 1000}".encode()
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle, memory):
        memory._obj.total = 80 * GIB
        return 0


@pytest.fixture
def install(monkeypatch):
    """Put a stand-in where the library would be loaded."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def put(library) -> None:
        def load(name):
            if library is None:
                raise OSError(name)
            return library

        monkeypatch.setattr(ctypes, "CDLL", load)

    return put


def test_device_when_the_driver_answers_then_is_the_first_one(install):
    """Name, memory and number come from the driver, and the library is closed again."""
    library = FakeNvml()
    install(library)
    device = find_device()
    assert (device.kind, device.name, device.memory_bytes, device.count) == ("cuda", "NVIDIA Test 0", 80 * GIB, 2)
    assert str(device) == "2 x NVIDIA Test 0, 80 GiB"
    assert not library.open


@pytest.mark.parametrize(
    ("visible", "kind", "name", "count"),
    [
        ("1", "cuda", "NVIDIA Test 1", 1),
        ("0,1", "cuda", "NVIDIA Test 0", 2),
        ("", "cpu", None, 1),
        ("-1", "cpu", None, 1),
        ("7", "cpu", None, 1),
    ],
)
def test_device_when_hidden_by_the_environment_then_is_not_found(install, monkeypatch, visible, kind, name, count):
    """CUDA_VISIBLE_DEVICES means the same here as for CUDA."""
    install(FakeNvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    device = find_device()
    assert (device.kind, device.count) == (kind, count)
    if name:
        assert device.name == name


@pytest.mark.parametrize("library", [None, FakeNvml(count=0), FakeNvml(ready=False)])
def test_device_when_there_is_no_working_driver_then_is_the_processor(install, library):
    """No library, no device or a driver that does not start: the processor, with the machine's memory."""
    install(library)
    device = find_device()
    assert device.kind == "cpu"
    assert device.name.startswith("CPU, ")
