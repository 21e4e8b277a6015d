"""Which heads are plain, and what becomes of one that is asked in another way than the tests of whole losses do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from grpo.policy import head_logprobs  # noqa: E402
from grpo.policy.head_logprobs import (  # noqa: E402
    has_plain_head,
    head_logps,
    head_size,
    is_frozen_matrix,
    is_worth_it,
    run_head,
    without_head,
)


class Model(torch.nn.Module):
    """A causal model of one embedding and a head: logits of the states as they are, bent by `bend`."""

    def __init__(self, bend=lambda logits: logits, head=None, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.embed = torch.nn.Embedding(11, 5)
        self.drop = torch.nn.Dropout(dropout)
        self.lm_head = head or torch.nn.Linear(5, 11, bias=False)
        self.bend, self.config = bend, SimpleNamespace(vocab_size=11)

    def get_input_embeddings(self):
        return self.embed

    def get_output_embeddings(self):
        return self.lm_head

    def forward(self, input_ids, use_cache=True):
        assert use_cache is False  # whoever asks for logits alone wants no cache
        return SimpleNamespace(logits=self.bend(self.lm_head(self.drop(self.embed(input_ids)))))


class Dropped(torch.nn.Module):
    def __init__(self, share):
        super().__init__()
        self.drop, self.weight = torch.nn.Dropout(share), torch.nn.Parameter(torch.ones(11, 5))

    def forward(self, states):
        return self.drop(states) @ self.weight.T


def test_head_when_logits_are_what_it_makes_of_the_states_then_it_is_plain_whatever_the_model_drops_in_training():
    """Asked in evaluation; each module's mode is given back, and the head's own forward."""
    model = Model(dropout=0.5).train()
    model.embed.eval()
    model.lm_head.forward = own = model.lm_head.forward
    assert has_plain_head(model)
    assert model.training and model.drop.training and not model.embed.training
    assert vars(model.lm_head)["forward"] is own


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_head_when_logits_are_bent_then_it_is_not_plain(factor):
    """A cap, a shift, a factor behind a bias, a head that drops; states as wide as the vocabulary tell nothing."""
    assert not has_plain_head(Model(lambda logits: factor * torch.tanh(logits / factor)))
    assert has_plain_head(Model(lambda logits: logits * factor))  # of the states as much as of their logits
    assert not has_plain_head(Model(lambda logits: logits * factor, torch.nn.Linear(5, 11)))
    assert not has_plain_head(Model(lambda logits: logits + 1e-3))
    assert not has_plain_head(Model(head=Dropped(0.1))) and has_plain_head(Model(head=Dropped(0.0)))
    square = Model(head=torch.nn.Linear(5, 5, bias=False))
    square.config.vocab_size = 5
    assert not has_plain_head(square)


def test_head_when_it_is_missing_sharded_or_empty_then_it_is_not_plain():
    """FSDP's weights, DeepSpeed's, one that is not there yet."""
    for name in ("full_tensor", "ds_id"):
        model = Model()
        setattr(model.lm_head.weight, name, 1)
        assert not has_plain_head(model)
    assert not has_plain_head(Model(head=torch.nn.Linear(5, 11, device="meta")))
    assert not has_plain_head(Model(head=torch.nn.Linear(5, 0)))
    model = Model()
    model.lm_head.bias = torch.nn.Parameter(torch.zeros(11))
    model.lm_head.bias.ds_id = 3  # of two weights the second
    assert not has_plain_head(model)
    model = Model()
    model.lm_head = None
    assert not has_plain_head(model)


def test_head_when_it_was_asked_once_then_it_is_not_run_again():
    """The answer is kept for as long as the model is."""
    model = Model()
    assert has_plain_head(model)
    model.forward = None
    assert has_plain_head(model)


def test_model_when_run_without_its_head_then_its_logits_are_the_states():
    """Whatever else the head is handed; after it the head is as it was, also after an error."""
    model = Model().eval()
    ids = torch.tensor([[3, 1]])
    with without_head(model) as head:
        assert torch.equal(model(ids, use_cache=False).logits, model.embed(ids))
        assert head("states", 3, keep=1) == "states"
    with pytest.raises(KeyError), without_head(model):
        raise KeyError
    assert "forward" not in vars(model.lm_head)


def test_frozen_matrix_when_it_is_anything_else_then_autograd_runs_the_head():
    """A float32 linear layer on a processor that nothing listens to."""
    states = torch.zeros(2, 5)
    assert is_frozen_matrix(torch.nn.Linear(5, 11), states)

    class Mine(torch.nn.Linear):
        pass

    assert not is_frozen_matrix(Mine(5, 11), states)
    for change in (
        lambda head: head.register_forward_hook(print),
        lambda head: head.register_forward_pre_hook(print),
        lambda head: vars(head).update(forward=print),
        lambda head: head.double(),
    ):
        head = torch.nn.Linear(5, 11)
        change(head)
        assert not is_frozen_matrix(head, states)
    assert not is_frozen_matrix(torch.nn.Linear(5, 11), states.double())
    assert not is_frozen_matrix(torch.nn.Linear(5, 11).double(), states.double())
    assert not is_frozen_matrix(torch.nn.Linear(5, 11), states.to("meta"))


def test_logits_when_states_came_out_in_float32_then_the_heads_own_type_runs():
    """Accelerate takes what leaves a model to float32; a head whose weights are no floats takes states as they are."""
    head = torch.nn.Linear(5, 11).bfloat16()
    states = torch.randn(2, 5)
    assert torch.equal(run_head(head, states), head(states.bfloat16()))
    packed = SimpleNamespace(weight=torch.zeros(3, dtype=torch.uint8))
    calls = []
    assert run_head(Called(calls, packed.weight), states) is None and calls[0] is states
    assert run_head(lambda given: given, states) is states  # without weights


class Called:
    def __init__(self, calls, weight):
        self.calls, self.weight = calls, weight

    def __call__(self, states):
        self.calls.append(states)


def test_logps_when_no_entropy_is_asked_for_then_there_is_none():
    """Of a frozen and of a trained head."""
    ids = torch.tensor([1, 2])
    for frozen in (True, False):
        head = torch.nn.Linear(5, 11).requires_grad_(not frozen)
        logps, entropies = head_logps(head, torch.randn(2, 5), ids)
        assert entropies is None
        wanted = head(torch.randn(2, 5))
        assert logps.shape == wanted.shape[:1] and logps.requires_grad == (not frozen)


def test_gradient_when_the_head_alone_is_trained_then_it_is_that_of_whole_logits():
    """States of a frozen model ask for no gradient; the head's own must not be lost with them."""
    torch.manual_seed(0)
    head, states, ids = torch.nn.Linear(5, 11), torch.randn(4, 5), torch.tensor([1, 2, 0, 10])
    logps, _ = head_logps(head, states, ids, 0.5)
    logps.sum().backward()
    found = [weight.grad.clone() for weight in head.parameters()]
    head.zero_grad()
    (head(states) / 0.5).log_softmax(-1)[torch.arange(4), ids].sum().backward()
    for mine, theirs in zip(found, head.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.grad)


