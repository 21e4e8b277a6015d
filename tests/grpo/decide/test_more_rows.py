"""A decision on more rows of the judged checkpoint."""

import json

from callbacks.evaluation.task_scores import evaluation_metrics, summarise
from grpo.decide.__main__ import main


def write_rows(path, values, fingerprint="aa"):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"task": "a", "id": str(i), "reward": value, "scores": {"f": {"version": "1", "fingerprint": fingerprint}}}
        for i, value in enumerate(values)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_run(folder):
    few, better = [0.1, 0.5] * 10, [0.4, 0.5] * 10
    for name, values in (("warmup", few), ("final", better), ("judged", better)):
        write_rows(folder / "eval" / f"{name}.jsonl", values)
    rows = [
        {"stage": stage, "step": step, **evaluation_metrics(summarise([("a", value) for value in values]))}
        for stage, step, values in (("warmup", 0, few), ("final", 9, better), ("judged", 9, better))
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "judged.json").write_text(json.dumps({"step": 9}))
    return folder


def test_decide_with_an_evaluation_of_more_rows_then_those_are_judged(tmp_path, capsys):
    """The mean at the end is that of the evaluation, at the step that was judged."""
    run = make_run(tmp_path / "run")
    write_rows(tmp_path / "more" / "rows.jsonl", [0.6, 0.7] * 200)
    assert main([str(run), "--with-evaluation", str(tmp_path / "more"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["answers"]["final_mean"]
    assert (round(answer["value"], 6), answer["n"], answer["step"]) == (0.65, 400, 9)


def test_decide_with_an_evaluation_of_other_rewards_then_it_is_refused(tmp_path, capsys):
    """Numbers of two scorers are not held together, unless that is asked for."""
    run = make_run(tmp_path / "run")
    write_rows(tmp_path / "more" / "rows.jsonl", [0.6, 0.7] * 200, fingerprint="bb")
    arguments = [str(run), "--with-evaluation", str(tmp_path / "more")]
    assert main(arguments) == 2
    assert "--allow-changed-rewards" in capsys.readouterr().err
    assert main([*arguments, "--allow-changed-rewards"]) == 0


def make_open_run(folder):
    """The end gained 0.04 over its start with a spread of 0.2: within the noise of 20 examples."""
    start = [0.3 + 0.4 * (place % 2) for place in range(20)]
    end = [value + 0.04 + (0.15 if place % 3 else -0.3) for place, value in enumerate(start)]
    for name, values in (("warmup", start), ("final", end), ("judged", end)):
        write_rows(folder / "eval" / f"{name}.jsonl", values)
    rows = [
        {"stage": stage, "step": step, **evaluation_metrics(summarise([("a", value) for value in values]))}
        for stage, step, values in (("warmup", 0, start), ("final", 9, end), ("judged", 9, end))
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "judged.json").write_text(json.dumps({"step": 9}))
    (folder / "sft").mkdir()
    (folder / "best").mkdir()
    config = {"decision": {"relative_to": "baseline"}}
    (folder / "config.json").write_text(json.dumps({"config": config, "profile": "gpu"}))
    return folder


def test_decide_when_within_the_noise_then_both_sample_sizes_and_the_commands_stand_there(
    tmp_path, capsys, monkeypatch
):
    """An even chance and 80 %, in words and numbers, and what evaluates end and start on the same rows and decides."""
    monkeypatch.chdir(tmp_path)
    run = make_open_run(tmp_path / "runs" / "mine")
    assert main([str(run)]) == 0
    text = capsys.readouterr().out
    assert "more held-out examples (a 50 to 80 % chance of a clear answer)" in text
    assert "python -m grpo.evaluate --model runs/mine --data more.jsonl --out evaluations/mine-more\n" in text
    assert "python -m grpo.evaluate --model runs/mine/sft --data more.jsonl --out evaluations/mine-more-start\n" in text
    follow = "python -m grpo.decide runs/mine --with-evaluation evaluations/mine-more --with-start evaluations/mine-more-start"
    assert follow in text
    assert main([str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scenario"] == "undecided" and found["commands"][-1] == follow
    assert found["further_examples_80"] > 1.8 * found["further_examples"] > 0


def test_decide_with_start_and_end_on_more_rows_then_the_change_is_paired(tmp_path, capsys):
    """Each of 400 examples gained 0.04 with a spread of 0.02: paired that is clear, unpaired (0.2 each) it is not."""
    run = make_open_run(tmp_path / "run")
    start = [0.3 + 0.4 * (place % 2) for place in range(400)]
    write_rows(tmp_path / "start" / "rows.jsonl", start)
    write_rows(tmp_path / "end" / "rows.jsonl", [v + 0.04 + 0.02 * (-1) ** (p // 2) for p, v in enumerate(start)])
    arguments = [str(run), "--with-evaluation", str(tmp_path / "end"), "--json"]
    assert main([*arguments, "--with-start", str(tmp_path / "start")]) == 0
    paired = json.loads(capsys.readouterr().out)["answers"]["gained_over_start"]
    assert paired["n"] == 400 and 0.03 < paired["low"] < paired["value"] < paired["high"] < 0.05
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["answers"]["gained_over_start"]["low"] < 0.0


def test_decide_with_an_evaluation_of_the_start_as_that_of_the_end_then_it_is_refused(tmp_path, capsys):
    """RUN/sft lies in the run, and is not its judged checkpoint."""
    run = make_open_run(tmp_path / "run")
    write_rows(tmp_path / "more" / "rows.jsonl", [0.6, 0.7] * 200)
    (tmp_path / "more" / "evaluation.json").write_text(json.dumps({"model": {"location": str(run / "sft")}}))
    assert main([str(run), "--with-evaluation", str(tmp_path / "more")]) == 2
    assert f"evaluates {run / 'sft'}, not {run};" in capsys.readouterr().err
    (tmp_path / "more" / "evaluation.json").write_text(json.dumps({"model": {"location": str(run / "best")}}))
    assert main([str(run), "--with-evaluation", str(tmp_path / "more")]) == 0
    assert main([str(run), "--with-start", str(tmp_path / "more")]) == 2
    assert main([str(run), "--with-evaluation", str(tmp_path / "more"), "--with-start", str(tmp_path / "more")]) == 2


def test_decide_when_the_judged_checkpoint_is_the_start_then_no_command_is_named_for_its_change(tmp_path, capsys):
    """The weights of the last step were not kept: more rows cannot tell how far they lie from the start."""
    run = make_open_run(tmp_path / "run")
    (run / "judged.json").write_text(json.dumps({"step": 0}))
    metrics = (run / "metrics.jsonl").read_text().splitlines()
    warmup = json.loads(metrics[0])
    (run / "metrics.jsonl").write_text("\n".join([*metrics[:2], json.dumps({**warmup, "stage": "judged"})]) + "\n")
    assert main([str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["further_examples"] > 0 and found["commands"] == []
