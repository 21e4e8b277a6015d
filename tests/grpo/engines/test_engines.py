"""The engines: what they refuse, how a server is started and buried, what is said when it is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from grpo.config.loading import load_config
from grpo.config.sections import ModelSection, VllmSection
from grpo.engines.choose import choose_engine
from grpo.engines.engine import Engine, EngineFailed
from grpo.engines.vllm import MOST_DIFFERENCE, Seeds, VllmEngine, seed_requests
from grpo.engines.vllm_server import VllmServer, is_healthy, serve_command, serve_environment
from rewards.errors import RecompensaError

# A stand-in for vLLM's server: it answers /health, after a while or never, and says something on its way.
STAND_IN = """
import http.server, sys, time
port, delay, ends = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "ends"
print("loading the model", flush=True)
if ends:
    print("ValueError: no such model", flush=True)
    sys.exit(1)
time.sleep(delay)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def make_server(tmp_path):
    """A function that makes a server of the stand-in; all are stopped in the end."""
    made = []

    def make(delay: float = 0.0, ends: str = "stays") -> VllmServer:
        port = free_port()
        command = [sys.executable, "-c", STAND_IN, str(port), str(delay), ends]
        made.append(VllmServer(command, f"http://127.0.0.1:{port}", tmp_path / "server.log"))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def problems(*settings: str, world_size: int = 1, profile: str = "gpu") -> list[str]:
    config = load_config("v4_1", list(settings), profile=profile)
    return choose_engine(config.model).problems(config, world_size)


