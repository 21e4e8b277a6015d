"""Measures the JSON reader beside json_repair: answers right and wrong on a corpus, time by kind and size, worst cases."""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rewards.extraction import extract_json

Reader = Callable[[str], Any]
SIZES = (512, 2_048, 8_192)
PROBE = 4_000
LENGTHS = (62_500, 250_000, 1_000_000)


def read_ours(text: str) -> Any:
    return extract_json(text).value


def load_peer() -> Reader | None:
    """json_repair's reader, giving None for what is not an object or list; None where it is not installed."""
    try:
        import json_repair
    except ImportError:
        return None

    def read(text: str) -> Any:
        value = json_repair.loads(text)
        return value if isinstance(value, dict | list) else None

    return read


def is_same(got: Any, wanted: Any) -> bool:
    """Equality that tells True from 1; `__NaN__` and `__Infinity__` stand for values JSON cannot write."""
    if isinstance(wanted, str) and wanted in ("__NaN__", "__Infinity__"):
        return isinstance(got, float) and not math.isfinite(got)
    if isinstance(got, bool) or isinstance(wanted, bool):
        return got is wanted
    if isinstance(got, int | float) and isinstance(wanted, int | float):
        return got == wanted
    if isinstance(got, dict) and isinstance(wanted, dict):
        return got.keys() == wanted.keys() and all(is_same(got[key], wanted[key]) for key in got)
    if isinstance(got, list) and isinstance(wanted, list):
        return len(got) == len(wanted) and all(is_same(a, b) for a, b in zip(got, wanted, strict=True))
    return type(got) is type(wanted) and got == wanted


def judge(reader: Reader, case: dict[str, Any]) -> str:
    """`right`, `wrong` (a value that the case does not accept), `none`, or `raised`."""
    try:
        got = reader(case["text"])
    except Exception:
        return "raised"
    if any(is_same(got, wanted) for wanted in [case["expected"], *(case.get("also_ok") or [])]):
        return "right"
    return "none" if got is None else "wrong"


