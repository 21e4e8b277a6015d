"""A config that is there already, such as one translated from TRL, gets the user's own rows and rewards."""

from __future__ import annotations

import json

from grpo.config.__main__ import main as config
from grpo.config.loading import load_config
from grpo.init.__main__ import main as init


def test_init_when_it_extends_a_translated_config_then_only_rows_and_rewards_are_new(tmp_path, monkeypatch, capsys):
    """From TRL's YAML to a run in two commands: model, step and sampling are those of the training with TRL."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grpo.yaml").write_text("model_name_or_path: some/model\nmax_steps: 7\nbeta: 0.01\nseed: 9\n", "utf-8")
    rows = [
        {"prompt": f"Order {n}: {n % 7} chairs for Ana", "completion": json.dumps({"item": "chairs", "count": n % 7})}
        for n in range(60)
    ]
    (tmp_path / "orders.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert config(["from-trl", "grpo.yaml", "--output", "ours.yaml"]) == 0
    assert "python -m grpo.init DATA --extends ours.yaml" in capsys.readouterr().err
    assert init(["orders.jsonl", "--extends", "ours.yaml"]) == 0
    assert "max_completion_length 512" in capsys.readouterr().out
    made = load_config(tmp_path / "orders" / "orders.yaml", [], None)
    assert (made.name, made.model.name, made.seed, made.sft_warmup.enabled) == ("orders", "some/model", 9, False)
    assert (made.grpo.max_steps, made.grpo.beta, made.grpo.max_completion_length) == (7, 0.01, 512)
    assert made.data.source == "files" and made.rewards.functions


def test_init_when_the_config_to_extend_is_missing_then_one_line_says_how_to_get_one(tmp_path, capsys):
    """Nothing is written."""
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 2, "utf-8")
    assert init([str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "o"), "--extends", str(tmp_path / "no.yaml")]) == 2
    assert "from-trl FILE --output" in capsys.readouterr().err and not (tmp_path / "o").exists()
