"""Checks of the answers that a run's evaluation stored: readable, of known functions, able to refrain, ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from grpo.checklist.checks import FAILED, PASSED, WARNING, Check, judge_share
from grpo.compare.reading import find_stage
from grpo.evaluate.metrics import kind_of
from grpo.leaderboard.voices import list_blended
from rewards.answers import read_answer
from rewards.errors import UserError
from rewards.row_forms.conversations import TOOL_COLUMNS
from rewards.rows import make_example
from rewards.tool_calls.calls import Call
from rewards.tool_calls.dialects import read_calls
from rewards.tool_calls.references import list_asked
from rewards.types import Completion, Example

_FEWEST = 40
"""Held-out rows below which a checklist says little: the interval of a share is then wider than 0.3."""


@dataclass(frozen=True)
class StoredAnswer:
    """A held-out row, what the policy answered to it, and the reward."""

    example: Example
    completion: Completion
    reward: float | None
    errors: int

    @property
    def refrains(self) -> bool:
        """Whether the row is one to which no call, or a refusal, is right."""
        layer = str(self.example.columns.get("target_layer") or "")
        return layer.startswith("adversarial") or (self.example.reference or "").strip() in ("[]", "null", "{}")


def read_stored_answers(run: Path) -> list[StoredAnswer]:
    """The answers of a run's judged checkpoint; `UserError` where it has no evaluation."""
    path = run / "eval" / f"{find_stage(run)}.jsonl"
    found = []
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            row = orjson.loads(line)
            scores = (row.get("scores") or {}).values()
            found.append(
                StoredAnswer(
                    make_example(row, f"{path}:{number}", number, None),
                    Completion.from_row(row),
                    row.get("reward"),
                    sum(score.get("status") == "error" for score in scores),
                )
            )
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); a checklist is of a run that has its final evaluation"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: a line is not a stored completion; evaluate the run again") from None
    if not found:
        raise UserError(f"{path}: no answers; a checklist is of a run that has its final evaluation")
    return found


def check_answers(answers: Sequence[StoredAnswer], limits: Mapping[str, float]) -> Iterator[Check]:
    """Every check of the stored answers; `limits` holds the least share by the name of the check."""
    yield _check_number(answers)
    yield _check_readable(answers, limits["readable"])
    offered = [(each, names) for each in answers if (names := list_offered(each.example))]
    calls = [(each, names, read_calls(each.completion.answer).calls) for each, names in offered]
    calls = [(each, names, made) for each, names, made in calls if made]
    nothing = "no row lists functions under `tools`" if not offered else "no answer to rows with `tools` makes a call"
    yield judge_share(
        "known_functions",
        [float(all(call.name in names for call in made)) for _, names, made in calls],
        limits["known_functions"],
        "answers that call listed functions alone",
        nothing,
    )
    yield judge_share(
        "valid_arguments",
        [float(all(_fits(call, names.get(call.name)) for call in made)) for _, names, made in calls],
        limits["valid_arguments"],
        "answers whose arguments fit the schemas of their functions",
        nothing,
    )
    yield judge_share(
        "refrains",
        [float((each.reward or 0.0) >= 1.0 - 1e-9) for each in answers if each.refrains],
        limits["refrains"],
        "rows without a right call, or to be refused, answered so",
        "no row expects a refusal or no call, so it is unknown whether the policy can refrain",
    )
    yield judge_share(
        "ended",
        [float(not each.completion.truncated) for each in answers],
        limits["ended"],
        "answers that came to their end",
        "",
    )
    yield _check_voices(answers, limits["own_voice"])
    errors = sum(each.errors for each in answers)
    said = f"{errors} scores of {len(answers)} answers are errors of a reward function"
    yield Check("reward_errors", FAILED if errors else PASSED, said, float(errors), n=len(answers), limit=0)


def check_echo(answers: Sequence[StoredAnswer], markers: Sequence[str]) -> Check:
    """Whether answers hold markers of the chat template, as a policy writes that never learnt where a turn ends."""
    echoing = [each.example.id for each in answers if any(marker in each.completion.text for marker in markers)]
    said = f"{len(echoing)} of {len(answers)} answers hold markers of the chat template"
    if echoing:
        said += f", the first is {echoing[0]!r}"
    share = len(echoing) / len(answers)
    return Check("template_echo", FAILED if echoing else PASSED, said, share, n=len(answers), limit=0)


def list_offered(example: Example) -> dict[str, Any]:
    """The functions a row lists under `tools`, each with its schema of arguments (None without one)."""
    tools = next((example.columns[name] for name in TOOL_COLUMNS if example.columns.get(name)), None)
    if isinstance(tools, str):
        try:
            tools = orjson.loads(tools)
        except ValueError:
            return {}
    found = {}
    for tool in tools if isinstance(tools, list) else []:
        inside = tool.get("function", tool) if isinstance(tool, dict) else None
        if isinstance(inside, dict) and isinstance(inside.get("name"), str):
            found[inside["name"]] = inside.get("parameters")
    return found


def _check_number(answers: Sequence[StoredAnswer]) -> Check:
    said = f"{len(answers)} held-out answers"
    few = len(answers) < _FEWEST
    if few:
        said += f"; with fewer than {_FEWEST} every share below says little"
    return Check("examples", WARNING if few else PASSED, said, float(len(answers)), n=len(answers), limit=_FEWEST)


def _check_readable(answers: Sequence[StoredAnswer], limit: float) -> Check:
    values = []
    for each in answers:
        kind = kind_of(each.example)
        if kind == "tool" and any(asked.calls for asked in list_asked(each.example.reference)):
            reading = read_calls(each.completion.answer)
            values.append(float(bool(reading.calls) and not reading.broken))
        elif kind in ("json", "telecom"):
            values.append(float(read_answer(each.completion).value is not None))
    return judge_share(
        "readable", values, limit, "answers whose JSON or calls can be read", "no row asks for JSON or for a call"
    )


def _check_voices(answers: Sequence[StoredAnswer], limit: float) -> Check:
    """Whether personas keep apart: answers that are not nearer to another persona's than to their own."""
    rows = [
        {
            "id": each.example.id,
            "reference": each.example.reference,
            "completion": each.completion.text,
            **each.example.columns,
        }
        for each in answers
    ]
    heard = [1.0 - value for value in list_blended(rows)]
    return judge_share(
        "own_voice", heard, limit, "answers no nearer to another persona's than to their own", "no row has a contrast"
    )


def _fits(call: Call, schema: Any) -> bool:
    """Whether the arguments keep the schema; without one, or with one that is none, nothing is held against them."""
    if not isinstance(schema, dict):
        return True
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(schema).is_valid(dict(call.arguments))
    except (ValueError, TypeError):
        return True
