"""`python -m grpo.evaluate`: any policy on any rows, every metric of its answers, read by a comparison."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grpo.evaluate.__main__ import main

pytest.importorskip("torch")


def test_evaluate_of_a_folder_writes_rows_in_order_and_means_that_follow_from_them(read, folder, whole):
    """One row an example in the data's order, as a run stores them, with metrics; the summary is their mean."""
    rows, summary = read(whole / "rows.jsonl"), json.loads((whole / "evaluation.json").read_text())
    assert [row["id"] for row in rows] == [line["id"] for line in read(folder / "rows.jsonl")]
    assert {"reward", "scores", "completion", "reference", "metrics", "failure", "stripped", "repairs"} <= rows[
        0
    ].keys()
    assert summary["finished"] is True and summary["settings"]["temperature"] == 1.0
    cell = summary["results"]["all"]["reward"]
    assert cell["value"] == pytest.approx(sum(row["reward"] for row in rows) / len(rows)) and cell["n"] == len(rows)
    assert {"task:extraction", "task:sql_qa", "task:insights", "task:push"} <= summary["results"].keys()
    assert sum(kind["count"] for kind in summary["failures"]) == summary["counts"]["failed"] > 0
    assert (whole / "evaluation.md").read_text().startswith("# Evaluation of whole")
    assert not list(whole.glob("*.partial"))


def test_evaluate_when_a_comparison_reads_it_then_it_is_a_run(whole, folder, arguments, capsys):
    """Two evaluations of one policy at two temperatures are refused, and compared when that is allowed."""
    from grpo.compare.__main__ import main as compare

    assert main([*arguments, "--set", "evaluation.temperature=0.5"]) == 0
    assert compare([str(whole), arguments[-1]]) == 2
    assert "temperature is 1.0 in whole and 0.5 in out" in capsys.readouterr().err
    assert compare([str(whole), arguments[-1], "--allow-different", "settings", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {item["metric"] for item in found["differences"]} >= {"reward", "field_f1", "key_f1", "parse"}


def test_evaluate_of_fewer_rows_in_other_batches_gives_the_same_answers(read, whole, arguments, tmp_path):
    """An answer follows from its row and the seed alone, whatever is answered beside it."""
    assert main([*arguments, "--limit", "5", "--set", "evaluation.batch_size=2"]) == 0
    mine = [row["completion"] for row in read(tmp_path / "out" / "rows.jsonl")]
    assert mine == [row["completion"] for row in read(whole / "rows.jsonl")][:5]


def test_evaluate_of_several_samples_reports_mean_best_and_majority(read, arguments, tmp_path):
    """K rows an example, numbered; best at k never falls, and equals the mean at 1."""
    assert main([*arguments, "--samples", "3", "--limit", "6"]) == 0
    rows = read(tmp_path / "out" / "rows.jsonl")
    assert [row["sample"] for row in rows[:3]] == [0, 1, 2] and len(rows) == 18
    assert len({row["completion"] for row in rows[:3]}) > 1
    at_k = json.loads((tmp_path / "out" / "evaluation.json").read_text())["at_k"]["reward"]
    assert list(at_k) == ["1", "2", "3"] and at_k["1"]["best"]["value"] == pytest.approx(at_k["1"]["mean"]["value"])
    assert at_k["1"]["best"]["value"] <= at_k["2"]["best"]["value"] <= at_k["3"]["best"]["value"]


def make_run(folder, path, **model):
    """A finished run as far as an evaluation looks at it: config, one stage of held-out answers, a best policy."""
    from grpo.config.loading import load_config

    config = load_config(folder / "config.yaml", profile="gpu").model_dump(mode="json")
    config["model"].update(model)
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"profile": "gpu", "source": "config.yaml", "config": config}))
    return path


