"""The answers of the HTTP interface as pydantic models; OpenAPI is made from them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

State = Literal[
    "queued", "waiting", "running", "cancelling", "done", "failed", "stopped", "cancelled", "skipped", "interrupted"
]


class Problems(BaseModel):
    """What is wrong, one line each: what, where, what is allowed."""

    problems: list[str]


class RunItem(BaseModel):
    """A run as the list shows it; times in seconds since 1970, `margin` of the question that is nearest to turning."""

    id: str
    state: State
    stage: str
    step: int
    max_steps: int | None
    warmup_step: int | None = Field(description="How far the supervised warm-up is; null but while it runs.")
    warmup_steps: int | None
    warmup_loss: float | None
    seconds_left: float | None
    memory_bytes: int | None
    mean: float | None
    low: float | None
    high: float | None
    scenario: str | None
    margin: float | None
    margin_of: str | None
    final: bool = Field(description="Whether the decision was made; else it is what would be decided now.")
    model: str
    profile: str | None
    best_step: int | None
    events: int
    reason: str
    queued: bool = Field(description="Whether it came through the queue; false for one started by hand.")
    group: str | None
    after: str | None
    priority: int
    slot: int | None
    tries: int
    exit_code: int | None
    created: float | None
    has_report: bool


class RunList(BaseModel):
    """Runs, the newest first."""

    runs: list[RunItem]


class RunDetail(RunItem):
    """A run with its numbers: `tasks` at the latest evaluation, `decision` with the margins of its path."""

    tasks: list[dict[str, Any]]
    decision: dict[str, Any]
    watch: list[dict[str, Any]]
    config: dict[str, Any]
    steps: list[int] = Field(description="Steps whose completions are stored.")


class Health(BaseModel):
    """Whether the service works, and how much of it is in use."""

    status: Literal["ok"]
    slots: int
    running: int
    queued: int


class GroupPage(BaseModel):
    """Groups of a step: prompt once, its completions with value, advantage and reasons."""

    step: int
    total: int = Field(description="Groups that pass the filter.")
    completions: int
    groups: list[dict[str, Any]]


class ConfigList(BaseModel):
    """What can be submitted: shipped configs by name, files of the allowed folders by path."""

    shipped: list[str]
    files: list[str]
