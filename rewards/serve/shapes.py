"""What the server says beside scores: failures, its health, its rewards."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class FailureDetail(BaseModel):
    kind: str
    message: str


class Failure(BaseModel):
    """Every answer that is not 200; beside 409 the server's own versions and pin."""

    error: FailureDetail
    versions: dict[str, str] | None = None
    pin: str | None = None


class ServerHealth(BaseModel):
    status: str
    waiting: int
    faults: dict[str, str]


class ServedFunction(BaseModel):
    name: str
    version: str
    fingerprint: str
    weight: float
    tasks: list[str]
    options: dict[str, Any]
    plugin: str
    distribution: str
    sees: str


class ServedRewards(BaseModel):
    name: str
    pin: str
    versions: dict[str, str]
    functions: list[ServedFunction]


class RewardsList(BaseModel):
    rewards: list[ServedRewards]
    dialects: dict[str, str]
