"""`python -m grpo.watch`: a run seen in a terminal while it is in progress, when it has stopped, and when it is over."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from callbacks.watch.watch import Watch
from grpo.watch.__main__ import main
from grpo.watch.braille_curves import draw_curve, find_range, thin_out
from grpo.watch.display import render
from grpo.watch.snapshot import LiveRun, estimate_seconds_left
from rewards.errors import UserError
from rewards.screen.harmless_text import make_harmless
from tests import starter

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eabc\u200b\x00 [bold red]x[/] ação\nline"
SETTINGS = {
    "model": {"name": "Polygl0t/Tucano2-qwen-0.5B-Instruct"},
    "grpo": {"max_steps": 600, "lr_scheduler_type": "constant", "learning_rate": 5e-6},
    "evaluation": {"every_steps": 50},
    "decision": {"floors": {"extraction": 0.25}},
}


def append(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(orjson.dumps(row) + b"\n" for row in rows))


def evaluate(stage, step, mean, extraction):
    cells = {"stage": stage, "step": step}
    for name, value, n in (("mean_reward", mean, 300), ("extraction", extraction, 120)):
        cells |= {f"eval/{name}": value, f"eval/{name}_n": n, f"eval/{name}_std": 0.2}
    return cells


def train(step, reward=0.4):
    return {"stage": "train", "step": step, "reward": reward, "grad_norm": 0.2, "entropy": 0.3}


@pytest.fixture
def folder(tmp_path):
    """A run at step 120 of 600 whose completions are hostile."""
    (tmp_path / "config.json").write_bytes(orjson.dumps({"profile": "gpu", "source": "v4_1.yaml", "config": SETTINGS}))
    (tmp_path / "status.json").write_bytes(orjson.dumps({"stage": "grpo", "step": 0, "finished": False}))
    append(tmp_path / "metrics.jsonl", evaluate("before", 0, 0.1, 0.0), evaluate("warmup", 0, 0.36, 0.2))
    append(tmp_path / "metrics.jsonl", *(train(step, 0.3 + step / 1000) for step in range(1, 101)))
    append(tmp_path / "metrics.jsonl", evaluate("train", 100, 0.45, 0.4), *(train(step) for step in range(101, 121)))
    append(tmp_path / "timings.jsonl", *({"stage": "train", "step": s, "step_time": 2.0} for s in range(1, 121)))
    append(tmp_path / "timings.jsonl", {"stage": "train", "step": 100, "evaluation_seconds": 10.0})
    append(tmp_path / "watch.jsonl", *(event.to_json() for event in Watch().observe({"step": 7, "grad_norm": 9.0})))
    append(
        tmp_path / "completions" / "step-000120.jsonl",
        *(
            {"id": "1", "task": task, "reward": reward, "completion": HOSTILE, "stage": "train", "step": 120}
            for task, reward in (("extraction", 0.5), ("extraction", 0.4), ("push\x1b[0m", None))
        ),
    )
    return tmp_path


def show(folder, width=110, height=None, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=file, width=width, force_terminal=False)
    console.print(render(LiveRun(folder).read(), console, height=height))
    file.seek(0)
    return file.read()


# -- the snapshot ------------------------------------------------------------------------------------------------------


def test_snapshot_of_a_run_going_on_when_read_then_it_has_what_the_screen_needs(folder):
    """Step, tasks with their change, curves with thresholds, margins, events, completions of each task."""
    seen = LiveRun(folder).read()
    assert (seen.stage, seen.step, seen.max_steps, seen.finished) == ("grpo", 120, 600, False)
    assert [(row.task, row.mean, row.warmup) for row in seen.tasks] == [("all", 0.45, 0.36), ("extraction", 0.4, 0.2)]
    curves = {curve.metric: curve for curve in seen.curves}
    assert curves["eval/mean_reward"].points == [(0, 0.36), (100, 0.45)]
    assert (curves["eval/mean_reward"].limit, curves["eval/extraction"].limit) == (0.55, 0.25)
    assert len(curves["reward"].points) == 120
    assert seen.decision["path"][0]["margin"] == pytest.approx(0.45 - 0.55)
    assert [event["rule"] for event in seen.events] == ["grad_norm"]
    assert [record["task"] for record in seen.completions[:2]] == ["extraction", "push\x1b[0m"]
    assert seen.best_step == 100


def test_time_left_when_steps_and_evaluations_have_a_pace_then_both_count(folder):
    """480 steps of 2 s, the evaluations at 150, 200, ... 550 and the last one, 10 s each."""
    assert LiveRun(folder).read().seconds_left == pytest.approx(480 * 2 + (9 + 1) * 10)


def test_warm_up_when_it_runs_then_its_step_loss_and_time_left_are_shown(tmp_path, capsys):
    """200 of 1,200 steps in 50 s after an evaluation of 10 s: 250 s are left, in the snapshot and on the screen."""
    (tmp_path / "config.json").write_bytes(orjson.dumps({"profile": "gpu", "source": "v4_1.yaml", "config": SETTINGS}))
    (tmp_path / "plan.json").write_bytes(orjson.dumps({"sft_warmup": {"enabled": True, "steps": 1200}}))
    (tmp_path / "status.json").write_bytes(orjson.dumps({"stage": "sft", "step": 0, "finished": False}))
    append(tmp_path / "timings.jsonl", {"evaluation_seconds": 10.0, "stage": "before", "step": 0})
    append(tmp_path / "metrics.jsonl", evaluate("before", 0, 0.1, 0.0))
    append(tmp_path / "metrics.jsonl", {"stage": "warmup", "step": 0, "sft/step": 200, "sft/loss": 0.5})
    now = time.time()
    os.utime(tmp_path / "status.json", (now - 60, now - 60))
    os.utime(tmp_path / "metrics.jsonl", (now, now))
    seen = LiveRun(tmp_path).read()
    assert (seen.warmup.step, seen.warmup.steps, seen.warmup.loss) == (200, 1200, 0.5)
    assert seen.warmup.seconds_left == pytest.approx(250, abs=0.1)
    assert main([str(tmp_path), "--once"]) == 0
    # The folder's name stands before it, however long that is.
    assert "warm-up 200/1200 steps, loss 0.500, about 4 min 10 s left" in " ".join(capsys.readouterr().out.split())


def test_steps_when_all_is_sft_then_they_are_those_of_the_plan(tmp_path):
    """What GRPO would take has no part in it."""
    (tmp_path / "config.json").write_bytes(orjson.dumps({"config": {**SETTINGS, "stages": ["sft"]}}))
    (tmp_path / "plan.json").write_bytes(orjson.dumps({"max_steps": 120}))
    assert LiveRun(tmp_path).read().max_steps == 120


def test_time_left_before_the_first_step_when_asked_then_it_is_not_known():
    """No pace, no promise."""
    assert estimate_seconds_left([], 0, 600, SETTINGS) is None
    assert estimate_seconds_left([{"step_time": 1.0}], 1, None, SETTINGS) is None


def test_run_when_its_files_grow_then_only_the_whole_lines_are_added(folder):
    """A line that is being written is read at the next look."""
    run = LiveRun(folder)
    assert run.read().step == 120
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(orjson.dumps(train(121)) + b"\n" + orjson.dumps(train(122))[:10])
    assert run.read().step == 121
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(orjson.dumps(train(122))[10:] + b"\n")
    assert run.read().step == 122


def test_run_when_its_files_are_cut_by_a_resume_then_they_are_read_anew(folder):
    """Rows beyond the checkpoint go, also where the new file is as long as the old one."""
    run = LiveRun(folder)
    run.read()
    lines = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)[:50]
    (folder / "draft").write_bytes(b"".join(lines))
    os.replace(folder / "draft", folder / "metrics.jsonl")
    assert run.read().step == 48
    with (folder / "metrics.jsonl").open("r+b") as file:
        file.truncate(len(b"".join(lines[:10])))
        file.seek(0, 2)
        file.write(b"".join(orjson.dumps(train(step)) + b"\n" for step in range(300, 360)))
    assert run.read().step == 359


def test_run_when_it_was_stopped_then_it_says_by_what_until_it_goes_on(folder):
    """A resumed run is no longer a stopped one."""
    (folder / "status.json").write_bytes(orjson.dumps({"stage": "grpo", "step": 120, "stopped_by": "grad_norm"}))
    assert LiveRun(folder).read().stopped_by == "grad_norm"
    append(folder / "metrics.jsonl", train(121))
    assert LiveRun(folder).read().stopped_by is None


def test_run_when_it_is_over_then_its_own_decision_is_shown(folder):
    """What was decided at the end is not computed again with other code."""
    (folder / "status.json").write_bytes(orjson.dumps({"stage": "done", "finished": True, "step": 600}))
    (folder / "decision.json").write_bytes(orjson.dumps({"title": "A: as it was decided", "path": []}))
    seen = LiveRun(folder).read()
    assert (seen.finished, seen.seconds_left) == (True, 0.0)
    assert seen.decision["title"] == "A: as it was decided"


def test_run_when_little_or_nonsense_is_there_then_what_can_be_read_is(tmp_path):
    """A run that has just begun, and files with broken or odd rows, are looked at all the same."""
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": "x"}\n[]\n{broken\n{"step": 3, "eval/mean_reward": "high"}\n')
    assert LiveRun(tmp_path).read().step == 3
    assert show(tmp_path)


# -- the screen --------------------------------------------------------------------------------------------------------


def test_screen_when_completions_are_hostile_then_no_control_code_reaches_the_terminal(folder):
    """Nothing moves the cursor, sets a title, reorders letters or is taken for markup; the words stay readable."""
    text = show(folder)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text)
    assert "[bold red]x[/] ação" in text
    assert "␛[2J" in text


def test_screen_when_shown_then_the_parts_are_there(folder):
    """Progress with the time left, tasks, margins, events, curves, completions."""
    text = show(folder)
    for part in (
        "120/600 steps, about 17 min 40 s left",
        "extraction",
        "decision if it ended now",
        "improving",
        "grad_norm 9 is above 2",
        "eval/mean_reward 0.45",
        "last completions",
    ):
        assert part in text, part


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 60), (25, 5)])
def test_screen_when_the_terminal_is_small_then_no_line_is_wider_than_it(folder, width, height):
    """What does not fit is left out, not wrapped into the next line."""
    assert max(map(len, show(folder, width, height).splitlines())) <= width


def test_screen_when_the_terminal_has_no_braille_then_it_is_ascii(folder):
    """An old console gets curves of stars."""
    text = show(folder, encoding="ascii")
    assert text.isascii() and "*" in text


@given(st.text(max_size=300))
def test_harmless_text_when_it_was_anything_then_it_prints_on_one_line(text):
    """Whatever a policy writes, each character of what is shown is printable."""
    shown = make_harmless(text, 100)
    assert all(character.isprintable() for character in shown)
    assert "\n" not in shown


def test_harmless_text_when_marks_are_stacked_then_two_stay():
    """Letters with dozens of marks would climb over the lines above."""
    assert make_harmless("a" + "\u0301" * 40 + "b") == "a\u0301\u0301b"


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(-1e6, 1e6)), max_size=40),
    st.integers(3, 60),
    st.integers(1, 8),
    st.one_of(st.none(), st.floats(-1e6, 1e6)),
    st.booleans(),
)
def test_curve_of_any_points_when_drawn_then_it_has_its_size(points, width, height, limit, ascii_only):
    """Always the lines and columns that were asked for, whatever the values."""
    lines = draw_curve(points, width, height, limit=limit, ascii_only=ascii_only)
    assert [len(line) for line in lines] == [width] * height


def test_curve_of_a_straight_line_when_drawn_then_it_climbs_from_corner_to_corner():
    """Both ends lie in the corners, and a limit lies between them as a dotted line."""
    lines = draw_curve([(0, 0.0), (10, 1.0)], 5, 5, ascii_only=True)
    assert lines == ["    *", "   * ", "  *  ", " *   ", "*    "]
    assert draw_curve([(0, 0.0), (10, 1.0)], 5, 5, limit=1.0, ascii_only=True)[0] == "* * *"
    assert draw_curve([], 3, 1) == ["\u2800" * 3]


def test_range_when_all_values_are_equal_then_it_has_room():
    """A flat curve is drawn in the middle and divides nothing by nothing."""
    low, high = find_range([(0, 0.5), (1, 0.5)])
    assert low < 0.5 < high


def test_points_when_thinned_out_then_each_is_the_mean_of_its_neighbours():
    """Four points in two."""
    assert thin_out([(1, 1.0), (2, 3.0), (3, 5.0), (4, 7.0)], 2) == [(2, 2.0), (4, 6.0)]


# -- the command -------------------------------------------------------------------------------------------------------


def test_command_when_there_is_no_run_then_one_line_and_exit_2(tmp_path, capsys):
    """A wrong folder is a user's mistake."""
    assert main([str(tmp_path / "nowhere")]) == 2
    assert main([str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [True, True]
    with pytest.raises(UserError, match="no run there"):
        LiveRun(tmp_path)


def test_command_when_asked_for_json_then_it_is_whole_and_has_no_control_codes(folder, capsys):
    """A program gets everything, and a terminal that shows it is safe."""
    assert main([str(folder), "--json"]) == 0
    text = capsys.readouterr().out
    assert text.isascii() and "\x1b" not in text
    said = json.loads(text)
    assert said["completions"][0]["completion"] == HOSTILE
    assert {"curves", "tasks", "decision", "events", "seconds_left", "step"} <= said.keys()


def test_command_when_there_is_no_terminal_then_one_plain_look_without_torch(folder):
    """Through a pipe: text once, no escape codes, no training library, and a reader that leaves early is not an error."""
    code = (
        "import sys; from grpo.watch.__main__ import main; code = main(sys.argv[1:]); "
        "bad = {'torch', 'transformers', 'trl', 'datasets', 'wandb', 'matplotlib'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "120/600 steps" in done.stdout and "\x1b" not in done.stdout
    early = subprocess.run(
        f"{sys.executable} -m grpo.watch {folder} | head -n 1", shell=True, capture_output=True, text=True, timeout=60
    )
    assert "Error" not in early.stderr


def test_command_on_a_terminal_when_the_run_ends_then_it_ends_and_leaves_the_last_look(folder):
    """Live on the other screen, back on the first one with the final state, cursor shown again."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(
        [sys.executable, "-m", "grpo.watch", str(folder), "--every", "0.1"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True,
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 60
    while b"120/600" not in seen and time.monotonic() < deadline:
        seen += os.read(ours, 65536)
    (folder / "status.json").write_bytes(orjson.dumps({"stage": "done", "finished": True, "step": 600}))
    while time.monotonic() < deadline:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(ours)
    assert process.wait(timeout=30) == 0
    assert seen.count(b"\x1b[?1049h") == seen.count(b"\x1b[?1049l") == 1
    after = seen[seen.rindex(b"\x1b[?1049l") :]
    assert "finished" in after.decode()
    assert b"\x1b[2J\x1b]0;owned" not in seen


@pytest.mark.parametrize("every", ["0", "x", "1e9"])
def test_command_when_the_time_between_looks_is_none_then_it_is_refused(every, folder):
    """Zero would never rest."""
    with pytest.raises(SystemExit):
        main([str(folder), "--every", every])


# -- a run that is stopped ---------------------------------------------------------------------------------------------

SMALL = (
    "data.shop.train_rows=60", "data.shop.held_out_rows=20", "data.shop.warmup_rows=120",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.max_steps=3", "grpo.max_steps=6", "grpo.prompts_per_step=2", "grpo.num_generations=4",
    "grpo.max_completion_length=16", "evaluation.max_completion_length=16", "evaluation.every_steps=2", "threads=1",
    "tracking.wandb=off", "decision.watch.rules.mine={metric: grad_norm, above: -1, from_step: 3, action: stop}",
)  # fmt: skip


def test_run_when_a_rule_stops_it_then_checkpoint_report_and_exit_3_and_it_can_go_on(tmp_path):
    """A stop at step 3 leaves all a user needs to judge it, and a resume goes on to the end without a second stop."""
    pytest.importorskip("torch")
    directory = tmp_path / "run"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    environment = {**kept, "RECOMPENSA_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    settings = [part for each in SMALL for part in ("--set", each)]
    words = ["--config", "v4_1.yaml", "--profile", "embedded", "--run-dir", str(directory), *settings]
    stopped = starter.run("grpo.run", words, tmp_path, environment)
    assert stopped.returncode == 3, stopped.stdout[-2000:] + stopped.stderr[-2000:]
    assert stopped.stdout.count("mine: grad_norm") == 1
    for name in ("checkpoints/checkpoint-3/trainer_state.json", "report.html", "report.md", "decision.json"):
        assert (directory / name).is_file(), name
    events = [json.loads(line) for line in (directory / "watch.jsonl").read_text().splitlines()]
    assert [(event["rule"], event["step"], event["action"]) for event in events] == [("mine", 3, "stop")]
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "watch/mine" in row] == [3]
    assert LiveRun(directory).read().stopped_by == "mine"

    resumed = starter.run("grpo.run", ["--resume", str(directory)], tmp_path, environment)
    assert resumed.returncode == 0, resumed.stdout[-2000:] + resumed.stderr[-2000:]
    assert json.loads(Path(directory / "status.json").read_text())["finished"] is True
    assert len((directory / "watch.jsonl").read_text().splitlines()) == 1


def test_last_lines_when_the_file_is_large_then_only_its_end_is_read(tmp_path, monkeypatch):
    """A look every two seconds must not read a gigabyte each time."""
    from grpo.watch import snapshot

    path = tmp_path / "step-000001.jsonl"
    path.write_bytes(b"".join(b'{"id": %d}\n' % at for at in range(1_000)))
    assert len(snapshot._read_last_lines(path)) == 1_000
    monkeypatch.setattr(snapshot, "_LAST_BYTES", 100)
    found = [row["id"] for row in snapshot._read_last_lines(path)]
    assert found == list(range(1_000 - len(found), 1_000)) and 0 < len(found) < 10
