"""Whether training rows cover what a suite asks for: how many call its functions, hold its keywords, or ask its very prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from grpo.data.records import read_records
from grpo.data_tools.conversation import fingerprint
from grpo.harness.suite import Suite
from rewards.errors import UserError
from rewards.functions.expectations import Expectations
from rewards.rows import make_strict_example
from rewards.tool_calls.dialects import read_calls
from rewards.types import Completion, Example

REFRAINING = "no call"
"""What a prompt wants whose list of functions is empty: training rows that answer without one."""
_JUDGE = Expectations()


def measure_coverage(suite: Suite, sources: Sequence[str]) -> dict[str, Any]:
    """How many training rows cover each prompt of a suite, and what it wants that none of them has.

    A prompt wants functions that are called, no call, or keywords (of alternatives one); `rows` is the number of training
    rows with the rarest of these, None where it wants nothing that rows can be searched for. `asked` counts rows with the
    very prompt, which may be learnt by heart. Raises `UserError` where no row can be read.
    """
    calls, said, asked, read, unreadable = Counter[str](), Counter[str](), Counter[int](), 0, 0
    keywords = {_name(entry): entry for row in suite.rows for entry in row["expect"].get("keywords", ())}
    for record in read_records(sources):
        values = record.values
        example = None if values is None else make_strict_example(values, record.where, str(record.number))[0]
        if example is None:
            unreadable += 1
            continue
        read += 1
        answer = example.reference or ""
        calls.update({call.name for call in read_calls(answer).calls} or {REFRAINING})
        said.update(name for name, entry in keywords.items() if _says(answer, entry))
        asked[_fingerprint_of(example.prompt)] += 1
    if not read:
        raise UserError(f"{', '.join(sources)}: no row that can be trained on; see python -m grpo.data validate")
    prompts = []
    for row in suite.rows:
        expect = row["expect"]
        wanted = {name: calls[name] for name in _list_functions(expect)}
        wanted |= {name: said[name] for name in map(_name, expect.get("keywords", ()))}
        prompts.append({
            "id": row["id"], "category": row["task"], "rows": min(wanted.values(), default=None),
            "missing": [name for name, count in wanted.items() if not count],
            "asked": asked[_fingerprint_of(row["prompt"])],
        })  # fmt: skip
    return {"rows": read, "unreadable": unreadable, "prompts": prompts}


def _says(answer: str, entry: Any) -> bool:
    """Whether an answer has a keyword as the suite's own score would find it."""
    example = Example("", "", [], None, {"expect": {"keywords": [entry]}})
    return _JUDGE(example, Completion(answer)).value == 1.0


def _name(entry: Any) -> str:
    return entry if isinstance(entry, str) else " or ".join(entry)


def _list_functions(expect: Mapping[str, Any]) -> list[str]:
    if "calls" in expect:
        return [call["name"] for call in expect["calls"]] or [REFRAINING]
    return (list(expect["tools"]) or [REFRAINING]) if "tools" in expect else []


def _fingerprint_of(prompt: Sequence[Mapping[str, Any]]) -> int:
    """Of what is asked, without what the system says: that is where a suite and a training set differ."""
    return fingerprint(*(str(turn["content"]) for turn in prompt if turn["role"] != "system"))
