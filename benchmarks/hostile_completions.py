"""Hostile completions through every reward: what crashes, what raises, what takes longer than its two seconds.

python benchmarks/hostile_completions.py                 5,000 completions, drawn by seed 1, and the large ones
python benchmarks/hostile_completions.py --completions 200 --rewards camara,tmf921
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from hostile_texts import list_hostile

from rewards.host.records import make_record
from rewards.host.scoring import RewardHost
from rewards.host.supervisor import list_children
from rewards.host.verdicts import ScoredCompletion
from rewards.plugins import load_rewards
from rewards.sample_rows import find_options, open_samples
from rewards.types import Completion, Example, RewardFunction
from rewards.writing.writable import MARK, to_line

SECONDS = 2.0
"""One that takes longer by the clock is scored again, and its processor time counts, that of its processes included."""

_PIECES = (
    "\ud800", "\udfff", "\x00", "\x1b]52;c;aGk=\x07", "\x1b[2J", "\u202e", "\ufeff", "9" * 5_000, "1e99999", "-0", "NaN",
    "{", "}", "[", "]", '"', "'", "\\", ",", ":", "```json\n", "```", "<think>", "</think>", "<tool_call>", "</tool_call>",
    '{"\\ud800": 1}', '"a": ', "null", "true", "SELECT ", " FROM orders", "\n", "\t", " " * 200, "e\u0301" * 20, "@prefix ex: <",
    "https://example.org/", "<!--", "]]>", "{{", "%s", "${x}", "\u2028", "10 ms", "3,5", "1.234,56", "R$ ", "[TOOL_CALLS]",
)  # fmt: skip


def list_large() -> Iterator[tuple[str, str]]:
    """Few, but as wide, deep or long as a completion can be."""
    yield "50,000 keys", json.dumps({f"k{n}": n for n in range(50_000)})
    yield "50,000 keys of objects", json.dumps({f"k{n}": {"a": n} for n in range(50_000)})
    yield "one key 50,000 times", "{" + ", ".join('"a": 1' for _ in range(50_000)) + "}"
    yield "50,000 elements", json.dumps([{"id": n, "name": "x"} for n in range(50_000)])
    yield "20,000 levels", "[" * 20_000 + "]" * 20_000
    yield "20,000 objects deep", '{"a":' * 20_000 + "1" + "}" * 20_000
    yield "a text of 2 MB", json.dumps({"a": "x" * 2_000_000})
    yield "2 MB of quotes", '"' * 2_000_000
    yield "2 MB of braces", "{" * 2_000_000
    yield "2 MB of backslashes", "\\" * 2_000_000
    yield "a number of a million digits", '{"a": ' + "7" * 1_000_000 + "}"
    yield "200,000 words", "sempre " * 200_000
    yield "10,000 fences", "```json\n{}\n```\n" * 10_000
    yield "10,000 tool calls", '<tool_call>{"name": "f", "arguments": {}}</tool_call>' * 10_000
    yield "a SELECT of 200,000 characters", "SELECT " + ", ".join(["id"] * 66_000) + " FROM orders"
    yield "nested SELECTs", "SELECT " + "(SELECT " * 5_000 + "1" + ")" * 5_000
    yield "100,000 triples", "@prefix a: <http://a/> . " + "a:b a:c a:d . " * 100_000


def draw(seed: int, count: int, references: list[str]) -> Iterator[str]:
    """Random texts of hostile pieces, and right answers with something in them broken."""
    rng = random.Random(seed)
    for _ in range(count):
        if rng.random() < 0.5:
            yield "".join(rng.choice(_PIECES) for _ in range(rng.randint(1, 40)))
            continue
        text = list(rng.choice(references))
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(text) + 1)
            text[at : at + rng.choice((0, 0, 1, 5))] = rng.choice(_PIECES)
        yield "".join(text)


def score(function: RewardFunction, example: Example, text: str) -> tuple[float, ScoredCompletion]:
    """Seconds, and what came of it."""
    started = time.perf_counter()
    with RewardHost([function]) as host:
        (scored,) = host.score([(example, Completion(text))])
    return time.perf_counter() - started, scored


def read_processor_seconds() -> float:
    """Of this process and of those below it, ended or alive."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for child in list_children(os.getpid()):
        with suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{child}/stat").read_bytes().rpartition(b")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(completions: int, names: list[str], seed: int) -> dict[str, object]:
    """Every completion through every function; counts, and what took longest."""
    failed: list[str] = []
    slow: list[str] = []
    marked, scores, slowest = 0, 0, (0.0, "")
    with ExitStack() as stack:
        functions = []
        for entry in load_rewards():
            if not entry.isolated and (not names or entry.name in names):
                rows = stack.enter_context(open_samples(entry))
                functions.append((entry.function.model_validate(find_options(entry)), rows[0]))
        references = [row.reference for _, row in functions if row.reference]
        texts = [(f"random {at}", text) for at, text in enumerate(draw(seed, completions, references))]
        large = [*list_large(), *list_hostile()]
        for what, text in [*large, *texts]:
            for function, example in functions:
                took, scored = score(function, example, text)
                if took > SECONDS:  # the machine may have been busy with something else
                    started = read_processor_seconds()
                    score(function, example, text)
                    took = min(took, read_processor_seconds() - started)
                scores += 1
                marked += MARK.encode() in to_line(make_record(scored))
                if scored.outcomes[0].status == "error":
                    failed.append(f"{function.name}, {what}: {scored.outcomes[0].reason[:150]}")
                if took > SECONDS:
                    slow.append(f"{function.name}, {what}: {took:.1f} s")
                slowest = max(slowest, (took, f"{function.name}, {what}"))
    return {
        "completions": len(texts) + len(large), "rewards": len(functions), "scores": scores, "failed": failed,
        "slower_than_2_s": slow, "slowest_seconds": round(slowest[0], 2), "slowest": slowest[1], "made_writable": marked,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--completions", type=int, default=5_000)
    parser.add_argument("--rewards", default="", metavar="NAMES", help="with commas; all of ours without it")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    names = [name for name in options.rewards.split(",") if name]
    print(json.dumps(measure(options.completions, names, options.seed), indent=2, ensure_ascii=True))


if __name__ == "__main__":
    main()
