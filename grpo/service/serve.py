"""`recompensa serve`: the page, the HTTP interface and the queue over a folder of runs."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from callbacks.interrupt import terminable
from rewards.errors import UserError
from rewards.screen.command_line import DONE, CommandParser, run_command

EXAMPLES = """examples:
  python -m grpo.service.serve                                the runs of ./runs at http://127.0.0.1:8420
  python -m grpo.service.serve --runs /data/runs --slots 2    two runs at a time
  python -m grpo.service.serve --allow configs --allow ../mine
  RECOMPENSA_SUBMIT_TOKEN=... python -m grpo.service.serve --host 0.0.0.0 --name training.example.org

A run keeps going in a process of its own when the service ends, and is found again when it starts. Beyond loopback a token is needed:
RECOMPENSA_SUBMIT_TOKEN opens everything, RECOMPENSA_READ_TOKEN only reading; TLS belongs to a proxy before it.
"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: serve(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("python -m grpo.service.serve", "Queue training runs and watch them in a browser.", EXAMPLES)
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="the folder of runs (runs)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=8420, help="port to listen on; 0 takes a free one (8420)")
    parser.add_argument(
        "--slots", type=_read_count, metavar="N", help="runs at a time (one a CUDA device; one on a processor)"
    )
    parser.add_argument(
        "--allow", type=Path, action="append", default=[], metavar="DIR",
        help="a folder whose configs may be submitted (the working folder; repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="a name this service is reached by (repeatable)"
    )
    parser.add_argument(
        "--webhook", metavar="URL",
        help="notify this address of state changes, watch events and decisions (RECOMPENSA_WEBHOOK)",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print nothing but problems")
    return parser


def serve(options: argparse.Namespace) -> int:
    """Listen until a signal ends it; UserError for settings that would open the service to strangers."""
    from grpo.service.access import AccessTokens, is_loopback
    from grpo.service.submission import find_allowed

    tokens = AccessTokens(_read_token("RECOMPENSA_READ_TOKEN"), _read_token("RECOMPENSA_SUBMIT_TOKEN"))
    if not is_loopback(options.host) and not tokens.needed:
        raise UserError(
            f"--host {options.host}: others could start runs here; set RECOMPENSA_SUBMIT_TOKEN (and "
            "RECOMPENSA_READ_TOKEN for readers), or listen on 127.0.0.1"
        )
    folders = [folder.resolve() for folder in options.allow or [Path.cwd()]]
    missing = [f"--allow {folder}: no such folder" for folder in folders if not folder.is_dir()]
    if missing:
        raise UserError(missing)
    try:
        import fastapi  # noqa: F401
        import huey  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; pip install 'recompensa[serve]'") from None

    from grpo.service.alerts import SECRET_VARIABLE, Alerts, Webhook
    from grpo.service.application import make_application
    from grpo.service.queue import RunQueue

    address = options.webhook or os.environ.get("RECOMPENSA_WEBHOOK")
    webhook = Webhook(address, os.environ.get(SECRET_VARIABLE)) if address else None
    devices = find_devices()
    options.runs.mkdir(parents=True, exist_ok=True)
    with _OwnFolder(options.runs), ExitStack() as stack:
        listening = stack.enter_context(_listen(options.host, options.port))
        shown = f"[{options.host}]" if ":" in options.host else options.host
        url = f"http://{shown}:{listening.getsockname()[1]}"
        queue = RunQueue(options.runs, slots=options.slots or len(devices) or 1, devices=devices)
        if webhook is not None:
            stack.enter_context(Alerts(queue, webhook, address=f"https://{options.name[0]}" if options.name else url))
        stack.enter_context(queue)
        hosts = None if tokens.needed and not options.name else _name_hosts(options.host, options.name)
        app = make_application(queue, find_allowed(folders), tokens=tokens, hosts=hosts)
        if not options.quiet:
            amount = f"{queue.slots} run" + "s" * (queue.slots > 1)
            print(f"serving {options.runs}/ at {url}, {amount} at a time; Ctrl-C ends the service, not the runs")
            sys.stdout.flush()
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, server_header=False, lifespan="on"
        )
        with suppress(KeyboardInterrupt), terminable():
            uvicorn.Server(config).run(sockets=[listening])
    return DONE


def find_devices() -> list[str]:
    """The entries of CUDA_VISIBLE_DEVICES, one a device of this machine; none where there is no CUDA device."""
    from grpo.machine.device import find_device

    device = find_device()
    if device.kind != "cuda":
        return []
    listed = [entry.strip() for entry in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if entry.strip()]
    return listed or [str(number) for number in range(device.count)]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)  # who reads the address may connect at once
    except OSError as error:
        listening.close()
        raise UserError(f"--port {port}: {error.strerror}; another service listens there, or take --port 0") from None
    return listening


class _OwnFolder:
    """The folder of runs as one service's alone, as long as the block lasts."""

    def __init__(self, runs: Path):
        self.runs, self._file = runs, -1

    def __enter__(self) -> None:
        import fcntl

        from grpo.service.queue import KEPT

        folder = self.runs / KEPT
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / "service.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise UserError(f"--runs {self.runs}: another service works on this folder; stop it first") from None

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def _name_hosts(host: str, names: Sequence[str]) -> frozenset[str]:
    return frozenset({"localhost", "127.0.0.1", "::1", host.lower(), *(name.lower() for name in names)})


def _read_token(name: str) -> str | None:
    token = os.environ.get(name)
    if token is not None and len(token) < 16:
        raise UserError(f"{name}: shorter than 16 characters; take a long random text, such as `openssl rand -hex 32`")
    return token


def _read_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of slots from 1 to 64")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
