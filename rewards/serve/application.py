"""The HTTP application: the dialects, what is told of the rewards, and the one way a request is answered."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from rewards.errors import UserError
from rewards.screen.invalid import explain, show_path
from rewards.serve.answers import respond
from rewards.serve.desk import Desk, Refused
from rewards.serve.dialects.shapes import Dialect
from rewards.serve.dialects.table import DIALECTS
from rewards.serve.figures import Figures
from rewards.serve.gate import Doorkeeper, make_error
from rewards.serve.graders_run import RUN, VALIDATE, add_graders
from rewards.serve.incoming import keep_inside
from rewards.serve.policy import POLICY, SECONDS, choose_status
from rewards.serve.score_log import ScoreLog
from rewards.serve.scorers import Scorer
from rewards.serve.shapes import Failure, RewardsList, ServerHealth
from rewards.writing.writable import clean_message

log = logging.getLogger("recompensa.serve")
_SHOWN = 5


@dataclass
class ServeSettings:
    """How a server behaves; `seconds` caps the time limits of all dialects."""

    processes: int = 1
    batch: int = 64
    most_waiting: int = 4096
    most_bytes: int = 32 << 20
    seconds: float = 60.0
    token: str | None = None
    task: str = "default"
    zero_on_error: bool = False
    data: tuple[Path, ...] = field(default_factory=lambda: (Path.cwd(),))
    log: Path | None = None
    hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})


def make_application(scorers: Mapping[str, Scorer], settings: ServeSettings | None = None) -> FastAPI:
    """The application over these scorers; its processes start and end with it."""
    settings = settings or ServeSettings()
    figures = Figures()
    desk = Desk(
        dict(scorers),
        settings.processes,
        batch=settings.batch,
        most_waiting=settings.most_waiting,
        watch=figures.watch_batch,
    )
    folders = tuple(dict.fromkeys([*settings.data, *(scorer.folder for scorer in scorers.values())]))
    server = _Server(desk, settings, figures, tuple(folder.resolve() for folder in folders))

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        await desk.open()
        try:
            yield
        finally:
            await desk.close()
            server.close()

    from importlib.metadata import PackageNotFoundError, version

    try:
        own = version("recompensa")
    except PackageNotFoundError:
        own = "0"
    application = FastAPI(title="recompensa rewards", version=own, lifespan=live, docs_url=None, redoc_url=None)
    application.state.desk = desk
    for dialect in DIALECTS:
        _add_dialect(application, server, dialect)
    _add_reports(application, server)
    add_graders(application)
    application.add_exception_handler(RequestValidationError, _explain_invalid)
    application.add_exception_handler(HTTPException, _explain_http)
    known = frozenset(getattr(route, "path", "") for route in application.routes) | frozenset(
        ["/health", "/metrics", "/v1/rewards", RUN, VALIDATE, *(dialect.path for dialect in DIALECTS)]
    )
    application.add_middleware(
        Doorkeeper,
        paths=frozenset([RUN, VALIDATE, *(dialect.path for dialect in DIALECTS)]),
        token=settings.token,
        most_bytes=settings.most_bytes,
        hosts=settings.hosts,
        watch=partial(figures.watch_request, known),
    )
    return application


class _Server:
    """What the answers need beside the request."""

    def __init__(self, desk: Desk, settings: ServeSettings, figures: Figures, folders: Sequence[Path]):
        self.desk, self.settings, self.figures, self.folders = desk, settings, figures, folders
        self._log = ScoreLog(settings.log, desk.scorers) if settings.log is not None else None
        self._said: set[tuple[str, str]] = set()

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    async def answer(self, dialect: Dialect, body: Any, rewards: str | None, pin: str | None) -> Response:
        """A request from its body to its answer; whatever is not a value has the status that the policy says."""
        wanted = getattr(body, "rewards", None) or rewards or next(iter(self.desk.scorers))
        scorer = self.desk.scorers.get(wanted)
        if scorer is None:
            there = ", ".join(self.desk.scorers)
            return respond(404, make_error("rewards", f"no rewards {clean_message(wanted, 100)!r}; there are: {there}"))
        if changed := _find_changes(scorer, getattr(body, "versions", None), getattr(body, "pin", None) or pin):
            mine = {"versions": scorer.versions, "pin": scorer.pin}
            return respond(409, make_error("versions", changed, **mine), scorer)
        try:
            items = keep_inside(dialect.parse(body, self.settings.task), self.folders)
        except UserError as error:
            return self._refuse(dialect, scorer, "bad_row", "; ".join(error.problems))
        if scorer.grouped and dialect.name != "native" and items:
            names = ", ".join(each["name"] for each in scorer.described if each["sees"] == "group")
            said = f"{names}: compares all answers to a prompt, which come one by one here; send them to /v1/score"
            return self._refuse(dialect, scorer, "bad_row", said)
        try:
            results = await self.desk.score(scorer, items, min(self.settings.seconds, SECONDS[dialect.name]))
        except Refused as refused:
            return self._refuse(dialect, scorer, refused.kind, str(refused))
        if self._log is not None:
            self._log.add(scorer, dialect.name, items, results)
        outcomes = [result["status"] for result in results]
        self.figures.count_items(scorer.name, dialect.name, outcomes)
        if self.settings.zero_on_error and dialect.name != "native":
            results = [{**each, "value": 0.0} if each["status"] == "error" else each for each in results]
            outcomes = ["value" if each == "error" else each for each in outcomes]
        status, worst = choose_status(dialect.name, outcomes)
        if status != 200:
            said = "; ".join(dict.fromkeys(each["reason"] for each in results if each["status"] == worst))
            return self._refuse(dialect, scorer, worst, said)
        return respond(200, dialect.render(body, scorer, items, results), scorer)

    def _refuse(self, dialect: Dialect, scorer: Scorer, kind: str, message: str) -> Response:
        status = POLICY[dialect.name][kind]
        if status == 200:  # of the whole request, not of an item
            status = 409
        # Clients that try again do so up to ten times: the first says why, in this log, without what the row holds.
        function = message.partition(":")[0][:80]
        if (kind, function) not in self._said:
            self._said.add((kind, function))
            log.warning("%s: %s (%d): %s; said once", dialect.path, kind, status, function)
        return respond(status, make_error(kind, clean_message(message, 2000)), scorer)


def _add_dialect(application: FastAPI, server: _Server, dialect: Dialect) -> None:
    async def handle(body: Any, rewards: Any = None, pin: Any = None) -> Response:
        return await server.answer(dialect, body, rewards, pin)

    named = Query(None, description="Which of the rewards that the server holds.", max_length=200)
    pinned = Query(None, description="Refused with 409 where the rewards are not those of this pin.", max_length=200)
    handle.__annotations__ = {"body": dialect.request, "rewards": str | None, "pin": str | None, "return": Response}
    handle.__defaults__ = (named, pinned)
    handle.__name__ = f"score_{dialect.path.strip('/').replace('/', '_')}"
    codes = sorted({400, 401, 403, 404, 409, 413, 415, 422, *POLICY[dialect.name].values()} - {200})
    application.post(
        dialect.path,
        response_model=dialect.response,
        responses={code: {"model": Failure} for code in codes},
        summary=dialect.summary,
    )(handle)


def _add_reports(application: FastAPI, server: _Server) -> None:
    refused: dict[int | str, dict[str, Any]] = {code: {"model": Failure} for code in (401, 403)}

    @application.get(
        "/health", response_model=ServerHealth, responses={503: {"model": ServerHealth}, 403: {"model": Failure}}
    )
    async def health() -> Response:
        """200 while scores are given; 503 and the reason once a function is past its error budget."""
        faults = {name: said for name in server.desk.scorers if (said := server.desk.find_fault(name))}
        # Open to everybody: names and counts, nothing that a row holds.
        shown = {name: said.partition("; last:")[0] for name, said in faults.items()}
        waiting = server.desk.waiting
        body = {"status": "failing" if faults else "ok", "waiting": waiting, "faults": shown}
        return respond(503 if faults else 200, body)

    @application.get("/v1/rewards", response_model=RewardsList, responses=refused)
    async def rewards() -> Response:
        """The rewards that the server holds: versions, pins, options, weights and tasks."""
        listed = [
            {"name": each.name, "pin": each.pin, "versions": each.versions, "functions": each.described}
            for each in server.desk.scorers.values()
        ]
        return respond(200, {"rewards": listed, "dialects": {each.path: each.name for each in DIALECTS}})

    @application.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **refused},
    )
    async def metrics() -> Response:
        """Prometheus's text format."""
        return Response(server.figures.render(server.desk), media_type="text/plain; version=0.0.4; charset=utf-8")


