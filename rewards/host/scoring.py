"""The reward host: many functions over many completions, where a bad completion is data and a bad function is counted."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rewards import limits
from rewards.decorator import as_function
from rewards.errors import RewardBudgetExceeded, UserError
from rewards.host import calls
from rewards.host.batch import PairBatch
from rewards.host.calls import CallFault
from rewards.host.records import make_record
from rewards.host.tally import Tally, describe_tally
from rewards.host.verdicts import Outcome, ScoredCompletion, describe_fault, make_unscored
from rewards.host.weighted import WeightedFunction
from rewards.types import Completion, Example, RewardFunction

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from rewards.host.worker import Worker
    from rewards.identity import RewardIdentity

MAX_IN_FLIGHT = 16
"""Completions that an asynchronous function scores concurrently."""

Pair = tuple[Example, Completion]


class RewardHost:
    """Scores completions with every function that applies, in order; use as a context manager or call `close`.

    A bare RewardFunction has weight 1 and is called in this process. Isolated and asynchronous functions run alongside
    each other and those in this process. `timeout_seconds` limits one call of an isolated or asynchronous function,
    `memory_gib` the process of an isolated one. Once a function has given `error_budget_minimum` scores,
    RewardBudgetExceeded is raised if more than the share `error_budget` of them failed; its attribute `scored` holds
    the completions of the batch up to that point. Raises UserError if two functions have the same name.
    """

    def __init__(
        self,
        functions: Iterable[RewardFunction | WeightedFunction],
        timeout_seconds: float = 2.0,
        error_budget: float = 0.01,
        error_budget_minimum: int = 50,
        memory_gib: float = limits.PLUGIN_MEMORY_GIB,
    ):
        self.functions: tuple[WeightedFunction, ...] = tuple(
            entry if isinstance(entry, WeightedFunction) else WeightedFunction(as_function(entry))
            for entry in functions
        )
        repeated = [name for name, count in Counter(self.names()).items() if count > 1]
        if repeated:
            raise UserError([f"reward function '{name}' is used twice in one host; use it once" for name in repeated])
        self.timeout_seconds = timeout_seconds
        self.memory_gib = memory_gib
        self.error_budget = error_budget
        self.error_budget_minimum = error_budget_minimum
        self._identified: tuple[tuple[WeightedFunction, ...], dict[str, RewardIdentity]] | None = None
        self._tallies = {name: Tally() for name in self.names()}
        self._workers: dict[str, Worker] = {}
        self._silenced: Counter[str] = Counter()
        self._finalizer = weakref.finalize(self, _close_workers, self._workers)
        self._turn = threading.Lock()
        self._open: set[PairBatch] = set()
        self._background: ThreadPoolExecutor | None = None

    def names(self) -> list[str]:
        """The names of the functions, in the host's order."""
        return [entry.function.name for entry in self.functions]

    def versions(self) -> dict[str, str]:
        """The version of each function, by name."""
        return {entry.function.name: entry.function.version for entry in self.functions}

    def identities(self) -> dict[str, RewardIdentity]:
        """The identity of each function, by name; the first call reads their code, which takes some tenths of a second."""
        from rewards.identity import identify

        if self._identified is None or self._identified[0] is not self.functions:
            self._identified = self.functions, {entry.function.name: identify(entry) for entry in self.functions}
        return self._identified[1]

    def functions_for(self, task: str) -> list[WeightedFunction]:
        """The functions that apply to a task; an empty list means that the task would go unrewarded."""
        return [entry for entry in self.functions if entry.applies_to(task)]

    def score(self, pairs: Sequence[Pair]) -> list[ScoredCompletion]:
        """Score each pair; results come in the order given.

        A bad completion never raises; RewardBudgetExceeded is raised once a function has failed too often.
        """
        return self._score_in_turn(self._open_batch(pairs))

    def submit(self, pairs: Sequence[Pair]) -> Future[list[ScoredCompletion]]:
        """Score the pairs in the background while the caller does something else, such as generating the next chunk.

        The `result()` of the returned future gives or raises what `score` would. Chunks are scored in order of
        submission.
        """
        from concurrent.futures import ThreadPoolExecutor

        if self._background is None:
            self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rewards")
        return self._background.submit(self._score_in_turn, self._open_batch(pairs))

    def judge(self, entry: WeightedFunction, example: Example, completion: Completion) -> Outcome:
        """One function's outcome, without counting it."""
        return next(self._judge_each(entry, [(example, completion)]))

    def judge_many(
        self, entry: WeightedFunction, pairs: Sequence[Pair], most_errors: int | None = None
    ) -> list[Outcome]:
        """One function's outcomes, in order, without counting them.

        After `most_errors` errors the remaining pairs are skipped and missing from the list: each may have cost the
        time limit.
        """
        outcomes: list[Outcome] = []
        errors = 0
        for outcome in self._judge_each(entry, pairs):
            outcomes.append(outcome)
            errors += outcome.status == "error"
            if errors == most_errors:
                break
        return outcomes

    def problems(self, entry: WeightedFunction, example: Example) -> list[str]:
        """What a function finds wrong with a row, one line each; a plugin's is asked in its process, within the time limit."""
        return self._ask_lines(entry, "problems", example)

    def warnings(self, entry: WeightedFunction, example: Example) -> list[str]:
        """What a function cannot judge well of a row, one line each."""
        return self._ask_lines(entry, "warnings", example)

    def figures(self, entry: WeightedFunction, pairs: Sequence[Pair]) -> dict[str, float]:
        """A function's figures of many completions together; none where it fails to give any."""
        if not entry.isolated:
            return calls.ask_figures(entry.function, pairs)
        try:
            return self._worker(entry).ask_figures(pairs, self.timeout_seconds * max(1, len(pairs)))
        except CallFault:
            return {}

    def _ask_lines(self, entry: WeightedFunction, kind: str, example: Example) -> list[str]:
        if not entry.isolated:
            return (
                calls.ask_problems(entry.function, example)
                if kind == "problems"
                else calls.ask_warnings(entry.function, example)
            )
        name = entry.function.name
        if self._silenced[name] >= limits.PLUGIN_FAULTS:
            return []  # its faults are among the lines already; each further one may cost the time limit
        try:
            return self._worker(entry).ask_lines(kind, example, self.timeout_seconds)
        except CallFault as fault:
            self._silenced[name] += 1
            last = self._silenced[name] == limits.PLUGIN_FAULTS
            return [f"{kind}(): {fault.kind}: {fault}" + ("; it is asked no more" if last else "")]

    def replace_function(self, function: RewardFunction) -> None:
        """Put the same function with other options in its place; only before anything was scored.

        Raises ValueError when there is none of its name, or scores of it are counted already.
        """
        name = function.name
        if name not in self._tallies or self._tallies[name] != Tally():
            raise ValueError(f"'{name}' is not in the host, or has scored already")
        if name in self._workers:
            self._workers.pop(name).close()
        self.functions = tuple(
            replace(entry, function=function) if entry.function.name == name else entry for entry in self.functions
        )

    def report(self) -> dict[str, dict[str, Any]]:
        """Counts, mean value, faults by kind and seconds of every function so far."""
        report = {}
        for entry in self.functions:
            name, tally = entry.function.name, self._tallies[entry.function.name]
            worker = self._workers.get(name)
            report[name] = describe_tally(entry, tally, worker)
        return report

    def to_record(self, scored: ScoredCompletion) -> dict[str, Any]:
        """The stored-completion row; `step`, `stage`, `group` and `advantage` are the caller's to add."""
        record = make_record(scored)
        for name, identity in self.identities().items():
            if name in record["scores"]:
                record["scores"][name]["fingerprint"] = identity.fingerprint
        return record

    def close(self) -> None:
        """Give up what is under way (its `result()` raises CancelledError) and end the worker processes.

        A later score starts them again.
        """
        for batch in list(self._open):
            batch.cancel()
        background, self._background = self._background, None
        if background is not None:
            background.shutdown(wait=True, cancel_futures=True)
        _close_workers(self._workers)

    def __enter__(self) -> RewardHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_batch(self, pairs: Sequence[Pair]) -> PairBatch:
        batch = PairBatch(list(pairs), len(self.functions))
        self._open.add(batch)
        return batch

    def _score_in_turn(self, batch: PairBatch) -> list[ScoredCompletion]:
        try:
            with self._turn:
                self._fill(batch)
        finally:
            self._open.discard(batch)
        if batch.broken:
            raise batch.broken[0]
        if batch.cancelled:
            from concurrent.futures import CancelledError

            raise CancelledError("the reward host was closed")
        scored = [self._assemble(batch, place) for place in range(batch.end)]
        if batch.faults:
            *_, fault = min(batch.faults, key=lambda found: found[:2])
            fault.scored = scored
            raise fault
        return scored

    def _fill(self, batch: PairBatch) -> None:
        beside = [at for at, entry in enumerate(self.functions) if entry.beside]
        here = [at for at in range(len(self.functions)) if at not in beside]
        threads = [threading.Thread(target=self._fill_beside, args=(batch, at), daemon=True) for at in beside]
        for thread in threads:
            thread.start()
        try:
            self._fill_here(batch, here)
            for thread in threads:
                thread.join()
        except BaseException as error:
            batch.cancel(error)
            for thread in threads:
                thread.join()

    def _fill_here(self, batch: PairBatch, columns: Sequence[int]) -> None:
        """Row by row, so that what one function reads out of a completion is at hand for the next."""
        entries = [(at, self.functions[at], batch.columns[at]) for at in columns]
        for place, (example, completion) in enumerate(batch.pairs):
            if place >= batch.end:
                return
            for at, entry, column in entries:
                outcome = self._judge_here(entry, example, completion)
                column.append(outcome)
                self._count(batch, place, at, outcome)

    def _fill_beside(self, batch: PairBatch, at: int) -> None:
        try:
            function = self.functions[at].function
            chunk = max(1, len(batch.pairs)) if function.together else calls.most_in_flight(function, MAX_IN_FLIGHT)
            for start in range(0, len(batch.pairs), chunk):
                for outcome in self._judge_each(self.functions[at], batch.pairs[start : start + chunk]):
                    place = len(batch.columns[at])
                    if place >= batch.end:
                        return
                    batch.columns[at].append(outcome)
                    self._count(batch, place, at, outcome)
        except BaseException as error:  # a fault of this host, not of a function: the caller must see it
            batch.cancel(error)

    def _judge_here(self, entry: WeightedFunction, example: Example, completion: Completion) -> Outcome:
        if not entry.applies_to(example.task):
            return make_unscored(entry.function, f"not for task '{example.task}'")
        return calls.call(entry.function, example, completion)

    def _judge_each(self, entry: WeightedFunction, pairs: Sequence[Pair]) -> Iterator[Outcome]:
        """One outcome a pair, in order, wherever the function lives."""
        if not entry.beside:
            yield from (self._judge_here(entry, *pair) for pair in pairs)
            return
        applies = [entry.applies_to(example.task) for example, _ in pairs]
        answers = self._ask(entry, [pair for pair, wanted in zip(pairs, applies, strict=True) if wanted])
        for (example, _), wanted in zip(pairs, applies, strict=True):
            yield next(answers) if wanted else make_unscored(entry.function, f"not for task '{example.task}'")

    def _ask(self, entry: WeightedFunction, pairs: Sequence[Pair]) -> Iterator[Outcome]:
        """Outcomes of an isolated or asynchronous function that applies to all the pairs."""
        if entry.function.together:
            yield from self._ask_together(entry, pairs)
            return
        size, limit = calls.most_in_flight(entry.function, MAX_IN_FLIGHT), self._limit(entry)
        for start in range(0, len(pairs), size):
            chunk = pairs[start : start + size]
            if not entry.isolated:
                yield from calls.wait_for(entry.function, chunk, limit)
                continue
            try:
                answers = self._worker(entry).call(chunk, limit)
            except Exception as error:
                yield from (describe_fault(entry.function, error) for _ in chunk)
                continue
            yield from _take(chunk, answers)

    def _ask_together(self, entry: WeightedFunction, pairs: Sequence[Pair]) -> Iterator[Outcome]:
        """The same for one that sees several completions at once."""
        found: list[Outcome | None] = [None] * len(pairs)
        for places in calls.cut_together(entry.function, pairs):
            chunk = [pairs[place] for place in places]
            if not entry.isolated:
                outcomes = calls.call_batch(entry.function, chunk, self._limit(entry) * len(chunk))
            else:
                try:
                    outcomes = list(_take(chunk, self._worker(entry).call(chunk, self._limit(entry))))
                except Exception as error:
                    outcomes = [describe_fault(entry.function, error) for _ in chunk]
            for place, outcome in zip(places, outcomes, strict=True):
                found[place] = outcome
        yield from (outcome for outcome in found if outcome is not None)

    def _limit(self, entry: WeightedFunction) -> float:
        """The function's own `timeout_seconds`, with time to say so itself, or the host's."""
        own = getattr(entry.function, "timeout_seconds", None)
        return float(own) + 2.0 if isinstance(own, int | float) else self.timeout_seconds

    def _assemble(self, batch: PairBatch, place: int) -> ScoredCompletion:
        outcomes = tuple(column[place] for column in batch.columns)
        weighted = weights = 0.0
        for entry, outcome in zip(self.functions, outcomes, strict=True):
            if outcome.value is not None:
                weighted += entry.weight * outcome.value
                weights += entry.weight
        return ScoredCompletion(*batch.pairs[place], outcomes, weighted / weights if weights else None)

    def _count(self, batch: PairBatch, place: int, at: int, outcome: Outcome) -> None:
        """Add to the function's tally; past its budget the batch ends here."""
        tally = self._tallies[outcome.function]
        tally.count(outcome, batch.pairs[place][0])
        said = tally.explain_excess(self.error_budget, self.error_budget_minimum)
        if not said or outcome.status == "unscored":
            return
        entry = self.functions[at]
        example_id, reason = tally.last_fault
        fault = RewardBudgetExceeded(
            f"reward '{outcome.function}' version {outcome.version}"
            + (f" of plugin '{entry.plugin}' ({entry.distribution})" if entry.plugin else "")
            + f": {said}; last on example '{example_id}': {reason}{tally.last_place}; "
            + ("start its server again" if said.startswith("its") else "fix the plugin or raise rewards.error_budget"),
            function=outcome.function,
            version=outcome.version,
            example_id=example_id,
        )
        batch.stop_after(place, at, fault)

    def _worker(self, entry: WeightedFunction) -> Worker:
        name = entry.function.name
        if name in self._workers and self._workers[name].function != entry.function:
            self._workers.pop(name).close()
        if name not in self._workers:
            from rewards.host.worker import Worker

            self._workers[name] = Worker(entry.function, entry.path, self.memory_gib)
        return self._workers[name]


def _take(pairs: Sequence[Pair], answers: Sequence[Any]) -> Iterator[Outcome]:
    """The outcomes of a worker; what its process read is read here too: the stored row names the repairs."""
    for (_, completion), answer in zip(pairs, answers, strict=True):
        if answer.read_json:
            _ = completion.extraction
        yield answer.outcome


def _close_workers(workers: dict[str, Worker]) -> None:
    while workers:
        workers.popitem()[1].close()
