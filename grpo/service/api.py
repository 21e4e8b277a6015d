"""The HTTP interface under /v1: hand in runs, list them, follow them, stop and resume them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from grpo.service.access import REPORT_POLICY
from grpo.service.groups import FILTERS, SORTS, StoredCompletions, choose, list_steps, search, step_file
from grpo.service.ledger import ENDED, QueuedRun
from grpo.service.overview import Overview, RunSummary
from grpo.service.queue import RunQueue
from grpo.service.shapes import ConfigList, GroupPage, Health, Problems, RunDetail, RunItem, RunList, State
from grpo.service.submission import Allowed, Preflight, Submission, forget_text, make_runs
from rewards.errors import UserError
from rewards.screen.harmless_text import hide_controls
from rewards.writing.files import read_object
from rewards.writing.secrets import redact, redact_text

FILES = {
    "config.json": "application/json",
    "plan.json": "application/json",
    "audit.json": "application/json",
    "decision.json": "application/json",
    "environment.json": "application/json",
    "status.json": "application/json",
    "metrics.jsonl": "application/jsonl",
    "timings.jsonl": "application/jsonl",
    "watch.jsonl": "application/jsonl",
    "report.md": "text/markdown",
    "next_config.yaml": "application/yaml",
}
_SECONDS_BETWEEN_LOOKS = 1.0
_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problems, "description": "No token"},
    403: {"model": Problems, "description": "A token that may not, or another site's request"},
    421: {"model": Problems, "description": "Asked under a name that is not this service's"},
    422: {"model": Problems, "description": "What is wrong, line by line"},
}
_MISSING: dict[int | str, dict[str, Any]] = {
    404: {"model": Problems, "description": "No such run, or nothing of it yet"}
}
_CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": Problems, "description": "Not in the state that it is in"}}


def find_in(overview: Overview, id: str) -> RunSummary:
    """The run of that name; HTTPException 404 where there is none."""
    run = overview.find(id)
    if run is None:
        raise HTTPException(404, [f"{id[:200]}: no such run"])
    leads_out = _find_link_out(overview.root / id)
    if leads_out is not None:
        raise HTTPException(
            404, [f"{id}: {leads_out} is a link that leads out of the run's folder; nothing of it is shown"]
        )
    return run


def _find_link_out(folder: Path) -> str | None:
    """A file to be shown that lies elsewhere: whoever may write into a run must not read what the service may."""
    for name in (*FILES, "report.html", "eval", "completions"):
        path = folder / name
        try:
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                return name
        except (OSError, RuntimeError):  # a circle of links
            return name
    return None


def _find_asked(id: str, request: Request) -> RunSummary:
    return find_in(request.app.state.overview, id)


Found = Annotated[RunSummary, Depends(_find_asked)]


def make_api(
    queue: RunQueue, overview: Overview, store: StoredCompletions, allowed: Allowed, preflight: Preflight
) -> APIRouter:
    """The routes over one queue; `preflight` proves a config before it is queued."""
    api = APIRouter(prefix="/v1", responses=_REFUSALS)

    def find(id: str) -> RunSummary:
        return find_in(overview, id)

    @api.get("/health")
    def health() -> Health:
        """Whether the service works."""
        running, queued = len(queue.ledger.list("running", "cancelling")), len(queue.ledger.list("queued"))
        return Health(status="ok", slots=queue.slots, running=running, queued=queued)

    @api.get("/runs")
    def list_runs(
        state: Annotated[list[State], Query(description="Only runs in these states.")] = [],  # noqa: B006
        group: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> RunList:
        """The runs of the folder, the newest first."""
        found = [run for run in overview.list() if (not state or run.state in state) and (group in (None, run.group))]
        return RunList(runs=[_item(run) for run in found[:limit]])

    @api.post("/runs", status_code=201, responses={**_CONFLICT, 413: {"model": Problems, "description": "Too large"}})
    def submit(submission: Submission) -> RunList:
        """Check a run by its own preflight and queue it; nothing is queued where a line is wrong."""
        runs = submit_runs(queue, submission, allowed, preflight)
        return RunList(runs=[_item(find(run.id)) for run in runs])

    @api.get("/configs")
    def list_allowed_configs() -> ConfigList:
        """What can be submitted."""
        return list_submittable(allowed)

    @api.get("/runs/{id}", responses=_MISSING)
    def show(run: Found) -> RunDetail:
        """A run with its tasks, decision, watch events and config."""
        snapshot, folder = overview.read(run.id), queue.folder(run.id)
        detail: dict[str, Any] = {"tasks": [], "decision": {}, "watch": [], "config": {}, "steps": list_steps(folder)}
        if snapshot is not None:
            plain = snapshot.to_json()
            detail |= {"tasks": plain["tasks"], "decision": plain["decision"], "watch": plain["events"]}
            detail["config"] = read_object(folder / "config.json")
        return RunDetail.model_validate({**run.to_json(), **redact(_finite(detail))})

    @api.get("/runs/{id}/events", response_class=EventSourceResponse, responses=_MISSING)
    async def follow(
        request: Request,
        run: Found,
        follow: Annotated[bool, Query(description="Stay until the run ends; false sends what is there.")] = True,
        last_event_id: Annotated[str | None, Header(max_length=100)] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        """Server-sent events: `state` whenever it changes, each new row of `metrics`, each `watch` event."""
        async for event in _follow(overview, queue.folder(run.id), run.id, follow, last_event_id, request):
            yield event

    @api.get("/runs/{id}/log", response_class=PlainTextResponse, responses=_MISSING)
    def log(run: Found, lines: Annotated[int, Query(ge=1, le=10_000)] = 200) -> PlainTextResponse:
        """The last lines that the run said, of all its starts; without secrets."""
        return PlainTextResponse(read_log(queue, run.id, lines))

    @api.get("/runs/{id}/report", response_class=Response, responses={**_MISSING, 200: {"content": {"text/html": {}}}})
    def report(run: Found) -> Response:
        """The report of the run, one HTML file."""
        path = queue.folder(run.id) / "report.html"
        if not path.is_file():
            raise HTTPException(404, [f"{run.id}: no report yet; it is written at the end of the run"])
        return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})

    @api.get(
        "/runs/{id}/csv", response_class=Response, responses={**_MISSING, 200: {"content": {"application/zip": {}}}}
    )
    def tables(run: Found) -> Response:
        """Every table of the report as a CSV file, in one archive."""
        folder = queue.folder(run.id)
        if not (folder / "config.json").is_file():
            raise HTTPException(404, [f"{run.id}: nothing is written yet"])
        headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(run.id, safe='')}.zip"}
        return Response(zip_tables(folder), media_type="application/zip", headers=headers)

    @api.get("/runs/{id}/files/{name}", response_class=Response, responses={**_MISSING, 200: {"content": {"*/*": {}}}})
    def file(run: Found, name: str) -> Response:
        """One file of the run, such as metrics.jsonl or decision.json; without secrets."""
        path = queue.folder(run.id) / name
        if name not in FILES or not path.is_file():
            raise HTTPException(404, [f"{run.id}: no file {name[:80]!r}; there can be {', '.join(FILES)}"])
        if name in ("config.json", "environment.json"):
            return Response(orjson.dumps(redact(read_object(path)), option=orjson.OPT_INDENT_2), media_type=FILES[name])
        return FileResponse(path, media_type=FILES[name], filename=f"{run.id}-{name}")

    @api.post("/runs/{id}/cancel", status_code=202, responses={**_MISSING, **_CONFLICT})
    def cancel(run: Found) -> RunItem:
        """Stop a run: it saves a checkpoint first and can be resumed; one that waits is never started."""
        if queue.cancel(run.id) is None:
            run = find(run.id)  # it may have ended since it was read
            if run.state == "cancelling":
                told = "already being stopped"
            elif run.state in ENDED or run.queued:
                told = f"already ended ({run.state}); there is nothing to stop"
            else:
                told = f"{run.state}, but it was started by hand; stop it where it was started"
            raise HTTPException(409, [f"{run.id}: {told}"])
        return _item(find(run.id))

    @api.post("/runs/{id}/resume", status_code=202, responses={**_MISSING, **_CONFLICT})
    def resume(run: Found) -> RunItem:
        """Queue a run again that ended before it was done; it goes on from its newest checkpoint."""
        if run.state == "running":
            raise HTTPException(409, [f"{run.id}: is running"])
        try:
            queue.resume(run.id)
        except UserError as error:
            raise HTTPException(409, error.problems) from None
        return _item(find(run.id))

    @api.get("/runs/{id}/compare/{other}", responses={**_MISSING, **_CONFLICT})
    def compare(run: Found, other: str) -> dict[str, Any]:
        """Both runs' last evaluations beside each other, row by row: the first is the baseline."""
        find(other)
        try:
            return _finite(compare_two(queue.folder(run.id), queue.folder(other)).to_json())
        except UserError as error:
            raise HTTPException(409, error.problems) from None

    @api.get("/runs/{id}/steps/{step}/groups", responses=_MISSING)
    def groups(
        run: Found,
        step: int,
        sort: Annotated[str, Query(pattern=f"^({'|'.join(SORTS)})$")] = "order",
        only: Annotated[str, Query(pattern=f"^({'|'.join(FILTERS)})$")] = "all",
        task: Annotated[str | None, Query(max_length=200)] = None,
        words: Annotated[str | None, Query(max_length=200)] = None,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 25,
    ) -> GroupPage:
        """The groups of a step whose completions are stored, sorted and filtered."""
        path = step_file(queue.folder(run.id), step)
        if step < 0 or not path.is_file():
            raise HTTPException(404, [f"{run.id}: no completions of step {step} are stored"])
        index = store.index(path)
        wanted = search(store, path, words) if words else None
        chosen = choose(index, sort=sort, only=only, task=task, wanted=wanted)
        shown = [
            {
                "group": group.number, "id": group.id, "task": group.task, "mean": group.mean, "spread": group.spread,
                "zero_spread": group.is_zero_spread, "completions": store.read(path, group),
            }
            for group in chosen[offset : offset + limit]
        ]  # fmt: skip
        count = sum(len(group.rewards) for group in chosen)
        return GroupPage(step=step, total=len(chosen), completions=count, groups=_finite(shown))

    return api


