"""A service over a folder of made-up runs: as an application in this process, or listening on a port of its own."""

from __future__ import annotations

import importlib.util
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("huey")

from grpo.service.queue import RunQueue
from grpo.service.submission import Allowed

_spec = importlib.util.spec_from_file_location("report_fixtures", Path(__file__).parents[1] / "report" / "conftest.py")
_report = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_report)


@pytest.fixture(scope="session")
def write_run():
    """A function that writes a made-up run into a folder."""
    return _report.write_synthetic_run


@pytest.fixture
def root(tmp_path):
    """An empty folder of runs."""
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def sleep_words(run, root):
    """A run that does nothing for a minute."""
    return ["sleep", "60"]


@pytest.fixture
def queue(root):
    """A queue whose runs only sleep."""
    with RunQueue(root, start_words=sleep_words) as queue:
        yield queue
        for run in queue.ledger.list("running", "cancelling"):
            queue.process(run.id).kill()


@pytest.fixture
def allowed(tmp_path):
    """A folder of configs that may be submitted."""
    (tmp_path / "configs").mkdir()
    return Allowed((tmp_path / "configs",), frozenset({"installed_plugin"}))


@pytest.fixture
def application(queue, allowed):
    """The application with a preflight that has nothing against any config."""
    from grpo.service.application import make_application

    return make_application(queue, allowed, preflight=lambda config, overrides, profile: [])


class Listening:
    """An application on a port of this machine, in a thread."""

    def __init__(self, application):
        import socket

        import uvicorn

        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(20)


@pytest.fixture
def listen():
    """`with listen(application) as service: service.url`."""
    return Listening


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A function that makes a queue of these runs, whose turns and processes are made up."""
    from grpo.service import queue as queues
    from tests.grpo.service.made_up import make_queue

    monkeypatch.setattr(queues, "_LOOK_EVERY", 0.0)
    return lambda *runs, **settings: make_queue(tmp_path / "runs", *runs, **settings)
