"""`/metrics`: what Prometheus reads of a scoring server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rewards.serve.desk import Desk

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Figures:
    """Counters of one server; `desk` is asked for what it counts itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter("recompensa_requests", "Requests answered", ("path", "status"), **made)
        self._answer = Histogram(
            "recompensa_request_seconds", "From a request to its answer", ("path",), buckets=_SECONDS, **made
        )
        self._items = Counter("recompensa_items", "Completions by outcome", ("rewards", "dialect", "outcome"), **made)
        self._queue = Histogram("recompensa_queue_seconds", "Waiting for a process", buckets=_SECONDS, **made)
        self._score = Histogram("recompensa_batch_seconds", "Scoring one batch", buckets=_SECONDS, **made)
        self._batch = Histogram(
            "recompensa_batch_items", "Completions in one batch", buckets=(1, 2, 4, 8, 16, 32, 64), **made
        )
        self._waiting = Gauge("recompensa_waiting_items", "Completions that wait or are being scored", **made)
        self._deaths = Gauge("recompensa_process_deaths", "Scoring processes that ended with a batch under way", **made)
        self._scores = Gauge(
            "recompensa_function_scores", "Scores by function", ("rewards", "function", "kind"), **made
        )
        self._function = Gauge(
            "recompensa_function_seconds", "Seconds spent in a function", ("rewards", "function"), **made
        )
        self._healthy = Gauge(
            "recompensa_healthy", "1 while no function is past its error budget", ("rewards",), **made
        )

    def watch_request(self, known: frozenset[str], path: str, status: int, seconds: float) -> None:
        """`known` are the paths there are: any other would be a time series of its own."""
        path = path if path in known else "other"
        self._requests.labels(path, str(status)).inc()
        self._answer.labels(path).observe(seconds)

    def watch_batch(self, rewards: str, waited: float, seconds: float, items: int) -> None:
        self._queue.observe(waited)
        self._score.observe(seconds)
        self._batch.observe(items)

    def count_items(self, rewards: str, dialect: str, outcomes: Sequence[str]) -> None:
        for outcome in outcomes:
            self._items.labels(rewards, dialect, outcome).inc()

    def render(self, desk: Desk) -> bytes:
        self._waiting.set(desk.waiting)
        self._deaths.set(desk.deaths)
        for name, functions in desk.counts.items():
            self._healthy.labels(name).set(not desk.find_fault(name))
            for function, counts in functions.items():
                self._scores.labels(name, function, "value").set(counts.values)
                self._scores.labels(name, function, "error").set(counts.errors)
                self._function.labels(name, function).set(counts.seconds)
        return generate_latest(self.registry)
