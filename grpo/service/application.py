"""The whole service as one ASGI application: interface, page and gate over a queue."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from grpo.service.access import AccessTokens, Gate
from grpo.service.queue import RunQueue
from grpo.service.submission import Allowed, Preflight, Submission, run_preflight_apart
from rewards.screen.harmless_text import make_label
from rewards.screen.invalid import explain, show_path

_THREADS = 4


def make_application(
    queue: RunQueue,
    allowed: Allowed,
    *,
    tokens: AccessTokens | None = None,
    hosts: frozenset[str] | None = None,
    preflight: Preflight = run_preflight_apart,
) -> Any:
    """The application over a queue that has been entered. `hosts` are the names it answers to; None asks for none."""
    from contextlib import asynccontextmanager
    from importlib.metadata import version

    from fastapi import FastAPI, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from fastapi.staticfiles import StaticFiles
    from starlette.exceptions import HTTPException

    from grpo.service.api import make_api
    from grpo.service.groups import StoredCompletions
    from grpo.service.overview import Overview
    from grpo.service.page import make_page
    from grpo.service.rendering import Renderer

    tokens = tokens or AccessTokens()

    @asynccontextmanager
    async def bound(app: FastAPI) -> Any:
        from anyio.to_thread import current_default_thread_limiter

        # A request is a look at some files: more threads would only hold more memory.
        current_default_thread_limiter().total_tokens = _THREADS
        yield

    app = FastAPI(
        title="recompensa",
        version=version("recompensa"),
        summary="Submit training runs, follow them, stop and resume them.",
        lifespan=bound,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    overview, store = Overview(queue), StoredCompletions()
    app.state.overview = overview
    app.include_router(make_api(queue, overview, store, allowed, preflight))
    app.include_router(make_page(queue, overview, store, allowed, tokens))
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")

    made = app.openapi

    def describe() -> dict[str, Any]:
        """FastAPI's description, in which every refusal is JSON whatever the answer would have been."""
        described = made()
        for path in described["paths"].values():
            for operation in path.values():
                for status, answer in operation["responses"].items():
                    if status >= "400":
                        answer["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/Problems"}}}
        if tokens.needed:
            described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            described["security"] = [{"token": []}]
            described["paths"]["/v1/health"]["get"]["security"] = []
        return described

    app.openapi = describe  # type: ignore[method-assign]

    renderer = Renderer()

    def answer(request: Request, lines: list[str], status: int, headers: Any = None) -> Response:
        """What is wrong, for a program as JSON, for a person as a page."""
        if not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", ""):
            return renderer.render(
                request, "problem.html.j2", status, tokens=tokens.needed, lines=lines, missing=status == 404
            )
        return JSONResponse({"problems": lines}, status, headers=headers)

    @app.exception_handler(RequestValidationError)
    def refuse_body(request: Request, error: RequestValidationError) -> Response:
        sent = request.headers.get("content-type", "")
        if request.method == "POST" and not sent.startswith("application/json"):
            return answer(
                request, ["the body must be JSON; send it with the header Content-Type: application/json"], 422
            )
        submitted = request.url.path == "/v1/runs"
        whole = "the submission" if submitted else "the body"
        lines = explain(error, None, lambda path: show_path(path) if path else whole, key="field", most=20)
        if submitted and any(line.endswith(": no such field") for line in lines):
            lines.append(f"a submission's fields: {', '.join(Submission.model_fields)}")
        return answer(request, lines, 422)

    def lack_room(request: Request, error: Exception) -> Response:
        said = getattr(error, "strerror", None) or str(error)
        return answer(request, [f"the service's folder cannot be used: {make_label(said, 200)}"], 507)

    for fault in (sqlite3.Error, OSError):
        app.add_exception_handler(fault, lack_room)

    @app.exception_handler(HTTPException)
    def refuse(request: Request, error: HTTPException) -> Response:
        lines = error.detail if isinstance(error.detail, list) else [str(error.detail)]
        if lines in (["Not Found"], ["Method Not Allowed"]):  # of the router, which names no address
            path = make_label(request.url.path, 200)
            lines = [f"{request.method} {path}: no such address; /v1/openapi.json lists those there are"]
        return answer(request, [str(line) for line in lines], error.status_code, error.headers)

    return Gate(app, tokens, hosts)
