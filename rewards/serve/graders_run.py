"""`/v1/fine_tuning/alpha/graders/run` and `/validate`: a grader that comes with the request, without code and without a network."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Response
from pydantic import ConfigDict, Field

from rewards.graders.openai_grader import OpenAiGrader, evaluate, make_sample
from rewards.graders.reading import find_problems
from rewards.graders.templates import MissingPlace
from rewards.serve.answers import respond
from rewards.serve.dialects.shapes import StrictModel
from rewards.serve.gate import make_error
from rewards.serve.policy import POLICY, SECONDS
from rewards.serve.shapes import Failure
from rewards.types import Completion
from rewards.writing.writable import clean_message

RUN = "/v1/fine_tuning/alpha/graders/run"
VALIDATE = "/v1/fine_tuning/alpha/graders/validate"
_ERRORS = (
    "formula_parse_error", "invalid_variable_error", "model_grader_parse_error", "model_grader_refusal_error",
    "model_grader_server_error", "other_error", "python_grader_runtime_error", "python_grader_server_error",
    "sample_parse_error", "truncated_observation_error", "unresponsive_reward_error",
)  # fmt: skip
_DETAILS = (
    "model_grader_server_error_details",
    "python_grader_runtime_error_details",
    "python_grader_server_error_type",
)


class GraderRequest(StrictModel):
    grader: dict[str, Any]


class GraderRun(GraderRequest):
    model_sample: str
    item: dict[str, Any] = Field(default_factory=dict)


class GraderResponse(StrictModel):
    model_config = ConfigDict(strict=True, extra="allow")

    reward: float
    sub_rewards: dict[str, float]
    metadata: dict[str, Any]


def add_graders(application: FastAPI) -> None:
    """The two addresses, whatever rewards the server holds."""
    refused = {code: {"model": Failure} for code in (400, 401, 403, 409, 413, 415, 422, 500, 503)}

    @application.post(RUN, response_model=GraderResponse, responses=refused)  # type: ignore[arg-type]
    async def run_grader(body: GraderRun) -> Response:
        """The number of a grader for a sample; a failure is an HTTP error, not a 0."""
        if problems := _check(body.grader):
            return respond(POLICY["openai"]["bad_row"], make_error("bad_row", problems))
        started, parts = time.perf_counter(), {}  # type: ignore[var-annotated]
        sample = make_sample(Completion(body.model_sample))
        work = asyncio.to_thread(_evaluate, body.grader, body.item, sample, parts)
        try:
            value = await asyncio.wait_for(work, SECONDS["openai"])
        except TimeoutError:
            return respond(POLICY["openai"]["deadline"], make_error("deadline", "not graded in time"))
        except MissingPlace as error:
            return respond(POLICY["openai"]["bad_row"], make_error("bad_row", clean_message(error, 500)))
        except (ValueError, ArithmeticError, TypeError) as error:
            said = f"{type(error).__name__}: {clean_message(error, 500)}"
            return respond(POLICY["openai"]["error"], make_error("error", said))
        return respond(200, _describe(body.grader, value, parts, time.perf_counter() - started))

    @application.post(VALIDATE, response_model=GraderRequest, responses=refused)  # type: ignore[arg-type]
    async def validate_grader(body: GraderRequest) -> Response:
        """The grader again where it can be evaluated here; else why not."""
        if problems := _check(body.grader):
            return respond(POLICY["openai"]["bad_row"], make_error("bad_row", problems))
        return respond(200, {"grader": body.grader})


def _check(grader: Mapping[str, Any]) -> str:
    lines = find_problems(grader, python=False)
    if not lines and _asks_models(grader):
        lines = ["grader: score_model asks another server; it runs by `rewards import-grader`, not from the network"]
    return clean_message("; ".join(lines[:5]), 1000)


def _asks_models(grader: Any) -> bool:
    inner = grader.get("graders", {}).values() if grader.get("type") == "multi" else ()
    return grader.get("type") == "score_model" or any(map(_asks_models, inner))


def _evaluate(grader: Mapping[str, Any], item: Mapping[str, Any], sample: Any, parts: dict[str, float]) -> float:
    value = asyncio.run(evaluate(grader, item, sample, OpenAiGrader(grader=json.dumps(grader)), parts))
    if not -1e300 < value < 1e300:
        raise ValueError("the formula gives no number")
    return value


def _describe(grader: Mapping[str, Any], value: float, parts: dict[str, float], seconds: float) -> dict[str, Any]:
    name = grader.get("name")
    metadata = {
        "name": name if isinstance(name, str) else "", "type": grader["type"], "execution_time": round(seconds, 6),
        "scores": dict(parts), "token_usage": None, "sampled_model_name": None,
        "errors": {**dict.fromkeys(_ERRORS, False), **dict.fromkeys(_DETAILS)},
    }  # fmt: skip
    return {"reward": value, "sub_rewards": parts, "model_grader_token_usage_per_model": {}, "metadata": metadata}