def measure_corpus(path: Path, readers: dict[str, Reader]) -> dict[str, dict[str, dict[str, int]]]:
    """Counts of verdicts by family and reader; the family `all` is their sum."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        for name, reader in readers.items():
            verdict = judge(reader, case)
            for family in (case["family"], "all"):
                counts = table.setdefault(family, {}).setdefault(
                    name, dict.fromkeys(("right", "wrong", "none", "raised"), 0)
                )
                counts[verdict] += 1
    return table


def make_document(length: int, seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    document: dict[str, Any] = {"cliente": "Ana Paula", "itens": []}
    while len(json.dumps(document, ensure_ascii=False)) < length:
        document["itens"].append(
            {
                "id": rng.randint(1, 10**5),
                "nome": f"produto número {rng.randint(1, 99)}, azul",
                "preco": round(rng.random() * 100, 2),
                "ok": rng.random() < 0.5,
                "obs": None,
                "tags": ["a", "bb", "c d"],
                "notas": [1, 2, 3],
            }
        )
    return document


def make_kinds(length: int, seed: int) -> dict[str, tuple[str, Any]]:
    """Texts of about `length` characters by kind, each with the value it stands for."""
    document = make_document(length, seed)
    plain = json.dumps(document, ensure_ascii=False)
    pretty = json.dumps(document, ensure_ascii=False, indent=1)
    texts = {
        "strict": plain,
        "fenced": f"Aqui está o resultado:\n```json\n{plain}\n```\nEspero ter ajudado.",
        "after reasoning": f'<think>\nTalvez {{"a": 1}}? Vou conferir os itens.\n</think>\n{plain}',
        "in prose": f"Segue: {plain} fim.",
        "trailing comma, comment": f"{plain[:-1]},}} // fim\n",
        "comments on lines": pretty.replace('"obs": null,', '"obs": null, // nada')[:-2] + ",\n}",
        "decimal commas": re.sub(r"(?<=: )(\d+)\.(\d+)", r"\1,\2", pretty),
        "Python repr": repr(document),
        "missing commas": pretty.replace(",\n", "\n"),
    }
    return {kind: (text, document) for kind, text in texts.items()}


def time_median(reader: Reader, text: str, seconds: float) -> float:
    """Median time of one reading in microseconds, over about `seconds` of readings."""
    start = time.perf_counter()
    reader(text)
    once = max(time.perf_counter() - start, 1e-7)
    repeats = max(1, int(0.002 / once))
    times = []
    while sum(times) < seconds or len(times) < 5:
        start = time.perf_counter()
        for _ in range(repeats):
            reader(text)
        times.append(time.perf_counter() - start)
    return statistics.median(times) / repeats * 1e6


def measure_times(readers: dict[str, Reader], seed: int, seconds: float) -> list[dict[str, Any]]:
    import orjson

    rows = []
    for length in SIZES:
        for kind, (text, document) in make_kinds(length, seed).items():
            row: dict[str, Any] = {"kind": kind, "characters": len(text)}
            for name, reader in readers.items():
                row[name] = round(time_median(reader, text, seconds), 1)
                row[f"{name} right"] = is_same(reader(text), document)
            if kind == "strict":
                row["orjson"] = round(time_median(orjson.loads, text, seconds), 1)
            rows.append(row)
    return rows


def fill(unit: str, length: int) -> str:
    return (unit * (length // len(unit) + 1))[:length]


WORST: dict[str, Callable[[int], str]] = {
    "brackets": lambda n: "[" * n,
    "braces": lambda n: "{" * n,
    "nested objects": lambda n: fill('{"a":', n),
    "lists and back": lambda n: "[" * (n // 2) + "]" * (n // 2),
    "wrong closers": lambda n: fill('{"a":[}', n),
    "quotes": lambda n: "{" + '"' * n,
    "inner quotes": lambda n: '{"x": "' + fill('a" ', n),
    "mixed quotes": lambda n: "{'a': '" + fill("\"x', ", n),
    "backslashes": lambda n: '{"a": "' + "\\" * n,
    "escaped documents": lambda n: fill('{\\"a\\": ', n),
    "digits": lambda n: '{"a": ' + "7" * n + "}",
    "grouped digits": lambda n: '{"a": 1' + fill(".111", n) + "}",
    "decimal lists": lambda n: '{"a": [' + fill("7,5; ", n) + "1]}",
    "commas": lambda n: '{"a": 1' + "," * n,
    "words and commas": lambda n: '{"a": ' + fill("palavra, ", n),
    "decoys": lambda n: fill("{x} [y] ", n),
    "small objects": lambda n: fill('{"a":1} texto ', n),
    "broken objects": lambda n: fill('{"a":"b ', n),
    "fences": lambda n: fill("```json\n", n),
    "fenced objects": lambda n: fill('```json\n{"a":1}\n```\n', n),
    "think tags": lambda n: fill("<think>", n),
    "think pairs": lambda n: fill("<think></think>", n),
    "comments": lambda n: '{"a": 1, ' + fill("/* x */", n),
    "spaces": lambda n: '{"a": 1 ' + " " * n,
    "garbage": lambda n: fill("áé~#@!%&*()_+<>?;:|\x00\ud800", n),
    "Python repr": lambda n: "[" + fill("{'id': 1, 'b': 'x', 'c': None},", n // 31 * 31) + "1]",
}


def time_once(reader: Reader, text: str) -> float | None:
    """Seconds of one reading; None where it raises."""
    start = time.perf_counter()
    try:
        reader(text)
    except Exception:
        return None
    return round(time.perf_counter() - start, 4)


def measure_worst(readers: dict[str, Reader], limit_seconds: float) -> list[dict[str, Any]]:
    """Seconds by shape and length; a reader that would pass the limit, or raises, is not asked for longer texts."""
    rows = []
    for shape, make in WORST.items():
        for name, reader in readers.items():
            seconds: list[float | None] = []
            for length in (PROBE, *LENGTHS):
                # Quadratic readers pass any limit within two steps: stop before the step that would.
                steep = length / (PROBE if len(seconds) == 1 else length / 4)
                if seconds and (seconds[-1] is None or seconds[-1] * steep**2 > limit_seconds):
                    seconds.append(None)
                    continue
                seconds.append(time_once(reader, make(length)))
            seconds = seconds[1:]
            last, before = seconds[-1], seconds[-2]
            growth = round(last / before, 1) if last and before else None
            rows.append({"shape": shape, "reader": name, "seconds": seconds, "growth": growth})
    return rows


def show(report: dict[str, Any]) -> None:
    if "corpus" in report:
        print(f"{'family':18} " + " ".join(f"{name + ' right/wrong/none':>34}" for name in report["readers"]))
        for family, by_reader in sorted(report["corpus"].items(), key=lambda item: (item[0] == "all", item[0])):
            cells = []
            for counts in by_reader.values():
                total = sum(counts.values())
                none = counts["none"] + counts["raised"]
                cells.append(
                    f"{counts['right']:5}/{counts['wrong']:4}/{none:4} of {total:4} {100 * counts['right'] / total:6.1f} %"
                )
            print(f"{family:18} " + " ".join(f"{cell:>34}" for cell in cells))
        print()
    print(
        f"{'kind':26} {'characters':>10} "
        + " ".join(f"{name + ' µs':>16}" for name in report["readers"])
        + "    against"
    )
    for row in report["times"]:
        cells = [f"{row[name]:>12} {'' if row[name + ' right'] else '(!)':3}" for name in report["readers"]]
        other = row.get("orjson") or row.get("json_repair")
        ratio = f"{'orjson' if 'orjson' in row else 'json_repair'} x{other / row['ours']:.2f}" if other else ""
        print(f"{row['kind']:26} {row['characters']:>10} " + " ".join(cells) + f"    {ratio}")
    print("(!) read as another value\n")
    print(f"{'shape':20} {'reader':12} " + " ".join(f"{length:>10}" for length in LENGTHS) + "   growth")
    for row in report["worst"]:
        cells = [f"{seconds:>10.4f}" if seconds is not None else f"{'-':>10}" for seconds in row["seconds"]]
        print(f"{row['shape']:20} {row['reader']:12} " + " ".join(cells) + f"   {row['growth'] or '-'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, help="JSON Lines with text, expected, also_ok, family")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.2, help="time spent on each median")
    parser.add_argument(
        "--limit", type=float, default=8.0, help="seconds a worst case may take before longer ones are left out"
    )
    parser.add_argument("--alone", action="store_true", help="leave json_repair out")
    arguments = parser.parse_args()
    readers: dict[str, Reader] = {"ours": read_ours}
    peer = None if arguments.alone else load_peer()
    if peer is not None:
        readers["json_repair"] = peer
    report: dict[str, Any] = {"readers": list(readers)}
    if arguments.corpus is not None:
        report["corpus"] = measure_corpus(arguments.corpus, readers)
    report["times"] = measure_times(readers, arguments.seed, arguments.seconds)
    report["worst"] = measure_worst(readers, arguments.limit)
    if arguments.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        show(report)


if __name__ == "__main__":
    main()
