"""A pretrained model as a run takes it: its ends, its sampling, an adapter in its place, and what is saved."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from grpo.config.sections import EmbeddedSection, LoraSection, ModelSection  # noqa: E402
from grpo.generation.generate import generate  # noqa: E402
from grpo.policy.adapters import find_adapter  # noqa: E402
from grpo.policy.embedded import make_model, make_tokenizer  # noqa: E402
from grpo.policy.loading import load_policy, read_saved  # noqa: E402
from grpo.policy.special_tokens import find_markers, reconcile  # noqa: E402
from rewards.errors import UserError  # noqa: E402

TINY = EmbeddedSection(layers=1, hidden_size=16, intermediate_size=32, heads=2, kv_heads=1, vocabulary=330)
TEXTS = ["Chegou tudo certo, obrigada. Nota 10 de 10."]
LORA = LoraSection(r=2, alpha=4)
AUTHORS = {"temperature": 0.6, "top_k": 20, "do_sample": True, "suppress_tokens": [9], "eos_token_id": [1, 2]}


@pytest.fixture
def model_folder(tmp_path):
    """A saved chat model of a few thousand weights; keyword arguments are its generation_config.json."""

    def make(name: str = "model", **settings) -> Path:
        tokenizer = make_tokenizer(TEXTS, TINY)
        folder = tmp_path / name
        make_model(tokenizer, TINY, context=256, seed=3).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if settings:
            (folder / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
        return folder

    return make


def section(folder, **changed) -> ModelSection:
    return ModelSection(name=str(folder), max_sequence_length=128, **{"lora": None, **changed})


def load(folder, seed: int = 1, **changed):
    return load_policy(section(folder, **changed), texts=(), seed=seed, device="cpu")


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(3, 30)[None]).logits


# -- the sampling of its authors ---------------------------------------------------------------------------------------


def test_sampling_when_the_authors_recommend_another_then_it_is_out_of_the_model_and_saved_again(
    model_folder, tmp_path
):
    """Training never sees their settings, and the saved file is theirs, key by key; read back and saved it stays so."""
    policy = load(model_folder(**AUTHORS))
    kept = policy.model.generation_config.to_diff_dict()
    assert not {"top_k", "suppress_tokens"} & {key for key, value in kept.items() if value}
    policy.save(tmp_path / "one")
    read_saved(tmp_path / "one", section(tmp_path / "one"), "cpu").save(tmp_path / "two")
    for saved in ("one", "two"):
        assert json.loads((tmp_path / saved / "generation_config.json").read_text()) == AUTHORS


def test_sampling_when_its_file_names_other_ends_then_only_they_are_mended_in_what_is_saved(model_folder, tmp_path):
    """A file whose eos is not where the policy stops would run on with plain transformers."""
    policy = load(model_folder(temperature=0.1, eos_token_id=7))
    policy.save(tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert saved == {"temperature": 0.1, "eos_token_id": policy.eos_ids}
    assert policy.tokenizer.eos_token_id in policy.eos_ids and 7 in policy.eos_ids


# -- ends and padding --------------------------------------------------------------------------------------------------


def ids_of(tokenizer, *tokens: str) -> list[int]:
    return [tokenizer.convert_tokens_to_ids(token) for token in tokens]


def test_ends_when_the_tokenizer_takes_a_turns_beginning_for_one_then_the_templates_end_is_it(model_folder):
    """A tokenizer read from a GGUF file calls <|im_start|> its eos; the template ends answers with <|im_end|>."""
    folder = model_folder()
    policy = load(folder)
    start, end = ids_of(policy.tokenizer, "<|im_start|>", "<|im_end|>")
    policy.tokenizer.eos_token = "<|im_start|>"
    policy.tokenizer.pad_token = None
    policy.model.config.eos_token_id = policy.model.generation_config.eos_token_id = start
    policy.model.config.pad_token_id = policy.model.generation_config.pad_token_id = None
    assert reconcile(policy.model, policy.tokenizer) == [end]
    assert policy.tokenizer.eos_token == "<|im_end|>"
    assert policy.tokenizer.pad_token == "<|im_end|>"
    assert policy.model.generation_config.eos_token_id == end


def test_ends_when_config_and_file_name_several_then_all_of_them_end_an_answer(model_folder):
    """Qwen names two in one file, a Base model's config a third."""
    folder = model_folder(eos_token_id=[5, 6])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": 7, "pad_token_id": 8}))
    policy = load(folder)
    (end,) = ids_of(policy.tokenizer, "<|im_end|>")
    assert policy.eos_ids == sorted([end, 5, 6, 7])


def test_truncation_when_padding_equals_the_end_then_is_still_seen(model_folder):
    """Rows that run to the limit are truncated, whatever pads them; rows that end are not."""
    policy = load(model_folder())
    policy.tokenizer.pad_token = policy.tokenizer.eos_token
    (end,) = policy.eos_ids
    head = torch.nn.Parameter(torch.zeros(policy.model.config.vocab_size))
    policy.model.lm_head.bias = head
    for bias, truncated in ((-100.0, True), (100.0, False)):
        head.data[end] = bias
        written = generate(
            policy.model, [[4, 5]], samples=2, max_new_tokens=5, eos_ids=policy.eos_ids,
            pad_id=policy.tokenizer.pad_token_id, generator=torch.Generator().manual_seed(1),
        )  # fmt: skip
        assert written.truncated == [truncated] * 2


