"""The half page, the commands and the files of a run, for folders of a few lines, word for word."""

from __future__ import annotations

import json

import pytest

from callbacks.evaluation.judged import JudgedCheckpoint
from grpo.config.report_section import ReportSection
from grpo.language.catalogue import read_catalogue
from grpo.report.brief import find_model, list_origins, make_brief, make_use, read_section, say_cost
from grpo.report.charts import place_on_bar
from grpo.report.commands import make_commands, place_of
from grpo.report.page import _cell, _fence, find_ends, make_events, name_model, note_seed
from grpo.report.run_files import RunFiles, clean_row, is_number, read_run
from rewards.statistics.estimates import ALL, Estimate

WORDS = read_catalogue("en")


def give(mean, low=None, high=None, n=40):
    return Estimate(mean, n, 0.2, low, high)


def make_row(task, warmup=None, final=None, change=None, direction="noise"):
    return {"task": task, "warmup": warmup, "final": final, "change": change, "direction": direction}


def brief_of(run, rows=(), decision=None, **section):
    return dict(make_brief(run, list(rows), decision or {}, ReportSection(**section), WORDS))


@pytest.fixture
def run(tmp_path):
    return RunFiles(tmp_path / "mine")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (give(0.2, 0.1, 0.3), "mean 0.300 → 0.500 (+0.200), 95 %: +0.100 to +0.300; clear of noise"),
        (give(-0.2, -0.3, -0.1), "mean 0.300 → 0.500 (−0.200), 95 %: −0.300 to −0.100; clear of noise"),
        (give(0.2, 0.0, 0.4), "mean 0.300 → 0.500 (+0.200), 95 %: +0.000 to +0.400; within noise"),
        (give(-0.2, -0.4, 0.0), "mean 0.300 → 0.500 (−0.200), 95 %: −0.400 to +0.000; within noise"),
        (give(0.2), "mean 0.300 → 0.500 (+0.200)"),
        (give(None), "mean 0.500 on 40 held-out rows"),
        (None, "mean 0.500 on 40 held-out rows"),
    ],
)
def test_brief_when_a_run_has_an_end_then_the_gain_is_told_with_its_interval(run, change, said):
    """An interval that touches 0 is noise; without a change the end is told alone."""
    assert brief_of(run, [make_row(ALL, give(0.3), give(0.5), change)])["what it gained"] == said


def test_brief_when_there_was_no_start_or_no_count_then_it_makes_none_up(run):
    """A dash where n is not known, nothing at all where there was no end."""
    row = make_row(ALL, None, give(0.5, n=None), give(0.2, 0.1, 0.3))
    assert brief_of(run, [row])["what it gained"] == "mean 0.500 on – held-out rows"
    assert "what it gained" not in brief_of(run, [make_row(ALL, give(0.3))]) and "task by task" not in brief_of(run)


def test_brief_when_tasks_differ_then_the_lowest_and_those_that_fell_are_named(run):
    """The lowest at the end with its interval; only a fall beyond the noise counts, and `all` is no task."""
    rows = [
        make_row(ALL, give(0.3), give(0.1), direction="down"),
        make_row("a", final=give(0.6, 0.5, 0.7)), make_row("b", final=give(0.2, 0.1, 0.3), direction="down"), make_row("c", direction="down"),
    ]  # fmt: skip
    assert brief_of(run, rows)["task by task"] == "lowest: b with 0.200 (0.100 to 0.300, n 40); fell: b, c"
    rows = [make_row(ALL, final=give(0.5)), make_row("a", final=give(0.6, 0.5)), make_row("b", final=give(0.7))]
    assert brief_of(run, rows)["task by task"] == "lowest: a with 0.600; no task fell"
    assert brief_of(run, [make_row(ALL, final=give(0.5))])["task by task"] == "no task fell"
    zero = [make_row(ALL, final=give(0.5)), make_row("a", final=give(0.0)), make_row("b", final=give(0.4))]
    assert brief_of(run, zero)["task by task"].startswith("lowest: a with 0.000")
    unscored = [make_row(ALL, final=give(0.5)), make_row("a", final=give(None)), make_row("b", final=give(0.4))]
    assert brief_of(run, unscored)["task by task"].startswith("lowest: b with 0.400"), "of a nothing was scored"


