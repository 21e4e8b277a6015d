"""Served scores are those of this process: for any completion of any bundled row, in any company, by every dialect that fits."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grpo.data.shop import build_shop
from grpo.data.shop.build import ShopSection
from rewards.adapters.trainer_rows import pack_row
from rewards.config import RewardsSection, build_host
from rewards.host.scoring import RewardHost
from rewards.plugins import load_rewards
from rewards.rows import read_rows
from rewards.sample_rows import find_options, open_samples
from rewards.serve.application import ServeSettings, make_application
from rewards.serve.scorers import make_scorer
from rewards.types import Completion, Example

TestClient = pytest.importorskip("fastapi.testclient").TestClient

ROOT = Path(__file__).parents[3]
SHOP = "shop"


class Bench(NamedTuple):
    """A server with rewards of several names, the same rewards in this process, and the rows bundled with each."""

    client: Any
    hosts: dict[str, RewardHost]
    rows: dict[str, list[Example]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Iterator[Bench]:
    """Every built-in with its sample rows, and the shop's four with rows of all its files."""
    sections, rows = {}, {}
    with ExitStack() as stack:
        for entry in load_rewards():
            if entry.distribution == "recompensa":
                rows[entry.name] = stack.enter_context(open_samples(entry))
                sections[entry.name] = {"functions": [{"name": entry.name, "options": find_options(entry)}]}
        files = build_shop(
            tmp_path_factory.mktemp("shop") / "shop", ShopSection(train_rows=120, held_out_rows=60, warmup_rows=40)
        )
        found = [row for file in (files.train, files.held_out, files.warmup) for row in read_rows(file)]
        rows[SHOP] = found
        names = ("extraction", "sql_qa", "insights", "push")
        sections[SHOP] = {"functions": [{"name": name, "weight": 1 + at} for at, name in enumerate(names)]}
        read = {
            name: RewardsSection.model_validate({**each, "error_budget": 1.0, "timeout_seconds": 30})
            for name, each in sections.items()
        }
        hosts = {name: stack.enter_context(build_host(section)) for name, section in read.items()}
        scorers = {name: make_scorer(name, section, Path.cwd()) for name, section in read.items()}
        allowed = (Path(tempfile.gettempdir()), files.database.parent, ROOT)
        application = make_application(scorers, ServeSettings(data=allowed))
        with TestClient(application, base_url="http://localhost") as client:
            yield Bench(client, hosts, rows)


class Draw(NamedTuple):
    """One completion: of which row, and how it is made of that row's reference and another's."""

    row: int
    other: int
    how: str
    cut: float
    noise: str


# Lone halves of surrogate pairs cannot be sent as JSON in UTF-8, and no tokenizer writes them.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
DRAWS = st.lists(
    st.builds(
        Draw,
        row=st.integers(0, 10_000),
        other=st.integers(0, 10_000),
        how=st.sampled_from(["whole", "cut", "other", "fenced", "noise", "noise before", "noise within", "twice"]),
        cut=st.floats(0, 1),
        noise=TEXTS,
    ),
    min_size=1,
    max_size=8,
)


def write(draw: Draw, rows: list[Example]) -> tuple[Example, Completion]:
    """The row and its completion; the half of them that ends early is said to be truncated."""
    row = rows[draw.row % len(rows)]
    right = row.reference or ""
    at = int(draw.cut * len(right))
    text = {
        "whole": right,
        "cut": right[:at],
        "other": rows[draw.other % len(rows)].reference or "",
        "fenced": f"Aqui está:\n```\n{right}\n```\n{draw.noise}",
        "noise": draw.noise,
        "noise before": f"<think>{draw.noise}</think>{right}",
        "noise within": right[:at] + draw.noise + right[at:],
        "twice": right + draw.noise + right,
    }[draw.how]
    return row, Completion(text, draw.how == "cut")


def to_item(row: Example, completion: Completion) -> dict[str, Any]:
    return {
        "id": row.id, "task": row.task, "prompt": [dict(turn) for turn in row.prompt], "reference": row.reference,
        "columns": dict(row.columns), "completion": completion.text, "truncated": completion.truncated,
    }  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_native_scores_when_any_completions_are_sent_together_then_equal_those_of_this_process(bench, data):
    """Number, status, reason and parts of each function; a row that a function refuses has no number anywhere."""
    name = data.draw(st.sampled_from([*bench.rows, SHOP, SHOP, SHOP]))
    host, pairs = bench.hosts[name], [write(draw, bench.rows[name]) for draw in data.draw(DRAWS)]
    answer = bench.client.post("/v1/score", json={"rewards": name, "items": [to_item(*pair) for pair in pairs]})
    assert answer.status_code == 200, answer.text[:500]
    for (row, completion), served in zip(pairs, answer.json()["results"], strict=True):
        if any(host.problems(entry, row) for entry in host.functions_for(row.task)):
            assert served["status"] == "bad_row" and served["value"] is None
            continue
        (mine,) = host.score([(row, completion)])
        assert served["value"] == mine.reward
        for outcome in mine.outcomes:
            said = served["functions"][outcome.function]
            assert (said["status"], said["value"], said["reason"], said["parts"]) == (
                outcome.status, outcome.value, outcome.reason, dict(outcome.parts),
            )  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(draws=DRAWS)
def test_dialects_when_the_row_travels_in_the_label_then_equal_those_of_this_process(bench, draws):
    """OpenRLHF's and slime's requests carry no row but what `rewards rows` packs into the label."""
    host = bench.hosts[SHOP]
    pairs = [(row, Completion(each.text)) for row, each in (write(draw, bench.rows[SHOP]) for draw in draws)]
    wanted = [each.reward for each in host.score(pairs)]
    labels = [pack_row(row) for row, _ in pairs]
    texts = [completion.text for _, completion in pairs]
    body = {"query": [f"P{text}" for text in texts], "prompts": ["P"] * len(texts), "labels": labels}
    together = bench.client.post(f"/get_reward?rewards={SHOP}", json=body)
    assert together.status_code == 200, together.text[:500]
    assert together.json()["rewards"] == wanted
    alone = [
        bench.client.post(f"/slime?rewards={SHOP}", json={"prompt": "P", "response": text, "label": label}).json()
        for text, label in zip(texts, labels, strict=True)
    ]
    assert [each.get("score") for each in alone] == wanted, json.dumps(alone)[:500]


def test_all_bundled_rows_when_served_then_their_references_earn_what_they_earn_here(bench):
    """Not one row is left to chance: every sample row and every row of the shop, in batches of 64."""
    for name, rows in bench.rows.items():
        host = bench.hosts[name]
        fit = [row for row in rows if not any(host.problems(entry, row) for entry in host.functions_for(row.task))]
        wanted = [each.reward for each in host.score([(row, Completion(row.reference or "")) for row in fit])]
        served = []
        for at in range(0, len(fit), 64):
            items = [to_item(row, Completion(row.reference or "")) for row in fit[at : at + 64]]
            served += bench.client.post("/v1/score", json={"rewards": name, "items": items}).json()["results"]
        assert [each["value"] for each in served] == wanted, name
