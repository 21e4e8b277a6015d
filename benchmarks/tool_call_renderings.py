"""Writes BFCL's right calls in every notation that we know and scores them with tool_call: each must earn exactly 1."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rewards.functions.tool_call import ToolCall
from rewards.host.scoring import RewardHost
from rewards.tool_calls.rendering import DIALECTS, render_calls
from rewards.types import Completion, Example


def read_answers(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """The possible answers of BFCL's rows of single turns."""
    for path in sorted(folder.glob("BFCL_*.json")):
        for line in path.read_text(encoding="utf-8").splitlines():
            answer = json.loads(line).get("ground_truth")
            if isinstance(answer, list) and answer and all(isinstance(call, dict) for call in answer):
                yield answer


def take_first(answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls with the first allowed value of each argument; those that may be left out are."""
    calls = []
    for entry in answer:
        ((name, allowed),) = entry.items()
        arguments = {key: _pick(values[0]) for key, values in allowed.items() if values and "" not in values}
        calls.append({"name": name, "arguments": arguments})
    return calls


def _pick(value: Any) -> Any:
    if isinstance(value, list):
        return [_pick(each) for each in value]
    if not isinstance(value, dict):
        return value
    picked = {}
    for key, values in value.items():
        if not isinstance(values, list):
            picked[key] = _pick(values)
        elif "" not in values:
            picked[key] = _pick(values[0])
    return picked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="BFCL's folder `data/possible_answer`")
    arguments = parser.parse_args()
    scored, missed, started = 0, Counter(), time.perf_counter()
    with RewardHost([ToolCall()]) as host:
        for answer in read_answers(arguments.folder):
            try:
                calls = take_first(answer)
            except (AttributeError, IndexError, ValueError):
                continue
            rows = (
                Example("calls", "any", [], json.dumps(calls)),
                Example("answers", "any", [], None, {"references": answer}),
            )
            for dialect in DIALECTS:
                completion = Completion(render_calls(calls, dialect))
                for outcome in (one.outcomes[0] for one in host.score([(row, completion) for row in rows])):
                    scored += 1
                    missed[dialect] += outcome.value != 1.0
    seconds = time.perf_counter() - started
    print(f"{scored} scores in {seconds:.0f} s over {len(DIALECTS)} notations; below 1: {sum(missed.values())}")
    for dialect, count in missed.most_common():
        if count:
            print(f"  {dialect}: {count}")


if __name__ == "__main__":
    main()
