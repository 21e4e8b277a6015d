"""How an answer is written: JSON, with versions and pin in its headers."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from rewards.serve.gate import RETRY_HEADERS
from rewards.serve.scorers import Scorer
from rewards.writing.writable import to_json


def respond(status: int, body: Any, scorer: Scorer | None = None) -> Response:
    """A JSON answer; versions and pin stand in the headers of every one that a scorer gave."""
    headers = dict(RETRY_HEADERS) if status in (429, 503) else {}
    if scorer is not None:
        headers["X-Recompensa-Rewards"] = scorer.name.encode("ascii", "replace").decode()
        headers["X-Recompensa-Pin"] = scorer.pin
        versions = "; ".join(f"{name}={version}" for name, version in scorer.versions.items())
        headers["X-Recompensa-Versions"] = versions.encode("ascii", "replace").decode()
    content = to_json(body)
    return Response(content, status, headers, media_type="application/json")
