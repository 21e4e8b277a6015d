"""A webhook that hears of a run: a change of its state, a watch rule that was broken, a decision. Nothing is sent twice.

The message is JSON with a `text` that chat programs show as it is (Slack, Mattermost, Teams, Google Chat) and the facts beside it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import queue as queues
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from grpo.service.api import read_added
from grpo.service.ledger import QueuedRun
from grpo.service.queue import RunQueue
from rewards.errors import UserError
from rewards.screen.harmless_text import make_label
from rewards.writing.files import read_object, write_json
from rewards.writing.secrets import redact_text

SECRET_VARIABLE = "RECOMPENSA_WEBHOOK_SECRET"
TOLD = ("running", "done", "failed", "stopped", "cancelled", "skipped")
_SECONDS_BETWEEN_LOOKS = 2.0
_TRIES = 4
_SECONDS_TO_ANSWER = 10.0
_MOST_WAITING = 1000

Post = Callable[[Mapping[str, Any]], bool]


class Webhook:
    """Posts to one address, with a few tries; signed where there is a secret."""

    def __init__(self, url: str, secret: str | None = None, *, pause: float = 1.0):
        if not url.startswith(("http://", "https://")):
            raise UserError(f"--webhook {url}: not an address; it begins with https://")
        self._url, self._secret, self._pause = url, secret, pause

    def __call__(self, message: Mapping[str, Any]) -> bool:
        """Whether it was taken; what is refused for good (a status of 400 to 499) is not tried again."""
        body = json.dumps(message, ensure_ascii=False).encode()
        headers = {"content-type": "application/json; charset=utf-8", "user-agent": "recompensa"}
        if self._secret:
            digest = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
            headers["x-recompensa-signature"] = f"sha256={digest}"
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(self._pause * 2 ** (attempt - 1))
            request = urllib.request.Request(self._url, body, headers, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER):
                    return True
            except urllib.error.HTTPError as error:
                if 400 <= error.code < 500 and error.code != 429:
                    return False
            except (OSError, ValueError):
                continue
        return False


class Alerts:
    """Tells a webhook what happens to the runs of a queue; a context manager around its thread.

    How far each run was told of stands in a file, so that a service that is started again tells only what is new.
    """

    def __init__(self, queue: RunQueue, post: Post, *, address: str = "", every: float = _SECONDS_BETWEEN_LOOKS):
        self._queue, self._post, self._address, self._every = queue, post, address.rstrip("/"), every
        self._changes: queues.Queue[QueuedRun] = queues.Queue(_MOST_WAITING)
        self._path = queue.kept / "alerts.json"
        self._told: dict[str, dict[str, Any]] = {
            key: value for key, value in read_object(self._path).items() if isinstance(value, dict)
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        queue.listen(self._hear)

    def __enter__(self) -> Alerts:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_SECONDS_TO_ANSWER)

    def _hear(self, run: QueuedRun) -> None:
        if run.state in TOLD:
            # A webhook that has not answered for so long must not hold a run up.
            with suppress(queues.Full):
                self._changes.put_nowait(run)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.look()

    def look(self) -> None:
        """Tell all that is new."""
        # Files first: a run that is done has said all it had to say.
        changed = []
        with suppress(queues.Empty):
            while True:
                changed.append(self._changes.get_nowait())
        names = dict.fromkeys(
            [run.id for run in changed] + [run.id for run in self._queue.ledger.list("running", "cancelling")]
        )
        for name in names:
            self._tell_files(name)
        for run in changed:
            self._tell_state(run)

    def _tell_state(self, run: QueuedRun) -> None:
        told = self._told.setdefault(run.id, {})
        mark = f"{run.state} {run.tries}"
        if told.get("state") != mark:
            said = f"{run.id}: {run.state}" + (f" ({run.reason})" if run.reason else "")
            self._send(run.id, "state", said, state=run.state, reason=run.reason, exit_code=run.exit_code)
            told["state"] = mark
            self._save()

    def _tell_files(self, name: str) -> None:
        folder: Path = self._queue.folder(name)
        told = self._told.setdefault(name, {})
        rows, place = read_added(folder / "watch.jsonl", int(told.get("watch") or 0))
        for row, _ in rows:
            if isinstance(row, dict):
                words = make_label(row.get("text") or row.get("message") or row.get("rule"), 400)
                self._send(
                    name,
                    "watch",
                    f"{name}: {words}",
                    rule=row.get("rule"),
                    step=row.get("step"),
                    action=row.get("action"),
                )
        decision = read_object(folder / "decision.json")
        mark = str(decision.get("title") or "")
        if decision and told.get("decision") != mark:
            said = f"{name}: {make_label(mark, 200)}. {make_label(decision.get('action'), 300)}"
            self._send(
                name, "decision", said, scenario=decision.get("scenario"), title=mark, action=decision.get("action")
            )
        if place != told.get("watch") or (decision and told.get("decision") != mark):
            told["watch"] = place
            if decision:
                told["decision"] = mark
            self._save()

    def _send(self, run: str, event: str, text: str, **facts: Any) -> None:
        message = {"text": redact_text(text), "event": event, "run": run, **facts}
        if self._address:
            from urllib.parse import quote

            message["url"] = f"{self._address}/runs/{quote(run, safe='')}"
        self._post(message)

    def _save(self) -> None:
        with suppress(OSError):
            write_json(self._path, self._told)
