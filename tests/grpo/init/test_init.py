"""From a stranger's file to a dry run: what is written, proven, proposed, and never written over."""

import json
from pathlib import Path

import pytest
import yaml

from grpo.init.__main__ import main
from grpo.run import main as run_main
from rewards.audit.near_duplicates import find_near_duplicates
from rewards.rows import read_rows


def ask(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("kind", "form", "rewards"),
    [
        ("invoices", "json", ["json_valid", "schema_valid", "field_f1"]),
        ("chamados", "label", ["text_overlap"]),
        ("calls", "calls", ["tool_call"]),
        ("helpdesk", "text", ["text_overlap"]),
    ],
)
def test_init_when_a_stranger_brings_rows_then_the_next_command_passes(strangers, capsys, kind, form, rewards):
    """Two commands, no edit: rewards that fit, every reference at full reward, no near-duplicate across the split."""
    found = ask(capsys, strangers(kind, 300 if kind == "invoices" else 120))
    assert [reward["name"] for reward in found["rewards"]] == rewards and all(r["reason"] for r in found["rewards"])
    assert found["tasks"][kind]["kind"] == form
    assert found["proof"]["full_reward"] == found["proof"]["references"] == found["rows"]
    train, held_out = (read_rows(Path(found["folder"]) / name) for name in ("train.jsonl", "held_out.jsonl"))
    assert len(train) + len(held_out) == found["rows"] and 36 <= len(held_out) <= 75
    assert find_near_duplicates(train, held_out) == []
    assert found["next"].startswith(f"python -m grpo.run --config {kind}/{kind}.yaml")
    assert run_main(found["next"].split()[3:]) == 0
    assert "dry run: plan and preflight passed" in capsys.readouterr().out


@pytest.mark.parametrize("marked", [True, False])
def test_init_when_answers_are_numbers_then_the_number_is_paid_and_not_the_words(tmp_path, monkeypatch, capsys, marked):
    """Explanations that end with a marked number, and numbers alone: likeness of words would pay a wrong one."""
    monkeypatch.chdir(tmp_path)
    with Path("sums.jsonl").open("w", encoding="utf-8") as file:
        for a in range(60):
            answer = f"Add them: {a} + 3 * {a} = {4 * a}.\n#### {4 * a}" if marked else f"R$ {4 * a},50"
            file.write(json.dumps({"question": f"What are {a} and three times as much?", "answer": answer}) + "\n")
    found = ask(capsys, "sums.jsonl")
    assert [reward["name"] for reward in found["rewards"]] == ["final_answer"]
    assert found["proof"]["full_reward"] == found["rows"] == 60
    assert any("work them out" in note for note in found["notes"]) is not marked
    assert run_main(found["next"].split()[3:]) == 0


def test_init_when_it_writes_a_config_then_it_is_short_and_says_why(strangers, capsys):
    """A dozen keys; every reward and number has its reason beside it, and nothing of the shop is named."""
    found = ask(capsys, strangers("invoices", 80))
    text = Path(found["config"]).read_text(encoding="utf-8")
    settings = yaml.safe_load(text)
    assert set(settings) == {"seed", "model", "data", "sft_warmup", "grpo", "rewards", "evaluation"}
    assert settings["grpo"]["max_completion_length"] == found["lengths"]["max_completion_length"]
    assert len(text.splitlines()) <= 26 and text.count("#") >= 9
    assert not any(word in text for word in ("extends", "rung", "parser", "0.55", "extraction"))


def test_init_when_it_has_no_system_turn_for_labels_then_tells_the_choices(strangers, capsys):
    """In the language of the rows; an empty one leaves it out."""
    found = ask(capsys, strangers("chamados", 60))
    told = "Responda só com uma destas opções: elogio, entrega, pagamento, produto."
    assert found["system"] == told and "Windows-1252" in found["notes"][0]
    assert read_rows("chamados/train.jsonl")[0].prompt[0] == {"role": "system", "content": told}
    ask(capsys, "chamados.csv", "--force", "--system", "")
    assert [turn["role"] for turn in read_rows("chamados/train.jsonl")[0].prompt] == ["user"]


