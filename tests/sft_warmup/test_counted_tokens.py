"""A pass over the tokens that count alone gives what a pass over all of them gives: bits of small policies, numbers of others."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from sft_warmup.config import SftWarmupSection  # noqa: E402
from sft_warmup.held_out import measure_loss  # noqa: E402
from sft_warmup.packing import pack  # noqa: E402
from sft_warmup.passes import counted_tokens  # noqa: E402
from sft_warmup.passes.counted_tokens import Way, find_way, only_counted  # noqa: E402
from sft_warmup.passes.token_rows import Blocks, sum_as_of_all  # noqa: E402

SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 256, "attn_implementation": "sdpa",
}  # fmt: skip


def make_model(family="Qwen3", **changes):
    torch.manual_seed(0)
    config = getattr(transformers, family + "Config")(**SMALL | changes)
    return getattr(transformers, family + "ForCausalLM")(config)


def make_rows(count=6, longest=40, vocabulary=64):
    """Rows of different lengths; the last third of each is its answer."""
    draw = torch.Generator().manual_seed(1)
    rows = []
    for length in torch.randint(longest // 2, longest + 1, (count,), generator=draw).tolist():
        ids = torch.randint(3, vocabulary, (length,), generator=draw).tolist()
        rows.append({"input_ids": ids, "labels": [-100] * (length - length // 3) + ids[length - length // 3 :]})
    return [{**row, "length": len(row["input_ids"])} for row in rows]


def pad(rows, *, left=False):
    longest = max(row["length"] for row in rows)

    def fill(values, filling):
        more = [filling] * (longest - len(values))
        return [*more, *values] if left else [*values, *more]

    ids, labels, mask = (
        torch.tensor([fill(row[name] if name else [1] * row["length"], filling) for row in rows])
        for name, filling in (("input_ids", 0), ("labels", -100), (None, 0))
    )
    return {"input_ids": ids, "labels": labels, "attention_mask": mask, "use_cache": False}


def gradients(model, inputs, way=None):
    """Loss and every gradient of one pass."""
    model.train()
    model.zero_grad()
    with only_counted(model, inputs, way, Blocks()) as given:
        loss = model(**given).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def is_as_it_was(model):
    hooks = [
        hook for part in model.modules() for hook in (*part._forward_pre_hooks.values(), *part._forward_hooks.values())
    ]
    ours = [hook for hook in hooks if hook.__module__ == counted_tokens.__name__]
    return not ours and not any("forward" in vars(part) for part in model.modules())


def check(model, inputs, **options):
    """The pass that leaves out has the plain one's loss and gradients, and leaves no trace."""
    way = find_way(model, inputs, **options)
    (plain, wanted), (loss, found) = gradients(model, inputs), gradients(model, inputs, way)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    assert is_as_it_was(model)
    return way


