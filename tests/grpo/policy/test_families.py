"""The line over a tiny random model of each family: dry run, warm-up, GRPO, evaluation, resume, reload by transformers alone."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from callbacks.progress import Progress  # noqa: E402
from callbacks.tracking.tracking import Tracker  # noqa: E402
from grpo.config.loading import load_config  # noqa: E402
from grpo.data.run_rows import load_inputs  # noqa: E402
from grpo.lifecycle.run_directory import RunDirectory  # noqa: E402
from grpo.plan.make_plan import make_plan  # noqa: E402
from grpo.policy.shared_prefix import grouped_logps  # noqa: E402
from grpo.training.stages import Stages  # noqa: E402
from rewards.config import build_host  # noqa: E402
from rewards.errors import UserError  # noqa: E402

spec = importlib.util.spec_from_file_location("model_families", Path(__file__).with_name("families.py"))
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

FAST = ("chatml", "llama3", "gemma", "qwen3", "glm4moe", "gptoss")
# What a family needs to be trained on; without it the dry run refuses it (tests below).
NEEDS = {
    **{name: {"sft_warmup": {"enabled": False}} for name in ("deepseek_r1_distill", "deepseekv3")},
    **{
        f"nemotron_3_{size}": {"model": {"chat_template_kwargs": {"enable_thinking": False}}}
        for size in ("nano", "super", "ultra", "5_lightning")
    },
    "qwen3": {"model": {"chat_template_kwargs": {"enable_thinking": False}}},
}
NO_SYSTEM = ("gemma", "mistral")


def write_rows(path: Path, count: int, *, system: bool) -> None:
    turns = [{"role": "system", "content": "Responda em JSON."}] if system else []
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            prompt = [*turns, {"role": "user", "content": f"Quanto custa o item {number} da {path.stem}?"}]
            row = {
                "task": "price",
                "id": f"{path.stem}-{number}",
                "prompt": prompt,
                "reference": json.dumps({"preço": number + 0.5}, ensure_ascii=False),
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


@pytest.fixture
def make_family(tmp_path):
    """A function from a family to the config of a run over a tiny model of it, and one from a config to its stages."""
    trackers = []

    def configure(name: str, *, whole: bool = False, **changes):
        families.write_model(name, tmp_path / name, whole=whole)
        for kind, count in (("train", 8), ("held_out", 4)):
            write_rows(tmp_path / f"{kind}.jsonl", count, system=name not in NO_SYSTEM)
        settings = {
            "model": {"name": str(tmp_path / name), "max_sequence_length": 2400, "lora": None, "dtype": "float32", "device": "cpu"},
            "data": {"source": "files", "train": "train.jsonl", "held_out": "held_out.jsonl"},
            "sft_warmup": {"enabled": True, "max_steps": 2, "batch_size": 4, "learning_rate": 0.001},
            "grpo": {
                "max_steps": 2, "prompts_per_step": 2, "num_generations": 2, "max_completion_length": 8, "learning_rate": 0.001,
                "save_every_steps": 1, "warmup_steps": 0,
            },
            "evaluation": {"every_steps": 50, "batch_size": 4},
            "tracking": {"wandb": "off"},
            "rewards": {"functions": [{"name": "text_overlap", "weight": 1.0}]},
        }  # fmt: skip
        for section, values in {**NEEDS.get(name, {}), **changes}.items():
            settings[section] = {**settings[section], **values}
        (tmp_path / "family.yaml").write_text(json.dumps(settings), encoding="utf-8")
        return load_config(tmp_path / "family.yaml", [], "gpu")

    def stage(config, resume_from=None) -> Stages:
        directory = RunDirectory(tmp_path / "run")
        directory.path.mkdir(exist_ok=True)
        trackers.append(Tracker(directory.path, config.tracking, resume_from=resume_from))
        return Stages(
            config, load_inputs(config), build_host(config.rewards), directory, trackers[-1], Progress(quiet=True),
            SimpleNamespace(requested=False), "cpu",
        )  # fmt: skip

    yield configure, stage
    for tracker in trackers:
        tracker.close()


def check_family(name: str, make_family, *, whole_vocabulary: bool = False) -> None:
    configure, stage = make_family
    config = configure(name, whole=whole_vocabulary)
    plan = make_plan(config, load_inputs(config), profile="gpu")
    assert plan.tokens.exact
    whole = stage(config)
    whole.make_policy()
    before = {key: tensor.clone() for key, tensor in whole.policy.model.state_dict().items()}
    whole.evaluate("before", 0)
    if config.sft_warmup.enabled:
        whole.warm_up()
    whole.train()
    whole.evaluate("final", 2)
    wanted = {key: tensor.clone() for key, tensor in whole.policy.model.state_dict().items()}
    if config.sft_warmup.enabled:  # two steps of GRPO from random weights may see nothing but zeros
        assert any(not torch.equal(before[key], wanted[key]) for key in wanted), "nothing was learnt"
    whole.tracker.close()

    resumed = stage(config, resume_from=("train", 1))
    resumed.restore_policy()
    resumed.train(resume_from=resumed.directory.checkpoints / "checkpoint-1")
    weights = resumed.policy.model.state_dict()
    assert [key for key in wanted if not torch.equal(weights[key], wanted[key])] == []
    check_reload(resumed)


def check_reload(stages: Stages) -> None:
    """What is saved is read by transformers alone: the authors' template, the same ends, the same log-probabilities."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = stages.directory.path / "saved"
    stages.policy.save(folder)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    prompts, example = stages.policy.prompts, stages.inputs.train[0]
    assert tokenizer.chat_template == stages.policy.tokenizer.chat_template
    prompt = prompts.prompt_ids(example.prompt)
    again = tokenizer.apply_chat_template(
        list(example.prompt),
        add_generation_prompt=True,
        return_dict=True,
        **prompts.template.fill(tokenizer.chat_template),
    )["input_ids"]
    assert again == prompt
    answer = tokenizer.encode(example.reference, add_special_tokens=False)
    answer.append(prompts.end.token)
    ids = torch.tensor([prompt + answer])
    with torch.no_grad():
        plain = torch.log_softmax(model(ids, use_cache=False).logits[0].float(), -1)
        own = torch.log_softmax(stages.policy.model.eval()(ids, use_cache=False).logits[0].float(), -1)
    assert torch.allclose(plain, own, atol=1e-5)
    if stages._trainer.fallback is None:
        width = len(prompt)
        with torch.no_grad():
            logps, _ = grouped_logps(
                stages.policy.model, ids[:, :width], torch.ones_like(ids[:, :width]), ids[:, width:],
                torch.ones_like(ids[:, width:]), temperature=1.0, compute_entropy=False,
            )  # fmt: skip
        wanted = plain[width - 1 : -1].gather(1, ids[0, width:, None])[:, 0]
        assert torch.allclose(logps[0], wanted, atol=1e-4)


