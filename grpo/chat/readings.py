"""What an answer says to the run's rewards: the row that was asked, what was read, each repair, and the reward."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.evaluate.policy_source import is_run, load_run_config
from rewards.errors import UserError
from rewards.types import Completion, Example

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost

_SHOWN_ROWS = 5


@dataclass
class RowDesk:
    """The rows and rewards of a run, by which a question becomes one of its rows; without a run everything is plain."""

    rows: list[Example] = field(default_factory=list)
    host: RewardHost | None = None
    limit: int = 512

    @property
    def tasks(self) -> list[str]:
        """The tasks of the held-out rows, sorted; none without a run."""
        return sorted({row.task for row in self.rows})

    def find(self, identity: str) -> Example:
        """The held-out row of that id; UserError where there is none."""
        for row in self.rows:
            if row.id == identity:
                return row
        raise UserError(
            f"no held-out row {identity}; one is {self.rows[0].id if self.rows else 'not available without a run'}"
        )

    def make_example(self, text: str, task: str | None, reference: str | None = None) -> Example:
        """The text as a row of the task: it stands where the task's rows have their last user message.

        A text that a held-out row asks is that row, with its reference; else the row has the database of its task's rows
        and the given reference.
        """
        plain = Example(name_text(text), task or "default", [{"role": "user", "content": text}], reference, {})
        of_task = [row for row in self.rows if row.task == task]
        if not of_task:
            return plain
        for row in of_task:
            if asked(row) == text.strip():
                return row if reference is None else replace(row, reference=reference)
        messages = [dict(message) for message in of_task[0].prompt]
        place = max(index for index, message in enumerate(messages) if message["role"] == "user")
        messages[place:] = [{"role": "user", "content": text}]
        columns = {"database": of_task[0].columns["database"]} if "database" in of_task[0].columns else {}
        return Example(plain.id, of_task[0].task, messages, reference, columns)

    def match(self, messages: Sequence[Mapping[str, Any]]) -> Example | None:
        """The held-out row with this very prompt; None where there is none."""
        wanted = [(str(message.get("role")), message.get("content")) for message in messages]
        return next((row for row in self.rows if [(m["role"], m["content"]) for m in row.prompt] == wanted), None)


def open_desk(run: str | None) -> RowDesk:
    """Rows and rewards of the run; of none where `run` is None. UserError where it is not a run, or its rows are gone."""
    if run is None:
        return RowDesk()
    path = Path(run).expanduser()
    if not (path.is_dir() and is_run(path)):
        raise UserError(f"--run {run}: not the folder of a run; leave it out to chat without rewards")
    from grpo.data.run_rows import load_inputs
    from rewards.config import build_host

    config = load_run_config(path, rows=True)
    rows = [row for row in load_inputs(config).held_out if any(message["role"] == "user" for message in row.prompt)]
    limit = config.evaluation.max_completion_length or config.grpo.max_completion_length
    return RowDesk(rows, build_host(config.rewards), limit)


def read_answer(desk: RowDesk, example: Example, completion: Completion) -> dict[str, Any]:
    """What there is to say of an answer, as JSON: `answer`, `read`, `repairs`, and `reward` and `scores` where they apply."""
    from rewards.extraction import extract_json

    said: dict[str, Any] = {
        "id": example.id, "task": example.task, "answer": completion.text, "truncated": completion.truncated,
    }  # fmt: skip
    if "{" in completion.text or "[" in completion.text:
        found = extract_json(completion.text)
        if isinstance(found.value, dict | list):
            said["read"] = found.value
            said["repairs"] = [str(repair.kind) for repair in found.repairs]
    database = example.columns.get("database")
    if database is not None:
        said["rows"] = _run(str(database), completion)
    if desk.host is not None and example.reference is not None and desk.host.functions_for(example.task):
        from rewards.host.records import record_scores

        (scored,) = desk.host.score([(example, completion)])
        said |= {"reward": scored.reward, "reference": example.reference, "scores": record_scores(scored)}
    return said


def describe(said: Mapping[str, Any]) -> str:
    """The same for people: the answer, then what was read of it."""
    lines = [said["answer"] or "(no output)"]
    if said["truncated"]:
        lines.append("  cut off at the limit of tokens")
    if "read" in said:
        repairs = ", ".join(said["repairs"])
        lines.append(f"  read: {json.dumps(said['read'], ensure_ascii=False)}")
        lines.append(f"  repairs: {repairs}" if repairs else "  repairs: none, it is strict JSON")
    if "rows" in said:
        lines.append(f"  the database answers: {said['rows']}")
    if "scores" in said:
        reward = "none" if said["reward"] is None else f"{said['reward']:.3f}"
        lines.append(f"  reward: {reward}")
        for name, score in said["scores"].items():
            value = "error" if score["status"] == "error" else score["value"]
            if value is not None:
                shown = value if isinstance(value, str) else f"{value:.3f}"
                lines.append(
                    f"    {name} {score['version']}: {shown}" + (f", {score['reason']}" if score["reason"] else "")
                )
        if said["reward"] != 1.0:
            lines.append(f"  reference: {said['reference']}")
    return "\n".join(lines)


def asked(row: Example) -> str:
    """What the row's last user message says."""
    return next(message["content"] for message in reversed(row.prompt) if message["role"] == "user").strip()


def name_text(text: str) -> str:
    """An id that follows from the text."""
    return "prompt-" + hashlib.sha256(text.encode()).hexdigest()[:12]


def _run(database: str, completion: Completion) -> str:
    """What the answer's SQL gives, in a line."""
    from rewards.sql.sandbox import Limits, run_query
    from rewards.sql.statements import find_answer

    statement = find_answer(completion)
    sql = getattr(statement, "sql", None) or ""
    if not sql:
        return "no SQL statement was found"
    result = run_query(database, sql, Limits())
    if result.status != "ok":
        return result.message or result.status
    more = f" and {len(result.rows) - _SHOWN_ROWS} more" if len(result.rows) > _SHOWN_ROWS else ""
    return "; ".join(", ".join(map(str, row)) for row in result.rows[:_SHOWN_ROWS]) + more or "no rows"
