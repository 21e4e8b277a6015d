"""The command `python -m grpo.serve_model`: a trained policy behind an OpenAI-compatible endpoint, on this machine alone."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from rewards.errors import UserError
from rewards.screen.command_line import DONE, CommandParser, run_command

EXAMPLES = """\
DIR is an export (python -m grpo.export) or a GGUF file. A GGUF file is served by llama.cpp, a merged model by vLLM.

With --log every answer is written down as a stored completion. It is scored where the row is known: the messages are a
held-out row's of --run, or the request brings "metadata": {"id", "task", "reference", "columns"}.

examples:
  python -m grpo.serve_model exports/v4_1
  python -m grpo.serve_model exports/v4_1 --run runs/v4_1 --log served.jsonl
  python -m rewards rescore served.jsonl --reward extraction
  RECOMPENSA_TOKEN=secret python -m grpo.serve_model exports/v4_1 --host 0.0.0.0 --port 8080

  curl http://127.0.0.1:8123/v1/chat/completions -d '{"messages": [{"role": "user", "content": "Olá"}]}'
"""


def main(arguments: list[str] | None = None) -> int:
    """The command `python -m grpo.serve_model`; returns the exit code."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("python -m grpo.serve_model", "Serve an exported policy as OpenAI's API does.", EXAMPLES)
    parser.add_argument("model", type=Path, metavar="DIR", help="an export, or a GGUF file")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (127.0.0.1); others need RECOMPENSA_TOKEN"
    )
    parser.add_argument("--port", type=int, default=8123, help="port to listen on (8123; 0: any that is free)")
    parser.add_argument("--run", metavar="RUN", help="the run whose rows and rewards score the answers of --log")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append every answer to this JSON Lines file")
    parser.add_argument("--slots", type=int, default=2, metavar="N", help="answers at once, llama.cpp (2)")
    parser.add_argument(
        "--context", type=int, default=4096, metavar="N", help="longest conversation in tokens, for llama.cpp (4096)"
    )
    parser.add_argument("--vllm", action="store_true", help="vLLM also where there is a GGUF file")
    return parser


def run(options: argparse.Namespace) -> int:
    from callbacks.interrupt import terminable
    from grpo.chat.readings import open_desk
    from grpo.chat.speakers import find_gguf_file
    from grpo.serve_model.backends import open_backend
    from grpo.serve_model.endpoint import Endpoint, ServedLog

    folder = options.model.expanduser()
    if not folder.exists():
        raise UserError(f"{folder}: no such folder; export one: python -m grpo.export RUN --to DIR")
    if options.run and not options.log:
        raise UserError("--run: its rewards score what --log writes; give --log FILE")
    for name in ("slots", "context"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} {getattr(options, name)}: give 1 or more")
    token = find_token(options.host)
    desk = open_desk(options.run)
    gguf = find_gguf_file(str(folder))
    name = (gguf or folder).resolve().stem if gguf else folder.resolve().name
    with (
        terminable(),
        desk.host or nullcontext(),
        open_backend(folder, gguf, slots=options.slots, context=options.context, vllm=options.vllm) as backend,
    ):
        log = ServedLog(options.log, desk) if options.log else None
        try:
            most = {"most": options.slots} if gguf is not None and not options.vllm else {}
            server = Endpoint(
                (options.host, options.port),
                backend,
                name,
                token=token,
                log=log,
                shows_tools=shows_tools(folder, gguf),
                **most,
            )
        except OSError as fault:
            raise UserError(
                f"--port {options.port}: cannot listen there ({fault.strerror}); give another --port"
            ) from None
        with server:
            port = server.server_address[1]
            print(f"serving {name} at http://{options.host}:{port}/v1; Ctrl-C ends it", flush=True)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print("stopped", file=sys.stderr)
    return DONE


def shows_tools(folder: Path, gguf: Path | None) -> bool:
    """Whether the model's chat template writes a request's tools; True where it cannot be told."""
    if gguf is not None:
        from grpo.policy.gguf_file import read_gguf

        template = read_gguf(gguf).fields.get("tokenizer.chat_template")
    else:
        path = folder / "chat_template.jinja"
        template = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    return not isinstance(template, str) or "tools" in template


def find_token(host: str) -> str | None:
    """What callers have to show; UserError where others than this machine could call without."""
    token = os.environ.get("RECOMPENSA_TOKEN") or None
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local and token is None:
        raise UserError(
            f"--host {host}: reachable from other machines; set RECOMPENSA_TOKEN, which callers must then show"
        )
    return token


if __name__ == "__main__":
    sys.exit(main())