@pytest.mark.parametrize("name", ["transformers", "vllm", "unsloth"])
def test_engine_when_chosen_then_it_has_every_part_of_the_contract_and_nothing_heavy_is_imported(name):
    """Each engine answers all that a run asks; choosing one imports neither torch nor the engine."""
    engine = choose_engine(ModelSection(engine=name))
    for part in (member for member in vars(Engine) if not member.startswith("_")):
        assert hasattr(engine, part), part
    code = (
        "import sys; from grpo.engines.choose import choose_engine; from grpo.config.sections import ModelSection\n"
        f"choose_engine(ModelSection(engine={name!r}))\n"
        "sys.exit(str({'torch', 'transformers', 'trl', 'vllm', 'unsloth'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not done.stderr.strip()


@pytest.mark.parametrize(
    ("settings", "world_size", "said"),
    [
        (("model.engine=vllm", "model.quantization=nf4"), 1, "model.quantization: nf4 with engine vllm"),
        (("model.engine=vllm", "model.vllm.tensor_parallel_size=2"), 1, "2 does not divide the 1 processes"),
        (("model.engine=vllm", "model.vllm.mode=server"), 1, "model.vllm.server_devices: not given"),
        (
            ("model.engine=vllm", "model.vllm.tensor_parallel_size=2", "grpo.dynamic_sampling=2"),
            2,
            "grpo.dynamic_sampling: 2 needs each process to generate on its own",
        ),
        (("model.engine=vllm", "grpo.top_p=0.9"), 1, "grpo.top_p: 0.9 with engine vllm"),
        (("model.engine=vllm", "grpo.top_k=20"), 1, "grpo.top_k: 20 with engine vllm"),
        (("model.engine=vllm", "grpo.repetition_penalty=1.2"), 1, "write 1.0, or set model.vllm.importance_sampling"),
        (
            ("model.engine=vllm", "model.embedded={}", "model.vllm.enable_sleep_mode=true"),
            1,
            "model.vllm.enable_sleep_mode: gives back the memory of a CUDA device",
        ),
        (("model.engine=unsloth", "grpo.micro_batch_size=16"), 2, "unsloth runs in one process here, not in 2"),
        (("model.engine=unsloth", "grpo.micro_batch_size=2"), 1, "would silently raise 2 completions a pass to 16"),
    ],
)
def test_plan_when_an_engine_cannot_do_it_then_one_line_says_why(settings, world_size, said):
    """What would fail late, or train something else, is refused before anything is spent."""
    found = problems(*settings, world_size=world_size)
    assert len(found) == 1 and said in found[0]


@pytest.mark.parametrize(
    "settings",
    [
        ("model.engine=vllm",),
        ("model.engine=vllm", "grpo.temperature=0.7", "model.vllm.enable_sleep_mode=true"),
        ("model.engine=vllm", "grpo.top_p=0.9", "model.vllm.importance_sampling_correction=false"),
        ("model.engine=vllm", "model.vllm={mode: server, server_devices: '7'}"),
        ("model.engine=vllm", "model.vllm={mode: server, server_base_url: 'http://10.0.0.7:8000'}"),
        ("model.engine=unsloth", "grpo.micro_batch_size=32"),
    ],
)
def test_plan_when_an_engine_can_do_it_then_nothing_is_refused(settings):
    """Settings that work pass."""
    assert problems(*settings) == []


def test_vllm_when_a_server_setting_meets_colocate_then_the_section_refuses_it():
    """A server that would never be asked is a mistake."""
    with pytest.raises(ValueError, match="server_devices is set, but mode is colocate"):
        VllmSection(server_devices="1")


def test_vllm_arguments_when_given_to_trl_then_they_are_its_own_and_correct_for_the_difference():
    """The settings reach TRL under its names, with importance sampling on."""
    trl = pytest.importorskip("trl")
    from dataclasses import fields

    known = {field.name for field in fields(trl.GRPOConfig)}
    for vllm in (VllmSection(), VllmSection(mode="server", server_devices="1")):
        arguments = VllmEngine(ModelSection(engine="vllm", vllm=vllm)).arguments()
        assert arguments.keys() <= known
        assert arguments["use_vllm"] and arguments["vllm_importance_sampling_correction"]


def test_serve_command_when_read_by_trl_then_prefix_caching_is_on_and_every_option_is_known():
    """The command of the server is one that TRL's own script understands."""
    pytest.importorskip("trl")
    from trl.scripts.vllm_serve import ScriptArguments, build_command
    from trl.scripts.vllm_serve import make_parser as trl_parser

    command = serve_command(
        "a/model", port=8123, dtype="bfloat16", max_model_len=2048, tensor_parallel_size=2, gpu_memory_utilization=0.8
    )
    arguments = trl_parser().parse_args_and_config(command[3:])[0]
    assert isinstance(arguments, ScriptArguments)
    served = build_command(arguments)
    assert served[served.index("serve") + 1] == "a/model"
    assert "--enable-prefix-caching" in served and served[served.index("--port") + 1] == "8123"


def test_environment_when_given_to_a_server_then_torchruns_variables_are_gone(monkeypatch):
    """A server that believed itself to be one of the run's processes would wait for the others."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "ACCELERATE_USE_FSDP"):
        monkeypatch.setenv(name, "1")
    environment = serve_environment("6,7")
    assert environment["CUDA_VISIBLE_DEVICES"] == "6,7"
    assert not {"RANK", "WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "ACCELERATE_USE_FSDP"} & environment.keys()


def test_server_when_started_then_it_is_well_until_it_is_stopped(make_server):
    """start waits until the server answers; stop ends it."""
    server = make_server(delay=0.3)
    server.start(30)
    assert is_healthy(server.url)
    server.check()
    pid = server.pid
    server.stop()
    assert not is_healthy(server.url)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_server_when_it_ends_at_once_then_its_last_words_are_in_the_error(make_server):
    """A model that cannot be loaded is told in the server's own words."""
    with pytest.raises(EngineFailed, match=r"ended with exit code 1 \(ValueError: no such model\); read .*server\.log"):
        make_server(ends="ends").start(30)


def test_server_when_it_never_answers_then_the_time_limit_is_named_and_nothing_is_left(make_server):
    """Waiting has an end, and the process does not outlive it."""
    server = make_server(delay=60)
    with pytest.raises(EngineFailed, match=r"did not answer at .* within 1 s"):
        server.start(1)
    assert server.pid is None


def test_server_when_another_answers_on_its_port_then_refused(make_server):
    """Weights must not be sent to somebody else's server."""
    first = make_server()
    first.start(30)
    second = VllmServer(first.command, first.url, first.log)
    with pytest.raises(EngineFailed, match=r"answers at .* already"):
        second.start(5)


def test_engine_when_its_server_was_killed_then_a_request_fails_in_one_line(make_server):
    """The next generation says which signal it was instead of waiting for an answer."""
    server = make_server()
    server.start(30)
    engine = VllmEngine(ModelSection(engine="vllm", vllm=VllmSection(mode="server", server_base_url=server.url)))
    engine.server = server
    assert engine._ask(lambda: "answer") == "answer"
    os.killpg(server.pid, signal.SIGKILL)
    time.sleep(0.3)
    with pytest.raises(EngineFailed, match="killed by signal 9"):
        engine._ask(lambda: "answer")


def test_engine_when_a_server_elsewhere_is_gone_then_it_fails_and_other_faults_pass(make_server):
    """Only a server that does not answer is called dead: a fault of the request is shown as it is."""
    server = make_server()
    server.start(30)
    engine = VllmEngine(ModelSection(engine="vllm", vllm=VllmSection(mode="server", server_base_url=server.url)))

    def refuse():
        raise ValueError("400: prompt too long")

    with pytest.raises(ValueError, match="prompt too long"):
        engine._ask(refuse)
    server.stop()
    with pytest.raises(EngineFailed, match="no longer answers"):
        engine._ask(refuse)


def test_server_when_its_parent_is_killed_then_it_ends_too(make_server, tmp_path):
    """No server keeps a device after a run that was killed."""
    if sys.platform != "linux":
        pytest.skip("the kernel's help is Linux's")
    server = make_server()
    script = (
        "import sys, time; from pathlib import Path; from grpo.engines.vllm_server import VllmServer\n"
        f"server = VllmServer({server.command!r}, {server.url!r}, Path({str(server.log)!r}))\n"
        "server.start(30); print('up', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline().strip() == "up"
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while is_healthy(server.url) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_healthy(server.url)


def test_seeds_when_drawn_then_no_two_requests_of_a_run_share_one():
    """Steps, copies of the policy and calls of a step are further apart than a call has requests."""
    trainer = SimpleNamespace(args=SimpleNamespace(seed=42), state=SimpleNamespace(global_step=0))
    copies = [Seeds(trainer, copy) for copy in range(8)]
    drawn = []
    for step in range(50):
        trainer.state.global_step = step
        drawn += [seeds() for seeds in copies for _ in range(3)]
    assert min(abs(a - b) for a, b in zip(sorted(drawn), sorted(drawn)[1:], strict=False)) > 100_000
    assert all(0 <= first < 2**62 for first in drawn)


def test_seeds_when_a_run_is_resumed_then_they_are_those_of_one_that_went_on():
    """They follow from the step and from nothing that was drawn before it."""
    trainer = SimpleNamespace(args=SimpleNamespace(seed=42), state=SimpleNamespace(global_step=6))
    whole, resumed = Seeds(trainer, 0), Seeds(trainer, 0)
    whole(), whole()
    trainer.state.global_step = 7
    assert whole() == resumed()
    assert whole() == resumed()


def test_requests_when_sent_then_each_has_a_seed_of_its_own():
    """One seed for all would make the completions of a group one text."""
    sent = []

    class Params:
        seed = None

        def clone(self):
            return Params()

    seeded = seed_requests(
        lambda prompts, sampling_params, **rest: sent.append((prompts, sampling_params, rest)), lambda: 70
    )
    seeded(["a", "a", "b"], sampling_params=Params(), use_tqdm=False)
    ((prompts, params, rest),) = sent
    assert prompts == ["a", "a", "b"] and rest == {"use_tqdm": False}
    assert [each.seed for each in params] == [70, 71, 72]


def test_vllm_when_it_samples_from_another_policy_then_the_run_stops():
    """Weights that never arrived would train nothing, silently: every ratio is then beyond its limit."""
    engine = VllmEngine(ModelSection(engine="vllm"))
    engine.observe({"loss": 0.0})
    engine.observe({"sampling/sampling_logp_difference/mean": MOST_DIFFERENCE / 10})
    for difference in (2.7, float("nan")):
        with pytest.raises(RecompensaError, match="another policy"):
            engine.observe({"sampling/sampling_logp_difference/mean": difference})


def test_plain_generation_when_greedy_then_it_equals_our_own(policy, rows):
    """The model's own generate, for models we cannot take over, writes what ours writes."""
    torch = pytest.importorskip("torch")
    from grpo.generation.generate import generate
    from grpo.generation.plain import generate_plainly

    prompts = [policy.prompts.prompt_ids(row.prompt) for row in rows[:5]]
    settings = dict(max_new_tokens=9, eos_ids=policy.eos_ids, pad_id=policy.tokenizer.pad_token_id)
    plain = generate_plainly(policy.model, prompts, samples=2, temperature=0.0, **settings)
    ours = generate(policy.model, prompts, samples=2, temperature=0.0, **settings)
    assert plain.completion_ids == ours.completion_ids and plain.truncated == ours.truncated
    before = torch.get_rng_state()
    first, again = (
        generate_plainly(policy.model, prompts, samples=2, generator=torch.Generator().manual_seed(3), **settings)
        for _ in range(2)
    )
    assert first.completion_ids == again.completion_ids
    assert first.completion_ids != plain.completion_ids
    assert torch.equal(before, torch.get_rng_state())
