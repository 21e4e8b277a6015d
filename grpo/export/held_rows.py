"""The rows that an export is checked and proved on, who scores them, and the run's own answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo.evaluate.row_stream import read_stored
from grpo.export.adding import Added
from grpo.export.choice import PolicyToExport
from grpo.export.greedy import answer_greedily
from grpo.export.proof import Judged, judge
from rewards.errors import UserError
from rewards.types import Completion, Example

if TYPE_CHECKING:
    from callbacks.progress import Progress
    from grpo.policy.loading import Policy
    from rewards.host.scoring import RewardHost

_QUESTIONS = (
    "Olá!",
    "What is 12 x 12?",
    "Responda em JSON: nome e preço de um café de R$ 4,50.",
    "Write one SQL query.",
)


@dataclass
class Request:
    """What is asked for. `formats` None: what this policy has a use for; `rows` is how many answers prove it, 0 none.

    `vllm`: the merged model is proved in vLLM too. `repository`: where it goes on the Hub, and then it names no folder of
    this machine.
    """

    choice: PolicyToExport
    destination: Path
    formats: Sequence[str] | None = None
    rows: int = 64
    dtype: str | None = None
    device: str = "cpu"
    threads: int | None = None
    added: Sequence[Added] = ()
    vllm: bool = False
    repository: str | None = None


@dataclass
class Held:
    """The rows that checks and proofs are made on, and who scores them; without a run there are questions, no scores."""

    examples: list[Example]
    inputs: Any = None
    host: RewardHost | None = None
    stored: list[Completion] | None = None


def hold_rows(request: Request, notes: list[str]) -> Held:
    """The rows on which an export is proved: held-out rows of the run, or a few questions if the model is not a run."""
    from grpo.data.run_rows import load_inputs
    from grpo.training.held_out import take_evenly
    from rewards.config import build_host

    choice = request.choice
    if choice.run is None:
        asked = _QUESTIONS[: request.rows or None]
        return Held(
            [Example(str(n), "default", [{"role": "user", "content": q}], None, {}) for n, q in enumerate(asked)]
        )
    inputs, stored = None, choice.recorded_answers()
    try:
        inputs = load_inputs(choice.config)
        rows = inputs.held_out
    except UserError as fault:
        if stored is None:
            raise
        notes.append(f"the run's rows cannot be read ({fault.problems[0][:160]}); those of its evaluation are used")
        rows = list(read_stored(stored))
    # The rows that this policy was judged by, where it was; they may not be those of the evaluations on the way.
    judged = {(row.task, row.id) for row in read_stored(stored)} if stored is not None else set()
    rows = [row for row in rows if (row.task, row.id) in judged] or take_evenly(
        rows, choice.config.evaluation.max_examples
    )
    rows = take_evenly(rows, request.rows) if request.rows else rows[:8]
    host = build_host(choice.config.rewards)
    return Held(rows, inputs, host, _read_greedy(choice, rows))


def _read_greedy(choice: PolicyToExport, rows: Sequence[Example]) -> list[Completion] | None:
    """The run's own answers to these rows where its evaluation was greedy; None where it sampled, or lacks one."""
    from rewards.rescore import read_stored as read_answers

    path = choice.recorded_answers()
    if choice.config.evaluation.temperature != 0 or path is None:
        return None
    found = {(item.example.task, item.example.id): item.completion for item in read_answers(path)}
    answers = [found.get((row.task, row.id)) for row in rows]
    return [answer for answer in answers if answer is not None] if all(answers) else None


def own_answers(request: Request, policy: Policy, held: Held, progress: Progress) -> Judged | None:
    """What the exported files are held against: recorded greedy answers, else base plus adapter answering now."""
    if not request.rows:
        return None
    if held.stored is not None:
        return judge("as the run recorded it", held.examples, held.stored, held.host)
    limit, batch = answer_limit(request), min(64, request.choice.config.evaluation.batch_size)
    with progress.stage("the run's own greedy answers", len(held.examples), unit="rows") as bar:
        answers = answer_greedily(policy, held.examples, limit=limit, batch=batch, advance=bar.advance)
    return judge("greedy, answered now", held.examples, answers, held.host)


def answer_limit(request: Request) -> int:
    """The most tokens an answer may have."""
    config = request.choice.config
    return (config.evaluation.max_completion_length or config.grpo.max_completion_length) if request.choice.run else 48


def token_rows(policy: Policy, held: Held) -> list[list[int]]:
    """Prompt and right answer of a few rows, as token ids."""
    found = []
    for row in held.examples[:8]:
        ids = list(policy.prompts.prompt_ids(row.prompt))
        found.append(ids + list(policy.tokenizer.encode(row.reference or "Sim.", add_special_tokens=False)))
    return found
