"""Rows of personas: messages that do not meet, contrasts that earn nothing, and contrasts made for any rows."""

from __future__ import annotations

import json

import pytest

from grpo.config.loading import load_config
from grpo.data.__main__ import main
from grpo.data.personas.build import build_personas
from grpo.data.run_rows import load_inputs
from grpo.data.section import PersonasSection
from grpo.preflight import run_preflight
from rewards.config import build_host
from rewards.errors import UserError
from rewards.types import Completion


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_files_when_built_then_messages_do_not_meet_and_each_voice_has_its_share(tmp_path):
    """A message is trained on or held out, whoever tells it; the same section gives the same bytes."""
    section = PersonasSection(train_rows=600, held_out_rows=60)
    one, two = build_personas(tmp_path / "a", section), build_personas(tmp_path / "b", section)
    assert all(one[name].read_bytes() == two[name].read_bytes() for name in one)
    train, held_out = read(one["train"]), read(one["held_out"])
    answers = {row["messages"][-1]["content"] for row in train}
    assert not answers & {row["messages"][-1]["content"] for row in held_out}
    assert {sum(row["persona"] == name for row in train) for name in {row["persona"] for row in train}} == {100}
    assert all(
        len(set(row["contrast"])) == 2 and row["messages"][-1]["content"] not in row["contrast"] for row in train
    )


@pytest.mark.parametrize("profile", ["gpu", "embedded"])
def test_recipe_when_its_rows_are_scored_then_a_contrast_earns_little(profile, tmp_path, monkeypatch):
    """The reference earns all; what another persona said nearly nothing."""
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path))
    config = load_config("personas", ["data.personas.train_rows=120", "data.personas.held_out_rows=36"], profile)
    inputs = load_inputs(config)
    with build_host(config.rewards) as host:
        assert run_preflight(config, inputs, host)["passed"]
        scored = host.score([(row, Completion(row.columns["contrast"][0])) for row in inputs.train])
    assert sum(each.reward for each in scored) / len(scored) < 0.2


def test_section_when_more_contrasts_than_others_are_asked_then_it_is_refused(tmp_path, capsys):
    """And more held-out rows than there are messages."""
    assert main(["personas", "--out", str(tmp_path), "--personas", "2", "--contrasts", "2"]) == 2
    assert "contrasts: 2 of 1 other personas" in capsys.readouterr().err
    with pytest.raises(UserError, match="held_out_rows: 100000"):
        build_personas(tmp_path / "x", PersonasSection(held_out_rows=100000))


def test_contrast_when_personas_answer_one_question_then_each_gets_the_others_answers(tmp_path, capsys):
    """Rows alone with their question are left out and counted; prompt/completion pairs are read too."""
    rows = [
        {"prompt": "Price?", "completion": "Ô meu bem, dez reais o quilo hoje", "persona": "feirante"},
        {"prompt": "Price?", "completion": "Informamos que o valor unitário é dez", "persona": "gerente"},
        {"prompt": "price? ", "completion": "ITEM=1; PRECO=10; STATUS=ok", "persona": "robo"},
        {"prompt": "Alone?", "completion": "nobody else", "persona": "robo"},
        {"prompt": "Price?", "completion": "no persona"},
    ]
    source, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["contrast", str(source), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["kept"] == 3 and said["without"] == {"no_persona": 1, "no_other_answer": 1}
    found = read(out)
    assert [len(row["contrast"]) for row in found] == [2, 2, 2]
    assert set(found[0]["contrast"]) == {rows[1]["completion"], rows[2]["completion"]}
    first = out.read_bytes()
    assert main(["contrast", str(source), "--out", str(out)]) == 0 and out.read_bytes() == first


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"prompt": "a", "completion": "b", "persona": "x"}], "rows of at least two personas are needed"),
        (
            [{"prompt": "a", "completion": "b", "persona": "x"}, {"prompt": "c", "completion": "d", "persona": "y"}],
            "no two personas answer the same question",
        ),
    ],
)
def test_contrast_when_there_is_none_to_make_then_one_line_says_why(rows, said, tmp_path, capsys):
    """Exit code 2, and no file."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["contrast", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "out.jsonl")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out.jsonl").exists()