def test_evaluate_of_a_run_takes_its_best_policy_its_config_and_its_held_out_rows(
    read, folder, whole, tmp_path, monkeypatch
):
    """Nothing but --model is needed, and the rows are those that the run itself was evaluated on."""
    run = make_run(folder, tmp_path / "run")
    shutil.copytree(folder / "policy", run / "best")
    (run / "eval").mkdir()
    shutil.copy(whole / "rows.jsonl", run / "eval" / "before.jsonl")
    monkeypatch.chdir(tmp_path)
    assert main(["--model", "run", "--quiet"]) == 0
    out = tmp_path / "evaluations" / "run-held_out"
    assert [row["completion"] for row in read(out / "rows.jsonl")] == [
        row["completion"] for row in read(whole / "rows.jsonl")
    ]
    assert main(["--model", "run", "--quiet", "--set", "evaluation.temprature=1", "--out", "other"]) == 2


def test_evaluate_of_a_run_without_a_policy_is_refused_in_one_line(folder, tmp_path, capsys):
    """A run that never bettered its start has nothing of its own to evaluate."""
    run = make_run(folder, tmp_path / "run")
    assert main(["--model", str(run)]) == 2
    assert "kept no policy" in capsys.readouterr().err


@pytest.fixture(scope="module")
def adapter(folder):
    """A LoRA adapter of the saved policy whose weights change what it writes, and the policy with it, not merged."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from grpo.policy.loading import Policy

    base = AutoModelForCausalLM.from_pretrained(folder / "policy")
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.2
    policy = Policy(model, AutoTokenizer.from_pretrained(folder / "policy"))
    policy.save(folder / "adapter")
    return folder / "adapter", policy


def test_evaluate_of_an_adapter_merges_it_and_writes_what_the_adapter_writes(
    read, folder, adapter, arguments, tmp_path
):
    """Greedy answers of the merged model are those of base and adapter side by side, and not those of the base."""
    from grpo.data.rows import read_rows
    from grpo.generation.answers import Settings, answer_batch

    greedy = ("--set", "evaluation.temperature=0", "--limit", "4")
    assert main([*arguments, *greedy]) == 0
    assert main([*arguments[:-1], str(tmp_path / "adapted"), *greedy, "--model", str(adapter[0])]) == 0
    base, adapted = (
        [row["completion"] for row in read(tmp_path / name / "rows.jsonl")] for name in ("out", "adapted")
    )  # fmt: skip
    examples = read_rows(folder / "rows.jsonl")[:4]
    prompts = [adapter[1].prompts.prompt_ids(example.prompt) for example in examples]
    expected = answer_batch(adapter[1], examples, prompts, Settings(0.0, 1.0, 0, 1.0, 12, 1, 5))
    assert adapted == [given[0].completion.text for given in expected]
    assert adapted != base


def test_evaluate_of_a_run_whose_policy_was_made_on_the_spot_makes_its_base_again(shop, rows, tmp_path, monkeypatch):
    """An adapter on random weights has no base on disk: it follows from the run's rows and seed."""
    from grpo.config.run_config import RunConfig
    from grpo.evaluate.policy_source import find_source, load_source
    from grpo.policy.loading import load_policy
    from grpo.policy.tokenizer import training_texts

    config = {
        "model": {
            "embedded": {"layers": 1, "hidden_size": 32, "intermediate_size": 32, "heads": 2, "kv_heads": 1, "vocabulary": 400},
            "max_sequence_length": 512, "lora": {"r": 2, "alpha": 4},
        },
        "data": {"source": "files", "train": str(shop.train), "held_out": str(shop.held_out)},
        "rewards": {"functions": [{"name": "extraction"}]},
    }  # fmt: skip
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"config": config}))
    parsed = RunConfig.model_validate(config)
    policy = load_policy(parsed.model, texts=training_texts(rows), seed=parsed.seed, device="cpu")
    for name, weight in policy.model.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(0.05)
    policy.save(run / "best")
    loaded = load_source(find_source(str(run)), parsed, "cpu")
    prompt = policy.prompts.prompt_ids(rows[0].prompt)
    import torch

    with torch.no_grad():
        wanted, found = (each.model.eval()(torch.tensor([prompt])).logits for each in (policy, loaded))
    assert torch.allclose(wanted, found, atol=1e-4)