def submit_runs(queue: RunQueue, submission: Submission, allowed: Allowed, preflight: Preflight) -> list[QueuedRun]:
    """Queue a submission; HTTPException 422 with the lines of what is wrong, 409 where the name is taken."""
    if submission.name is not None and (queue.folder(submission.name).exists() or queue.ledger.find(submission.name)):
        raise HTTPException(409, [f"name: {submission.name}: there is a run of this name; choose another"])
    runs: list[QueuedRun] = []
    try:
        runs = make_runs(submission, queue.kept, allowed, preflight)
        taken = [run.id for run in runs if queue.folder(run.id).exists()]
        if taken:
            raise HTTPException(409, [f"name: {name}: there is a run of this name; choose another" for name in taken])
        queue.submit(runs)
    except BaseException as error:
        if runs and submission.yaml is not None:
            forget_text(runs[0].config)
        if not isinstance(error, UserError):
            raise
        raise HTTPException(422, [redact_text(line) for line in error.problems]) from None
    return runs


def list_submittable(allowed: Allowed) -> ConfigList:
    """Shipped configs, and the YAML files of the allowed folders that name rewards or extend another."""
    from grpo.config.loading import list_configs

    files = []
    for folder in allowed.folders:
        for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("*/*.yaml")])[:200]:
            head = path.read_text(encoding="utf-8", errors="replace")[:20_000] if path.is_file() else ""
            if any(line.startswith(("extends:", "rewards:", "grpo:")) for line in head.splitlines()):
                files.append(str(path))
    return ConfigList(shipped=list_configs(), files=files[:200])