def test_init_when_run_twice_then_writes_nothing_over_unless_forced(strangers, capsys):
    """What one may have edited stays; the same seed gives the same files."""
    name = strangers("calls", 40)
    ask(capsys, name)
    config = Path("calls/calls.yaml")
    first = {path.name: path.read_bytes() for path in Path("calls").iterdir()}
    config.write_text("mine", encoding="utf-8")
    assert main([name]) == 2
    assert "there already" in capsys.readouterr().err and config.read_text() == "mine"
    ask(capsys, name, "--force")
    assert {path.name: path.read_bytes() for path in Path("calls").iterdir()} == first


def test_init_when_a_row_is_broken_then_says_where_and_writes_nothing(strangers, capsys):
    """File and line; with --drop the others are used and the reasons kept."""
    name = strangers("invoices", 40)
    lines = Path(name).read_text().splitlines()
    Path(name).write_text("\n".join([*lines[:3], "{oops", json.dumps({"prompt": "x", "completion": None}), *lines[3:]]))
    assert main([name]) == 2
    said = capsys.readouterr().err
    assert (
        "error: invoices.jsonl:4: not JSON" in said and "error: invoices.jsonl:5: no answer: completion is null" in said
    )
    assert "2 rows cannot be used" in said
    assert not Path("invoices").exists() and list(Path().glob(".init-*")) == []
    found = ask(capsys, name, "--drop")
    assert (found["rows"], len(found["left_out"])) == (40, 2)
    assert len(Path("invoices/left_out.jsonl").read_text().splitlines()) == 2


def test_init_when_prompts_are_longer_than_the_rehearsal_takes_then_the_next_command_says_so(strangers, capsys):
    """Pages of text on a machine without a GPU: the lengths are found, and the dry run passes as it is printed."""
    rows = [json.loads(line) for line in Path(strangers("invoices", 40)).read_text().splitlines()]
    for number, row in enumerate(rows):
        row["prompt"] += "\n" + " ".join(f"clause {number * 97 + at} applies" for at in range(300))
    Path("pages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = ask(capsys, "pages.jsonl", "--model", "nobody/model")
    if found["proof"]["profile"] == "embedded":
        assert "--set model.max_sequence_length=" in found["next"]
    assert run_main(found["next"].split()[3:]) == 0


def test_init_when_files_cannot_be_written_then_one_line_says_so(strangers, capsys):
    """A file stands where the folder should."""
    name = strangers("calls", 40)
    Path("calls").write_text("", encoding="utf-8")
    assert main([name]) == 2
    assert "a file of this name is there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "portuguese"),
    [
        ("Tênis esportivo masculino, caixa com 2, R$ 199,90", True),
        ("Promoção! Caminhão de brinquedo vermelho, preço especial", True),
        ("<h2>Ventilador Arno</h2><p>Por apenas <b>R$ 199,90</b></p>", True),
        ("<p>gar&atilde;o</p><div>entrega r&aacute;pida</div>", True),
        ("<p>Tax of the box</p><b>$ 19.90</b>", False),
        ("Wireless mouse, box with 2, $ 19.90", False),
        ("Zapatillas deportivas para niño, con caja, 19,90 euros", False),
        ("Chaussures de sport, façon cuir, 19,90 euros", False),
    ],
)
def test_language_when_rows_are_advertisements_then_letters_and_money_tell(text, portuguese):
    """They have none of the small words that tell languages apart in sentences."""
    from grpo.init.proposals import speaks_portuguese
    from rewards.types import Example

    rows = [Example(str(i), "ad", [{"role": "user", "content": text}], "x", {}) for i in range(40)]
    assert speaks_portuguese(rows) is portuguese