def test_evaluate_when_our_generation_does_not_know_the_model_then_transformers_writes_the_same(
    read, arguments, whole, tmp_path, monkeypatch
):
    """The way around gives the same greedy answers, from prompts padded on the left."""
    from grpo.generation import answers

    greedy = ("--set", "evaluation.temperature=0", "--limit", "8")
    assert main([*arguments, *greedy]) == 0
    monkeypatch.setattr(answers, "find_fallback", lambda policy: "it is another kind")
    assert main([*arguments[:-1], str(tmp_path / "around"), *greedy]) == 0
    ours, theirs = (
        [(row["completion"], row["truncated"]) for row in read(tmp_path / name / "rows.jsonl")]
        for name in ("out", "around")
    )
    assert ours == theirs


def test_evaluate_when_input_is_bad_then_all_problems_at_once_without_torch(folder, tmp_path):
    """A wrong model, wrong rows and greedy samples are three lines, exit 2, and torch is never imported."""
    (tmp_path / "bad.jsonl").write_text('{"id": "1", "task": "t"}\n')
    code = "import sys; from grpo.evaluate.__main__ import main; c = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(c)"
    done = subprocess.run(
        [sys.executable, "-c", code, "--model", "./nowhere", "--data", str(tmp_path / "bad.jsonl"), "--config",
         str(folder / "config.yaml"), "--samples", "4", "--set", "evaluation.temperature=0"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 3 and "Traceback" not in done.stderr
    for said in ("./nowhere: no such folder", "missing prompt, reference", "4 greedy answers are one and the same"):
        assert said in done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("--model", "{folder}"), "neither config.json nor adapter_config.json"),
        (("--config", "nowhere.yaml"), "nowhere.yaml: no such file"),
        (("--samples", "0"), "--samples: 0; give 1 or more"),
        (("--limit", "0"), "--limit: 0; give 1 or more"),
        (("--set", "evaluation.max_completion_length=600"), "beyond the model's context of 512"),
        (("--set", "rewards.functions=[{name: field_f1}]"), "not strict JSON"),
    ],
)
def test_evaluate_when_one_thing_is_wrong_then_one_clear_line(folder, arguments, capsys, changes, said):
    """What, where and what to do; exit 2."""
    assert main([*arguments, *(change.replace("{folder}", str(folder)) for change in changes)]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert not Path(arguments[-1]).exists()


def test_evaluate_of_tasks_that_no_reward_is_for_measures_all_the_same(folder, tmp_path, capsys):
    """Rows of another task have no reward, but every metric."""
    row = {
        "id": "1", "task": "other", "prompt": [{"role": "user", "content": "Diga a cor."}], "reference": '{"cor": "azul"}'
    }  # fmt: skip
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    code = main(["--model", str(folder / "policy"), "--data", str(tmp_path / "rows.jsonl"), "--config",
                 str(folder / "config.yaml"), "--out", str(tmp_path / "out"), "--json"])  # fmt: skip
    assert code == 0
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    assert "1 rows are of a task that no reward function is for" in shown.err
    assert "reward" not in summary["results"]["all"] and "field_f1" in summary["results"]["all"]
    assert summary["counts"]["unscored"] == 1


def test_config_of_a_run_when_settings_are_changed_then_they_are_read_as_in_a_file(tmp_path):
    """`--set` works without `--config`: numbers are numbers, a wrong key, value or text is a line each."""
    import json
    from types import SimpleNamespace

    from grpo.config.loading import load_config
    from grpo.evaluate.request import find_config
    from rewards.errors import UserError

    config = load_config("v4_1", profile=None).model_dump(mode="json")
    (tmp_path / "config.json").write_text(json.dumps({"config": config, "profile": "gpu"}))
    source = SimpleNamespace(run=tmp_path)

    def change(*overrides):
        return find_config(SimpleNamespace(config=None, overrides=overrides, model="RUN", profile="gpu"), source)

    changed = change("evaluation.temperature=1e-1", "grpo.max_completion_length=64").evaluation
    assert changed.temperature == 0.1
    for text in ("evaluation.temperatur=1", "evaluation.temperature=warm", "evaluation.temperature=[1"):
        with pytest.raises(UserError, match=r"^--set:? evaluation.temperatur"):
            change(text)
