"""Ask a server of rewards whether it answers, with which rewards, and how fast."""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rewards.errors import NetworkError, UserError
from rewards.screen.command_line import print_json

EXAMPLES = """\
examples:
  python -m rewards ping http://127.0.0.1:8800
  python -m rewards ping http://127.0.0.1:8800 --wait 60
  python -m rewards ping 'http://127.0.0.1:8800/get_reward?pin=749469151d6f' --json

exit codes: 0 it answers and is healthy · 1 it does not, or a function is past its budget, or the pin differs · 2 bad input
"""
_PROBES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="of the server, or the one that a trainer was given, with its pin")
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="keep trying for this many seconds (0)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    from rewards.adapters.client import ScoreClient

    # localhost:8800 is how people write it; a word alone is a mistake.
    if "://" not in options.url and ":" in options.url:
        options.url = f"http://{options.url}"
    client = ScoreClient(options.url)
    query = parse_qs(urlsplit(options.url).query)
    deadline = time.monotonic() + options.wait
    while True:
        try:
            status, health = client.get("/health")
            break
        except NetworkError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.5)
    if not isinstance(health, dict) or "status" not in health:
        raise UserError(f"{options.url}: something answers there ({status}), but it is not `rewards serve`")
    status, listed = client.get("/v1/rewards")
    if status == 401:
        raise UserError(f"{options.url}: requires a token; set RECOMPENSA_TOKEN")
    if status != 200:
        raise UserError(f"{options.url}: /v1/rewards answers {status}")
    seconds = []
    for _ in range(_PROBES):
        started = time.perf_counter()
        client.get("/health")
        seconds.append(time.perf_counter() - started)
    served = listed["rewards"]
    pins = {each["name"]: each["pin"] for each in served}
    name = query.get("rewards", [next(iter(pins))])[0]
    wanted = query.get("pin", [None])[0]
    fault = None
    if name not in pins:
        fault = f"no rewards {name!r}; there are: {', '.join(pins)}"
    elif wanted is not None and pins[name] != wanted:
        fault = f"the rewards are not those of the pin {wanted}: {name} has {pins[name]}"
    healthy = health["status"] == "ok" and fault is None
    if options.json:
        found: dict[str, Any] = {
            "healthy": healthy, "health": health, "rewards": served, "milliseconds": 1000 * statistics.median(seconds),
            "fault": fault,
        }  # fmt: skip
        print_json(found)
        return 0 if healthy else 1
    print(f"{client.url}: {health['status']}, {1000 * statistics.median(seconds):.1f} ms, {health['waiting']} waiting")
    for each in served:
        functions = ", ".join(f"{function} {version}" for function, version in each["versions"].items())
        print(f"  {each['name']}, pin {each['pin']}: {functions}")
    for line in [*health["faults"].values(), *([fault] if fault else [])]:
        print(f"  {line}")
    return 0 if healthy else 1
