"""Conversations in one text, tagged words, numbered classes and rows by id, as public data sets have them."""

from __future__ import annotations

import json

import pytest

from grpo.data.any_rows import read_any_rows
from grpo.data.sources import read_source
from grpo.init.columns import choose_columns, make_rows, unify_records
from grpo.init.units import tell_units
from rewards.errors import UserError

GLAIVE = {
    "system": "SYSTEM: You have one function -\n" + json.dumps({"name": "weather", "parameters": {}}),
    "chat": "USER: Weather in Porto?\n\n\nASSISTANT: <functioncall> {\"name\": \"weather\", \"arguments\": '{\"city\": \"Porto\"}'}"
    ' <|endoftext|>\n\n\nFUNCTION RESPONSE: {"degrees": 20}\n\n\nASSISTANT: It has 20 degrees. <|endoftext|>\n\n\n',
}  # fmt: skip


def read(tmp_path, rows, name="rows.json"):
    """The examples and the notes that init makes of rows in a file."""
    path = tmp_path / name
    path.write_text(json.dumps(rows))
    found = unify_records(read_source(str(path)))
    return make_rows(found, choose_columns(found)), found.notes


def test_row_when_in_glaives_shape_then_its_text_is_a_conversation_with_a_call(tmp_path):
    """The last answer is the reference; what the function was asked and what it said stand before it."""
    path = tmp_path / "glaive.json"
    path.write_text(json.dumps([GLAIVE]))
    (row,) = read_any_rows(path)
    assert [turn["role"] for turn in row.prompt] == ["system", "user", "assistant", "tool"]
    assert '"arguments": {"city": "Porto"}' in row.prompt[2]["content"] and "<tool_call>" in row.prompt[2]["content"]
    assert row.reference == "It has 20 degrees."
    (made,), notes = read(tmp_path, [GLAIVE])[0].examples, read(tmp_path, [GLAIVE])[1]
    assert made.prompt == row.prompt and "Glaive" in notes[0]


@pytest.mark.parametrize("chat", ["nobody speaks", "USER: Hi", "ASSISTANT: Hi", "", 7])
def test_row_when_its_chat_holds_no_question_and_answer_then_it_stays_as_it_is(tmp_path, chat):
    """A column called chat may be anything."""
    with pytest.raises(UserError, match="which column is asked"):
        read(tmp_path, [{"chat": chat, "system": "S"}])


def test_rows_when_words_have_tags_then_the_text_is_asked_and_the_entities_are_the_answer(tmp_path):
    """An inside tag continues an entity of its kind; a text without any has an empty object."""
    rows = [
        {"tokens": ["Ada", "Lovelace", "left", "Porto", "."], "ner_tags": ["B-PER", "I-PER", "O", "B-LOC", "O"]},
        {"tokens": ["Nothing", "here"], "ner_tags": ["O", "O"]},
    ]
    made, notes = read(tmp_path, rows)
    assert [row.prompt[-1]["content"] for row in made.examples] == ["Ada Lovelace left Porto.", "Nothing here"]
    assert [json.loads(row.reference) for row in made.examples] == [{"PER": ["Ada Lovelace"], "LOC": ["Porto"]}, {}]
    assert "words with a tag each" in notes[0]


def test_parquet_when_classes_are_numbered_then_rows_have_their_names(tmp_path):
    """`datasets` keeps the names in the file; a label that is none of them stays a number."""
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["lost", "late"])})
    path = tmp_path / "rows.parquet"
    rows = [{"text": "Where is it?", "label": 1}, {"text": "Gone.", "label": 0}, {"text": "?", "label": -1}]
    datasets.Dataset.from_list(rows, features=kinds).to_parquet(str(path))
    assert [record.values["label"] for record in read_source(str(path)).records] == ["late", "lost", -1]


def test_rows_when_a_number_stands_beside_its_name_then_the_name_is_the_answer(tmp_path):
    """`label_text` beside `label`, as one well-known suite writes its sets."""
    rows = [{"text": "Gone.", "label": 3, "label_text": "lost"}]
    assert read(tmp_path, rows)[0].examples[0].reference == "lost"
    rows = [{"text": "Gone.", "label": "lost", "label_text": "a long story"}]
    assert read(tmp_path, rows)[0].examples[0].reference == "lost"


def test_rows_when_an_object_holds_them_by_id_then_each_value_is_one(tmp_path):
    """NL2Bash's file: its keys are the ids."""
    made, _ = read(tmp_path, {"a": {"invocation": "List", "cmd": "ls"}, "b": {"invocation": "Where", "cmd": "pwd"}})
    assert [(row.id, row.prompt[0]["content"], row.reference) for row in made.examples] == [
        ("a", "List", "ls"), ("b", "Where", "pwd"),
    ]  # fmt: skip


def test_rows_when_context_stands_beside_an_instruction_then_it_is_asked_too(tmp_path):
    """Dolly's closed questions cannot be answered without it; where it is empty, nothing is added."""
    rows = [
        {"instruction": "Who?", "context": "Ada did it.", "response": "Ada"},
        {"instruction": "Why?", "context": "", "response": "So"},
    ]
    made, _ = read(tmp_path, rows)
    assert [row.prompt[0]["content"] for row in made.examples] == ["Who?\n\nAda did it.", "Why?"]


@pytest.mark.parametrize(
    ("answers", "named"),
    [
        (["5 maçãs", "3 peras"], True),
        (["5 maçãs", "12 maçãs"], False),
        (["5000 m", "300 g", "#### 120 min"], False),
        (["72", "3.5", "1,000"], False),
        (["72 apples and then some more of them", "5 m"], False),
        (["R$ 5,00", "R$ 1.200,00"], False),
        (["20 °C", "68 °F"], False),
        (["20 dBi", "68 lux"], True),
    ],
)
def test_numbers_when_they_come_in_several_unknown_units_then_a_note_says_that_no_reward_reads_them(answers, named):
    """Metres and minutes are compared by final_answer; apples and pears are not."""
    notes = tell_units(answers)
    assert bool(notes) is named and (not named or "only the number is compared" in notes[0])


def test_columns_when_none_is_known_then_the_error_is_short_and_says_what_to_type(tmp_path):
    """Of many columns the first are shown; of a few the options are spelled out."""
    with pytest.raises(UserError, match="for example: --prompt laudo --reference idade,data"):
        read(tmp_path, [{"idade": 3, "laudo": "Paciente de 3 anos, visto hoje", "data": "hoje"}])
    with pytest.raises(UserError) as fault:
        read(tmp_path, [{f"c{number}": 1 for number in range(300)}])
    assert "and 280 more" in str(fault.value) and "c20" not in str(fault.value)
