"""The server is held against its own OpenAPI by schemathesis: whatever is sent, the answer is one that it has declared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rewards.config import RewardsSection
from rewards.serve.application import ServeSettings, make_application
from rewards.serve.scorers import make_scorer
from tests.rewards.serve.running import run_server

schemathesis = pytest.importorskip("schemathesis")

SECTION = RewardsSection.model_validate(
    {"functions": [{"name": "json_valid"}, {"name": "field_f1"}], "error_budget": 1.0}
)
APPLICATION = make_application({"mine": make_scorer("mine", SECTION, Path.cwd())}, ServeSettings(seconds=30))
SCHEMA = schemathesis.openapi.from_dict(APPLICATION.openapi())


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The server itself, over a socket."""
    with run_server(APPLICATION) as url:
        yield url


@SCHEMA.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_server_when_anything_is_sent_then_answers_as_its_openapi_says(case, address):
    """No 500, no undeclared status, no body that does not fit; what does not fit the schema is refused."""
    case.call_and_validate(base_url=address)
