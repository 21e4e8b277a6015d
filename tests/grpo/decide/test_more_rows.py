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