def _find_changes(scorer: Scorer, versions: Mapping[str, str] | None, pin: str | None) -> str:
    """Why the scorer is not the one that a client has pinned; empty where it is."""
    changed = []
    for name, version in (versions or {}).items():
        if name not in scorer.versions:
            changed.append(f"'{clean_message(name, 100)}' is not among them")
        elif scorer.versions[name] != version:
            changed.append(f"'{name}' is version {scorer.versions[name]}, pinned is {clean_message(version, 100)}")
    if pin is not None and pin != scorer.pin:
        changed.append(f"the pin is {scorer.pin}, not {clean_message(pin, 100)}")
    said = (
        f"the rewards are not those that were pinned: {'; '.join(changed)}; a run must not continue with other rewards"
    )
    return said if changed else ""


async def _explain_invalid(_: Request, error: Any) -> Response:
    lines = explain(error, None, lambda path: show_path(path) if path else "the request", key="field", most=_SHOWN)
    return respond(422, make_error("request", "; ".join(clean_message(line, 300) for line in lines)))


async def _explain_http(_: Request, error: Any) -> Response:
    there = ", ".join(dialect.path for dialect in DIALECTS)
    said = f"no such address; there are: {there}, /health, /v1/rewards, /metrics" if error.status_code == 404 else ""
    response = respond(error.status_code, make_error("request", said or str(error.detail)))
    response.headers.update(error.headers or {})
    return response
