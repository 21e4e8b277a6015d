"""What the service costs: first paint with 20,000 completions, memory over 1,000 page loads, idle memory, runs killed at random.

    python benchmarks/service.py                 paint and memory: a minute
    python benchmarks/service.py --kills 10      and a run that is killed, or its service, at this many random moments: ten minutes

Needs a Chromium for the paint (CHROMIUM in the environment, or one on the path); without one that line is left out. A line of
JSON a measurement.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    "data.shop.train_rows=60", "data.shop.held_out_rows=20", "data.shop.warmup_rows=120",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.max_steps=20", "grpo.max_steps=40", "grpo.prompts_per_step=2", "grpo.num_generations=4",
    "grpo.max_completion_length=16", "evaluation.max_completion_length=16", "grpo.save_every_steps=5",
    "decision.watch.enabled=false",  # a policy this small breaks rules, and would be stopped by them
    "grpo.log_completions_every=5", "evaluation.every_steps=10", "threads=1",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, default=1000, help="page loads of the memory test (1000)")
    parser.add_argument("--kills", type=int, default=0, help="random SIGKILLs of the service or of a run (0)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_runs(place / "runs")
        with Service(place) as service:
            time.sleep(3)
            tell("idle memory, MiB", round(service.memory(), 1))
            measure_paint(service)
            measure_loads(service, options.loads)
        if options.kills:
            measure_kills(place, options.kills, random.Random(options.seed))


class Service:
    """`recompensa serve` over a folder, in a process of its own."""

    def __init__(self, place: Path, port: int = 0):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "RECOMPENSA_CACHE": str(place / "cache"),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "grpo.service.serve", "--port", str(port)], cwd=place, env=environment,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = re.findall(r"http://\S+", self.process.stdout.readline())[0]

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=600) as answer:
            return answer.read()

    def post(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def memory(self) -> float:
        """Resident MiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024


def make_runs(runs: Path) -> None:
    """A run with 20,000 completions of training, half of them in one step, and one of the usual size."""
    spec = importlib.util.spec_from_file_location("fixtures", ROOT / "tests" / "grpo" / "report" / "conftest.py")
    assert spec is not None and spec.loader is not None
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    fixtures.write_synthetic_run(runs / "small", steps=200)
    fixtures.write_synthetic_run(runs / "large", steps=200)
    draw = random.Random(1)
    for step, count in ((200, 10_000), (190, 10_000)):
        rows = [
            {**fixtures.make_record(draw, "extraction", f"row-{number // 8:05d}", draw.random(), "train", step), "group": number // 8, "advantage": 0.1}
            for number in range(count)
        ]  # fmt: skip
        fixtures.write_rows(runs / "large" / "completions" / f"step-{step:06d}.jsonl", rows)


def measure_paint(service: Service) -> None:
    """Milliseconds to the first contentful paint, in a browser that has never seen the page; the median of five."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return
    spec = importlib.util.spec_from_file_location("browser", ROOT / "tests" / "grpo" / "report" / "browser.py")
    assert spec is not None and spec.loader is not None
    finder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(finder)
    program = finder.find_chromium()
    if program is None:
        return
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for name, path in (
            ("run of 20,000 completions", "/runs/large"),
            ("groups of 10,000 completions", "/runs/large/steps/200"),
            ("list", "/"),
        ):
            paints = []
            for _ in range(5):
                context = browser.new_context(viewport={"width": 1440, "height": 900})
                page = context.new_page()
                page.goto(service.url + path)
                found: list[float] = []
                while not found:  # a busy machine paints late, and the page's policy lets no script wait for it
                    page.wait_for_timeout(50)
                    found = page.evaluate(
                        "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)"
                    )
                paints += found[:1]
                context.close()
            tell(f"first paint, ms: {name}", round(sorted(paints)[2]))
        browser.close()


def measure_loads(service: Service, count: int) -> None:
    """Resident memory after a tenth of the loads and after all of them."""
    paths = (
        "/",
        "/runs/small",
        "/runs/large",
        "/runs/large/steps/200?group=77",
        "/v1/runs",
        "/runs/small/evals/final",
        "/runs/small/errors",
    )
    marks = {}
    for number in range(count):
        service.get(paths[number % len(paths)])
        if number + 1 in (count // 10, count):
            marks[number + 1] = round(service.memory(), 1)
    for loads, memory in marks.items():
        tell(f"memory after {loads} loads, MiB", memory)


def measure_kills(place: Path, count: int, draw: random.Random) -> None:
    """Two runs of one config, one left alone; whether the other, killed at random, ends with the same bytes."""
    service = Service(place)
    port = int(service.url.rsplit(":", 1)[1])
    submission = {"config": "v4_1.yaml", "profile": "embedded", "set": SMALL}
    service.post("/v1/runs", {**submission, "name": "calm"})
    wait_for(service, "calm")
    service.post("/v1/runs", {**submission, "name": "killed"})
    kept = place / "runs" / ".service" / "runs" / "killed"
    done, killed = 0, {"service": 0, "run": 0}
    while done < count:
        time.sleep(draw.uniform(0.5, 6.0))
        if draw.random() < 0.5:
            service.process.send_signal(signal.SIGKILL)
            service.process.wait()
            service = Service(place, port)
            killed["service"] += 1
        else:
            with suppress(OSError, ValueError, IndexError):
                os.kill(int((kept / "pid").read_text().split()[0]), signal.SIGKILL)
                killed["run"] += 1
        done += 1
        if json.loads(service.get("/v1/runs/killed"))["state"] == "done":
            break
    state = wait_for(service, "killed")
    calm, other = (place / "runs" / name / "metrics.jsonl" for name in ("calm", "killed"))
    tell("kills", killed)
    tell("ended", state)
    tell("same bytes of metrics.jsonl", calm.read_bytes() == other.read_bytes())
    service.__exit__()


def wait_for(service: Service, name: str) -> str:
    while True:
        state = json.loads(service.get(f"/v1/runs/{name}"))["state"]
        if state in ("done", "failed", "stopped", "cancelled"):
            return state
        time.sleep(1)


def tell(what: str, value: Any) -> None:
    print(json.dumps({"what": what, "value": value}), flush=True)


if __name__ == "__main__":
    main()
