"""Shapes of many families out of their config.json, held against what transformers makes of the same file."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from grpo.config.sections import ModelSection  # noqa: E402
from grpo.plan.memory_estimate import find_shape, shape_from  # noqa: E402
from grpo.plan.weight_count import BY_FORMULA, count_weights  # noqa: E402
from grpo.policy import local_files  # noqa: E402

SMALL = {
    "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 200, "max_position_embeddings": 128, "moe_intermediate_size": 32,
    "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "pad_token_id": 1, "bos_token_id": 1,
    "eos_token_id": 1,
}  # fmt: skip
MOE = ("moe_intermediate_size", "num_experts", "num_local_experts", "num_experts_per_tok")


def make_config(family: str) -> dict:
    kept = {k: v for k, v in SMALL.items() if k not in MOE or "moe" in family}
    kept |= {"num_local_experts": 4} if family == "mixtral" else {}
    return json.loads(transformers.CONFIG_MAPPING[family](**kept).to_json_string(use_diff=False))


@pytest.mark.parametrize("family", sorted(BY_FORMULA))
def test_weights_when_counted_by_formula_then_are_within_a_hundredth(family):
    """The families that most models of the Hub are of need neither torch nor transformers for their plan."""
    config = make_config(family)
    assert shape_from(config).parameters == pytest.approx(count_weights(config), rel=0.01)


@pytest.mark.parametrize("family", ["gpt2", "phi", "qwen2_moe", "opt"])
def test_weights_when_the_family_is_another_then_are_counted_exactly(family):
    """What no formula here knows is made of nothing, on the meta device, and counted."""
    config = make_config(family)
    with torch.device("meta"):
        made = transformers.AutoModelForCausalLM.from_config(transformers.CONFIG_MAPPING[family].from_dict(config))
    assert shape_from(config).parameters == made.num_parameters()


def test_targets_when_named_then_only_their_adapters_are_counted():
    """LoRA on queries and values alone is a fraction of all-linear."""
    shape = shape_from(make_config("llama"))
    assert shape.lora_parameters(2, ["q_proj", "v_proj"]) == 3 * 2 * (64 + 64 + 64 + 32)
    assert shape.lora_parameters(2, r".*self_attn.*o_proj") == 3 * 2 * (64 + 64)


class FakeAnswer:
    """What the Hub's session gives back."""

    def __init__(self, content: bytes):
        self.content = content


@pytest.fixture
def hub(monkeypatch):
    """A Hub whose answers a test chooses: bytes, or an exception to raise."""
    from huggingface_hub import constants, utils

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(local_files, "_UNREACHABLE", [])
    local_files._download.cache_clear()
    asked = []

    def answer_with(answer):
        class Session:
            def get(self, url, **_):
                asked.append(url)
                if isinstance(answer, Exception):
                    raise answer
                return FakeAnswer(answer)

        monkeypatch.setattr(utils, "get_session", Session)
        monkeypatch.setattr(utils, "hf_raise_for_status", lambda _: None)
        return asked

    yield answer_with
    local_files._download.cache_clear()


def test_shape_when_only_the_hub_has_the_file_then_it_is_downloaded_once(hub):
    """One small file, asked for once however often the plan looks."""
    asked = hub(json.dumps(make_config("qwen3")).encode())
    section = ModelSection(name="someone/model", revision="v2")
    first, source = find_shape(section)
    assert (find_shape(section)[0], source) == (first, "its config.json")
    assert first.layers == 3
    assert [url.partition("/someone/")[2] for url in asked] == ["model/resolve/v2/config.json"]


def make_fault(name: str) -> Exception:
    import httpx
    from huggingface_hub import errors

    response = httpx.Response(404, request=httpx.Request("GET", "https://hub.invalid/x"))
    return getattr(errors, name)("first line\nsecond line", response=response)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("GatedRepoError", "gated on the Hub"),
        ("RepositoryNotFoundError", "not on the Hub, or private"),
        ("RevisionNotFoundError", "no revision 'v2'"),
    ],
)
def test_hub_when_it_is_sure_then_the_answer_is_final_and_one_line(hub, name, said):
    """Gated, unknown, a wrong revision: refused before anything is spent."""
    hub(make_fault(name))
    answer = local_files.fetch_model_json("someone/model", "v2", "config.json")
    assert answer.final and said in answer.reason and "\n" not in answer.reason


def test_hub_when_it_cannot_be_reached_then_it_is_not_asked_again(hub):
    """No plan waits twice for a network that is not there; nothing is refused for it."""
    asked = hub(OSError("Name or service not known\nRetrying"))
    for name in ("someone/model", "someone/other"):
        answer = local_files.fetch_model_json(name, None, "config.json")
        assert not answer.final and answer.reason == "the Hub cannot be reached (Name or service not known)"
    assert len(asked) == 1