def train(model, rows, directory, monkeypatch, *, plain=False, bf16=False, **more):
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    from sft_warmup import train as stage

    found = []
    monkeypatch.setattr(
        stage,
        "find_way",
        lambda *given, **named: found.append(None if plain else find_way(*given, **named)) or found[-1],
    )
    words = Tokenizer(WordLevel({"<pad>": 0, "<end>": 1, "a": 2}, unk_token="a"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")
    section = SftWarmupSection(**{"enabled": True, "max_steps": 3, "batch_size": 8, "learning_rate": 0.003} | more)
    trainer = stage.make_sft_trainer(
        model, tokenizer, Dataset.from_list(rows), section, directory=directory, seed=1, device="cpu", bf16=bf16,
        gradient_checkpointing=bool(getattr(model, "checkpointed", False)),
    )  # fmt: skip
    trainer.train()
    logged = trainer._metrics["train"] or trainer.state.log_history[0]
    return found[0], {name: value.clone() for name, value in model.state_dict().items()}, logged


def test_training_when_the_policy_is_small_then_three_steps_keep_every_bit_of_the_plain_ones(tmp_path, monkeypatch):
    """The embedded policy's shapes, heads that share keys and a tied head: Adam's weights after steps of a third of the tokens."""
    model = make_model(
        vocab_size=768, hidden_size=128, intermediate_size=384, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
        tie_word_embeddings=True,
    )  # fmt: skip
    rows = make_rows(24, 120, 768)
    _, plain, said = train(copy.deepcopy(model), rows, tmp_path, monkeypatch, plain=True)
    way, found, says = train(model, rows, tmp_path, monkeypatch)
    assert way == Way(layer=True, mask=True)
    assert [name for name in plain if not torch.equal(plain[name], found[name])] == []
    for name in ("entropy", "mean_token_accuracy", "num_tokens"):
        assert says[name] == pytest.approx(said[name], rel=1e-6)


def test_held_out_loss_when_only_what_counts_is_computed_then_every_bit_is_the_same():
    """Rows of all lengths, one of them without an answer."""
    model = make_model(vocab_size=768, hidden_size=128, intermediate_size=384, num_attention_heads=4, head_dim=32)
    rows = make_rows(20, 90, 768)
    rows[3]["labels"] = [-100] * rows[3]["length"]
    way = find_way(model, pad(rows))
    assert way == Way(layer=True, mask=True)
    assert measure_loss(model, rows, way) == measure_loss(model, rows)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("same_bits", [counted_tokens.SAME_BITS_NUMBERS, 0])
@pytest.mark.parametrize(
    ("family", "changes"),
    [("Qwen3", {}), ("Llama", {"mlp_bias": True}), ("Gemma2", {"final_logit_softcapping": 3.0}), ("Cohere", {}), ("Granite", {"logits_scaling": 3.0})],
)  # fmt: skip
def test_pass_when_a_family_scales_or_caps_its_logits_then_gradients_are_the_plain_ones(
    family, changes, tied, same_bits, monkeypatch
):
    """Weights' gradients added up over all tokens, and over those that count."""
    monkeypatch.setattr(counted_tokens, "SAME_BITS_NUMBERS", same_bits)
    way = check(make_model(family, tie_word_embeddings=tied, **changes), pad(make_rows()))
    assert way == Way(layer=True, mask=True)


def test_pass_when_experts_make_the_mlp_then_they_see_every_token():
    """Their router's loss counts tokens that have no label."""
    model = make_model("Mixtral", num_local_experts=4)
    assert check(model, pad(make_rows())).mask
    model.config.output_router_logits = True
    assert check(model, pad(make_rows()), mask=False) == Way(layer=True)


def test_pass_when_adapters_are_trained_then_their_gradients_are_the_plain_ones():
    """On the head and on every layer."""
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(r=4, target_modules=["lm_head", "q_proj", "down_proj"], init_lora_weights=False)
    model = peft.get_peft_model(make_model(), settings)
    assert check(model, pad(make_rows())) == Way(layer=True, mask=True)


def test_pass_when_adapters_draw_chances_then_the_mlp_draws_as_many_as_ever():
    """Dropout on fewer tokens would draw others for all that follows."""
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(r=4, target_modules=["down_proj"], lora_dropout=0.5)
    model = peft.get_peft_model(make_model(), settings)
    torch.manual_seed(3)
    plain, _ = gradients(model, pad(make_rows()))
    torch.manual_seed(3)
    loss, _ = gradients(model, pad(make_rows()), find_way(model, pad(make_rows())))
    torch.testing.assert_close(loss, plain)


def test_pass_when_conversations_are_packed_then_gradients_are_the_plain_ones():
    """Positions say where each begins; there is no mask."""
    assert check(make_model(), pack(make_rows()), mask=False) == Way(layer=True)


def test_pass_when_padding_is_on_the_left_then_the_mask_stays():
    """Every token would look at it."""
    seen = []
    model = make_model()
    inputs = pad(make_rows(), left=True)
    for given in (inputs, pad(make_rows())):
        with only_counted(model, given, Way(mask=True)) as shortened:
            hook = model.model.register_forward_pre_hook(
                lambda _, __, named: seen.append(named["attention_mask"] is None), with_kwargs=True
            )
            model(**shortened)
            hook.remove()
    assert seen == [False, True]


def test_pass_when_half_precision_is_used_then_the_loss_is_the_plain_one():
    """What is computed of fewer rows may round otherwise."""
    model, inputs = make_model().to(torch.bfloat16), pad(make_rows())
    way = find_way(model, inputs)
    assert way == Way(layer=True, mask=True)
    (plain, _), (loss, _) = gradients(model, inputs), gradients(model, inputs, way)
    assert loss.item() == pytest.approx(plain.item(), rel=0.01)


def test_training_when_activations_are_computed_again_then_the_weights_are_the_plain_ones(tmp_path, monkeypatch):
    """Gradient checkpointing runs the layers a second time, when the pass is over: they see every token and the mask."""
    model = make_model()
    model.checkpointed = True
    _, plain, _ = train(copy.deepcopy(model), make_rows(), tmp_path, monkeypatch, plain=True)
    way, found, _ = train(model, make_rows(), tmp_path, monkeypatch)
    assert way == Way()
    assert [name for name in plain if not torch.equal(plain[name], found[name])] == []


@pytest.mark.parametrize("packing", [False, True])
def test_training_when_precision_is_mixed_then_the_weights_are_close_to_the_plain_ones(tmp_path, monkeypatch, packing):
    """Weights stay float32 and products are bfloat16 while the model runs, and only then."""
    model, options = make_model(), {"bf16": True, "packing": packing, "max_steps": 1, "micro_batch_size": 4}
    _, plain, said = train(copy.deepcopy(model), make_rows(), tmp_path, monkeypatch, plain=True, **options)
    way, found, says = train(model, make_rows(), tmp_path, monkeypatch, **options)
    assert way == Way(layer=True, mask=not packing)
    assert says["entropy"] == pytest.approx(said["entropy"], rel=1e-3)
    assert max((plain[name] - found[name]).abs().mean().item() for name in plain) < 0.003 / 10


def test_way_when_a_model_does_not_go_by_its_head_then_it_is_the_plain_one():
    """A fused loss multiplies by the head's weight itself; another asks its head twice; a third is no model of transformers."""
    fused, twice = make_model(), make_model()

    def forward(input_ids, attention_mask=None, labels=None, **_):
        hidden = fused.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits = hidden @ fused.lm_head.weight.t()
        return SimpleNamespace(loss=fused.loss_function(logits, labels, 64), logits=logits)

    fused.forward = forward
    head = twice.lm_head.forward
    twice.lm_head.forward = lambda hidden: head(hidden) + twice.score(hidden)
    twice.score = twice.lm_head.__class__(32, 64, bias=False)
    for model in (fused, twice):
        kept = "forward" in vars(model)
        assert find_way(model, pad(make_rows())) in (None, Way(layer=True, mask=True))
        assert ("forward" in vars(model)) is kept
    assert find_way(fused, pad(make_rows())) is None


def test_pass_when_no_token_counts_then_nothing_changes():
    """The plain pass says what there is to say."""
    inputs = pad(make_rows())
    inputs["labels"][:] = -100
    with only_counted(make_model(), inputs, Way(layer=True, mask=True)) as given:
        assert given["labels"] is inputs["labels"]


@pytest.mark.parametrize("shape", [(768, 128), (384, 128), (128, 384), (128, 128)])
def test_sum_when_other_tokens_pull_at_nothing_then_it_has_the_bits_of_all(shape):
    """Answers at the ends of sixteen rows; where no block of the library's is known, zeros stand in for the rest."""
    draw = torch.Generator().manual_seed(0)
    places = torch.cat([torch.arange(row * 151 + 151 - 3 * row - 5, row * 151 + 150) for row in range(16)])
    pulls, found = (torch.randn(len(places), width, generator=draw) for width in shape)
    whole = torch.zeros(2416, shape[0]).index_copy_(0, places, pulls).t() @ torch.zeros(2416, shape[1]).index_copy_(0, places, found)  # fmt: skip
    for block in (Blocks().of(*shape, 2416), None):
        assert torch.equal(sum_as_of_all(pulls, found, places, 2416, block), whole)