def test_brief_when_rows_and_steps_are_known_then_says_what_was_trained(run):
    """1,480 rows of two tasks over 1,200 steps; a plan without rows says nothing."""
    run.plan, run.metrics = {"train_rows": 1480}, [{"stage": "train", "step": 1200}]
    rows = [make_row(ALL), make_row("a"), make_row("b")]
    assert brief_of(run, rows)["what was trained"] == "1,480 rows of a, b; 1,200 steps"
    run.plan = {"train_rows": "many"}
    assert "what was trained" not in brief_of(run, rows)


def test_brief_when_references_failed_or_functions_erred_then_it_is_not_called_sound(run):
    """Full reward is claimed only where it was judged and nothing failed; errors and events are counted."""
    run.audit = {"references": 1780}
    whole = "all 1,780 reference answers earn full reward; no reward function failed; no watch rule was broken"
    assert brief_of(run)["what to trust"] == whole
    run.audit = {"references": 1780, "judging": ["f"], "gold_failures": []}
    assert brief_of(run)["what to trust"] == whole
    for broken in ({"judging": []}, {"gold_failures": ["row 1"]}, {"references": None}):
        run.audit = {"references": 1780, **broken}
        assert brief_of(run)["what to trust"] == "no reward function failed; no watch rule was broken"
    run.environment = {"rewards": {"f": {"errors": 3}, "g": {"errors": 2}}}
    run.events = [{"rule": "kl"}, {"rule": "kl"}]
    assert brief_of(run)["what to trust"] == "5 errors of reward functions; watch events: 2"
    run.environment, run.events = {}, []
    run.judged = JudgedCheckpoint(50, "judged", None, None, True)
    assert "; one seed; in our own measurement seeds differed by 0.01" in brief_of(run)["what to trust"]
    run.judged = JudgedCheckpoint(50, "train", None, None, False)
    assert "one seed" not in brief_of(run)["what to trust"]


def test_brief_when_an_hour_has_a_price_then_the_run_has_a_cost(run):
    """Half an hour at 3 an hour is 1.50; for nothing it is 0.00; without a price only the time is told."""
    run.status, run.environment = {"seconds": 1800.0}, {"name": "H100", "device": "cuda"}
    assert brief_of(run, price_per_hour=3.0, currency="EUR")["cost"] == "30 min 00 s on H100: EUR 1.50"
    assert brief_of(run, price_per_hour=1000.0)["cost"] == "30 min 00 s on H100: USD 500.00"
    assert brief_of(run, price_per_hour=0.0)["cost"] == "30 min 00 s on H100: USD 0.00"
    run.environment = {"device": "cpu"}
    assert brief_of(run)["cost"] == "30 min 00 s on cpu"
    run.environment = {}
    assert brief_of(run)["cost"] == "30 min 00 s"
    run.status = {}
    assert "cost" not in brief_of(run, price_per_hour=3.0)
    assert say_cost(run, ReportSection(price_per_hour=3.0), WORDS) == ""
    assert read_catalogue("pt-BR").number("1,234.50") == "1.234,50"


def test_brief_when_the_decision_has_a_next_step_then_it_is_told(run):
    """And nothing where none was made."""
    assert brief_of(run, decision={"action": "Scale up."})["next step"] == "Scale up."
    assert "next step" not in brief_of(run, decision={"action": ""})


def test_model_when_it_was_saved_then_the_best_checkpoint_else_the_last_is_named(run, monkeypatch):
    """Step 100 comes after step 20, whatever their names sort like; a folder of another name is none."""
    assert find_model(run) == "" and make_use(run, ["a"]) == "" and "where the model is" not in brief_of(run)
    for name in ("checkpoint-20", "checkpoint-30", "checkpoint-100", "checkpoint-tmp"):
        (run.folder / "checkpoints" / name).mkdir(parents=True)
    monkeypatch.chdir(run.folder.parent)
    assert find_model(run) == "mine/checkpoints/checkpoint-100"
    (run.folder / "best").mkdir()
    assert find_model(run) == "mine/best" and brief_of(run)["where the model is"] == "mine/best"
    assert make_use(run, ["a", "b"]) == "python -m grpo.chat mine --task a" and make_use(run, []) == ""
    monkeypatch.chdir(run.folder)
    assert place_of(run) == "."


