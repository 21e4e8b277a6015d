"""The page: rendered here, of the files of the runs alone; a small script makes it live."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from grpo.service.access import AccessTokens
from grpo.service.groups import StoredCompletions
from grpo.service.overview import Overview
from grpo.service.queue import RunQueue
from grpo.service.submission import Allowed, Preflight


def make_page(
    queue: RunQueue,
    overview: Overview,
    store: StoredCompletions,
    allowed: Allowed,
    preflight: Preflight,
    tokens: AccessTokens,
) -> APIRouter:
    """The routes of the page over one queue."""
    page = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @page.get("/")
    def runs(request: Request) -> Any:
        items = "".join(f"<li>{run.id} {run.state}</li>" for run in overview.list())
        return HTMLResponse(f"<!doctype html><title>recompensa</title><ul>{items}</ul>")

    return page
