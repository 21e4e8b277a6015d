"""Measures `rewards serve`: completions a second with the shop's four rewards, in batches of 64 and singly from 64 clients.

The server and its scoring process share one core (`--core`), the clients have the others. Prints p50, p95 and p99 of a request.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from rewards.plugins import load_rewards
from rewards.sample_rows import open_samples

SHOP = ("extraction", "sql_qa", "insights", "push")


def make_items(folder: Path, count: int) -> list[dict[str, Any]]:
    """Rows of the four tasks, 4 : 4 : 1 : 1 as in the shop, each answer with an end of its own: nothing is asked twice."""
    registry = load_rewards()
    rows: dict[str, list[Any]] = {}
    for name in SHOP:
        with open_samples(registry.get(name)) as examples:
            kept = []
            for example in examples:
                columns = dict(example.columns)
                if "database" in columns:
                    copy = folder / Path(str(columns["database"])).name
                    copy.write_bytes(Path(str(columns["database"])).read_bytes())
                    columns["database"] = str(copy)
                kept.append((example, columns))
            rows[name] = kept
    order = ["extraction", "sql_qa"] * 4 + ["insights", "push"]
    items = []
    for at in range(count):
        name = order[at % len(order)]
        example, columns = rows[name][at // len(order) % len(rows[name])]
        text = (example.reference or "") if at % 3 else (example.reference or "")[: -1 - at % 7]
        items.append(
            {
                "id": example.id, "task": name, "prompt": [dict(turn) for turn in example.prompt],
                "reference": example.reference, "columns": columns, "completion": text + " " * (at % 11),
            }
        )  # fmt: skip
    return items


def start_server(folder: Path, core: int | None, workers: int) -> tuple[subprocess.Popen, int]:
    config = folder / "rewards.yaml"
    config.write_text(json.dumps({"rewards": {"functions": [{"name": name} for name in SHOP]}}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "rewards", "serve", "--config", str(config), "--port", str(port), "--workers", str(workers),
        "--data", str(folder), "--queue", "100000",
    ]  # fmt: skip

    def stay() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=stay)
    for _ in range(600):
        time.sleep(0.1)
        try:
            ask(port, None)
            return process, port
        except OSError:
            if process.poll() is not None:
                raise SystemExit("the server did not start") from None
    raise SystemExit("the server did not start")


def ask(port: int, connection: http.client.HTTPConnection | None, items: Any = None) -> int:
    """Completions that got a value; `connection` is kept open between calls."""
    own = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    if items is None:
        own.request("GET", "/health")
        own.getresponse().read()
        return 0
    own.request("POST", "/v1/score", json.dumps({"items": items}), {"Content-Type": "application/json"})
    answer = own.getresponse()
    body = json.loads(answer.read())
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {body}")
    wrong = [each for each in body["results"] if each["status"] != "value"]
    if wrong:
        raise SystemExit(f"no value: {wrong[0]}")
    return len(body["results"])


def measure(port: int, items: list[Any], clients: int, size: int) -> tuple[float, list[float]]:
    """Completions a second, and the seconds of each request."""
    chunks = [items[at : at + size] for at in range(0, len(items), size)]
    seconds: list[float] = []

    def work(mine: list[Any]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for chunk in mine:
            started = time.perf_counter()
            ask(port, connection, chunk)
            seconds.append(time.perf_counter() - started)

    threads = [threading.Thread(target=work, args=(chunks[at::clients],)) for at in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(items) / (time.perf_counter() - started), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=6400)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--core", type=int, default=0, help="core of the server; -1 leaves it all of them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recompensa-serving-") as name:
        folder = Path(name)
        items = make_items(folder, options.items)
        process, port = start_server(folder, None if options.core < 0 else options.core, options.workers)
        try:
            measure(port, items[:640], 1, 64)  # compiled schemas, databases, what a first call pays
            for title, clients, size in (("batches of 64, 2 clients", 2, 64), ("single, 64 clients", 64, 1)):
                rates, spans = [], []
                for _ in range(options.repeats):
                    rate, seconds = measure(port, items, clients, size)
                    rates.append(rate)
                    spans += seconds
                cuts = statistics.quantiles(spans, n=100)
                found = {
                    "what": title, "items": options.items, "workers": options.workers, "core": options.core,
                    "completions_per_second": round(statistics.median(rates)), "p50_ms": round(1000 * cuts[49], 1),
                    "p95_ms": round(1000 * cuts[94], 1), "p99_ms": round(1000 * cuts[98], 1),
                }  # fmt: skip
                print(json.dumps(found), flush=True)
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