def test_origins_when_the_run_noted_them_then_code_rows_and_scorers_are_named_by_their_hashes(run):
    """Sixteen digits of the rows; what is no hash is left out."""
    run.folder.mkdir()
    identity = {"rows": {"train": "0123456789abcdef0123", "odd": 5}, "rewards": [{"name": "f", "version": "2", "fingerprint": "aa"}, {"name": "g"}, 7]}  # fmt: skip
    (run.folder / "identity.json").write_text(json.dumps(identity))
    run.environment = {"commit": "abc"}
    assert list_origins(run) == [("commit of the code", "abc"), ("train", "0123456789abcdef"), ("f 2", "aa")]
    assert list_origins(RunFiles(run.folder / "none", environment={"commit": None})) == []


def test_section_when_the_config_holds_another_versions_then_the_defaults_stand(run):
    """And a language that is asked for stands above the config's."""
    run.config = {"report": {"language": "pt-BR", "price_per_hour": 2.0}}
    assert (read_section(run).language, read_section(run, "en").language, read_section(run, "en").price_per_hour) == (
        "pt-BR",
        "en",
        2.0,
    )
    run.config = {"report": {"colour": "red"}}
    assert read_section(run) == ReportSection()


def test_commands_when_a_run_is_known_then_each_can_be_pasted(run, monkeypatch):
    """Config, profile and settings again; resume only what has not finished; export and chat only where a model is."""
    (run.folder / "best").mkdir(parents=True)
    monkeypatch.chdir(run.folder.parent)
    run.source, run.profile, run.overrides = "my run.yaml", "embedded", ["seed=1", "a=b c"]
    run.status, run.has_next_config = {"finished": False}, True
    assert make_commands(run) == [
        (
            "the same run again",
            "python -m grpo.run --config 'my run.yaml' --profile embedded --set seed=1 --set 'a=b c'",
        ),
        ("resume it", "python -m grpo.run --resume mine"),
        ("the best policy as files that answer anywhere", "python -m grpo.export mine --to exports/mine"),
        ("a chat with it", "python -m grpo.chat mine"),
        ("the next run", "python -m grpo.run --config mine/next_config.yaml"),
        (
            "the decision again",
            "python -m grpo.decide --metrics mine/metrics.jsonl --config 'my run.yaml' --profile embedded",
        ),
        ("this report again", "python -m grpo.report mine"),
    ]
    run.status, run.source, run.profile, run.has_next_config = {"finished": True}, None, "gpu", False
    (run.folder / "best").rmdir()
    assert [what for what, _ in make_commands(run)] == ["the decision again", "this report again"]
    assert make_commands(run)[0][1] == "python -m grpo.decide --metrics mine/metrics.jsonl"
    run.status, run.source = {}, "mine.yaml"
    assert "resume it" not in dict(make_commands(run))
    run.profile = None
    assert (
        dict(make_commands(run))["the same run again"]
        == "python -m grpo.run --config mine.yaml --set seed=1 --set 'a=b c'"
    )
    monkeypatch.chdir("/")
    assert place_of(run) == str(run.folder).lstrip("/")
    (run.folder.parent / "elsewhere").mkdir()
    monkeypatch.chdir(run.folder.parent / "elsewhere")
    assert place_of(run) == str(run.folder.resolve())


def write(folder, **files):
    for name, value in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = value if isinstance(value, list) else None
        path.with_suffix(".jsonl" if lines is not None else ".json").write_text(
            json.dumps(value) if lines is None else "".join(json.dumps(line) + "\n" for line in lines)
        )


def test_row_when_it_is_read_then_only_numbers_its_stage_and_its_step_stay():
    """A mean of null stays, to say that what hangs on it is no task; a truth value is no number."""
    row = {
        "reward": 0.5,
        "eval/a": None,
        "odd": None,
        "flag": True,
        "text": "x",
        "stage": 5,
        "step": 3.0,
        "eval/b": "x",
    }
    assert clean_row(row) == {"reward": 0.5, "eval/a": None, "stage": "train", "step": 3}
    assert clean_row({"stage": "final", "step": "x"}) == {"stage": "final", "step": 0}
    assert [is_number(value) for value in (1, 0.5, True, None, "1", float("nan"), float("inf"), 1e300, -1e300, 1e299)] == [
        True, True, False, False, False, False, False, False, False, True,
    ]  # fmt: skip


