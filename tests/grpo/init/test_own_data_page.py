"""docs/own_data.md is run from its first block to its last, as a newcomer would."""

import re
import shlex
from pathlib import Path

import orjson
import pytest

pytest.importorskip("torch")

PAGE = Path(__file__).parents[3] / "docs" / "own_data.md"
# What makes minutes of seconds; the page itself names no sizes.
QUICK = {
    "grpo.run": "--profile embedded --quiet --set sft_warmup.max_steps=30 --set grpo.max_steps=4 --set grpo.prompts_per_step=4"
    " --set evaluation.every_steps=4 --set grpo.save_every_steps=4 --set tracking.wandb=off --set threads=1"
}


def run_command(line, capsys):
    """The exit code and output of one `python -m` command."""
    from importlib import import_module

    words = shlex.split(line)
    assert words[:2] == ["python", "-m"]
    module = import_module(f"{words[2]}.__main__" if words[2] != "grpo.run" else "grpo.run")
    code = module.main([*words[3:], *shlex.split(QUICK.get(words[2], ""))])
    return code, capsys.readouterr().out


def test_page_when_followed_then_ends_with_an_answer(tmp_path, monkeypatch, capsys):
    """Rows, config, dry run, run, decision, answer: every command ends well and says what the page says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    said = {}
    for language, block in blocks:
        if language == "python":
            exec(compile(block, str(PAGE), "exec"), {})  # our own page
        for line in block.strip().splitlines() if not language else ():
            code, out = run_command(line, capsys)
            assert code == 0, line
            said[" ".join(line.split()[2:4])] = out
    assert (
        Path("orders/schema.json").is_file()
        and "120 of 120 references earn full reward" in said["grpo.init orders.jsonl"]
    )
    decision = orjson.loads(Path("runs/orders/decision.json").read_bytes())
    assert decision["tree"] == "own" and "rung" not in decision
    assert decision["title"] in said["grpo.decide runs/orders"]
    assert said["grpo.evaluate --model"].strip()
