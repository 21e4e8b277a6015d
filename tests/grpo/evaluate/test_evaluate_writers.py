"""What writes the answers: memory that is short, more samples than fit, quantised weights, vLLM, and what is refused."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from grpo.evaluate import backends as writers
from grpo.evaluate.__main__ import main
from grpo.generation.answers import Settings, draw_seed

torch = pytest.importorskip("torch")

SETTINGS = Settings(1.0, 1.0, 0, 1.0, 12, 3, 5)


@pytest.fixture
def loaded(folder):
    """The saved policy, its first rows and their prompts."""
    from grpo.config.loading import load_config
    from grpo.data.rows import read_rows
    from grpo.evaluate.policy_source import find_source, load_source

    config = load_config(folder / "config.yaml", [], "gpu")
    policy = load_source(find_source(str(folder / "policy")), config, "cpu")
    examples = read_rows(folder / "rows.jsonl")[:4]
    return policy, examples, [policy.prompts.prompt_ids(example.prompt) for example in examples]


def texts(answers):
    return [[answer.completion.text for answer in given] for given in answers]


def test_write_when_memory_is_short_then_in_halves_and_the_same_answers(loaded, monkeypatch):
    """A batch that does not fit is cut in two until it does, down to one answer; one that never fits is a clear error."""
    policy, *given = loaded
    writer, answer, sizes = writers.PolicyWriter(policy, 64), writers.answer_batch, []
    whole = texts(writer.write(*given, SETTINGS))
    fits = [2]

    def answer_few(policy, examples, prompts, settings, samples):
        sizes.append(len(examples) * len(samples))
        if sizes[-1] > fits[0]:
            raise torch.OutOfMemoryError
        return answer(policy, examples, prompts, settings, samples)

    monkeypatch.setattr(writers, "answer_batch", answer_few)
    assert texts(writer.write(*given, SETTINGS)) == whole
    assert max(sizes) == 12 and 2 in sizes
    fits[0] = 0
    with pytest.raises(writers.RecompensaError, match="not even one answer to row"):
        writer.write(*given, SETTINGS)


def test_write_when_a_row_has_more_samples_than_a_batch_then_they_are_written_in_parts(loaded, monkeypatch):
    """No more than batch_size answers at once, and the same ones."""
    from grpo.generation import generate as generation

    policy, examples, prompts = loaded
    given, at_once = (examples[:2], prompts[:2], SETTINGS), []

    class Batch(generation.Batch):
        def __init__(self, model, prompts, numbers, *rest, **options):
            at_once.append(sum(map(len, numbers)))
            super().__init__(model, prompts, numbers, *rest, **options)

    monkeypatch.setattr(generation, "Batch", Batch)
    whole = texts(writers.PolicyWriter(policy, 6).write(*given))
    assert at_once == [6]
    parts = texts(writers.PolicyWriter(policy, 2).write(examples[:1], prompts[:1], SETTINGS))
    assert at_once == [6, 2, 1]
    assert parts == whole[:1] and len(set(whole[0])) > 1


def test_load_source_of_an_adapter_on_quantised_weights_does_not_merge_it(folder, tmp_path):
    """Four bits would round what is merged into them: the adapter stays beside its base, as it was trained."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from grpo.config.loading import load_config
    from grpo.evaluate.policy_source import find_source, load_source

    base = AutoModelForCausalLM.from_pretrained(folder / "policy")
    get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")).save_pretrained(
        tmp_path / "adapter"
    )
    config = load_config(folder / "config.yaml", ["model.quantization=nf4"], "gpu")
    kinds = {
        type(layer) for layer in load_source(find_source(str(tmp_path / "adapter")), config, "cpu").model.modules()
    }
    assert bitsandbytes.nn.Linear4bit in kinds and any("lora" in kind.__module__ for kind in kinds)


class FakeLlm:
    """vLLM as far as an evaluation sees it: every answer is the token that ends it."""

    made, asked = [], []

    def __init__(self, **options):
        self.made.append(options)

    def generate(self, requests, sampling_params, use_tqdm):
        self.asked.append((requests, sampling_params))
        ends = [params.stop_token_ids[:1] for params in sampling_params]
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids)]) for ids in ends]


def test_evaluate_by_vllm_sends_each_row_with_its_own_seed_and_settings(folder, arguments, monkeypatch, tmp_path, read):
    """All rows of a window at once, as token ids; the model is told how long prompt and answer may be, no more."""
    vllm = ModuleType("vllm")
    vllm.LLM, vllm.SamplingParams = FakeLlm, SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setattr("grpo.engines.packages.is_installed", lambda name: True)
    monkeypatch.setattr("grpo.engines.vllm.VllmEngine.prepare", lambda engine: None)
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    FakeLlm.made.clear()
    FakeLlm.asked.clear()
    assert main([*arguments, "--samples", "2", "--set", "model.engine=vllm", "--set", "evaluation.top_k=7"]) == 0
    rows = read(tmp_path / "out" / "rows.jsonl")
    assert len(rows) == 48 and {row["completion"] for row in rows} == {""} and not rows[0]["truncated"]
    ((requests, sampling),) = FakeLlm.asked
    (made,) = FakeLlm.made
    assert made["max_model_len"] == max(len(request["prompt_token_ids"]) for request in requests) + 12
    assert made["model"] == str((folder / "policy").resolve()) and made["enable_prefix_caching"]
    assert {(each.temperature, each.top_k, each.max_tokens) for each in sampling} == {(1.0, 7, 12)}
    settings = Settings(1.0, 1.0, 7, 1.0, 12, 2, 5)
    wanted = {
        draw_seed(settings, SimpleNamespace(task=row["task"], id=row["id"]), row["sample"]) for row in rows
    }  # fmt: skip
    assert {each.seed for each in sampling} == wanted and len(wanted) == 48


@pytest.mark.parametrize(
    ("settings", "processes", "installed", "said"),
    [
        (["model.engine=vllm"], 1, ("torch",), "model.engine: vllm needs vllm: pip install"),
        (["model.quantization=nf4"], 1, (), "model.quantization: nf4 needs bitsandbytes: pip install"),
        ([], 1, (), "evaluating needs torch"),
        (["model.engine=vllm"], 2, None, "vllm evaluates in one process, not in 2"),
        (["model.engine=unsloth"], 2, None, "unsloth evaluates in one process, not in 2"),
        (["model.engine=vllm", "model.quantization=nf4"], 1, None, "nf4 is not evaluated by engine vllm"),
    ],
)
def test_find_problems_of_an_engine_that_cannot_says_what_helps(
    folder, monkeypatch, settings, processes, installed, said
):
    """Before anything is loaded, and with the setting that goes on without it."""
    from grpo.config.loading import load_config
    from grpo.evaluate.policy_source import find_source

    monkeypatch.setattr("grpo.engines.packages.is_installed", lambda name: installed is None or name in installed)
    config = load_config(folder / "config.yaml", settings, "gpu")
    problems = writers.find_problems(config, find_source(str(folder / "policy")), processes)
    assert any(said in problem for problem in problems)


def test_evaluate_when_libraries_print_then_the_json_stays_alone(arguments, monkeypatch, capsys):
    """What an engine says on its way goes to the other stream."""
    answer = writers.answer_batch

    def chat(*given):
        print("Library 1.0: hello")
        return answer(*given)

    monkeypatch.setattr(writers, "answer_batch", chat)
    assert main([*arguments, "--json", "--limit", "3"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["finished"] and "Library 1.0: hello" in shown.err