def test_run_when_read_then_its_last_step_is_of_training_and_events_are_those_with_a_rule(tmp_path):
    """The warm-up counts no step of GRPO; a bare config is one too."""
    metrics = [
        {"stage": "warmup", "step": 90},
        {"stage": "train", "step": 20},
        {"stage": "final", "step": 30},
        {"stage": "judged", "step": 99},
    ]
    write(tmp_path, config={"name": "bare", "evaluation": {"task_floor_margin": 0.1}, "profile": 3}, metrics=metrics)
    write(tmp_path, watch=[{"rule": "kl"}, {"rule": None}])
    run = read_run(tmp_path)
    assert (run.last_step, run.config["name"], run.profile, run.watched) == (30, "bare", None, True)
    assert run.events == [{"rule": "kl"}] and run.best.task_floor_margin == 0.1
    timings = [{"stage": "train", "step": 1, "step_time": 2.0, "host": "x"}]
    saved = {"config": {"name": "whole"}, "profile": "gpu", "source": "a.yaml", "overrides": ["seed=1", 2]}
    write(
        tmp_path,
        config=saved,
        timings=timings,
        environment={"device": "cpu"},
        plan={"max_steps": 3},
        audit={"passed": True},
    )
    write(tmp_path, decision={"title": "x"}, status={"seconds": 1.0}, sft_baseline={"mean": 0.5})
    again = read_run(tmp_path)
    assert (again.config, again.profile, again.source, again.overrides) == (
        {"name": "whole"},
        "gpu",
        "a.yaml",
        ["seed=1", "2"],
    )
    assert again.timings == [{"stage": "train", "step": 1, "step_time": 2.0}] and again.environment == {"device": "cpu"}
    assert (again.plan, again.audit, again.decision) == ({"max_steps": 3}, {"passed": True}, {"title": "x"})
    assert (again.status, again.sft_baseline, again.best.task_floor_margin) == ({"seconds": 1.0}, {"mean": 0.5}, 0.0)
    assert "metrics.jsonl has no evaluation: there is no learning curve" in run.notes
    assert RunFiles(tmp_path).last_step == 0 and run.find_evaluation("final") is None


EVALUATED = [
    {"stage": "warmup", "step": 0, "eval/mean_reward": 0.3},
    {"stage": "train", "step": 50, "eval/mean_reward": 0.6},
    {"stage": "final", "step": 100, "eval/mean_reward": 0.5},
    {"stage": "judged", "step": 50, "eval/mean_reward": 0.55},
]


def test_run_when_its_checkpoint_was_judged_then_best_and_records_are_that_ones(tmp_path):
    """The curve's own mean of step 50, not the fresh one; its completions, and those of the start on kept rows."""
    write(tmp_path, config={}, metrics=EVALUATED, judged={"step": 50, "estimated_anew": True})
    for name in ("warmup", "start", "final", "judged"):
        write(tmp_path, **{f"eval__{name}": [{"id": name}]})
    write(tmp_path, **{"completions__step-000010": [{"id": 1}], "completions__step-000020": [{"id": 2}, {"id": 3}]})
    run = read_run(tmp_path)
    assert (run.best.step, run.best.estimates[ALL].mean) == (50, 0.6)
    assert {stage: [row["id"] for row in rows] for stage, rows in run.records.items()} == {
        "before": [], "warmup": ["start"], "final": ["judged"], "train": [2, 3],
    }  # fmt: skip
    assert run.stored_completions == 7 and not [note for note in run.notes if "before" in note or "eval/" in note]
    (tmp_path / "eval" / "start.jsonl").unlink()
    assert read_run(tmp_path).records["warmup"] == [{"id": "warmup"}]
    assert read_run(tmp_path, completions=False).records == {}
    write(tmp_path, judged={"step": 0, "estimated_anew": True})
    assert [row["id"] for row in read_run(tmp_path).records["final"]] == ["final"]


