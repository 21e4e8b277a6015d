"""The engine vllm without vLLM: what it refuses before a start, its weights, its requests, its faults."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace

import pytest

from grpo.config.sections import ModelSection, VllmSection
from grpo.engines import versions
from grpo.engines.choose import choose_engine
from grpo.engines.engine import EngineFailed
from grpo.engines.unsloth import PATCHED
from grpo.engines.vllm import told_llm
from grpo.engines.vllm_client import bound_requests, generate_one_by_one
from grpo.engines.vllm_server import is_healthy, skip_proxies
from rewards.errors import UserError


@pytest.fixture
def listener():
    """A socket that listens on a port of this machine."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken


def make_engine(**settings):
    return choose_engine(ModelSection(engine="vllm", vllm=VllmSection(**settings)))


def forget_patched(monkeypatch):
    """As in a process that has not imported yet what unsloth patches."""
    for name in PATCHED:
        monkeypatch.delitem(sys.modules, name, raising=False)


# -- before anything is spent ------------------------------------------------------------------------------------------


def test_port_when_taken_then_refused_before_the_warm_up(listener):
    """A warm-up of hours must not end in a server that cannot listen."""
    port = listener.getsockname()[1]
    with pytest.raises(UserError) as caught:
        make_engine(mode="server", server_devices="1", server_port=port, group_port=port).prepare()
    assert [line.split(":")[0] for line in caught.value.problems] == ["model.vllm.server_port", "model.vllm.group_port"]
    assert f"port {port} is taken on this machine" in caught.value.problems[0]


def test_server_elsewhere_when_it_does_not_answer_then_refused_before_the_warm_up():
    """The run's own port is no matter then."""
    with pytest.raises(UserError, match=r"no vLLM server answers at http://127\.0\.0\.1:9/health") as caught:
        make_engine(mode="server", server_base_url="http://127.0.0.1:9", server_port=9).prepare()
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("engine", ["vllm", "unsloth"])
def test_package_when_of_another_version_then_both_versions_and_the_command_are_named(engine, monkeypatch):
    """What was never run together is refused, with the line that installs what was."""
    monkeypatch.setattr(versions, "version", lambda name: "0.1.2")
    monkeypatch.setattr(
        versions, "requires", lambda _: ["vllm==0.30.0; extra == 'gpu'", "unsloth>=2026.10.7; extra == 'gpu'"]
    )
    forget_patched(monkeypatch)
    with pytest.raises(
        UserError, match=rf"model.engine: {engine} was run with {engine}[=>]=\S+, but {engine} 0.1.2"
    ) as caught:
        choose_engine(ModelSection(engine=engine)).prepare()
    assert f"pip install '{engine}" in str(caught.value)


@pytest.mark.parametrize(
    ("found", "fits"), [("0.30.0", True), ("0.30.0+cpu", True), ("0.29.1", False), ("0.31.0rc1", False)]
)
def test_version_when_held_against_our_extra_then_a_build_label_does_not_matter(found, fits, monkeypatch):
    """vLLM's builds for other devices carry a local label."""
    monkeypatch.setattr(versions, "version", lambda name: found)
    monkeypatch.setattr(
        versions, "requires", lambda _: ["vllm==0.30.0; extra == 'gpu'", "trl==1.14.2; extra == 'train'"]
    )
    assert (versions.find_wrong_versions("vllm", ("vllm",)) == []) == fits


@pytest.mark.parametrize(
    ("made", "said"),
    [("llm-broken", "vllm cannot be imported here"), ("no-device", "the installed vllm finds no device")],
)
def test_vllm_when_it_does_not_fit_this_machine_then_one_line_says_so(made, said, monkeypatch):
    """A build for another device fails deep inside TRL otherwise, after the warm-up."""
    vllm, platforms = ModuleType("vllm"), ModuleType("vllm.platforms")
    if made == "no-device":
        vllm.LLM = object
    platforms.current_platform = SimpleNamespace(device_type="")
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "ERROR")
    with pytest.raises(UserError, match=f"model.engine: {said}"):
        make_engine().prepare()


def test_unsloth_when_it_cannot_be_imported_then_one_line_says_so(monkeypatch):
    """Unsloth ends its import with an error of its own where it finds no device."""
    forget_patched(monkeypatch)
    monkeypatch.setitem(sys.modules, "unsloth", None)
    with pytest.raises(UserError, match=r"model.engine: unsloth cannot be imported here \(.*\); reinstall it with pip"):
        choose_engine(ModelSection(engine="unsloth")).prepare()


def test_vllm_when_it_cannot_start_then_its_reason_is_one_line(monkeypatch):
    """Too little memory is the usual reason, and vLLM says so under pages of traces."""
    generation = pytest.importorskip("trl.generation.vllm_generation")

    def refuse(**options):
        assert options == {"model": "a", "dtype": "float32"}
        raise ValueError("Free memory on device\n  is less than desired")

    monkeypatch.setattr(generation, "LLM", refuse, raising=False)
    said = r"vLLM cannot start alongside the training \(Free memory on device is less than desired\); free the device's"
    with told_llm({"dtype": "float32"}), pytest.raises(EngineFailed, match=said):
        generation.LLM(model="a")
    assert generation.LLM is refuse


# -- the weights -------------------------------------------------------------------------------------------------------


