"""The commands over data files: what they read, what they keep, and what they say of the rest."""

from __future__ import annotations

import csv
import json

import pytest

from grpo.data.__main__ import main
from grpo.data.any_rows import read_any_rows
from rewards.errors import UserError

WHOLE = [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": "Three."}]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ask(capsys, *words):
    """The exit code and the JSON that a command printed."""
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


# -- every form of row -------------------------------------------------------------------------------------------------

CALL = {"id": "c", "type": "function", "function": {"name": "count", "arguments": '{"of": "x"}'}}
FORMS = [
    ({"prompt": "How many?", "completion": "Three."}, "Three."),
    ({"prompt": WHOLE[:1], "completion": WHOLE[1:]}, "Three."),
    ({"instruction": "Count.", "input": "a b c", "output": "3"}, "3"),
    ({"instruction": "Count.", "input": "", "output": "3", "system": "Be short."}, "3"),
    ({"conversations": [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": "Three."}]}, "Three."),
    ({"messages": [WHOLE[0], {"role": "assistant", "content": None, "tool_calls": [CALL]}]}, None),
]


@pytest.mark.parametrize(("row", "answer"), FORMS)
def test_rows_when_another_trainer_wrote_them_then_a_run_reads_them(tmp_path, capsys, row, answer):
    """Pairs, Alpaca, ShareGPT and OpenAI's calls with null content, each as one conversation with its answer."""
    path = write(tmp_path / "rows.jsonl", [row])
    (example,) = read_any_rows(path)
    assert example.prompt[-1]["role"] == "user"
    assert example.reference == answer if answer else '"name": "count"' in example.reference
    assert ask(capsys, "validate", path) == (0, {"rows": 1, "bad": 0, "problems": []})


def test_alpaca_when_it_has_an_input_then_it_stands_below_the_instruction(tmp_path):
    """As the trainers of that data set show it."""
    (example,) = read_any_rows(write(tmp_path / "rows.jsonl", [FORMS[2][0]]))
    assert example.prompt == [{"role": "user", "content": "Count.\n\na b c"}]


def test_sources_when_csv_parquet_folder_or_pattern_then_one_reader_reads_them(tmp_path):
    """Empty cells are not columns, rows are numbered through."""
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path / "shards"
    folder.mkdir()
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["prompt", "completion", "note"], ["1?", "one", ""], ["2?", "two", "x"]])
    table = pyarrow.Table.from_pylist([{"messages": WHOLE, "latency_ms": 1.5, "id": 7}])
    pyarrow.parquet.write_table(table, folder / "b.parquet")
    write(folder / "c.jsonl", [{"prompt": "3?", "completion": "three", "target_layer": "o1"}])
    rows = read_any_rows(folder, unnamed="r")
    assert [(row.id, row.reference) for row in rows] == [
        ("r1", "one"), ("r2", "two"), ("7", "Three."), ("r4", "three")
    ]  # fmt: skip
    assert dict(rows[0].columns) == {} and rows[2].columns["latency_ms"] == 1.5
    assert len(read_any_rows(tmp_path / "shards" / "*.csv")) == 2
    (named,) = read_any_rows(folder / "c.jsonl", task_column="target_layer")
    assert named.task == "o1"
    with pytest.raises(UserError, match=r"data\.task_column: 1 rows .* have no text under 'sector'"):
        read_any_rows(folder / "c.jsonl", task_column="sector")


def test_hub_data_set_when_it_is_named_then_the_datasets_library_reads_it(tmp_path, monkeypatch):
    """The library's own loader over a local data set of that shape; revision and split are handed to it."""
    datasets = pytest.importorskip("datasets")
    place = tmp_path / "set"
    place.mkdir()
    write(place / "train.jsonl", [{"id": "a", "messages": WHOLE, "target_layer": "o1_nrm"}])
    write(place / "test.jsonl", [{"id": "b", "messages": WHOLE, "target_layer": "camara"}])
    load, asked = datasets.load_dataset, []

    def local(name, subset, *, split, revision, streaming):
        asked.append((name, split, revision))
        return load(str(place), split=split, streaming=streaming)

    monkeypatch.setattr(datasets, "load_dataset", local)
    (row,) = read_any_rows("hub:owner/name@v1#test", task_column="target_layer")
    assert (row.id, row.task, row.reference) == ("b", "camara", "Three.")
    assert asked == [("owner/name", "test", "v1")]


# -- the commands ------------------------------------------------------------------------------------------------------


def test_validate_when_rows_are_broken_then_each_has_its_line(tmp_path, capsys):
    """What the quick look does not pass, the strict reader names."""
    rows = [
        {"id": "a", "messages": WHOLE}, {"id": "a", "messages": WHOLE}, {"messages": WHOLE[:1]}, {"x": 1},
        {"id": "n", "messages": WHOLE, "n": 10**30},
    ]  # fmt: skip
    path = write(tmp_path / "rows.jsonl", rows)
    with open(path, "a") as file:
        file.write("not json\n")
    code, found = ask(capsys, "validate", path)
    assert (code, found["rows"], found["bad"]) == (2, 6, 5)
    said = "\n".join(found["problems"])
    for part in (":2: id 'a' is already used", ":3: messages", ":4: missing", ":5: n: ", ":6: not JSON"):
        assert part in said, part


def test_stats_when_rows_are_counted_then_percentiles_and_shares_are_right(tmp_path, capsys):
    """Nearest-rank percentiles, null values, shares of a column, structures of the answers."""
    rows = [
        {"messages": [{"role": "user", "content": "x" * 4 * n}, {"role": "assistant", "content": json.dumps({"v": n})}],
         "layer": "a" if n <= 25 else "b", "kpi": None if n == 1 else n}
        for n in range(1, 101)
    ]  # fmt: skip
    path = write(tmp_path / "rows.jsonl", rows)
    _, found = ask(capsys, "stats", path, "--by", "layer", "--structures", "--limit", "50")
    assert found["rows"] == 100 and found["roles"] == {"user": 100, "assistant": 100}
    assert found["tokens"]["prompt"] == {"mean": 50.5, "p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert found["columns"]["layer"]["a"] == {"rows": 25, "share": 0.25}
    assert found["missing_or_null"] == {"kpi": 1}
    assert found["structures"] == {"different": 1, "most": [{"rows": 100, "structure": "{v:n}"}]}
    assert found["within"] == {"50": 0.47}  # `{"v": 47}` are three tokens at four characters each


def answer(text, **more):
    return {"messages": [WHOLE[0], {"role": "assistant", "content": text}], **more}


@pytest.mark.parametrize(
    ("text", "option", "reason"),
    [
        ("```python\nprint 'hello'\n```", "--no-python2", "Python 2"),
        ("```python\nfor i in xrange(3):\n    print(i)\n```", "--no-python2", "Python 2"),
        ("```python\nprint('hello')\n```", "--no-python2", None),
        ("```python\nthis is no python\n```", "--no-python2", None),
        ("I would print a list of all.", "--no-python2", None),
        ("", "--quality", "empty answer"),
        ("How many?", "--quality", "answer repeats the prompt"),
        ("so it goes on and on " * 20, "--quality", "repetitive answer"),
        ("As an AI language model, I cannot.", "--quality", "refusal"),
        ("caf\ufffd", "--quality", "garbled text"),
        ("Três pedidos.", "--quality", None),
    ],
)
def test_filter_when_an_answer_is_bad_then_it_is_removed_with_its_reason(tmp_path, capsys, text, option, reason):
    """Kept or removed, and nothing lost between them."""
    path = write(tmp_path / "rows.jsonl", [answer(text), answer("Three.")])
    kept, removed = tmp_path / "kept.jsonl", tmp_path / "removed.jsonl"
    _, found = ask(capsys, "filter", path, "--out", kept, "--removed", removed, option)
    assert found["reasons"] == ({reason: 1} if reason else {})
    assert found["kept"] + found["removed"] == 2 and len(read(kept)) == found["kept"]
    assert [row["removed_because"] for row in read(removed)] == ([[reason]] if reason else [])


def test_filter_when_lengths_columns_and_tokens_are_asked_for_then_all_must_hold(tmp_path, capsys):
    """One line a reason, the retention in all."""
    rows = [answer("a" * n, layer=layer) for n in (1, 10, 100, 1000) for layer in ("x", "y")]
    path, out = write(tmp_path / "rows.jsonl", rows), tmp_path / "out.jsonl"
    _, found = ask(
        capsys, "filter", path, "--out", out, "--min-characters", 5, "--max-tokens", 100, "--where", "layer=x"
    )
    assert (found["kept"], found["retention"]) == (2, 0.25)
    assert found["reasons"] == {
        "layer is another value": 4, "fewer than 5 characters": 1, "more than 100 tokens": 1
    }  # fmt: skip


def test_filter_when_a_language_is_asked_for_then_answers_of_others_go(tmp_path, capsys):
    """JSON has no language: then the question's counts."""
    pytest.importorskip("py3langid")
    rows = [
        answer("O pedido foi entregue com dois dias de atraso e o cliente pediu o reembolso."),
        answer("The order was delivered two days late and the customer asked for a refund."),
        {"messages": [{"role": "user", "content": "Qual foi o prazo de entrega do pedido da cliente?"},
                      {"role": "assistant", "content": '{"days": 3}'}]},
    ]  # fmt: skip
    path, out = write(tmp_path / "rows.jsonl", rows), tmp_path / "out.jsonl"
    _, found = ask(capsys, "filter", path, "--out", out, "--language", "pt")
    assert found["reasons"] == {"language en": 1} and found["kept"] == 2


def test_split_when_a_group_or_a_value_is_held_out_then_training_never_sees_it(tmp_path, capsys):
    """Groups stay together, values held out stand in a file of their own, the same seed gives the same files."""
    rows = [
        {"id": str(n), "messages": [{"role": "user", "content": f"Slice {n}"}, WHOLE[1]], "sector": f"s{n % 20}",
         "customer": f"c{n % 100}"}
        for n in range(1000)
    ]  # fmt: skip
    path = write(tmp_path / "rows.jsonl", rows)
    words = ["split", path, "--shares", "train=0.8,test=0.2", "--group", "customer", "--hold-out", "sector=0.2"]
    _, found = ask(capsys, *words, "--out", tmp_path / "one")
    ask(capsys, *words, "--out", tmp_path / "two")
    parts = {name: read(tmp_path / "one" / f"{name}.jsonl") for name in found}
    assert sum(map(len, parts.values())) == 1000 and all(parts.values())
    assert not {r["customer"] for r in parts["train"]} & {r["customer"] for r in parts["test"]}
    assert not {r["sector"] for r in parts["test_sector_ood"]} & {r["sector"] for r in parts["train"]}
    assert all(
        (tmp_path / "one" / f"{n}.jsonl").read_bytes() == (tmp_path / "two" / f"{n}.jsonl").read_bytes() for n in parts
    )


def test_split_when_the_template_is_held_out_then_one_phrasing_is_on_one_side(tmp_path, capsys):
    """Numbers and names are masked: what is left is the phrasing."""
    phrasings = [
        f"{verb} a slice for Alice with 7 users"
        for verb in ["make", "build", "set", "deploy", "add", "start", "open", "create"]
    ]
    rows = [
        {"messages": [{"role": "user", "content": p.replace("7", str(n)).replace("Alice", name)}, WHOLE[1]], "p": p}
        for p in phrasings for n in range(5) for name in ("Bob", "Eve")
    ]  # fmt: skip
    path = write(tmp_path / "rows.jsonl", rows)
    ask(capsys, "split", path, "--out", tmp_path, "--shares", "train=1", "--hold-out", "@template=0.4")
    held = {row["p"] for row in read(tmp_path / "test_template_ood.jsonl")}
    assert held and not held & {row["p"] for row in read(tmp_path / "train.jsonl")}


def test_upsample_mix_wrap_dedup_merge_when_run_one_after_the_other_then_every_row_says_where_it_is_from(
    tmp_path, capsys
):
    """Shares are met to the row, copies and mixes are marked, ids stay unique."""
    rows = [
        {"id": str(n), "messages": [{"role": "user", "content": f"ask {n}"}, {"role": "assistant", "content": str(n)}],
         "operation": "create" if n % 25 else "modify"}
        for n in range(500)
    ]  # fmt: skip
    path = write(tmp_path / "rows.jsonl", rows)
    up = tmp_path / "up.jsonl"
    _, found = ask(
        capsys, "upsample", path, "--out", up, "--column", "operation", "--except", "create", "--share", 0.16
    )
    assert found["copies"] == 71 and found["share"] == pytest.approx(0.16, abs=0.001)
    assert sum("upsampled_from" in row for row in read(up)) == 71
    assert len({row["id"] for row in read(up)}) == len(read(up)) == 571
    once = tmp_path / "once.jsonl"
    assert ask(capsys, "dedup", up, "--out", once)[1]["kept"] == 500
    mixed = tmp_path / "mix.jsonl"
    weak = write(tmp_path / "weak.jsonl", [row for row in rows if row["operation"] == "modify"])
    ask(capsys, "mix", "--part", f"{weak}=0.7", "--part", f"{path}=0.3", "--rows", 20, "--out", mixed)
    assert [row["mixed_from"] for row in read(mixed)].count(weak) == 14 and len(read(mixed)) == 20
    wrapped = tmp_path / "wrapped.jsonl"
    ask(capsys, "wrap", path, "--out", wrapped, "--rows", 5, "--turns", 3, "--group", "operation")
    assert [len(row["messages"]) for row in read(wrapped)] == [6] * 5
    assert all(example.reference == example.prompt[-1]["content"].split()[1] for example in read_any_rows(wrapped))
    merged = tmp_path / "merged.jsonl"
    assert ask(capsys, "merge", path, once, "--out", merged, "--mark")[1]["renamed_ids"] == 500
    assert len({row["id"] for row in read(merged)}) == 1000


def test_data_command_when_something_is_wrong_then_one_line_says_what(tmp_path, capsys):
    """No traceback, exit code 2."""
    path = write(tmp_path / "rows.jsonl", [answer("x")])
    for words, said in [
        (["stats", tmp_path / "none.jsonl"], "no such file"),
        (["split", path, "--out", tmp_path, "--shares", "train=0.8"], "add up to 0.8"),
        (["filter", path, "--out", tmp_path / "o"], "no check is given"),
        (["mix", "--part", f"{path}=1", "--rows", "5", "--out", tmp_path / "o"], "5 rows are asked for and it has 1"),
        (["stats", "hub:a b"], "hub:owner/name@revision"),
    ]:
        assert main([*map(str, words)]) == 2
        assert said in capsys.readouterr().err


def test_dedup_when_rows_nearly_repeat_then_the_first_is_kept_and_the_others_say_of_which(tmp_path, capsys):
    """A number more at the end of forty words is a near duplicate; another question is none, whatever its answer."""
    text = "Please provision an ultra reliable slice for remote surgery in Lisbon with latency below 5 ms and reliability of"
    asked = [f"{text} {share} per cent" for share in ("99.999", "99.99", "99.9")] + [
        "How is the weather in Porto today?"
    ]
    rows = [{"id": str(n), "prompt": [{"role": "user", "content": q}], "reference": "ok"} for n, q in enumerate(asked)]
    path, once, twins = write(tmp_path / "rows.jsonl", rows), tmp_path / "once.jsonl", tmp_path / "twins.jsonl"
    assert ask(capsys, "dedup", path, "--out", once, "--by", "prompt")[1]["kept"] == 4
    _, found = ask(capsys, "dedup", path, "--out", once, "--by", "prompt", "--near", 0.9, "--removed", twins)
    assert (found["kept"], found["reasons"]) == (2, {"nearly the prompt of an earlier row": 2})
    assert [row["id"] for row in read(once)] == ["0", "3"]
    assert [(row["id"], row["duplicate_of"], row["removed_from"]) for row in read(twins)] == [
        ("1", f"{path}:1", f"{path}:2"), ("2", f"{path}:1", f"{path}:3"),
    ]  # fmt: skip


def test_dedup_when_rows_are_the_same_then_those_removed_say_why(tmp_path, capsys):
    """With the line that they stood in."""
    path, twins = write(tmp_path / "rows.jsonl", [{"messages": WHOLE}] * 2), tmp_path / "twins.jsonl"
    ask(capsys, "dedup", path, "--out", tmp_path / "once.jsonl", "--removed", twins)
    assert [(row["removed_because"], row["removed_from"]) for row in read(twins)] == [
        (["the same prompt and answer as an earlier row"], f"{path}:2")
    ]


def test_dedup_when_the_similarity_is_out_of_range_then_the_line_says_what_is_allowed(tmp_path, capsys):
    """Below 0.9 the sketches rule too little out."""
    path = write(tmp_path / "rows.jsonl", [{"messages": WHOLE}])
    assert main(["dedup", path, "--out", str(tmp_path / "o.jsonl"), "--near", "0.5"]) == 2
    assert "--near 0.5: a similarity from 0.9 to 1 is allowed" in capsys.readouterr().err
