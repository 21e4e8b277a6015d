"""Serve rewards over HTTP to any trainer: its own dialect, one scorer, and a failure that is never a number."""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rewards.errors import UserError
from rewards.screen.command_line import show_commands

if TYPE_CHECKING:
    from rewards.serve.scorers import Scorer

EXAMPLES = """\
examples:
  python -m rewards serve --config rewards.yaml
  python -m rewards serve --reward json_valid --reward field_f1:digits=6
  python -m rewards serve --plugin ./my_rewards.py --reward my_reward --port 9000
  RECOMPENSA_TOKEN=... python -m rewards serve --config rewards.yaml --host 0.0.0.0 --workers 4 --log scored/

rewards.yaml is a `rewards:` section, or a whole config that has one. Several --config are several rewards: a client asks for
one by ?rewards=NAME. docs/serving.md has a section for each trainer; `rewards rows --for X` writes the rows it needs.
"""
TOKEN_VARIABLE = "RECOMPENSA_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="rewards as YAML (repeatable)")
    parser.add_argument(
        "--reward", action="append", default=[], metavar="NAME[:k=v,...]", help="a function by name (repeatable)"
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="HOST", help="address to answer on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8800, metavar="PORT", help="port (8800); 0 takes a free one")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="scoring processes side by side (1)")
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="completions of a batch, at most (64)")
    parser.add_argument(
        "--queue", type=int, default=4096, metavar="N", help="completions that may wait; more are refused (4096)"
    )
    parser.add_argument(
        "--deadline-seconds", type=float, default=60.0, metavar="S", help="a request is answered by then (60)"
    )
    parser.add_argument("--max-body-mib", type=int, default=32, metavar="N", help="largest body of a request (32)")
    parser.add_argument("--task", default="default", metavar="TASK", help="the task of rows that name none (default)")
    parser.add_argument(
        "--on-error", choices=("refuse", "zero"), default="refuse",
        help="zero: a failure earns 0 in the dialects that have no word for it; refuse: it is an HTTP error (default)",
    )  # fmt: skip
    parser.add_argument(
        "--data", action="append", default=[], metavar="FOLDER",
        help="where databases and schemas that rows name may lie (repeatable; the working folder and the config's)",
    )  # fmt: skip
    parser.add_argument("--log", metavar="FOLDER", help="keep what was scored there, prompts too; rescore reads it")
    parser.add_argument(
        "--token-file", metavar="FILE", help=f"a bearer token that clients must send; or the variable {TOKEN_VARIABLE}"
    )
    parser.add_argument("--check", action="store_true", help="check the rewards, print the lines and end")
    parser.add_argument("--verbose", action="store_true", help="a line for every request, never with what it holds")


def run(options: argparse.Namespace) -> int:
    missing = [each for each in ("fastapi", "uvicorn", "prometheus_client") if importlib.util.find_spec(each) is None]
    if missing:
        raise UserError(f"rewards serve needs {', '.join(missing)}; run `pip install 'recompensa[serve]'`")
    from rewards.commands.selection import parse_reward
    from rewards.config import FunctionSpec, RewardsSection
    from rewards.serve.application import ServeSettings, make_application
    from rewards.serve.scorers import read_scorers

    token = _read_token(options)
    _check(options, token)
    named = None
    if options.reward:
        specs = [FunctionSpec(name=name, options=given) for name, given in map(parse_reward, options.reward)]
        named = RewardsSection(functions=specs, plugins=list(options.plugin))
    scorers = read_scorers(options.config, named, options.plugin)
    listener = None if options.check else _listen(options.host, options.port)
    port = options.port if listener is None else listener.getsockname()[1]
    _introduce(options, scorers, port, token)
    if listener is None:
        return 0
    settings = ServeSettings(
        processes=options.workers,
        batch=options.batch,
        most_waiting=options.queue,
        most_bytes=options.max_body_mib << 20,
        seconds=options.deadline_seconds,
        token=token,
        task=options.task,
        zero_on_error=options.on_error == "zero",
        data=tuple(Path(each).resolve() for each in options.data) or (Path.cwd(),),
        log=Path(options.log) if options.log else None,
        hosts=frozenset({"localhost", "127.0.0.1", "::1", options.host.lower()}),
    )
    application = make_application(scorers, settings)
    import uvicorn

    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("recompensa.serve").setLevel(logging.DEBUG if options.verbose else logging.WARNING)
    config = uvicorn.Config(application, access_log=False, log_level="warning", timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    return 0 if server.started else 1


def _check(options: argparse.Namespace, token: str | None) -> None:
    problems = []
    for name in ("workers", "batch", "queue", "max_body_mib"):
        if getattr(options, name) < 1:
            problems.append(f"--{name.replace('_', '-')}: {getattr(options, name)}; give 1 or more")
    if not options.deadline_seconds > 0:
        problems.append(f"--deadline-seconds: {options.deadline_seconds:g}; give seconds above 0")
    if not 0 <= options.port < 65536:
        problems.append(f"--port: {options.port}; give 0 to 65535")
    if not is_loopback(options.host) and token is None and not options.check:
        problems.append(
            f"--host: {options.host} can be reached by others, who could score, and read what rewards say; set "
            f"{TOKEN_VARIABLE} or give --token-file"
        )
    problems += [f"--data: no such folder: {each}" for each in options.data if not Path(each).is_dir()]
    if problems:
        raise UserError(problems)


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _read_token(options: argparse.Namespace) -> str | None:
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if options.token_file:
        try:
            token = Path(options.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--token-file: {options.token_file}: cannot be read ({error})") from None
        if not token:
            raise UserError(f"--token-file: {options.token_file} is empty")
    if token and len(token) < 16:
        raise UserError(f"the token has {len(token)} characters; use 16 or more, as of: openssl rand -hex 32")
    return token or None


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
        return listener
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: cannot be opened ({error.strerror or error})") from None


def _introduce(options: argparse.Namespace, scorers: dict[str, Scorer], port: int, token: str | None) -> None:
    from rewards.commands.trainer_lines import trainer_lines

    name = options.host if options.host not in ("0.0.0.0", "::") else socket.gethostname()
    host = f"[{name}]" if ":" in name else name
    login = "trainer:$RECOMPENSA_TOKEN@" if token else ""
    url = f"http://{login}{host}:{port}"
    for scorer in scorers.values():
        functions = ", ".join(f"{each} {version}" for each, version in scorer.versions.items())
        print(f"rewards {scorer.name}, pin {scorer.pin}: {functions}")
        query = f"?pin={scorer.pin}" if len(scorers) == 1 else f"?rewards={scorer.name}&pin={scorer.pin}"
        for trainer, line in trainer_lines(url, query):
            print(f"  {trainer:<14}{line}")
    print(show_commands(f"on {url}; try it: python -m rewards ping {url}"), flush=True)
