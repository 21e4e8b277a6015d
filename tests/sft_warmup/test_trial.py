"""The trial that decides what supervised passes leave out: what it tries, raises, agrees on with others, and what is kept of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from sft_warmup.passes import counted_tokens, token_rows  # noqa: E402
from sft_warmup.passes.counted_tokens import Way, find_way, list_left_out  # noqa: E402
from tests.sft_warmup.test_counted_tokens import check, make_model, make_rows, pad  # noqa: E402


def count_calls(model):
    calls = []

    def run(**named):
        calls.append(named["labels"].shape)
        return model(**named)

    return calls, run


def test_trial_when_the_plain_pass_fails_then_it_says_so():
    """What a model cannot take at all is no question of what passes leave out."""
    with pytest.raises(TypeError):
        find_way(torch.nn.Linear(2, 2), pad(make_rows()))


def test_trial_when_memory_is_lacking_then_it_says_so():
    """Taken for a model of its own kind, the stage would go on in the way that needs more."""
    model = make_model()

    def run(**named):
        if len(named["labels"]) == 1:
            raise torch.OutOfMemoryError("no memory")
        return model(**named)

    with pytest.raises(torch.OutOfMemoryError):
        find_way(model, pad(make_rows()), run=run)
    assert model.training


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_trial_when_the_model_is_on_a_gpu_then_inputs_may_be_anywhere():
    """The held-out rows are padded on the processor."""
    assert find_way(make_model().cuda(), pad(make_rows())) == Way(layer=True, mask=True)


def test_trial_when_a_function_of_transformers_is_gone_then_only_the_mask_stays(monkeypatch):
    """A newer transformers may have renamed it; attention that is not torch's keeps its mask anyway."""
    monkeypatch.setattr(transformers.integrations, "sdpa_attention", SimpleNamespace())
    assert check(make_model(), pad(make_rows())) == Way(layer=True)
    assert check(make_model(attn_implementation="eager"), pad(make_rows())) == Way(layer=True)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ((), Way(layer=True, mask=True)), (("mask",), Way(layer=True)), (("layer",), Way(mask=True)),
        (("layer", "mask"), Way()),
    ],
)  # fmt: skip
def test_trial_when_one_part_gives_other_logits_then_the_other_is_left_out_alone(wrong, found, monkeypatch):
    """Each way is called once at most, most left out first."""
    model, inputs = make_model(), pad(make_rows())
    agrees = counted_tokens._agrees
    monkeypatch.setattr(
        counted_tokens,
        "_agrees",
        lambda *given: agrees(*given) and not any(getattr(given[3], part) for part in wrong),
    )
    calls, run = count_calls(model)
    assert find_way(model, inputs, run=run) == found
    assert len(calls) == 1 + {0: 1, 1: 2 + ("layer" in wrong), 2: 4}[len(wrong)]


@pytest.mark.parametrize("refused", [1, 2, 4])
def test_trial_when_another_process_refuses_then_all_take_its_way_and_call_as_often(refused, monkeypatch):
    """The other one says no so many times; where this one's model has no head to hook, it says no each time and runs all the same."""
    ways = [Way(layer=True, mask=True), Way(layer=True), Way(mask=True), Way(), None]
    numbers = []
    for headless in (False, True):
        model, said = make_model(), []
        if headless:
            model.get_output_embeddings = lambda: None

        def gather(votes, agrees, said=said):
            said.append(agrees)
            votes[:] = [agrees, len(said) > refused]

        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
        calls, run = count_calls(model)
        assert find_way(model, pad(make_rows()), run=run) == (None if headless else ways[refused])
        assert said == ([False] * 4 if headless else [True] * min(refused + 1, 4))
        numbers.append(len(calls))
    assert numbers == [1 + min(refused + 1, 4), 5]


