"""Weights to a vLLM server as a file: what is written, what the server is told, and what a config may ask for."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from grpo.config.loading import load_config
from grpo.config.sections import ModelSection, VllmSection
from grpo.engines.choose import choose_engine
from grpo.engines.engine import EngineFailed
from grpo.engines.vllm_files import WORKER, find_folder_problems, sent_as_files, weights_file, write_weights
from rewards.errors import UserError

torch = pytest.importorskip("torch")


def tensors():
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(4, 6, generator=generator)
    return {
        "head.weight": wide.to(torch.bfloat16),
        "layer.weight": wide.T,  # not contiguous
        "scale": torch.tensor(3.5, dtype=torch.float16),
        "empty": torch.zeros(0, 2),
    }


def describe(named):
    return [(name, str(weight.dtype).removeprefix("torch."), list(weight.shape)) for name, weight in named.items()]


def test_weights_when_written_one_by_one_then_safetensors_reads_them_bit_for_bit(tmp_path):
    """The file is written without its library, which would hold all weights a second time."""
    from safetensors.torch import load_file

    named, path = tensors(), tmp_path / "weights.safetensors"
    write_weights(path, describe(named), iter(named.items()))
    found = load_file(path)
    assert found.keys() == named.keys()
    for name, weight in named.items():
        assert found[name].dtype == weight.dtype and torch.equal(found[name], weight)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_file_when_two_runs_share_a_folder_then_each_has_its_own(tmp_path):
    """The run's own directory needs no such name."""
    shared = tmp_path / "shared"
    names = {weights_file(shared, tmp_path / run) for run in ("one", "other", "one")}
    assert len(names) == 2 and all(name.parent == shared.resolve() for name in names)
    assert weights_file(None, tmp_path).parent == tmp_path.resolve()


def test_client_when_weights_are_sent_then_the_server_is_told_the_file_and_it_is_gone_afterwards(tmp_path):
    """No NCCL group is opened; a server that cannot take the file says so in one line, with what it needs."""
    generation = pytest.importorskip("trl.generation.vllm_generation")
    original, path, asked = generation.VLLMClient, tmp_path / "weights.safetensors", []
    answers = [SimpleNamespace(status_code=200), SimpleNamespace(status_code=500, text="no attribute 'take_weights'")]

    def post(url, json):
        asked.append((url, json, path.is_file()))
        return answers[len(asked) - 1]

    with sent_as_files(path):
        client = generation.VLLMClient.__new__(generation.VLLMClient)
        client.base_url, client.session = "http://server", SimpleNamespace(post=post)
        client.init_communicator(device="cpu")
        named = tensors()
        client.update_named_params(describe(named), iter(named.items()))
        with pytest.raises(EngineFailed, match=r"took no weights from .* \(no attribute 'take_weights'\)") as caught:
            client.update_named_params(describe(named), iter(named.items()))
    assert asked[0] == ("http://server/collective_rpc", {"method": "take_weights", "args": [str(path)]}, True)
    assert WORKER in str(caught.value)
    assert generation.VLLMClient is original and not path.exists()


def test_folder_when_it_is_none_then_refused_before_the_warm_up(tmp_path):
    """A run must not learn after an hour that its weights have nowhere to go."""
    vllm = VllmSection(mode="server", server_devices="1", weight_transfer="file", weights_folder=tmp_path / "none")
    with pytest.raises(UserError, match="is not a folder; create one that the server sees under the same name"):
        choose_engine(ModelSection(engine="vllm", vllm=vllm)).prepare()


def test_folder_when_nothing_can_be_written_there_then_refused_before_the_warm_up(tmp_path, monkeypatch):
    """Tried, as permissions do not tell it of every user and file system."""

    def refuse(dir):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    assert find_folder_problems(tmp_path) == [] and list(tmp_path.iterdir()) == []
    monkeypatch.setattr("grpo.engines.vllm_files.tempfile.TemporaryFile", refuse)
    (problem,) = find_folder_problems(tmp_path)
    assert "no file can be written in" in problem and "(Read-only file system)" in problem


def test_client_when_the_folder_is_full_then_one_line_says_where(tmp_path):
    """The file is gigabytes, and /dev/shm is small."""
    generation = pytest.importorskip("trl.generation.vllm_generation")
    with sent_as_files(tmp_path / "gone" / "weights.safetensors"):
        client = generation.VLLMClient.__new__(generation.VLLMClient)
        with pytest.raises(EngineFailed, match=r"cannot be written to .* \(No such file or directory\); make room"):
            client.update_named_params(describe(tensors()), iter(tensors().items()))


def test_config_when_a_path_begins_with_an_unknown_user_then_one_line_names_the_setting():
    """Python's own words were a traceback."""
    settings = ["model.engine=vllm", "model.vllm={mode: server, server_devices: '1', weight_transfer: file}"]
    with pytest.raises(UserError, match=r"data\.train: ~nobody-of-that-name/x begins with a user"):
        load_config("v4_1", [*settings, "data.train=~nobody-of-that-name/x"], "embedded")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{mode: colocate, weight_transfer: file}", "weight_transfer applies only to mode: server"),
        (
            "{mode: server, server_devices: '1', weights_folder: /dev/shm}",
            "weights_folder applies only to weight_transfer: file",
        ),
    ],
)
def test_section_when_files_are_not_meant_then_one_line_says_so(section, said):
    """A setting without effect is a mistake."""
    with pytest.raises(UserError, match=said):
        load_config("v4_1", ["model.engine=vllm", f"model.vllm={section}"], "embedded")


def test_embedded_policy_when_weights_go_as_files_then_a_server_may_write_for_it():
    """NCCL was the only thing that stood against it; the server begins with weights that nobody reads."""
    settings = ["model.engine=vllm", "grpo.one_step_ahead=server"]
    vllm = "model.vllm={mode: server, server_devices: '-1', weight_transfer: file}"
    config = load_config("v4_1", [*settings, vllm, "grpo.top_p=1.0", "grpo.top_k=0"], "embedded")
    engine = choose_engine(config.model)
    assert engine.problems(config, 1) == []
    options = engine._server_options("cpu")
    assert options == ["--worker-extension-cls", WORKER, "--enforce_eager", "True", "--load-format", "dummy"]
