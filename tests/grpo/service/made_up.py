"""A queue of runs whose turns and processes are made up: what it does with a run is done one step at a time."""

from __future__ import annotations

from typing import Any

import orjson

from grpo.service.queue import RunQueue


class Process:
    """A made-up process: alive for as many looks as `looks`, then ended with `code`; notes what is done to it."""

    def __init__(self, looks=0, code=None, lines=(), starts=True):
        self.looks, self.code, self.lines, self.starts, self.said = looks, code, list(lines), starts, []
        self.environment, self.words = {}, []

    def is_alive(self):
        self.looks -= 1
        return self.looks >= 0

    def start(self, words, environment, directory):
        self.words, self.environment = words, environment
        self.said.append("start")
        if isinstance(self.starts, OSError):
            raise self.starts
        return self.starts

    def clear(self):
        self.said.append("clear")

    def read_exit(self):
        return self.code

    def ask_to_stop(self):
        self.said.append("ask")
        return True

    def kill(self):
        self.said.append("kill")
        self.looks = 0
        return True

    def note(self, line):
        self.said.append(line)

    def last_lines(self):
        return self.lines


class Turns:
    """Notes what is offered, with its priority and delay."""

    def __init__(self):
        self.offered, self.early, self.cleared = [], set(), 0

    def offer(self, name, priority, seconds=0.0):
        self.offered.append((name, priority, seconds))

    def is_early(self, name):
        return name in self.early

    def clear(self):
        self.cleared += 1

    def take(self):
        offered, self.offered = self.offered, []
        return offered


def make_queue(root: Any, *runs: Any, **settings: Any) -> RunQueue:
    """A queue of these runs that notes in `told` what its listeners hear."""
    queue = RunQueue(root, start_words=lambda run, root: ["run", run.id], **settings)
    queue._turns._huey.storage.close()
    queue._turns = Turns()
    queue.ledger.add(runs)
    queue.told = []
    queue.listen(lambda run: queue.told.append((run.id, run.state)))
    return queue


def put(queue, id, **settings) -> Process:
    queue._processes[id] = Process(**settings)
    return queue._processes[id]


def states(queue):
    return {run.id: run.state for run in queue.ledger.list()}


def write_run(queue, id, status=None, **config):
    folder = queue.folder(id)
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(orjson.dumps(config))
    if status is not None:
        (folder / "status.json").write_bytes(orjson.dumps(status))
    return folder
