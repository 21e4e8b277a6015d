"""The judge against a server of the test, and the reward model with a model of a few weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rewards.errors import RewardBudgetExceeded
from rewards.host.scoring import RewardHost
from rewards.judges.judge import Judge
from rewards.judges.reward_model import RewardModel
from rewards.types import Completion, Example
from tests.rewards.judges.stand_in import StandIn, run_stand_in

ROW = Example("1", "t", [{"role": "user", "content": "Quem?"}], "Machado", {"hint": "autor"})


@pytest.fixture
def server() -> Iterator[StandIn]:
    with run_stand_in() as made:
        yield made


def make(server: StandIn, **options: Any) -> Judge:
    return Judge(base_url=server.url, model="tiny", **options)


def test_judge_when_it_answers_then_the_number_is_made_0_to_1_and_its_cost_is_reported(server, monkeypatch):
    """The last number counts, after the judge's own reasoning; tokens and money add up in the report."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    server.say = lambda question: "<think>2 or 3?</think>The answer is good: 7,5"
    with RewardHost([make(server, price_in=10, price_out=20)]) as host:
        (scored,) = host.score([(ROW, Completion("<think>hm</think>Machado"))])
        assert scored.reward == 0.75 and scored.outcomes[0].reason == "judged 7.5 of 10"
        usage = host.report()["judge"]["usage"]
    assert usage == pytest.approx({"requests": 1, "tokens_in": 100, "tokens_out": 5, "cost": 0.0011})
    ((key, body),) = server.asked
    assert key == "Bearer sk-test" and body["model"] == "tiny" and body["temperature"] == 0
    question = body["messages"][-1]["content"]
    assert "Quem?" in question and "<answer>\nMachado\n</answer>" in question and "hm" not in question


def test_judge_when_a_completion_names_a_place_of_the_template_then_it_is_not_filled_in(server):
    """What is judged is data: it cannot make the reference appear in its own answer."""
    with RewardHost([make(server, template="{columns.hint}|{answer}|{reference}")]) as host:
        host.score([(ROW, Completion("{reference}{columns.hint}"))])
    assert server.asked[0][1]["messages"][-1]["content"] == "autor|{reference}{columns.hint}|Machado"


def test_judge_when_its_server_is_busy_then_it_is_asked_again(server):
    """429 with the server's own pause, 5xx with ours."""
    server.plan = [429, 429, 503]
    with RewardHost([make(server)]) as host:
        (scored,) = host.score([(ROW, Completion("x"))])
        assert scored.reward == 0.7 and host.report()["judge"]["usage"]["requests"] == 4


def test_judge_when_its_server_is_away_then_no_verdict_and_the_plugin_is_not_blamed(server):
    """Network faults stand apart from the error budget, until most scores are missing."""
    away = make(server, tries=1, timeout_seconds=1)
    server.plan = [503] * 3
    with RewardHost([away], error_budget=0.0, error_budget_minimum=8) as host:
        scored = host.score([(ROW, Completion(f"a{n}")) for n in range(8)])
        assert sum(each.reward is None for each in scored) == 3
        assert {each.outcomes[0].reason.partition(":")[0] for each in scored if each.reward is None} == {"network"}
        report = host.report()["judge"]
        assert (report["errors"], report["network_faults"]) == (3, 3)
        server.plan = [503] * 50
        with pytest.raises(RewardBudgetExceeded, match="its server did not answer"):
            host.score([(ROW, Completion(f"b{n}")) for n in range(20)])


def test_judge_when_it_says_no_number_or_one_out_of_range_then_that_is_an_error(server):
    """Never a 0: the judge did not judge."""
    for said, reason in (("no idea", "gave no number"), ("11", "outside 0..10")):
        server.say = lambda question, said=said: said
        with RewardHost([make(server)], error_budget=1.0) as host:
            (scored,) = host.score([(ROW, Completion("x"))])
        assert scored.reward is None and reason in scored.outcomes[0].reason


def test_judge_when_the_same_is_asked_again_then_the_cache_answers(server, tmp_path):
    """By completion, row and options; another model or template is another question."""
    cache = tmp_path / "judge.db"
    for options, asked in (({}, 1), ({}, 1), ({"temperature": 0.5}, 2), ({"concurrency": 2}, 2)):
        with RewardHost([make(server, cache=cache, **options)]) as host:
            assert host.score([(ROW, Completion("x"))])[0].reward == 0.7
        assert len(server.asked) == asked, options
    with RewardHost([make(server, cache=cache)]) as host:
        host.score([(ROW, Completion("y"))])
        assert host.report()["judge"]["usage"]["requests"] == 1
    assert len(server.asked) == 3


def test_judge_when_many_are_judged_then_no_more_than_its_concurrency_at_a_time(server):
    """And in the order of the completions, whatever order they came back in."""
    server.wait = 0.05
    server.say = lambda question: question
    with RewardHost([make(server, template="{answer}", concurrency=3)]) as host:
        scored = host.score([(ROW, Completion(str(n))) for n in range(9)])
    assert [each.reward for each in scored] == [n / 10 for n in range(9)] and server.most <= 3


def test_judge_when_a_row_lacks_what_the_template_names_then_it_is_refused_beforehand():
    """A column or the reference."""
    judge = Judge(base_url="http://x", model="m", template="{columns.other} {reference}")
    assert len(judge.problems(Example("1", "t", [], None))) == 2 and judge.problems(ROW) == [
        "column 'other' is missing; the judge's template names it"
    ]


def test_reward_model_when_scored_in_batches_then_each_equals_itself_alone(tmp_path):
    """Padding and the order of lengths change nothing; sigmoid of the model's own logit."""
    torch = pytest.importorskip("torch")
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast, Qwen3Config
    from transformers.models.qwen3 import Qwen3ForSequenceClassification

    words = ["<pad>", "<unk>", "bom", "ruim", "Quem", "?", "\n"]
    plain = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", unk_token="<unk>")
    config = Qwen3Config(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, pad_token_id=0, num_labels=1,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen3ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts = ["bom", "ruim ruim ruim ruim", "bom bom", "ruim", "x y z"]
    with RewardHost([RewardModel(model=str(tmp_path), device="cpu", batch_size=2)]) as host:
        together = [each.reward for each in host.score([(ROW, Completion(text)) for text in texts])]
        alone = [host.score([(ROW, Completion(text))])[0].reward for text in texts]
    assert together == pytest.approx(alone, abs=1e-5) and len(set(together)) == 5
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = tokenizer("Quem?\nbom", return_tensors="pt", add_special_tokens=False)["input_ids"]
    assert together[0] == pytest.approx(model(input_ids=ids).logits.sigmoid().item(), abs=1e-5)