def test_run_when_nothing_was_judged_then_the_best_follows_from_its_numbers(tmp_path):
    """And of one on its way the completions are those of the last evaluation, with a note."""
    write(
        tmp_path,
        config={},
        metrics=EVALUATED[:2],
        **{f"eval__step-0000{step}0": [{"id": step}] for step in (3, 5, 4)},
    )
    run = read_run(tmp_path)
    assert (run.best.step, run.ended, run.records["final"]) == (50, "step-000050", [{"id": 5}])
    assert "eval/final.jsonl is missing: the completions at the end are those of step-000050" in run.notes
    assert "eval/warmup.jsonl is missing: its completions are not shown" in run.notes
    for path in (tmp_path / "eval").iterdir():
        path.unlink()
    run = read_run(tmp_path)
    assert "eval/final.jsonl is missing: its completions are not shown" in run.notes and run.ended == "final"
    assert run.records["train"] == []


def test_lines_when_some_are_empty_or_odd_then_the_odd_ones_are_counted(tmp_path):
    """Half a surrogate and NaN are read; an empty line is none."""
    write(tmp_path, config={})
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "x": NaN, "text": "\\ud800"}\n\n7\n{"a\n')
    run = read_run(tmp_path)
    assert run.metrics == [{"stage": "train", "step": 1}]
    assert "metrics.jsonl: 2 of 3 lines could not be read and were left out" in run.notes
    (tmp_path / "plan.json").write_text("[1]")
    assert "plan.json holds no object and was left out" in read_run(tmp_path).notes


def test_markdown_when_it_holds_a_foreign_text_then_nothing_in_it_ends_its_cell_or_fence():
    """Every character that starts markup is escaped; a fence is longer than any in it."""
    assert _cell("a|b\n<c>") == "a\\|b \\<c\\>"
    assert (
        _fence("x") == "```text\nx\n```"
        and _fence("a ``` b").startswith("````text\n")
        and _fence("`````").endswith("\n``````")
    )


def test_place_of_a_node_when_it_has_numbers_then_all_lie_on_one_bar():
    """0.4 to 0.6 around 0.5 with the threshold at 0.8: 0.4 wide, a fifth of it on each side."""
    node = {"value": 0.5, "threshold": 0.8, "low": 0.4, "high": 0.6}
    scale = 100 / 0.56
    assert place_on_bar(node) == {
        "low": round(0.08 * scale, 2), "high": round(0.28 * scale, 2), "value": round(0.18 * scale, 2), "threshold": round(0.48 * scale, 2),
    }  # fmt: skip
    assert place_on_bar({"value": 0.5, "threshold": 0.5}) == dict.fromkeys(("low", "high", "value", "threshold"), 50.0)
    assert place_on_bar({"value": 0.5}) is None and place_on_bar({"threshold": 0.5}) is None
    assert find_ends(give(0.5, 0.4, 0.6)) == (0.4, 0.6) == find_ends({"low": 0.4, "high": 0.6})
    assert find_ends(give(0.5, 0.4)) is None and find_ends({"high": 0.4}) is None


def test_events_when_shown_then_the_last_two_hundred_with_plain_values(run):
    """The message, or the text of an older file."""
    run.events = [{"rule": f"r{number}"} for number in range(202)]
    assert [event["rule"] for event in make_events(run)][::199] == ["r2", "r201"]
    run.events = [
        {
            "rule": "kl",
            "action": "stop",
            "step": 4,
            "stage": "train",
            "metric": "kl",
            "value": 2.0,
            "limit": 1.0,
            "text": "Look.",
        }
    ]
    assert make_events(run) == [
        {
            "step": 4,
            "stage": "train",
            "rule": "kl",
            "stops": True,
            "metric": "kl",
            "value": 2.0,
            "limit": 1.0,
            "message": "Look.",
        }
    ]
    run.events = [{"rule": "kl", "action": "warn", "step": "x", "message": "Mind.", "text": "Look."}]
    (event,) = make_events(run)
    assert (event["stops"], event["step"], event["value"], event["message"]) == (False, None, None, "Mind.")


def test_seed_note_when_the_run_has_no_judged_end_then_there_is_none(run):
    """What one seed cannot show is said once there is something to be shown."""
    assert note_seed(run) == []
    run.judged = JudgedCheckpoint(50, "train", None, None, False)
    assert note_seed(run) == []
    run.judged = JudgedCheckpoint(50, "judged", None, None, True)
    assert len(note_seed(run)) == 1
    run.config = {"model": {"name": "a/b", "embedded": None}}
    assert name_model(run) == "a/b"
    run.config = {"model": {"name": "a/b", "embedded": {"layers": 2}}}
    assert name_model(run) == "embedded policy" and name_model(RunFiles(run.folder)) == "unknown model"