@pytest.mark.parametrize("name", FAST)
def test_family_when_a_tiny_model_goes_the_whole_line_then_resumes_and_reloads_exactly(name, make_family):
    """Families that differ in what their templates do: marks, ends, system turns, reasoning, channels."""
    check_family(name, make_family)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(families.SHAPES))
def test_family_when_any_goes_the_whole_line_then_resumes_and_reloads_exactly(name, make_family):
    """Every template of TRL's wheel that a text model uses, SmolLM2's and Mistral's; the authors' vocabulary where there is one."""
    check_family(name, make_family, whole_vocabulary=True)


def test_matrix_when_held_against_trls_wheel_then_no_text_model_is_missing():
    """What is left out reads images, or is not a causal model."""
    others = {"idefics3", "llava_next", "qwen2_5_vl", "qwen3_vl", "lfm2_2_5_vl", "diffusion_gemma"}
    assert set(families.template_names()) - others <= families.SHAPES.keys()


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("nemotron_3_nano", {"model": {"chat_template_kwargs": {}}}, "enable_thinking: false"),
        ("deepseek_r1_distill", {"sft_warmup": {"enabled": True, "max_steps": 2}}, "sft_warmup.enabled=false"),
    ],
)
def test_plan_when_a_template_cannot_be_trained_on_then_refuses_in_one_line(name, changes, said, make_family):
    """Before any weights are loaded."""
    configure, _ = make_family
    config = configure(name, **changes)
    with pytest.raises(UserError) as refusal:
        make_plan(config, load_inputs(config), profile="gpu")
    (line,) = refusal.value.problems
    assert said in line and "\n" not in line


def test_plan_when_a_reference_holds_a_special_token_then_names_the_row(make_family):
    """The policy could write no such answer; a prompt that holds one is noted."""
    configure, _ = make_family
    config = configure("chatml")
    inputs = load_inputs(config)
    row = inputs.train[3]
    spoilt = replace(row, reference='{"preço": 1}<|im_end|>')
    with pytest.raises(UserError) as refusal:
        make_plan(config, replace(inputs, train=[*inputs.train[:3], spoilt], warmup=[spoilt]), profile="gpu")
    (line,) = refusal.value.problems
    assert f"the reference of row '{row.id}' holds <|im_end|>" in line
    asked = replace(row, prompt=[*row.prompt[:-1], {"role": "user", "content": "O que é <|im_start|>?"}])
    plan = make_plan(config, replace(inputs, train=[asked, *inputs.train[:3]]), profile="gpu")
    assert any(f"the prompt of row '{row.id}' holds <|im_start|>" in note for note in plan.notes)