def test_trial_when_in_half_precision_then_one_logit_among_thousands_may_lie_far_off_but_not_all():
    """Rounding to 8 bits; logits that are masked in both are the same."""
    wanted = torch.randn(100, 1000, generator=torch.Generator().manual_seed(0))
    wanted[:, 0] = float("-inf")
    off, moved, unsure = wanted.clone(), wanted.roll(1, 0), wanted.clone()
    off[3, 7] += 1
    unsure[3, 7] = float("nan")
    assert counted_tokens._is_close(off, wanted, True) and not counted_tokens._is_close(off, wanted, False)
    assert not counted_tokens._is_close(moved, wanted, True)
    assert not counted_tokens._is_close(wanted + 0.04, wanted, True)
    assert not counted_tokens._is_close(unsure, wanted, True)


def test_last_parts_when_a_function_draws_in_the_mlp_then_it_sees_every_token():
    """A chance that is handed to torch.nn.functional.dropout stands in no module of its own."""
    model = make_model()
    assert len(counted_tokens._find_last_parts(model)) == 3
    for name in ("p_mlp", "hidden_dropout", "p"):
        setattr(model.model.layers[-1].mlp, name, 0.1)
        assert counted_tokens._find_last_parts(model) == []
        setattr(model.model.layers[-1].mlp, name, 0.0)
    assert len(counted_tokens._find_last_parts(model)) == 3


def test_blocks_when_asked_for_so_many_tokens_then_the_trial_makes_no_larger_products(monkeypatch):
    """Beyond what was ever tried no block is trusted, and zeros stand in."""
    tried = []
    monkeypatch.setattr(token_rows, "_keeps_bits", lambda *given: tried.append(given) or True)
    blocks = token_rows.Blocks()
    assert [blocks.of(8, 4, count) for count in (400, 450, 5001, 70000)] == [None] * 4
    assert [blocks.of(8, 4, count) for count in (501, 700, 2416)] == [192] * 3
    assert tried == [(8, 4, 192, 1000), (8, 4, 192, 2464)]


def test_held_out_loss_when_it_is_measured_again_then_its_way_was_tried_once(monkeypatch):
    """Before the first step and after it, in the precision that the stage trains in."""
    from sft_warmup import held_out
    from sft_warmup.config import SftWarmupSection

    asked, said = [], []
    monkeypatch.setattr(held_out, "find_way", lambda *_, half: asked.append(half))
    callback = held_out.make_callback(make_rows(), SftWarmupSection(), lambda step, _: said.append(step), True)
    for event, step in ((callback.on_train_begin, 0), (callback.on_step_end, 1)):
        event(
            None,
            SimpleNamespace(global_step=step, max_steps=1),
            None,
            model=make_model(),
        )
    assert (asked, said) == ([True], [0, 1])


def test_stage_when_it_is_resumed_then_it_goes_on_in_the_way_it_began_in(tmp_path, monkeypatch):
    """Nothing is tried anew; what this machine may not leave out is not left out, and an older checkpoint is tried."""
    import orjson
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    from sft_warmup import train as stage
    from sft_warmup.config import SftWarmupSection

    words = Tokenizer(WordLevel({"<pad>": 0, "<end>": 1, "a": 2}, unk_token="a"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")
    section = SftWarmupSection(enabled=True, max_steps=2, batch_size=4)
    tried = []
    monkeypatch.setattr(stage, "find_way", lambda *_, **__: tried.append(1) or Way(mask=True))

    def make(**changes):
        return stage.make_sft_trainer(
            make_model(**changes), tokenizer, Dataset.from_list(make_rows()), section, directory=tmp_path, seed=1, device="cpu",
            bf16=False, gradient_checkpointing=False,
        )  # fmt: skip

    trainer = make()
    trainer.args.save_steps = trainer.state.save_steps = 1
    trainer.train()
    first = tmp_path / "checkpoint-1"
    sums = orjson.loads((first / "sums-0.json").read_bytes())
    assert sums["way"] == {"layer": False, "mask": True} and len(tried) == 1
    for changes, way in (({}, Way(mask=True)), ({"attn_implementation": "eager"}, Way())):
        resumed = make(**changes)
        resumed.train(str(first))
        assert (resumed.way, len(tried)) == (way, 1)
    assert [list_left_out(each) for each in (None, Way(), resumed.way)] == [[], ["head"], ["head"]]
    del sums["way"]
    (first / "sums-0.json").write_bytes(orjson.dumps(sums))
    make().train(str(first))
    assert len(tried) == 2
