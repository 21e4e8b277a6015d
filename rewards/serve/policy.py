"""The one table of what becomes of an outcome in each dialect: a number only for a value, never a silent 0 for a failure."""

from __future__ import annotations

from typing import Final

VALUE, UNSCORED, BAD_ROW, ERROR = "value", "unscored", "bad_row", "error"
OVER_BUDGET, QUEUE_FULL, DEADLINE = "over_budget", "queue_full", "deadline"
OUTCOMES: Final = (VALUE, UNSCORED, BAD_ROW, ERROR, OVER_BUDGET, QUEUE_FULL, DEADLINE)

POLICY: Final[dict[str, dict[str, int]]] = {
    # HTTP status by outcome. 422 is kept for a body that is not what the OpenAPI says; one that these rewards cannot judge is
    # a conflict, 409. 200 beside unscored, bad_row and error: the protocol itself has a word for them.
    "native": {VALUE: 200, UNSCORED: 200, BAD_ROW: 200, ERROR: 200, OVER_BUDGET: 503, QUEUE_FULL: 429, DEADLINE: 503},
    "openrlhf": {VALUE: 200, UNSCORED: 409, BAD_ROW: 409, ERROR: 503, OVER_BUDGET: 503, QUEUE_FULL: 503, DEADLINE: 503},
    "slime": {VALUE: 200, UNSCORED: 409, BAD_ROW: 409, ERROR: 503, OVER_BUDGET: 503, QUEUE_FULL: 503, DEADLINE: 503},
    "nemo_gym": {VALUE: 200, UNSCORED: 200, BAD_ROW: 200, ERROR: 200, OVER_BUDGET: 503, QUEUE_FULL: 503, DEADLINE: 503},
    "google": {VALUE: 200, UNSCORED: 409, BAD_ROW: 409, ERROR: 500, OVER_BUDGET: 503, QUEUE_FULL: 503, DEADLINE: 503},
    "aws": {VALUE: 200, UNSCORED: 409, BAD_ROW: 409, ERROR: 500, OVER_BUDGET: 503, QUEUE_FULL: 503, DEADLINE: 503},
    "openai": {VALUE: 200, UNSCORED: 409, BAD_ROW: 409, ERROR: 500, OVER_BUDGET: 503, QUEUE_FULL: 503, DEADLINE: 503},
}  # fmt: skip

SECONDS: Final = {
    # A little less than the client waits: OpenRLHF 180 s, slime 120 s; the others do not say.
    "native": 60.0, "openrlhf": 170.0, "slime": 110.0, "nemo_gym": 110.0, "google": 55.0, "aws": 55.0, "openai": 110.0,
}  # fmt: skip

RETRY_SECONDS: Final = 1
"""In `Retry-After` beside 429 and 503."""


def choose_status(dialect: str, outcomes: list[str]) -> tuple[int, str]:
    """The HTTP status of a request, and the outcome that decided it: the worst of its items."""
    worst = next((each for each in (ERROR, BAD_ROW, UNSCORED) if each in outcomes), VALUE)
    return POLICY[dialect][worst], worst
