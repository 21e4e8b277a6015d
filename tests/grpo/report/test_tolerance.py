"""The report of runs that are broken, stopped, half-written or hostile: always written, never with a secret in it."""

import random
import shutil
import string

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grpo.report import write_report
from grpo.report.page import make_view
from grpo.report.readings import compare_fields, read_answer
from grpo.report.run_files import read_run
from grpo.report.samples import choose_group, count_states
from rewards.screen.harmless_text import make_visible

OBJECTS = (
    "config.json",
    "environment.json",
    "plan.json",
    "audit.json",
    "decision.json",
    "status.json",
    "sft_baseline.json",
)
LINES = (
    "metrics.jsonl",
    "timings.jsonl",
    "watch.jsonl",
    "eval/warmup.jsonl",
    "eval/final.jsonl",
    "completions/step-000010.jsonl",
)
# The keys the report looks at, so that the odd values land where something is done with them.
KEYS = st.sampled_from(
    [
        "config",
        "name",
        "decision",
        "path",
        "answers",
        "scenario",
        "title",
        "action",
        "question",
        "outcome",
        "value",
        "threshold",
        "margin",
        "n",
        "low",
        "high",
        "passed",
        "probes",
        "gold",
        "errors",
        "warnings",
        "gold_failures",
        "references",
        "max_steps",
        "tokens",
        "total_expected",
        "seconds_estimated",
        "memory_bytes",
        "peak",
        "packages",
        "settings",
        "changed_by_libraries",
        "rewards",
        "version",
        "weight",
        "status",
        "stage",
        "step",
        "finished",
        "seconds",
        "stopped_by",
        "reward",
        "eval/mean_reward",
        "eval/push",
        "eval/push_n",
        "eval/mean_reward_std",
        "rule",
        "metric",
        "message",
        "limit",
        "id",
        "task",
        "prompt",
        "completion",
        "reference",
        "scores",
        "repairs",
        "parts",
        "role",
        "content",
        "group",
        "advantage",
        "mean",
        "per_task",
        "model",
        "embedded",
        "evaluation",
        "reward/push",
        "num_tokens",
        "step_time",
        "stage_seconds",
        "peak_memory_bytes",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=12)
    | st.sampled_from(["train", "final", "warmup", "A", "yes", "1e400", "\ud800", "<script>", "{{ x }}", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=6),
    max_leaves=14,
)  # fmt: skip


def dump(value) -> bytes:
    import json

    return json.dumps(value, default=str).encode("utf-8", "surrogatepass")


ROWS = st.dictionaries(KEYS, VALUES, max_size=8) | VALUES


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    objects=st.dictionaries(st.sampled_from(OBJECTS), ROWS),
    lines=st.dictionaries(st.sampled_from(LINES), st.lists(ROWS, max_size=4)),
)
def test_report_when_files_hold_anything_then_it_is_written(tmp_path_factory, objects, lines):
    """Whatever JSON stands where, both files come out, and no part of the page had to be given up for it."""
    folder = tmp_path_factory.mktemp("any")
    for name in ("eval", "completions"):
        (folder / name).mkdir()
    (folder / "config.json").write_text("{}")
    for name, value in objects.items():
        (folder / name).write_bytes(dump(value))
    for name, values in lines.items():
        (folder / name).write_bytes(b"\n".join(map(dump, values)))
    run = read_run(folder)
    make_view(run)
    assert not [note for note in run.notes if "could not be shown" in note]
    paths = write_report(folder)
    assert all(path.stat().st_size > 100 for path in paths)
    assert "<script" not in paths[0].read_text(encoding="utf-8")
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"stage": "grpo", "step": 0, "finished": False}, "Not finished: in GRPO, at step 150 of 200"),
        ({"stage": "grpo", "step": 150, "finished": False, "stopped_by": "zero_spread"}, "Stopped by the watch rule zero_spread at step 150 of 200"),
        ({"stage": "final", "step": 200, "finished": False}, "Not finished: before its final evaluation, at step 150"),
    ],
)  # fmt: skip
def test_report_of_a_run_that_has_not_finished_says_how_far_it_came_and_how_to_go_on(tmp_path, write_run, status, said):
    """The state stands above all else, with the command; the last evaluation made stands for the end."""
    folder = write_run(tmp_path / "run", steps=200)
    (folder / "decision.json").unlink()
    (folder / "eval" / "final.jsonl").unlink()
    (folder / "status.json").write_bytes(orjson.dumps(status))
    rows = [orjson.loads(line) for line in (folder / "metrics.jsonl").read_bytes().splitlines()]
    kept = [row for row in rows if row["step"] <= 150]
    (folder / "metrics.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in kept))
    html, text = (path.read_text(encoding="utf-8") for path in write_report(folder))
    assert said in html and said.replace("_", "\\_") in text
    assert html.index(said) < html.index("No decision was made")
    assert "--resume" in html
    assert "step-000150" in html
    assert 'id="completions"' in html


def test_report_of_a_run_with_watch_events_shows_each_and_marks_its_step(tmp_path, write_run):
    """An event is a row of the table and a line in the chart of its metric."""
    folder = write_run(tmp_path / "run", steps=100)
    event = {
        "stage": "train",
        "step": 40,
        "rule": "grad_norm",
        "action": "stop",
        "metric": "grad_norm",
        "value": 3.5,
        "limit": 2.0,
        "message": "Lower the rate.",
    }
    (folder / "watch.jsonl").write_bytes(orjson.dumps(event) + b"\n")
    html, text = (path.read_text(encoding="utf-8") for path in write_report(folder))
    assert "Lower the rate." in html
    assert html.count('class="event"') == 1
    assert "- step 40, stop: grad\\_norm, grad\\_norm 3.500 against 2.000. Lower the rate." in text


def test_report_of_a_watched_run_without_events_says_so(tmp_path, write_run):
    """An empty file of events is good news; no file is none."""
    folder = write_run(tmp_path / "run", steps=100)
    (folder / "watch.jsonl").write_bytes(b"")
    assert "No watch rule was broken." in write_report(folder)[0].read_text(encoding="utf-8")


def test_report_when_completions_are_monstrous_then_it_stays_quick_and_small(tmp_path):
    """A line of a megabyte, NUL, half surrogates, direction overrides and piles of brackets cost neither time nor size."""
    texts = [
        "{" * 500_000,
        '\ud800{"a": 1,5}',
        "\x00" * 9,
        "‮" * 10_000,
        "a\n" * 300_000,
        '{"a": ' + "9" * 400_000 + "}",
    ]
    (tmp_path / "eval").mkdir()
    (tmp_path / "config.json").write_text("{}")
    rows = [
        {"id": str(number), "task": "t", "completion": text, "reference": '{"a": 1.5}', "reward": number / 10, "prompt": text, "repairs": [], "scores": {}}
        for number, text in enumerate(texts)
    ]  # fmt: skip
    (tmp_path / "eval" / "final.jsonl").write_bytes(b"\n".join(map(dump, rows)))
    html = write_report(tmp_path)[0]
    assert html.stat().st_size < 200_000
    assert "could not be read" not in html.read_text(encoding="utf-8")


def test_report_when_a_key_stands_in_the_config_then_it_is_in_neither_file(tmp_path, write_run, monkeypatch):
    """Values of secret names, of secret shapes and of the environment are hidden wherever they are shown."""
    draw = random.Random(5)
    keys = ["".join(draw.choices(string.ascii_lowercase + string.digits, k=40)) for _ in range(4)]
    monkeypatch.setenv("WANDB_API_KEY", keys[0])
    folder = write_run(tmp_path / "run", steps=100)
    saved = orjson.loads((folder / "config.json").read_bytes())
    saved["overrides"] = [f"rewards.options.api_key={keys[1]}", f"data.url=https://ana:{keys[2]}@example.org/x"]
    saved["config"]["rewards"] = {
        "options": {"api_key": keys[1], "note": f"sent with {keys[0]}", "token": f"hf_{keys[3]}"}
    }
    (folder / "config.json").write_bytes(orjson.dumps(saved))
    for path in write_report(folder):
        text = path.read_text(encoding="utf-8")
        assert not [key for key in keys if key in text]
    assert "(hidden)" in text


def test_reading_names_the_value_and_each_repair_with_its_place():
    """A decimal comma is repaired and shown with the text around it; the field is compared with the reference."""
    reading = read_answer('{"score": 4,5, "name": "Ana"}', '{"score": 4.5, "name": "Rui", "price": null}')
    assert reading.value == {"score": 4.5, "name": "Ana"}
    assert [mend.kind for mend in reading.repairs] == ["decimal_comma"]
    assert "4,5" in reading.repairs[0].around
    fields = {field.name: field for field in compare_fields('{"score": 4.5, "name": "Rui", "price": null}', reading)}
    assert (fields["score"].right, fields["name"].right, fields["price"].right) == (True, False, None)
    assert (fields["name"].final, fields["name"].reference) == ("Ana", "Rui")


def test_reading_of_a_task_without_json_is_not_asked_for():
    """SQL is not read as JSON, unless repairs were stored with it."""
    assert not read_answer("SELECT 1", "SELECT 2").wanted
    assert read_answer("SELECT 1", "SELECT 2", ["cut"]).repairs[0].kind == "cut"


def test_group_is_the_one_with_the_widest_spread_best_first():
    """What training pushed apart most is the group that is shown."""
    rows = [
        {"group": group, "reward": reward, "advantage": reward - 0.5, "completion": f"{group}-{reward}", "task": "t", "step": 10}
        for group, rewards in ((0, (0.4, 0.5)), (1, (0.1, 0.9, 0.5)))
        for reward in rewards
    ]  # fmt: skip
    group = choose_group(rows)
    assert [answer.text for answer in group.answers] == ["1-0.9", "1-0.5", "1-0.1"]
    assert group.answers[0].advantage == pytest.approx(0.4)
    assert choose_group([]) is None


def test_states_count_each_kind_of_repair_once_a_completion():
    """A completion with two repairs of one kind counts once for it."""
    counts = count_states([{"reward": 1.0, "repairs": ["cut", "cut", "literal"]}, {"reward": None, "repairs": ["cut"]}])
    assert counts["repairs"] == [("cut", 2), ("literal", 1)]
    assert (counts["repaired"], counts["unscored"]) == (2, 1)


@given(st.text(max_size=400))
def test_visible_text_has_nothing_invisible_left(text):
    """Every character that is left can be seen, or is a line break or a tab."""
    shown = make_visible(text)
    assert all(character.isprintable() or character in "\n\t" for character in shown)
