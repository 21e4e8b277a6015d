"""The rows in windows that fit into memory: each is batched by length, shared out, answered, scored and stored."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from grpo.distributed import collectives
from grpo.distributed import rank as ranks
from grpo.evaluate.failures import name_failure
from grpo.evaluate.journal import key_of
from grpo.evaluate.metrics import Measurer
from grpo.evaluate.stripping import strip_answer
from grpo.generation.answers import Settings, WrittenAnswer, plan_batches
from rewards.errors import UserError
from rewards.types import Example

if TYPE_CHECKING:
    from grpo.evaluate.backends import Writer
    from grpo.evaluate.journal import Journal
    from grpo.evaluate.request import Inputs
    from grpo.evaluate.row_stream import CheckedRows

BATCHES = 64
"""Batches a window: enough that prompts of like length meet and many processes have work, few enough for any memory."""
_SHOWN = 3


def measure_prompts(writer: Writer, rows: CheckedRows, settings: Settings, stage: Any) -> int:
    """The most tokens that prompt and answer may come to; UserError where they are beyond the writer's context.

    All rows are looked at before the first answer: none must end an evaluation hours later. The processes share them.
    """
    rank = ranks.find_rank()
    longest, count = 0, 0
    long: list[Any] = []
    for place, example in enumerate(rows):
        stage.advance()
        if place % rank.count != rank.index:
            continue
        length = len(writer.prompts.prompt_ids(example.prompt))
        longest = max(longest, length)
        if length + settings.max_completion_length > writer.context:
            count += 1
            long += [(place, f"{example.id} ({length})")] if len(long) < _SHOWN else []
    longest = max(collectives.gather(longest))
    long, count = sorted(collectives.concatenate(long)), sum(collectives.gather(count))
    if count:
        shown = ", ".join(name for _, name in long[:_SHOWN]) + (f" and {count - _SHOWN} more" if count > _SHOWN else "")
        raise UserError(
            f"--data: prompts of this many tokens and answers of {settings.max_completion_length} are beyond the model's "
            f"context of {writer.context}: {shown}; --set evaluation.max_completion_length=N lowers it"
        )
    return longest + settings.max_completion_length


def answer_rows(inputs: Inputs, writer: Writer, journal: Journal, stage: Any) -> Counter[str]:
    """Answer what the journal lacks; returns how often each metric failed. The first process writes the journal.

    A batch of which rows are missing is written as a whole and what was on disk is kept: no answer depends on where an
    evaluation was interrupted nor on how many processes share it, not even by rounding.
    """
    samples, batch_size = inputs.settings.samples, inputs.config.evaluation.batch_size
    done, waiting = collectives.on_main(lambda: (journal.done, set(journal.waiting)))
    measurer, pace = Measurer(), _Pace()
    end = 0
    for examples in inputs.rows.windows(BATCHES * max(1, batch_size // samples)):
        first, end = end, end + len(examples)
        if end * samples <= done:
            continue
        keys = [(example.task, example.id, sample) for example in examples for sample in range(samples)]
        in_place = max(0, done - first * samples)
        known = {*keys[:in_place], *waiting}
        waiting = set()
        prompts = [array("I", writer.prompts.prompt_ids(example.prompt)) for example in examples]
        whole = len(examples) * samples if writer.takes_windows else batch_size
        batches = [
            batch
            for batch in plan_batches([len(prompt) for prompt in prompts], batch_size=whole, samples=samples)
            if not known.issuperset(keys[place * samples + sample] for place in batch for sample in range(samples))
        ]
        for batch in _share(batches):
            mine = [(examples[place], prompts[place]) for place in batch]
            rows = collectives.together(partial(_answer_batch, inputs, writer, measurer, mine))
            rows = [row for row in collectives.concatenate(rows) if key_of(row) not in known]
            collectives.on_main(partial(journal.append, rows))
            stage.advance(len(rows), **{"answers/s": pace.after(len(rows))}, reward=journal.mean_reward)
        collectives.on_main(partial(journal.put_in_order, keys[in_place:]))
    return sum(collectives.gather(measurer.errors), Counter())


class _Pace:
    """Answers a second since it was made."""

    def __init__(self) -> None:
        self._started, self._answers = time.perf_counter(), 0

    def after(self, answers: int) -> float:
        self._answers += answers
        return self._answers / max(time.perf_counter() - self._started, 1e-9)


def _share(batches: Sequence[list[int]]) -> Iterator[list[int]]:
    """This process's batch of each round, [] where a round has none left for it; all go through the same rounds."""
    rank = ranks.find_rank()
    for start in range(0, len(batches), rank.count):
        mine = start + rank.index
        yield batches[mine] if mine < len(batches) else []


def _answer_batch(
    inputs: Inputs, writer: Writer, measurer: Measurer, batch: Sequence[tuple[Example, Sequence[int]]]
) -> list[dict[str, Any]]:
    if not batch:
        return []
    examples, prompts = zip(*batch, strict=True)
    answers = writer.write(examples, prompts, inputs.settings)
    flat = [
        (example, sample, answer)
        for example, given in zip(examples, answers, strict=True)
        for sample, answer in enumerate(given)
    ]
    scored = inputs.host.score([(example, answer.completion) for example, _, answer in flat])
    return [
        _record(inputs.host, measurer, score, answer, sample)
        for score, (_, sample, answer) in zip(scored, flat, strict=True)
    ]


def _record(host: Any, measurer: Measurer, scored: Any, answer: WrittenAnswer, sample: int) -> dict[str, Any]:
    """The stored-completion row with what an evaluation adds."""
    example, completion = scored.example, scored.completion
    completion.extraction  # noqa: B018 - read here so that the row names the repairs whatever the rewards looked at
    row = host.to_record(scored)
    metrics = measurer.measure(example, completion, row["scores"])
    return {
        **row,
        "repairs": row["repairs"] if "parse" in metrics else [],
        "stage": "evaluation",
        "step": 0,
        "sample": sample,
        "tokens": answer.tokens,
        "metrics": metrics,
        "stripped": list(strip_answer(completion.text, completion.style).kinds),
        "failure": name_failure(example, completion, scored.reward, metrics),
    }
