"""The page: rendered here, of the files of the runs alone; a small script makes it live, and nothing needs it to be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse

from grpo.language.catalogue import LANGUAGES
from grpo.report.run_files import read_run
from grpo.service.access import COOKIE, SUBMIT, AccessTokens
from grpo.service.api import compare_two, find_in, list_submittable, read_log
from grpo.service.group_view import changed_rows, make_errors_view, make_group_view, make_groups_view, make_prompt_view
from grpo.service.groups import (
    FILTERS,
    SORTS,
    StoredCompletions,
    evaluation_file,
    list_evaluations,
    list_steps,
    step_file,
)
from grpo.service.overview import Overview, RunSummary
from grpo.service.queue import RunQueue
from grpo.service.rendering import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, Renderer
from grpo.service.run_view import make_run_view, overlay
from grpo.service.submission import Allowed
from rewards.errors import UserError

LIVING = ("queued", "waiting", "running", "cancelling")
_YEAR = 365 * 86400


def _find_asked(id: str, request: Request) -> RunSummary:
    return find_in(request.app.state.overview, id)


Asked = Annotated[RunSummary, Depends(_find_asked)]
Sort = Annotated[str, Query(pattern=f"^({'|'.join(SORTS)})$")]
Only = Annotated[str, Query(pattern=f"^({'|'.join(FILTERS)})$")]
Words = Annotated[str, Query(max_length=200)]
Number = Annotated[int, Query(ge=0, le=10_000_000)]


def make_page(
    queue: RunQueue, overview: Overview, store: StoredCompletions, allowed: Allowed, tokens: AccessTokens
) -> APIRouter:
    """The routes of the page over one queue."""
    page = APIRouter(include_in_schema=False)
    renderer = Renderer()

    def show(request: Request, template: str, **view: Any) -> Response:
        return renderer.render(request, template, tokens=tokens.needed, **view)

    @page.get("/")
    def runs(request: Request) -> Response:
        found = overview.list()
        return show(
            request, "runs.html.j2", slots=queue.slots, now=[run for run in found if run.state in LIVING],
            ended=[run for run in found if run.state not in LIVING],
        )  # fmt: skip

    @page.get("/new")
    def new(request: Request) -> Response:
        configs = list_submittable(allowed)
        names = [run.id for run in overview.list() if run.queued][:200]
        return show(request, "new.html.j2", configs=configs, runs=names)

    @page.get("/compare")
    def compare(request: Request, a: Words = "", b: Words = "") -> Response:
        names = [run.id for run in overview.list()]
        view: dict[str, Any] = {"a": a, "b": b, "names": names, "comparison": None, "problems": [], "curves": []}
        if a and b:
            first, other = (queue.folder(find_in(overview, name).id) for name in (a, b))
            try:
                view["comparison"] = compare_two(first, other).to_json()
                view["changed"] = changed_rows(first, other)
            except UserError as error:
                view["problems"] = [_say_for_page(line, (first, other)) for line in error.problems]
            try:
                view["curves"] = overlay(read_run(first, completions=False), read_run(other, completions=False))
            except UserError as error:
                view["problems"] += [_say_for_page(line, (first, other)) for line in error.problems]
        return show(request, "compare.html.j2", **view)

    @page.get("/runs/{id}")
    def run(request: Request, run: Asked) -> Response:
        return show(request, "run.html.j2", **make_run_view(overview, run), living=run.state in LIVING)

    @page.get("/runs/{id}/log")
    def log(request: Request, run: Asked) -> Response:
        return show(
            request,
            "log.html.j2",
            run=run,
            log=read_log(queue, run.id, 500),
            living=run.state in LIVING,
            evaluations=list_evaluations(queue.folder(run.id)),
        )

    @page.get("/runs/{id}/errors")
    def errors(request: Request, run: Asked) -> Response:
        folder = queue.folder(run.id)
        return show(
            request, "errors.html.j2", run=run, functions=make_errors_view(folder), evaluations=list_evaluations(folder)
        )

    @page.get("/runs/{id}/prompt")
    def prompt(request: Request, run: Asked, key: Annotated[str, Query(max_length=2000)]) -> Response:
        view = make_prompt_view(store, queue.folder(run.id), key)
        if view is None:
            raise HTTPException(404, [f"{run.id}: no completions of {key[:80]!r} are stored"])
        return show(request, "prompt.html.j2", run=run, evaluations=list_evaluations(queue.folder(run.id)), **view)

    @page.get("/runs/{id}/steps")
    def last_step(run: Asked) -> Response:
        steps = list_steps(queue.folder(run.id))
        if not steps:
            return RedirectResponse(f"/runs/{quote(run.id, safe='')}", 303)
        return RedirectResponse(f"/runs/{quote(run.id, safe='')}/steps/{steps[-1]}", 303)

    @page.get("/runs/{id}/steps/{step}")
    def groups(
        request: Request, run: Asked, step: int, sort: Sort = "order", only: Only = "all", task: Words = "",
        words: Words = "", page: Number = 0, group: int | None = None, first: Number = 0,
    ) -> Response:  # fmt: skip
        folder = queue.folder(run.id)
        steps = list_steps(folder)
        path = step_file(folder, step)
        if step not in steps:
            stored = f"; the last that are: {', '.join(map(str, steps[-5:]))}" if steps else ""
            raise HTTPException(404, [f"{run.id}: no completions of step {step} are stored{stored}"])
        place = steps.index(step)
        view = make_groups_view(store, path, sort=sort, only=only, task=task, words=words, page=page, group=group)
        detail = make_group_view(store, path, view["current"], first) if view["current"] is not None else None
        return show(
            request, "groups.html.j2", run=run, step=step, steps=steps, evaluation=None, evaluations=list_evaluations(folder),
            previous=steps[place - 1] if place else None, following=steps[place + 1] if place + 1 < len(steps) else None,
            sort=sort, only=only, task=task, words=words, detail=detail, sorts=SORTS, filters=FILTERS, **view,
        )  # fmt: skip

    @page.get("/runs/{id}/evals/{name}")
    def evaluation(
        request: Request, run: Asked, name: str, sort: Sort = "order", only: Only = "all", task: Words = "",
        words: Words = "", page: Number = 0, group: int | None = None, first: Number = 0,
    ) -> Response:  # fmt: skip
        folder = queue.folder(run.id)
        path, names = evaluation_file(folder, name), list_evaluations(folder)
        if path is None or name not in names:
            raise HTTPException(404, [f"{run.id}: no evaluation {name[:40]!r} is stored"])
        place = names.index(name)
        view = make_groups_view(store, path, sort=sort, only=only, task=task, words=words, page=page, group=group)
        detail = make_group_view(store, path, view["current"], first) if view["current"] is not None else None
        return show(
            request, "groups.html.j2", run=run, step=None, steps=list_steps(folder), evaluation=name, evaluations=names,
            previous=names[place - 1] if place else None, following=names[place + 1] if place + 1 < len(names) else None,
            sort=sort, only=only, task=task, words=words, detail=detail, sorts=SORTS, filters=FILTERS, **view,
        )  # fmt: skip

    @page.get("/set")
    def choose(
        request: Request, to: Annotated[str, Query(max_length=4000)] = "/", language: Words = "", theme: Words = ""
    ) -> Response:
        # Only a place of this page: an address that begins with two slashes is another site's.
        answer = RedirectResponse(to if to.startswith("/") and not to.startswith(("//", "/\\")) else "/", 303)
        if language in LANGUAGES:
            answer.set_cookie(LANGUAGE_COOKIE, language, max_age=_YEAR, samesite="lax", httponly=True)
        if theme in THEMES:
            answer.set_cookie(THEME_COOKIE, theme, max_age=_YEAR, samesite="lax", httponly=True)
        elif theme:
            answer.delete_cookie(THEME_COOKIE)
        return answer

    @page.get("/login")
    def login(request: Request) -> Response:
        return show(request, "login.html.j2", refused=False)

    @page.post("/login")
    async def enter(request: Request) -> Response:
        given = parse_qs((await request.body())[:10_000].decode("utf-8", "replace")).get("token", [""])[0]
        role = tokens.role_of(given.strip()) if tokens.needed else SUBMIT
        if role is None:
            return renderer.render(request, "login.html.j2", 401, tokens=tokens.needed, refused=True)
        answer = RedirectResponse("/", 303)
        if tokens.needed:
            secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
            answer.set_cookie(COOKIE, tokens.cookie_of(role), httponly=True, samesite="strict", secure=secure)
        return answer

    @page.post("/logout")
    def leave() -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    return page


def _say_for_page(line: str, folders: Sequence[Path]) -> str:
    """A command's line for a reader of the page: runs by their names, and no advice about the command's options."""
    for folder in folders:
        line = line.replace(f"{folder}:", f"{folder.name}:")
    return re.sub(r" \([^()]*--[^()]*\)$", "", line)
