"""A vLLM server that belongs to the run: its command, its start, whether it is well, and its end."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from grpo.engines.engine import EngineFailed

STOP_SECONDS = 20.0


class VllmServer:
    """One process and what it says in `log`. Whoever starts it stops it; it also ends when this process dies."""

    def __init__(self, command: Sequence[str], url: str, log: Path, environment: Mapping[str, str] | None = None):
        self.command, self.url, self.log = list(command), url, log
        self._environment = environment
        self._process: subprocess.Popen | None = None

    def start(self, timeout_seconds: float) -> None:
        """Start it and wait until it answers; `EngineFailed` when it ends or the time is over first."""
        if is_healthy(self.url):
            raise EngineFailed(
                f"something answers at {self.url} already; stop it, or set model.vllm.server_port to a free port"
            )
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                # Ctrl-C is for the run: it finishes its step, for which it needs the server.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        deadline = time.monotonic() + timeout_seconds
        while not is_healthy(self.url):
            self.check()
            if time.monotonic() > deadline:
                self.stop()
                raise EngineFailed(
                    f"the vLLM server did not answer at {self.url} within {timeout_seconds:.0f} s ({self._last_line()}); "
                    f"read {self.log}, or raise model.vllm.server_timeout"
                )
            time.sleep(0.5)

    def check(self) -> None:
        """Raise `EngineFailed` where the process has ended."""
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise EngineFailed(f"the vLLM server {how} ({self._last_line()}); read {self.log}")

    def stop(self) -> None:
        """End it with all its workers: politely, then for good."""
        process, self._process = self._process, None
        if process is None:
            return
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            # The group, not the process: its workers hold the devices' memory.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    @property
    def pid(self) -> int | None:
        """The server's process; None before it is started."""
        return self._process.pid if self._process is not None else None

    def _last_line(self) -> str:
        with suppress(OSError):
            lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            if lines:
                return lines[-1][-200:]
        return "it said nothing"


def serve_command(
    model: str,
    *,
    port: int,
    dtype: str,
    max_model_len: int,
    tensor_parallel_size: int,
    gpu_memory_utilization: float,
    more: Sequence[str] = (),
) -> list[str]:
    """The command that starts a server to which TRL's trainer can send weights; prefix caching is on.

    `more` are further options of vLLM itself.
    """
    return [
        sys.executable, "-m", "trl.scripts.vllm_serve",
        "--model", model, "--host", "127.0.0.1", "--port", str(port), "--dtype", dtype,
        "--max_model_len", str(max_model_len), "--tensor_parallel_size", str(tensor_parallel_size),
        "--gpu_memory_utilization", str(gpu_memory_utilization), "--enable_prefix_caching", "True", *more,
    ]  # fmt: skip


def serve_environment(devices: str | None) -> dict[str, str]:
    """This process's environment for a server on `devices`: nothing of torchrun's must reach it."""
    ours = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ours and not key.startswith(("TORCHELASTIC_", "ACCELERATE_", "FSDP_"))
    }
    return {**kept, "CUDA_VISIBLE_DEVICES": devices} if devices is not None else kept


def is_healthy(url: str, timeout: float = 2.0) -> bool:
    """Whether a vLLM server answers there and says that it is well."""
    if urlsplit(url).scheme not in ("http", "https"):
        return False
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=timeout) as answer:
            return answer.status == 200
    except (OSError, ValueError, urllib.error.URLError):
        return False


def is_taken(port: int) -> bool:
    """Whether something listens on that port of this machine."""
    with socket.socket() as probe:
        # As a server does it: a port that its last owner has just left is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as fault:
            return fault.errno == errno.EADDRINUSE
    return False


def skip_proxies(host: str) -> None:
    """Have this process speak to `host` itself, whatever proxy its environment names."""
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if listed.strip() != "*" and host not in listed.split(","):
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, (listed, host)))


def _die_with_parent() -> None:
    """Runs in the new process: end with the one that started it, even if that one is killed (Linux only)."""
    _LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


if sys.platform == "linux":
    import ctypes

    # Loaded here: between fork and exec nothing may be.
    _LIBC = ctypes.CDLL(None)
