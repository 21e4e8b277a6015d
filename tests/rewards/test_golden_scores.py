"""Golden scores: what each built-in pays for written-down completions.

With RECOMPENSA_UPDATE_GOLDEN=1 they are scored again, and written down first for a function that has none.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rewards import plugins
from rewards.cheats.cheats import Knowledge, known_labels, make_cheats, make_halves
from rewards.sample_rows import find_options, open_samples
from rewards.types import Completion, Example, RewardFunction

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(module.rpartition(".")[2] for module in plugins.BUILT_INS)
UPDATE = bool(os.environ.get("RECOMPENSA_UPDATE_GOLDEN"))
LONGEST = 1_500


def write_cases(function: RewardFunction, examples: list[Example]) -> list[dict]:
    """Completions for a function's sample rows: all right answers, the halves of three, and the short cheats on the first."""
    references = [example.reference or "" for example in examples]
    texts: dict[tuple[str, str], str] = {}
    for example, reference in zip(examples, references, strict=True):
        texts.setdefault((example.id, reference), "right")
    for at, (example, reference) in enumerate(zip(examples[:3], references[:3], strict=True)):
        others = [other for other in references[at + 1 :] + references[:at] if other != reference]
        for number, half in enumerate(make_halves(reference, others), 1):
            texts.setdefault((example.id, half), f"half {number}")
    knowledge = Knowledge(tuple(other for other in references if other != references[0]), known_labels(function))
    for cheat in make_cheats(examples[0], knowledge):
        texts.setdefault((examples[0].id, cheat.text), f"cheat: {cheat.name}")
    return [
        {"example": example, "case": case, "completion": text, "value": None, "reason": "", "parts": {}}
        for (example, text), case in texts.items()
        if len(text) <= LONGEST or case == "right"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_scores_when_compared_with_their_golden_copies_then_change_only_with_the_version(name):
    """A file starts with the version; each line after it is a completion for one of the function's sample rows."""
    path = GOLDEN / f"{name}.jsonl"
    entry = plugins.load_rewards().get(name)
    function = entry.function(**find_options(entry))
    with open_samples(entry) as samples:
        if not path.exists():
            assert UPDATE, f"{name} has no golden copy; run this with RECOMPENSA_UPDATE_GOLDEN=1"
            lines = [{"function": name, "version": ""}, *write_cases(function, samples)]
        else:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        header, *cases = lines
        examples = {example.id: example for example in samples}
        scored = []
        for case in cases:
            score = function(examples[case["example"]], Completion(case["completion"]))
            value = None if score.value is None else round(score.value, 9)
            parts = {part: round(share, 9) for part, share in score.parts.items()}
            scored.append({**case, "value": value, "reason": score.reason, "parts": parts})
    changed = [
        old["case"]
        for old, new in zip(cases, scored, strict=True)
        if (old["value"], old["parts"]) != (new["value"], new["parts"])
    ]
    assert not changed or entry.version != header["version"], (
        f"{name} scores {len(changed)} completions differently, such as '{changed[0]}': raise its version, then run this "
        "with RECOMPENSA_UPDATE_GOLDEN=1"
    )
    lines = [{"function": name, "version": entry.version}, *scored]
    if UPDATE:
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        return
    assert lines == [header, *cases], (
        f"{name} has another version or other reasons than its golden copy; run this with RECOMPENSA_UPDATE_GOLDEN=1"
    )


def test_golden_scores_when_listed_then_no_file_outlives_its_function():
    """A removed function leaves no copy behind."""
    assert {path.stem for path in GOLDEN.glob("*.jsonl")} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_golden_scores_when_read_then_go_from_everything_to_nothing(name):
    """Each sample row's right answer is there and earns the most; something in between is there, and something worth little."""
    header, *cases = (json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
    assert header["function"] == name
    values = [case["value"] for case in cases if case["value"] is not None]
    right = [case["value"] for case in cases if case["case"] == "right"]
    assert len(right) >= 3 and set(right) - {None} == {max(values)} == {1.0}
    assert min(values) <= 0.3 and any(0.3 < value < 0.95 for value in values)
    assert len({(case["example"], case["case"]) for case in cases}) == len(cases)
