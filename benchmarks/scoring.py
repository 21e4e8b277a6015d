"""Measures the reward host: completions a second with four functions on one core, by function, and what the host itself costs.

CPU time decides, so that other work on the machine does not count; elapsed time stands beside it.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import statistics
import time
from typing import Any, ClassVar

from rewards.functions.field_f1 import FieldF1
from rewards.functions.json_valid import JsonValid
from rewards.functions.kpi_values import KpiValues
from rewards.functions.schema_valid import SchemaValid
from rewards.host.scoring import RewardHost
from rewards.host.weighted import WeightedFunction
from rewards.types import Completion, Example, RewardFunction, Score

SCHEMA = {
    "type": "object",
    "required": ["id", "name", "status", "kpis", "flows"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": "^slice-[0-9]+$"},
        "name": {"type": "string", "minLength": 1},
        "status": {"enum": ["active", "planned", "retired"]},
        "kpis": {
            "type": "object",
            "required": ["latency_ms", "reliability_pct", "dl_throughput_mbps"],
            "properties": {
                "latency_ms": {"type": "number", "minimum": 0},
                "reliability_pct": {"type": "number", "minimum": 0, "maximum": 100},
                "dl_throughput_mbps": {"type": "number", "minimum": 0},
            },
        },
        "flows": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["port", "protocol", "priority", "label"],
                "properties": {
                    "port": {"type": "integer", "minimum": 0, "maximum": 65535},
                    "protocol": {"enum": ["tcp", "udp"]},
                    "priority": {"type": "integer", "minimum": 1, "maximum": 9},
                    "label": {"type": "string"},
                },
            },
        },
    },
}


class Nothing(RewardFunction):
    """Gives 1 without looking: what is left is the host."""

    name: ClassVar[str] = "nothing_a"
    version: ClassVar[str] = "1"

    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score(1.0)


class NothingB(Nothing):
    name: ClassVar[str] = "nothing_b"


class NothingC(Nothing):
    name: ClassVar[str] = "nothing_c"


class NothingD(Nothing):
    name: ClassVar[str] = "nothing_d"


def make_document(random_: random.Random, size: int) -> dict[str, Any]:
    """A slice's configuration whose JSON has about `size` letters."""
    document: dict[str, Any] = {
        "id": f"slice-{random_.randrange(10_000)}",
        "name": random_.choice(["vídeo ao vivo", "telemetria", "realidade aumentada"]),
        "status": random_.choice(["active", "planned", "retired"]),
        "kpis": {
            "latency_ms": random_.randrange(1, 50),
            "reliability_pct": random_.choice([99.9, 99.99, 99.999]),
            "dl_throughput_mbps": random_.randrange(10, 1000),
        },
        "flows": [],
    }
    while len(json.dumps(document, ensure_ascii=False)) < size:
        flow = {
            "port": random_.randrange(65536),
            "protocol": random_.choice(["tcp", "udp"]),
            "priority": random_.randrange(1, 10),
            "label": random_.choice(["controle do braço", "câmera da doca", "sensor de vibração", "voz"]),
        }
        document["flows"].append(flow)
    return document


def make_pairs(seed: int, prompts: int, group: int, size: int) -> list[tuple[Example, Completion]]:
    """`group` completions a prompt, strict JSON, each with a few of the reference's values changed."""
    random_ = random.Random(seed)
    pairs = []
    for number in range(prompts):
        document = make_document(random_, size)
        reference = json.dumps(document, ensure_ascii=False)
        example = Example(str(number), "slice", [{"role": "user", "content": "?"}], reference, dict(document["kpis"]))
        for _ in range(group):
            answer = json.loads(reference)
            for flow in random_.sample(answer["flows"], 3):
                flow[random_.choice(["port", "priority"])] = random_.randrange(1, 10)
            pairs.append((example, Completion(json.dumps(answer, ensure_ascii=False))))
    return pairs


def measure(
    functions: list[RewardFunction], options: argparse.Namespace, *, isolated: bool = False
) -> tuple[float, float]:
    """Median seconds for one completion, its JSON read again each time: of this process's CPU, and elapsed."""
    entries = [WeightedFunction(function, isolated=isolated) for function in functions]
    seconds: list[tuple[float, float]] = []
    with RewardHost(entries, error_budget=0.0, error_budget_minimum=1) as host:
        for repeat in range(options.repeats + 1):
            pairs = make_pairs(options.seed, options.prompts, options.group, options.size)
            cpu, start = time.process_time(), time.perf_counter()
            host.score(pairs)
            if repeat:  # the first warms up: compiled schemas, worker processes
                seconds.append(((time.process_time() - cpu) / len(pairs), (time.perf_counter() - start) / len(pairs)))
    return statistics.median(cpu for cpu, _ in seconds), statistics.median(elapsed for _, elapsed in seconds)


def print_line(name: str, cpu: float, elapsed: float) -> None:
    print(
        f"{name:<26}{1e6 * cpu:6.0f} us CPU{1e6 * elapsed:6.0f} us elapsed{1 / cpu:9,.0f} completions a second of CPU"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=125)
    parser.add_argument("--group", type=int, default=8, help="completions a prompt")
    parser.add_argument("--size", type=int, default=2048, help="letters of a completion")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
    options = parser.parse_args()
    functions = [JsonValid(), SchemaValid(schema=json.dumps(SCHEMA)), FieldF1(), KpiValues()]
    if options.profile:
        pairs = make_pairs(options.seed, options.prompts, options.group, options.size)
        profile = cProfile.Profile()
        with RewardHost(functions) as host:
            profile.runcall(host.score, pairs)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    number = options.prompts * options.group
    print(f"{number} completions of {options.size} letters, {options.group} a prompt, median of {options.repeats}")
    print_line("four functions together", *measure(functions, options))
    for function in functions:
        print_line(f"{function.name} alone", *measure([function], options))
    print_line("the host, four functions", *measure([Nothing(), NothingB(), NothingC(), NothingD()], options))
    _, elapsed = measure([JsonValid()], options, isolated=True)
    # Most of its work is done in the other process: only elapsed time says something.
    print(
        f"{'json_valid in a process':<26}{'':13}{1e6 * elapsed:6.0f} us elapsed{1 / elapsed:9,.0f} completions a second"
    )


if __name__ == "__main__":
    main()
