"""What the folder of `rewards export nemo-gym` calls: a body of `/verify` in, the answer out, as the server gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.adapters.source import open_source
from rewards.serve.dialects.nemo_gym import VerifyRequest, describe, parse


async def verify(body: Mapping[str, Any], *, config: str | None = None, url: str | None = None) -> dict[str, Any]:
    """The echoed body with `reward`, `reward_components` and, where there is no verdict, the gym's words for that."""
    request = VerifyRequest.model_validate(dict(body))
    source = open_source(None if url else config, url)
    (verdict,) = await source.score_async(parse(request, "default"))
    numbers = {name: -1.0 if value is None else float(value) for name, value in verdict.functions.items()}
    return describe(request, verdict.status, verdict.value, verdict.reason, numbers)
