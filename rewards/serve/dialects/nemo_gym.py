"""`POST /verify`, as NeMo Gym calls a resources server; it has words for what is not a verdict, and they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict

from rewards.serve.dialects.shapes import Dialect, Result, StrictModel, number_functions
from rewards.serve.incoming import make_example, read_label, text_of
from rewards.serve.pool import Item
from rewards.serve.scorers import Scorer

_OF_GYM = frozenset({"responses_create_params", "response", "agent_ref"})


class Parameters(StrictModel):
    model_config = ConfigDict(strict=True, extra="allow")

    input: str | list[dict[str, Any]]


class GymAnswer(StrictModel):
    model_config = ConfigDict(strict=True, extra="allow")

    output: list[dict[str, Any]]
    incomplete_details: dict[str, Any] | None = None


class VerifyRequest(StrictModel):
    """Every further field is the row's own."""

    model_config = ConfigDict(strict=True, extra="allow")

    responses_create_params: Parameters
    response: GymAnswer


class VerifyResponse(StrictModel):
    model_config = ConfigDict(strict=True, extra="allow")

    reward: float
    reward_components: dict[str, float]


def parse(body: VerifyRequest, task: str) -> list[Item]:
    row = {key: value for key, value in (body.model_extra or {}).items() if key not in _OF_GYM}
    if "reference" not in row and "label" in row:
        row = {**row, **read_label(row.pop("label"))}
    said = body.responses_create_params.input
    prompt: Any = said
    if not isinstance(said, str):
        prompt = [{"role": str(turn.get("role", "user")), "content": text_of(turn.get("content"))} for turn in said]
    texts = [
        text_of(each.get("content"))
        for each in body.response.output
        if each.get("type", "message") == "message" and each.get("role", "assistant") == "assistant"
    ]
    cut = (body.response.incomplete_details or {}).get("reason") == "max_output_tokens"
    return [(make_example(row, prompt, task, "the row"), texts[-1] if texts else "", cut)]


def render(body: VerifyRequest, scorer: Scorer, items: Sequence[Item], results: Sequence[Result]) -> Any:
    (result,) = results
    numbers = number_functions(scorer, result)
    return describe(body, result["status"], result["value"], result["reason"], numbers)


def describe(
    body: VerifyRequest, status: str, value: float | None, reason: str, numbers: dict[str, float]
) -> dict[str, Any]:
    """The request echoed, with the reward, or with what the gym calls a failure."""
    answer = {**body.model_dump(mode="json"), **numbers, "reward_components": numbers, "reward": value}
    if status == "value":
        return answer
    # NeMo-RL leaves a masked sample out of the loss, the gym puts a failed one into its file of failures.
    answer |= {"reward": 0.0, "mask_sample": True, "failure_reason": reason}
    if status != "unscored":
        answer |= {"_ng_failure_class": "judge_failed", "_ng_failure_judge_error": reason}
    return answer


NEMO_GYM = Dialect(
    "nemo_gym", "/verify", VerifyRequest, VerifyResponse, parse, render, "NeMo Gym, and NeMo-RL behind it"
)