@pytest.mark.parametrize("compute_entropy", [False, True])
def test_words_when_they_are_of_unlike_blocks_then_log_probability_entropy_and_pull_are_those_by_hand(
    compute_entropy, monkeypatch
):
    """States of one number, weights 0, ln 2 and ln 4 in blocks of one word: chances 1/7, 2/7, 4/7."""
    monkeypatch.setattr(head_logprobs, "LEAST_WORDS", 1)
    monkeypatch.setattr(head_logprobs, "BLOCK_LOGITS", 1)
    weight = torch.tensor([[1.0], [2.0], [4.0]]).log()
    logps, entropies, pull = head_logprobs.read_vocabulary(
        torch.ones(2, 1), weight, None, torch.tensor([2, 0]), 1.0, compute_entropy, True
    )
    chances = torch.tensor([1.0, 2.0, 4.0]) / 7
    torch.testing.assert_close(logps, chances[[2, 0]].log())
    mean = (chances * weight[:, 0]).sum()
    torch.testing.assert_close(pull, torch.stack([weight[2] - mean, weight[0] - mean]))
    assert (entropies is None) == (not compute_entropy)
    if compute_entropy:
        torch.testing.assert_close(entropies, -(chances * chances.log()).sum().expand(2))
    assert (
        head_logprobs.read_vocabulary(torch.ones(1, 1), weight, None, torch.tensor([2]), 1.0, False, False)[2] is None
    )


def test_worth_when_logits_are_as_many_as_may_be_kept_then_they_are_kept(monkeypatch):
    """One more is too many."""
    monkeypatch.setattr(head_logprobs, "LEAST_LOGITS", 600)
    assert not is_worth_it(6, 100) and is_worth_it(601, 1) and not is_worth_it(1, 600)
    assert head_size(torch.nn.Linear(5, 11)) == 11
    assert head_size(SimpleNamespace(weight=torch.zeros(7, 5))) == 7
