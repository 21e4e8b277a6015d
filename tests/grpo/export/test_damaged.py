"""Policies that are torn, foreign or gone: each is one clear line with exit code 2, and nothing is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from grpo.chat import __main__ as chat  # noqa: E402
from grpo.export import __main__ as command  # noqa: E402
from rewards.writing.manifests import write_manifest  # noqa: E402


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rewrite(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def keep_half(best: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(best / "adapter_model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if ".layers.0." in name}
    assert 0 < len(kept) < len(weights)
    save_file(kept, best / "adapter_model.safetensors")


def deepen(best: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(best / "adapter_model.safetensors")
    more = {name.replace(".layers.0.", ".layers.7."): tensor.clone() for name, tensor in weights.items()}
    save_file({**weights, **more}, best / "adapter_model.safetensors")


def refused(folder: Path, to: Path, capsys) -> str:
    assert command.main([str(folder), "--to", str(to), "--format", "safetensors", "--proof-rows", "0"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert not to.exists() and not list(to.parent.glob(f".{to.name}*"))
    return line


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda best: tear(best / "adapter_model.safetensors"), "torn file"),
        (lambda best: (best / "adapter_model.safetensors").write_bytes(b""), "torn file"),
        (lambda best: tear(best / "tokenizer.json"), "its tokenizer cannot be read"),
        (lambda best: (best / "tokenizer.json").write_text('{"version": "1.0"}'), "its tokenizer cannot be read"),
        (lambda best: tear(best / "adapter_config.json"), "neither config.json nor adapter_config.json"),
        (lambda best: rewrite(best / "adapter_config.json", target_modules=["c_attn"]), "does not fit its base"),
        (keep_half, "of the base's weights have no part in it, such as .*layers.1"),
        (deepen, "weights for layer 7, and the base has 2 layers"),
    ],
)
def test_export_when_an_adapter_is_torn_or_foreign_then_exit_2_and_one_line(damage, said, write_run, tmp_path, capsys):
    """An adapter that only fits in part is another policy, whatever PEFT makes of it."""
    import re

    run = write_run()
    damage(run / "best")
    line = refused(run, tmp_path / "out", capsys)
    assert re.search(said, line) and str(run / "best") in line


def test_export_when_a_whole_model_is_torn_then_another_policy_of_the_run_is_named(write_run, tmp_path, capsys):
    """The weights were cut off."""
    run = write_run(adapter=False)
    tear(run / "best" / "model.safetensors")
    assert "cannot be loaded" in refused(run, tmp_path / "out", capsys)


def test_export_when_best_is_not_what_its_manifest_says_then_exit_2(write_run, tmp_path, capsys):
    """Another run's adapter of the same shapes fits, and is not what this run's numbers are of."""
    run = write_run()
    write_manifest(run / "best")
    file = run / "best" / "adapter_model.safetensors"
    body = bytearray(file.read_bytes())
    body[-1] ^= 1
    file.write_bytes(body)
    line = refused(run, tmp_path / "out", capsys)
    assert "not as the run left it: adapter_model.safetensors has another content" in line and line.endswith(
        "another of its policies: none"
    )


def test_export_when_the_base_of_an_adapter_is_gone_then_the_line_names_the_adapter(write_run, tmp_path, capsys):
    """There is no config of ours in which `model.name` could be mended."""
    shutil.copytree(write_run() / "best", tmp_path / "adapter")
    rewrite(tmp_path / "adapter" / "adapter_config.json", base_model_name_or_path=str(tmp_path / "gone"))
    line = refused(tmp_path / "adapter", tmp_path / "out", capsys)
    assert "the base that its adapter_config.json names is not available" in line and "model.name" not in line


def test_chat_when_the_adapter_is_torn_then_exit_2_and_one_line(write_run, capsys):
    """The same reading as the export's."""
    run = write_run()
    tear(run / "best" / "adapter_model.safetensors")
    assert chat.main([str(run)]) == 2
    assert "torn file" in capsys.readouterr().err
