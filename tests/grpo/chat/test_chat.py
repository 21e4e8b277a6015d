"""The terminal chat: each line is a row of the task, with what was read, each repair, and the reward where it is known."""

from __future__ import annotations

import io
import json

import pytest

from grpo.chat import __main__ as command
from grpo.chat import speakers
from grpo.chat.readings import RowDesk, describe, read_answer
from rewards.config import RewardsSection, build_host
from rewards.errors import UserError
from rewards.types import Completion, Example


def row(number: int, **columns) -> Example:
    prompt = [
        {"role": "system", "content": "Responda em JSON."},
        {"role": "user", "content": f"Quanto custa {number}?"},
    ]
    return Example(f"row-{number}", "price", prompt, json.dumps({"price": number}), columns)


@pytest.fixture
def desk():
    host = build_host(RewardsSection(functions=[{"name": "field_f1"}]))
    with host:
        yield RowDesk([row(1), row(2)], host, 16)


def test_question_when_it_is_typed_then_it_stands_where_the_rows_have_theirs(desk):
    """The task's own prompt, with another review in it."""
    found = desk.make_example("E o azul?", "price")
    assert found.prompt == [
        {"role": "system", "content": "Responda em JSON."},
        {"role": "user", "content": "E o azul?"},
    ]
    assert found.reference is None and desk.make_example("Quanto custa 2?", "price").id == "row-2"


def test_answer_when_the_row_is_known_then_what_was_read_each_repair_and_the_reward(desk):
    """A trailing comma is told, not hidden."""
    said = read_answer(desk, row(1), Completion("{'price': 1,}", False))
    assert said["read"] == {"price": 1} and said["reward"] == 1.0
    assert {"quote_style", "trailing_comma"} <= set(said["repairs"])
    text = describe(said)
    assert "repairs: " in text and "reward: 1.000" in text and "reference" not in text


def test_answer_when_nothing_is_known_of_it_then_no_reward_is_made_up(desk):
    """A question of the user's own has no right answer here."""
    said = read_answer(desk, desk.make_example("E o azul?", "price"), Completion("tanto faz", False))
    assert "reward" not in said and "read" not in said


def test_answer_when_a_database_is_at_hand_then_what_it_says_to_the_sql(tmp_path):
    """The statement is executed by the sandbox of the rewards."""
    import sqlite3

    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE t (x INTEGER)")
        database.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(8)])
    database.close()
    example = row(1, database=str(tmp_path / "shop.db"))
    said = read_answer(RowDesk(), example, Completion("```sql\nSELECT count(*) FROM t\n```", False))
    assert said["rows"] == "8"
    assert "drop" not in read_answer(RowDesk(), example, Completion("Não sei.", False))["rows"]


class Parrot:
    name = "parrot"

    def answer(self, messages, limit):
        return Completion(json.dumps({"price": 1}), False)

    def close(self):
        pass


@pytest.fixture
def talk(desk, monkeypatch, capsys):
    """A function from typed lines to what is printed."""
    monkeypatch.setattr("grpo.chat.readings.open_desk", lambda run: desk)
    monkeypatch.setattr(speakers, "open_speaker", lambda model, device: Parrot())

    def say(*lines: str, words=("runs/x",)):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))
        code = command.main(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return say


def test_chat_when_lines_are_piped_then_one_json_object_an_answer(talk):
    """A row asked by its id has its reference; /row alone goes through them."""
    code, out, err = talk(
        "/row row-1", "/row", "E o azul?", '/reference {"price": 1}', "E o verde?", words=("x", "--json")
    )
    said = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and err == ""
    assert [item.get("reward") for item in said] == [1.0, 1.0, None, 1.0]


def test_chat_when_a_command_is_wrong_then_one_line_and_it_goes_on(talk):
    """A typing error ends nothing."""
    code, out, err = talk("/tsk price", "/row nobody", "Quanto custa 1?", "/quit", "never")
    assert code == 0 and out.count("reward") == 1
    assert "/tsk: no such command" in err and "no held-out row nobody" in err


def test_chat_when_the_task_is_not_the_runs_then_exit_2(talk):
    """The line says which there are."""
    code, _, err = talk(words=("x", "--task", "pricee"))
    assert code == 2 and "did you mean price" in err


def test_speaker_when_a_gguf_lies_in_an_export_then_the_smallest_is_taken(tmp_path):
    """It starts in a second."""
    for name, size in (("m-f16.gguf", 20), ("m-q8_0.gguf", 10)):
        (tmp_path / name).write_bytes(b"x" * size)
    found = speakers.find_gguf_file(str(tmp_path))
    assert found is not None and found.name == "m-q8_0.gguf"
    assert speakers.find_gguf_file("org/model") is None


def test_speaker_when_llama_cpp_is_missing_then_the_line_says_what_to_install(tmp_path, monkeypatch):
    """Only a GGUF file, and nothing that loads it."""
    (tmp_path / "m.gguf").write_bytes(b"x")
    monkeypatch.setattr(speakers, "is_installed", lambda: False)
    with pytest.raises(UserError, match="pip install 'xllamacpp"):
        speakers.open_speaker(str(tmp_path / "m.gguf"))