def test_ends_when_nothing_names_one_then_one_line_refuses_the_model(model_folder):
    """Such a policy would write to the limit every time."""
    folder = model_folder()
    for name in ("config.json", "generation_config.json"):
        found = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({key: value for key, value in found.items() if key != "eos_token_id"}))
    found = json.loads((folder / "tokenizer_config.json").read_text())
    found.pop("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(found))
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    with pytest.raises(UserError, match="names a token that ends an answer"):
        load(folder)


@pytest.mark.parametrize(
    ("template", "end"),
    [
        ("{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}", "<|im_end|>"),
        ("{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}", None),
        ("{{ raise_exception('no') }}", None),
    ],
)
def test_markers_when_read_off_the_template_then_are_what_it_writes(policy, template, end):
    """The end is the marker after an answer; a template that has none, or raises, has none."""
    policy.tokenizer.chat_template = template
    wanted = policy.tokenizer.convert_tokens_to_ids(end) if end else None
    assert find_markers(policy.tokenizer)[0] == wanted


# -- adapters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def adapter_folder(model_folder, tmp_path):
    """A trained adapter on a saved model, and the logits of the two together."""
    policy = load(model_folder(**AUTHORS), lora=LORA)
    for name, weight in policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5, generator=torch.Generator().manual_seed(5))
    folder = tmp_path / "adapter"
    policy.save(folder)
    return folder, logits(policy.model)


def test_adapter_when_it_is_the_model_then_it_is_trained_on_from_where_it_stands(adapter_folder):
    """The first evaluation is the adapter's own, its weights are those that are trained, with its own rank."""
    folder, wanted = adapter_folder
    policy = load(folder, seed=9, lora=LoraSection(r=16, alpha=32))
    assert torch.equal(logits(policy.model), wanted)
    trained = {name for name, weight in policy.model.named_parameters() if weight.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    assert policy.model.peft_config["default"].r == 2
    assert policy.authors == AUTHORS


def test_adapter_when_it_is_saved_again_then_it_names_its_base_and_reads_back(adapter_folder, tmp_path):
    """What a continued run leaves is again an adapter on the same model."""
    folder, wanted = adapter_folder
    load(folder, lora=LORA).save(tmp_path / "again")
    assert torch.equal(logits(load(tmp_path / "again", lora=LORA).model), wanted)
    assert find_adapter(section(tmp_path / "again")).base == str(tmp_path / "model")


def test_adapter_when_a_run_is_named_then_its_best_policy_is_trained_on(adapter_folder, tmp_path):
    """`model.adapter` names a run; `model.name` stays the base, and another base is refused."""
    folder, wanted = adapter_folder
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "status.json").write_text("{}")
    folder.rename(tmp_path / "run" / "best")
    named = {"lora": LORA, "adapter": str(tmp_path / "run")}
    policy = load(tmp_path / "model", **named)
    assert torch.equal(logits(policy.model), wanted)
    assert find_adapter(section(tmp_path / "model", **named)).key == "model.adapter"
    with pytest.raises(UserError, match=r"model\.adapter: .* was trained on .*, not on model\.name org/other"):
        find_adapter(section("org/other", **named))
    with pytest.raises(UserError, match=r"model\.adapter: .*: no adapter there"):
        find_adapter(section(tmp_path / "model", lora=LORA, adapter=str(tmp_path)))


def change_config(folder: Path, **values) -> None:
    found = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(found | values))


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (lambda f: None, {"lora": None}, "lora: null would leave untrained"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), {"lora": LORA}, "without weights"),
        (lambda f: os.truncate(f / "adapter_model.safetensors", 1500), {"lora": LORA}, "is torn"),
        (lambda f: os.truncate(f / "adapter_model.safetensors", 3), {"lora": LORA}, "is torn"),
        (lambda f: change_config(f, base_model_name_or_path=None), {"lora": LORA}, "names no base model"),
        (lambda f: change_config(f, peft_type="IA3"), {"lora": LORA}, "kind IA3"),
        (lambda f: change_config(f, r=3), {"lora": LORA}, "does not fit its base"),
        (lambda f: change_config(f, base_model_name_or_path=str(f)), {"lora": LORA}, "which is an adapter too"),
    ],
)
def test_adapter_when_it_cannot_be_trained_on_then_one_line_says_why(adapter_folder, change, settings, said):
    """An adapter is never begun again in silence."""
    folder, _ = adapter_folder
    change(folder)
    with pytest.raises(UserError, match=said) as caught:
        load(folder, **settings)
    assert len(caught.value.problems) == 1 and "\n" not in caught.value.problems[0]


# -- what cannot be loaded ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody/not-in-the-cache", "HF_HUB_OFFLINE is set"),
        ("./no/such/folder", "no such directory"),
        ("a/b/c", "neither a folder nor a name on the Hub"),
    ],
)
def test_model_when_it_cannot_be_had_then_one_line_says_why(name, said):
    """Offline, a wrong path, no name at all."""
    with pytest.raises(UserError, match=said) as caught:
        load(name)
    assert "\n" not in str(caught.value)


def test_model_when_it_needs_code_of_its_own_then_it_is_refused_and_nobody_is_asked(model_folder, monkeypatch):
    """transformers would ask at a terminal whether to run the repository's code, and run it on y."""
    folder = model_folder()
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config |= {
        "model_type": "of_its_own",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
    }
    path.write_text(json.dumps(config))
    ran = folder / "ran"
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(UserError, match="code of its own repository, which is never run"):
        load(folder)
    assert not ran.exists()


def test_model_when_its_weights_are_broken_then_one_line_says_so(model_folder):
    """A download that was cut off is not a traceback."""
    folder = model_folder()
    (folder / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