@pytest.fixture
def generation():
    """TRL's generation over a small policy in bfloat16 whose adapters have learned something."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("trl")
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3Config, Qwen3ForCausalLM
    from trl.generation.vllm_generation import VLLMGeneration

    from grpo.distributed.sharding import whole_weights

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = dict(vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2, head_dim=16)
        config = Qwen3Config(**shape, num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True)
        model = get_peft_model(
            Qwen3ForCausalLM(config).to(torch.bfloat16), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
        )
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.01)
    made = VLLMGeneration.__new__(VLLMGeneration)
    made.model = model
    made._dist = SimpleNamespace(is_fsdp=False, gather_params=lambda _: whole_weights(model, None))
    return made


def test_weights_when_listed_for_vllm_then_they_are_trls_own_and_the_frozen_ones_stay(generation):
    """TRL adds and takes off adapters in the weights, which bfloat16 rounds each time: the frozen policy wanders off."""
    import torch

    from grpo.engines.vllm_weights import list_merged

    def frozen():
        return {name: weight.detach().clone() for name, weight in generation.model.named_parameters()}

    before = frozen()
    ours = [(name, weight.clone()) for name, weight in list_merged(generation, generation._iter_named_params)]
    assert all(weight.equal(before[name]) for name, weight in frozen().items())
    theirs = [(name, weight.clone()) for name, weight in generation._iter_named_params()]
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    for (name, mine), (_, its) in zip(ours, theirs, strict=True):
        assert mine.dtype == its.dtype and torch.equal(mine, its), name
    changed = [name for name, weight in frozen().items() if not weight.equal(before[name])]
    assert changed, "TRL leaves the weights as they were: list_merged is no longer needed"
    assert not ours[0][1].requires_grad


def test_weights_when_sharded_or_without_adapters_then_trls_own_list_is_used(generation):
    """Only TRL gathers what is spread over processes."""
    from grpo.engines.vllm_weights import list_merged

    generation._dist.is_fsdp = True
    assert list(list_merged(generation, lambda: iter([("a", 1)]))) == [("a", 1)]
    generation._dist.is_fsdp, generation.model = False, generation.model.get_base_model()
    assert list(list_merged(generation, lambda: iter([("a", 1)]))) == [("a", 1)]


# -- the server's client -----------------------------------------------------------------------------------------------


def test_prompts_when_sent_to_a_server_then_each_has_seeds_of_its_own_and_answers_keep_their_order():
    """Completion i of a request has the seed + i, so that requests are n apart."""
    sent, lock = [], threading.Lock()

    def generate(prompts, n, generation_kwargs, temperature):
        (prompt,) = prompts
        with lock:
            sent.append((prompt[0], generation_kwargs["seed"]))
        ids = [[prompt[0], index] for index in range(n)]
        return {"prompt_ids": prompts, "completion_ids": ids, "logprobs": ids, "logprob_token_ids": None}

    asked = generate_one_by_one(generate, lambda: 100)
    answer = asked(prompts=[[7], [8], [9]], n=4, temperature=1.0, generation_kwargs={"min_tokens": 1})
    assert sorted(sent) == [(7, 100), (8, 104), (9, 108)]
    assert answer["prompt_ids"] == [[7], [8], [9]] and answer["logprob_token_ids"] is None
    assert answer["completion_ids"] == [[prompt, index] for prompt in (7, 8, 9) for index in range(4)]


@pytest.fixture
def silent_server():
    """A server that is well and never answers anything else; it counts what it was asked."""
    asked, done = [], threading.Event()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def do_POST(self):
            asked.append(self.path)
            done.wait(30)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    done.set()
    server.shutdown()


def test_request_when_the_server_hangs_then_it_fails_in_one_line_and_is_not_sent_again(silent_server):
    """TRL's client waits for ever; a server whose engine hangs still says that it is well."""
    requests = pytest.importorskip("requests")
    from urllib3.util.retry import Retry

    url, asked = silent_server
    session = requests.Session()
    session.mount(
        "http://", requests.adapters.HTTPAdapter(max_retries=Retry(total=5, read=5, allowed_methods=["POST"]))
    )
    bound_requests(session, 0.3)
    engine = make_engine(mode="server", server_base_url=url)
    assert is_healthy(url)
    with pytest.raises(EngineFailed, match=r"no longer answers \(.*Read timed out.*\)"):
        engine._ask(lambda: session.post(f"{url}/v1/completions", json={}))
    assert asked == ["/v1/completions"]


def test_weights_when_the_server_is_lost_on_the_way_then_the_process_ends_resumable():
    """NCCL waits for ever in a call that no exception reaches; a run that hangs costs as much as one that works."""
    code = (
        "import time\n"
        "from grpo.engines.vllm_client import end_when_late\n"
        "with end_when_late(30, 'error: too late for this', None): pass\n"
        "with end_when_late(0.2, 'error: the server did not take the weights', None): time.sleep(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.returncode == 75
    assert done.stderr == "error: the server did not take the weights\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, "127.0.0.1"), ("a.example", "a.example,127.0.0.1"), ("*", "*"), ("127.0.0.1", "127.0.0.1")],
)
def test_proxy_when_the_environment_names_one_then_the_own_server_is_reached_without_it(before, after, monkeypatch):
    """A cluster's proxy knows nothing of this machine's ports."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv("NO_PROXY", before)
    else:
        monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    skip_proxies("127.0.0.1")
    assert (os.environ["no_proxy"] or os.environ["NO_PROXY"]) == after
