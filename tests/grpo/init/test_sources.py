"""Whatever a user has is read with its place, or refused in one line."""

import json
import sys

import pytest

from grpo.data.sources import read_source
from grpo.init.__main__ import main
from grpo.init.columns import choose_columns, make_rows, name_task
from rewards.errors import UserError


def rows_of(path, **options):
    found = read_source(str(path))
    return make_rows(found, choose_columns(found, **options))


def test_csv_when_cells_hold_breaks_and_quotes_then_each_row_knows_its_line(tmp_path):
    """A row of several lines is called by its first; one with a cell too many is a problem."""
    path = tmp_path / "t.csv"
    path.write_text('text,label\n"two\nlines, one ""cell""",a\n\nplain,b\nx,y,z\n', encoding="utf-8")
    found = read_source(str(path))
    assert [(record.where, record.values["text"]) for record in found.records] == [
        (f"{path}:2", 'two\nlines, one "cell"'), (f"{path}:5", "plain"),
    ]  # fmt: skip
    assert found.problems == [f"{path}:6: 3 cells, and the header has 2; quote texts with ','"]


def test_array_when_an_element_is_wrong_then_its_line_is_named(tmp_path):
    """Elements are counted by the line they begin in."""
    path = tmp_path / "a.json"
    path.write_text(
        '[\n {"question": "q",\n  "answer": "a"},\n 3,\n {"question": "r", "answer": 4}\n]', encoding="utf-8"
    )
    found = read_source(str(path))
    assert [record.where for record in found.records] == [f"{path}:2", f"{path}:5"]
    assert found.problems == [f"{path}:4: a JSON number; each row must be a JSON object"]
    assert [row.reference for row in rows_of(path).examples] == ["a", "4"]


@pytest.mark.parametrize(
    ("row", "prompt", "reference"),
    [
        ({"input": "a", "output": "b"}, "a", "b"),
        ({"instruction": "do", "input": "a", "output": "b"}, "do\n\na", "b"),
        ({"instruction": "do", "input": "", "response": "b"}, "do", "b"),
        ({"question": "a", "answer": {"n": 1}}, "a", '{"n": 1}'),
        ({"Pergunta": "a", "Resposta": "b"}, "a", "b"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "a", "b"),
        (
            {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]},
            "a",
            "b",
        ),
        ({"context": "c", "question": "a", "answers": {"text": ["b"], "answer_start": [0]}}, "c\n\na", "b"),
        ({"messages": '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'}, "a", "b"),
        ({"prompt": "a", "completion": "{'n': True}"}, "a", '{"n": true}'),
        ({"prompt": "a", "completion": '```json\n{"n": 1}\n```'}, "a", '{"n": 1}'),
    ],
)
def test_columns_when_they_have_known_names_then_are_read_as_meant(tmp_path, row, prompt, reference):
    """What is asked, and the answer as the text a perfect model would write."""
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    (example,) = rows_of(path).examples
    assert (example.prompt[-1]["content"], example.reference) == (prompt, reference)


def test_columns_when_nothing_fits_then_the_error_lists_them(tmp_path):
    """And says how to name them; several columns of an answer become one JSON object, with numbers where all are."""
    path = tmp_path / "t.csv"
    path.write_text("foo,name,price\nx,Cup,4.50\ny,Pot,12\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"There are foo, name, price; say so with --prompt COLUMN --reference COLUMN"):
        rows_of(path)
    rows = rows_of(path, prompt=["foo"], reference=["name", "price"])
    assert [json.loads(row.reference) for row in rows.examples] == [
        {"name": "Cup", "price": 4.5},
        {"name": "Pot", "price": 12},
    ]
    with pytest.raises(UserError, match=r"no column 'nome'; there are foo, name, price"):
        rows_of(path, prompt=["nome"])


def test_parquet_when_pyarrow_is_missing_then_one_line_says_what_to_install(tmp_path, monkeypatch):
    """The base install has none."""
    (tmp_path / "p.parquet").write_bytes(b"PAR1....")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"needs pyarrow; install it: pip install -e '\.\[train\]'"):
        read_source(str(tmp_path / "p.parquet"))


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("ConnectionError", "the Hub does not answer"),
        ("GatedRepoError", "it is gated; accept its terms"),
        ("DatasetNotFoundError", "it is not found; check the name"),
        ("ValueError: Unknown split", "it has no split 'train'"),
        ("ValueError: Config name is missing", "name one with --subset"),
    ],
)
def test_hub_when_it_cannot_be_read_then_one_line_says_why(monkeypatch, raised, said):
    """Offline, gated, a wrong name, split or subset."""
    datasets = pytest.importorskip("datasets")
    kind, _, message = raised.partition(": ")
    error = ValueError(message) if message else type(kind, (Exception,), {})("no luck\nat all")

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    with pytest.raises(UserError) as caught:
        read_source("owner/name")
    (line,) = caught.value.problems
    assert (
        line.startswith("owner/name: no such file here, and as a Hub data set ") and said in line and "\n" not in line
    )


def test_hub_when_it_answers_then_rows_are_records(monkeypatch):
    """As `datasets` hands them over."""
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list([{"question": "a", "answer": "b"}])
    monkeypatch.setattr(datasets, "load_dataset", lambda *arguments, **options: table)
    found = read_source("owner/name")
    assert [(record.where, record.values) for record in found.records] == [
        ("owner/name: row 1", {"question": "a", "answer": "b"})
    ]


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("data/My Invoices.jsonl", "my_invoices"),
        ("owner/Função-2", "funcao_2"),
        ("push.csv", "default"),
        ("all.json", "default"),
    ],
)
def test_task_when_named_after_the_data_then_is_plain_and_none_of_the_shops(name, task):
    """A function made for a task of the shop must not be called by accident."""
    assert name_task(name) == task


def test_init_when_a_comma_ends_each_line_then_that_is_what_it_says(tmp_path, monkeypatch, capsys):
    """The lines of an array, saved without its brackets, are met often; "extra data" tells nobody."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"prompt": "q{n}", "completion": "a{n}"}},\n' for n in range(3)))
    assert main(["rows.jsonl"]) == 2
    assert "rows.jsonl:1: a comma ends the line, as in a JSON array" in capsys.readouterr().err


def test_init_when_answers_are_a_word_and_a_number_then_the_word_counts_too(tmp_path, monkeypatch, capsys):
    """`Room 12` is not the number 12; `USD 12` and `12 km` are amounts."""
    monkeypatch.chdir(tmp_path)
    for form, reward in (("Room {}", "text_overlap"), ("USD {}", "final_answer"), ("{} km", "final_answer")):
        rows = [
            {"prompt": f"where is guest {n * 37} of floor {n}?", "completion": form.format(n + 10)} for n in range(40)
        ]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert main(["rows.jsonl", "--out", "mine", "--force", "--json"]) == 0
        assert [found["name"] for found in json.loads(capsys.readouterr().out)["rewards"]] == [reward], form


def test_init_when_no_row_is_to_be_held_out_then_it_is_refused(capsys):
    """0 used to mean the default."""
    assert main(["rows.jsonl", "--held-out-rows", "0"]) == 2
    assert "--held-out-rows 0: expected at least 1" in capsys.readouterr().err
