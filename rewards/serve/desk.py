"""Where requests wait: single ones are gathered into batches, several processes take them, late ones are told so."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rewards.serve.pool import Item, ProcessDied, ScoringProcess
from rewards.serve.scorers import Scorer

Result = dict[str, Any]
_ATTEMPTS = 2
"""Of an item in whose batch a process died: the second time it is alone, so that it is only itself it fails."""


class Refused(Exception):
    """No score: `kind` is `queue_full`, `deadline` or `over_budget`; the message says why."""

    def __init__(self, kind: str, message: str):
        self.kind = kind
        super().__init__(message)


@dataclass(slots=True, eq=False)
class _Job:
    scorer: Scorer
    items: Sequence[Item]
    future: asyncio.Future[list[Result]]
    entered: float = field(default_factory=time.monotonic)
    attempts: int = 0


@dataclass(slots=True)
class Counts:
    """Of one function, over all processes."""

    values: int = 0
    errors: int = 0
    seconds: float = 0.0
    last_error: str = ""


class Desk:
    """Takes items, gives results. Limits: `most_waiting` items, batches of `batch` items, one a process at a time."""

    def __init__(
        self,
        scorers: dict[str, Scorer],
        processes: int = 1,
        *,
        batch: int = 64,
        most_waiting: int = 4096,
        watch: Callable[[str, float, float, int], None] | None = None,
    ):
        self.scorers = scorers
        self.batch, self.most_waiting = batch, most_waiting
        sections = {name: scorer.section for name, scorer in scorers.items()}
        self.processes = [ScoringProcess(sections) for _ in range(max(1, processes))]
        self.counts: dict[str, dict[str, Counts]] = {
            name: {function: Counts() for function in scorer.versions} for name, scorer in scorers.items()
        }
        self.deaths = 0
        self.waiting = 0
        self._watch = watch or (lambda *_: None)
        self._queue: deque[_Job] = deque()
        self._filled: asyncio.Condition | None = None
        self._clerks: list[asyncio.Task] = []
        self._threads = ThreadPoolExecutor(len(self.processes), thread_name_prefix="scoring")

    async def open(self) -> None:
        """Start the processes; raises ProcessDied where one cannot."""
        self._filled = asyncio.Condition()
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, each.start) for each in self.processes))
        self._clerks = [asyncio.create_task(self._serve(each)) for each in self.processes]

    async def close(self) -> None:
        for clerk in self._clerks:
            clerk.cancel()
        for process in self.processes:
            process.kill()
        await asyncio.gather(*self._clerks, return_exceptions=True)
        self._threads.shutdown(wait=True, cancel_futures=True)

    def find_fault(self, name: str) -> str:
        """Why this scorer gives no more scores: the line about a function past its budget; empty where none is."""
        section = self.scorers[name].section
        for function, counts in self.counts[name].items():
            scores = counts.values + counts.errors
            if scores >= section.error_budget_minimum and counts.errors > section.error_budget * scores:
                return (
                    f"reward '{function}' version {self.scorers[name].versions[function]}: {counts.errors} of {scores} "
                    f"scores failed, allowed is {section.error_budget:.1%}; last: {counts.last_error}; fix it, or raise "
                    "rewards.error_budget, and start the server again"
                )
        return ""

    async def score(self, scorer: Scorer, items: Sequence[Item], seconds: float) -> list[Result]:
        """One result an item, in order, within this many seconds; raises Refused."""
        if fault := self.find_fault(scorer.name):
            raise Refused("over_budget", fault)
        if not items:
            return []
        if self.waiting + len(items) > self.most_waiting:
            raise Refused("queue_full", f"{self.waiting} completions are waiting, at most {self.most_waiting} may")
        loop = asyncio.get_running_loop()
        size = len(items) if scorer.grouped else self.batch
        jobs = [_Job(scorer, items[start : start + size], loop.create_future()) for start in range(0, len(items), size)]
        self.waiting += len(items)
        try:
            assert self._filled is not None
            async with self._filled:
                self._queue.extend(jobs)
                self._filled.notify(len(jobs))
            async with asyncio.timeout(seconds):
                results = [result for job in jobs for result in await job.future]
        except TimeoutError:
            raise Refused(
                "deadline", f"not scored within {seconds:g} s; {self.waiting} completions are waiting"
            ) from None
        finally:
            self.waiting -= len(items)
            for job in jobs:
                job.future.cancel()
        if fault := self.find_fault(scorer.name):
            raise Refused("over_budget", fault)
        return results

    async def _serve(self, process: ScoringProcess) -> None:
        loop = asyncio.get_running_loop()
        while True:
            jobs = await self._take()
            items = [item for job in jobs for item in job.items]
            scorer = jobs[0].scorer
            started = time.monotonic()
            try:
                results = await loop.run_in_executor(self._threads, process.score, scorer.name, items)
            except ProcessDied as died:
                self.deaths += 1
                await self._bring_back(jobs, str(died))
                continue
            except Exception as error:  # a fault of the server's own: still no number, and the clerk goes on
                self._fail(jobs, f"{type(error).__name__} in the server")
                continue
            self._count(scorer.name, results)
            self._watch(scorer.name, started - jobs[0].entered, time.monotonic() - started, len(items))
            at = 0
            for job in jobs:
                if not job.future.done():
                    job.future.set_result(results[at : at + len(job.items)])
                at += len(job.items)

    async def _take(self) -> list[_Job]:
        """The jobs of the next batch: those of one scorer that wait in front, as many as it may have."""
        assert self._filled is not None
        async with self._filled:
            while True:
                while self._queue and self._queue[0].future.done():
                    self._queue.popleft()
                if self._queue:
                    break
                await self._filled.wait()
            jobs = [self._queue.popleft()]
            count = len(jobs[0].items)
            alone = jobs[0].scorer.grouped or jobs[0].attempts > 0
            while self._queue and not alone:
                following = self._queue[0]
                if following.future.done():
                    self._queue.popleft()
                    continue
                if (
                    following.scorer is not jobs[0].scorer
                    or following.attempts
                    or count + len(following.items) > self.batch
                ):
                    break
                jobs.append(self._queue.popleft())
                count += len(following.items)
            return jobs

    async def _bring_back(self, jobs: list[_Job], said: str) -> None:
        """After a death every job is tried once more, alone; then it is an error."""
        again = []
        for job in jobs:
            job.attempts += 1
            again += [job] if job.attempts < _ATTEMPTS else []
        self._fail([job for job in jobs if job not in again], said)
        if again:
            assert self._filled is not None
            async with self._filled:
                self._queue.extendleft(reversed(again))
                self._filled.notify(len(again))

    def _fail(self, jobs: Sequence[_Job], said: str) -> None:
        for job in jobs:
            if not job.future.done():
                failed: Result = {"status": "error", "value": None, "reason": f"died: {said}", "functions": {}}
                job.future.set_result([dict(failed) for _ in job.items])

    def _count(self, name: str, results: Sequence[Result]) -> None:
        for result in results:
            for function, said in result["functions"].items():
                counts = self.counts[name][function]
                counts.seconds += said["seconds"]
                if said["status"] == "value":
                    counts.values += 1
                elif said["status"] == "error" and not said["reason"].startswith("network:"):
                    counts.errors += 1
                    counts.last_error = said["reason"]
