"""The loss of the supervised stage: measured on held-out rows, packed, and cut into passes, it is one and the same number."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from rewards.errors import UserError  # noqa: E402
from sft_warmup.config import SftWarmupSection  # noqa: E402
from sft_warmup.held_out import estimate_loss, measure_loss  # noqa: E402
from sft_warmup.packing import check_packing, pack  # noqa: E402

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model():
    """A model of two layers."""
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=128, attn_implementation="sdpa",
    )  # fmt: skip
    return transformers.Qwen3ForCausalLM(config)


@pytest.fixture
def rows():
    """Rows of different lengths; the answer is the second half of each."""
    made = []
    for seed, length in enumerate((12, 7, 20, 9, 12, 15)):
        ids = torch.randint(3, 60, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
        made.append({"input_ids": ids, "labels": [-100] * (length // 2) + ids[length // 2 :], "length": length})
    return made


def one_loss(model, row) -> float:
    with torch.no_grad():
        return model(input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])).loss.item()


def test_measured_loss_when_rows_are_batched_then_each_is_what_it_is_alone(model, rows):
    """Padding changes nothing, each row counts once, and the interval holds the mean."""
    found = measure_loss(model, rows)
    alone = [one_loss(model, row) for row in rows]
    assert found["loss"].mean == pytest.approx(sum(alone) / len(alone), abs=1e-5)
    assert found["loss"].low < found["loss"].mean < found["loss"].high
    assert found["loss"].n == found["token_accuracy"].n == len(rows)
    assert 0 <= found["token_accuracy"].mean <= 1


class Oracle(torch.nn.Module):
    """Knows the next token, and how many it was asked for at once; its vocabulary is as large as it says."""

    def __init__(self, vocabulary=64):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=vocabulary))
        self.asked = []

    def forward(self, input_ids, **_):
        self.asked.append(tuple(input_ids.shape))
        following = torch.roll(input_ids, -1, dims=1)
        return SimpleNamespace(logits=20 * torch.nn.functional.one_hot(following, 64).float())


def test_measured_loss_when_the_vocabulary_is_large_then_few_tokens_are_read_at_once(rows):
    """Their logits would fill the memory: all rows of SmolLM2's held-out loss took 4 GiB."""
    small, large = Oracle(), Oracle(1 << 24)
    assert measure_loss(small, rows) == measure_loss(large, rows)
    assert len(small.asked) < len(large.asked) == len(rows)
    assert {count for count, _ in large.asked} == {1}


def test_measured_accuracy_when_the_model_is_always_right_then_one(rows):
    """The likeliest token is compared with the label one place to the right."""
    found = measure_loss(Oracle(), rows)
    assert found["token_accuracy"].mean == 1.0
    assert found["loss"].mean < 1e-3


def test_packed_loss_when_conversations_lie_end_to_end_then_none_sees_another(model, rows):
    """Labels, positions and attention start over with each conversation."""
    check_packing(model, rows)
    with torch.no_grad():
        packed = model(**pack(rows)).loss.item()
    tokens = [sum(label != -100 for label in row["labels"][1:]) for row in rows]
    by_token = sum(one_loss(model, row) * count for row, count in zip(rows, tokens, strict=True)) / sum(tokens)
    assert packed == pytest.approx(by_token, abs=1e-5)


def test_packing_when_a_model_lets_conversations_see_each_other_then_it_is_refused(rows):
    """A model that ignores positions gives other logits for the second conversation."""

    class Leaky(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, **_):
            return SimpleNamespace(logits=torch.cumsum(torch.nn.functional.one_hot(input_ids, 64).float(), 1))

    with pytest.raises(UserError, match=r"sft_warmup\.packing: .*set packing: false"):
        check_packing(Leaky(), rows)


@pytest.mark.parametrize(
    "change", [{"micro_batch_size": 2}, {"packing": True}, {"micro_batch_size": 3, "packing": True}]
)
def test_training_when_cut_into_passes_or_packed_then_the_weights_are_those_of_whole_batches(
    model, rows, tmp_path, change
):
    """Gradients of the passes add up to the step's, each token counted once."""
    pytest.importorskip("trl")
    import copy

    from datasets import Dataset

    from sft_warmup.train import make_sft_trainer

    tokenizer = _tokenizer()

    def train(**more):
        trained = copy.deepcopy(model)
        section = SftWarmupSection(
            enabled=True, max_steps=2, batch_size=6, learning_rate=0.01, weight_decay=0.0, **more
        )
        trainer = make_sft_trainer(
            trained, tokenizer, Dataset.from_list(rows), section, directory=tmp_path, seed=1, device="cpu", bf16=False,
            gradient_checkpointing=False,
        )  # fmt: skip
        trainer.args.optim = "sgd"
        trainer.train()
        return trained.state_dict()

    whole, cut = train(), train(**change)
    # Adam divides by gradients' sizes: what is nearly 0 may go either way.
    assert max((whole[name] - cut[name]).abs().max().item() for name in whole) < 1e-4


def test_section_when_a_pass_does_not_divide_the_batch_then_one_line_says_so():
    """Half a conversation is nobody's."""
    with pytest.raises(ValueError, match="micro_batch_size 5 does not divide batch_size 16; write a divisor"):
        SftWarmupSection(micro_batch_size=5)


def _tokenizer():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    plain = Tokenizer(WordLevel({"<pad>": 0, "<end>": 1, "a": 2}, unk_token="a"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<end>")


def test_interval_of_a_loss_when_rows_differ_then_it_is_students_and_no_wider():
    """A loss has no upper bound that an interval could lean towards: 1, 2, 3, 4 give 2.5 and t(3) 3.182 x 1.291 / 2."""
    found = estimate_loss([1.0, 2.0, 3.0, 4.0])
    assert (found.low, found.high) == pytest.approx((2.5 - 2.054, 2.5 + 2.054), abs=0.001)
    assert estimate_loss([0.01, 0.01, 2.0]).low == 0.0


@pytest.mark.parametrize("losses", [[1.5], [1.5, 1.5]])
def test_interval_of_a_loss_when_there_is_no_spread_then_it_has_no_ends(losses):
    """One row, or rows that are all alike, say nothing of the noise."""
    found = estimate_loss(losses)
    assert (found.mean, found.low, found.high) == (1.5, None, None)