def read_log(queue: RunQueue, id: str, lines: int) -> str:
    """The end of what a run said, fit to be shown anywhere."""
    shown = queue.process(id).last_lines(lines, limit=min(4_000_000, 400 * lines))
    return "".join(f"{hide_controls(redact_text(line))}\n" for line in shown)


def zip_tables(folder: Path) -> bytes:
    """The tables of a run's report, each as CSV, in a ZIP archive."""
    from io import BytesIO
    from zipfile import ZIP_DEFLATED, ZipFile

    from grpo.report.exports import make_exports
    from grpo.report.page import make_view
    from grpo.report.run_files import read_run

    out = BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        for name, text in make_exports(make_view(read_run(folder))).items():
            archive.writestr(f"{name}.csv", text.encode("utf-8", "replace"))
    return out.getvalue()


def compare_two(first: Path, other: Path) -> Any:
    """The comparison of two runs by their final evaluations; UserError where one has none."""
    from grpo.compare.comparability import check_likeness
    from grpo.compare.promotion import compare_runs
    from grpo.compare.promotion_rules import load_rules
    from grpo.compare.reading import read_recorded

    runs = read_recorded([str(first), str(other)])
    return compare_runs(runs, load_rules(None), check_likeness(runs, ()))


async def _follow(
    overview: Overview, folder: Path, id: str, stay: bool, last: str | None, request: Request
) -> AsyncIterator[ServerSentEvent]:
    from asyncio import sleep

    from anyio.to_thread import run_sync

    places = _read_places(last)
    shown: RunSummary | None = None
    while True:
        run = await run_sync(overview.find, id)
        if run is None:
            return
        if run != shown:
            shown = run
            yield _event("state", run.to_json(), places)
        for number, (name, file) in enumerate((("metrics", "metrics.jsonl"), ("watch", "watch.jsonl"))):
            rows, places[number] = await run_sync(read_added, folder / file, places[number])
            for row, place in rows:
                places[number] = place
                yield _event(name, row, places)
        living = run.state in ("queued", "waiting", "running", "cancelling")
        if not (stay and living) or await request.is_disconnected():
            return
        await sleep(_SECONDS_BETWEEN_LOOKS)


def _event(name: str, value: Any, places: list[int]) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data=orjson.dumps(value).decode(), id=f"{places[0]}-{places[1]}")


def _read_places(last: str | None) -> list[int]:
    parts = (last or "").split("-")
    return [int(part) for part in parts] if len(parts) == 2 and all(map(str.isdecimal, parts)) else [0, 0]


def read_added(path: Path, place: int) -> tuple[list[tuple[Any, int]], int]:
    """The whole rows of a JSONL file from a place on, each with the place behind it; from the start where it was cut."""
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) < place:
                place = 0
            file.seek(place)
            rows = []
            for line in file:
                if not line.endswith(b"\n"):
                    break
                place += len(line)
                try:
                    rows.append((orjson.loads(line), place))
                except ValueError:
                    continue
                if len(rows) >= 5000:
                    break
            return rows, place
    except OSError:
        return [], 0


def _item(run: RunSummary) -> RunItem:
    return RunItem.model_validate(_finite(run.to_json()))


def _finite(value: Any) -> Any:
    """The value as JSON can say it: what is not finite becomes null."""
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
