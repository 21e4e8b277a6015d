"""`POST /google` and `POST /aws`: the scorers that Gemini's RL tuning and SageMaker's or Bedrock's call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field, RootModel

from rewards.errors import UserError
from rewards.serve.dialects.shapes import Dialect, Result, StrictModel
from rewards.serve.incoming import make_example, read_label, text_of
from rewards.serve.pool import Item
from rewards.serve.scorers import Scorer


class Content(StrictModel):
    model_config = ConfigDict(strict=True, extra="allow")

    role: str | None = None
    parts: list[dict[str, Any]]


class GoogleExample(StrictModel):
    model_config = ConfigDict(strict=True, extra="allow")

    contents: list[Content]
    systemInstruction: Content | None = None
    references: dict[str, Any] = Field(default_factory=dict)


class GoogleRequest(StrictModel):
    model_config = ConfigDict(strict=True, extra="allow")

    example: GoogleExample
    response: Content


class GoogleResponse(StrictModel):
    reward: float
    user_requested_aux_info: str


class AwsSample(StrictModel):
    model_config = ConfigDict(strict=True, extra="allow")

    id: str
    messages: list[dict[str, Any]]
    metadata: dict[str, Any] = Field(default_factory=dict)


class AwsRequest(RootModel[list[AwsSample]]):
    model_config = ConfigDict(strict=True)


class AwsMetric(StrictModel):
    name: str
    value: float
    type: str


class AwsResult(StrictModel):
    id: str
    aggregate_reward_score: float
    metrics_list: list[AwsMetric]


def parse_google(body: GoogleRequest, task: str) -> list[Item]:
    roles = {"model": "assistant"}
    turns = [
        {"role": roles.get(each.role or "user", each.role or "user"), "content": text_of(each.parts)}
        for each in body.example.contents
    ]
    if body.example.systemInstruction is not None:
        turns.insert(0, {"role": "system", "content": text_of(body.example.systemInstruction.parts)})
    row = _read_row(body.example.references)
    return [(make_example(row, turns, task, "example.references"), text_of(body.response.parts), False)]


def render_google(body: Any, scorer: Scorer, items: Sequence[Item], results: Sequence[Result]) -> Any:
    said = " ".join(
        f"{name}={each['value']:g}" for name, each in results[0]["functions"].items() if each["value"] is not None
    )
    return {"reward": results[0]["value"], "user_requested_aux_info": said}


def parse_aws(body: AwsRequest, task: str) -> list[Item]:
    items = []
    for at, sample in enumerate(body.root):
        if not sample.messages or sample.messages[-1].get("role") != "assistant":
            raise UserError(f"[{at}].messages: the last is not the assistant's; it is what would be scored")
        turns = [
            {"role": str(turn.get("role", "user")), "content": text_of(turn.get("content"))}
            for turn in sample.messages[:-1]
        ]
        row = {"id": sample.id, **_read_row(sample.metadata)}
        example = make_example(row, turns, task, f"[{at}].metadata")
        items.append((example, text_of(sample.messages[-1].get("content")), False))
    return items


def render_aws(body: AwsRequest, scorer: Scorer, items: Sequence[Item], results: Sequence[Result]) -> Any:
    return [
        {
            "id": sample.id,
            "aggregate_reward_score": result["value"],
            "metrics_list": [
                {"name": name, "value": each["value"], "type": "Reward"}
                for name, each in result["functions"].items()
                if each["value"] is not None
            ],
        }
        for sample, result in zip(body.root, results, strict=True)
    ]


def _read_row(given: Mapping[str, Any]) -> dict[str, Any]:
    """A whole row under `row`, or the row's fields; `answer` and `reference_answer` are names of the reference."""
    row = {**given, **read_label(given["row"])} if "row" in given else dict(given)
    row.pop("row", None)
    for name in ("answer", "reference_answer"):
        if "reference" not in row and name in row:
            row["reference"] = row.pop(name)
    return row


GOOGLE = Dialect(
    "google",
    "/google",
    GoogleRequest,
    GoogleResponse,
    parse_google,
    render_google,
    "Gemini's RL tuning: a Cloud Run scorer",
)
AWS = Dialect(
    "aws",
    "/aws",
    AwsRequest,
    list[AwsResult],
    parse_aws,
    render_aws,
    "SageMaker's and Bedrock's reinforcement fine-tuning",
)
