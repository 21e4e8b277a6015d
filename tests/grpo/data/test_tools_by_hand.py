"""The commands over data files at their bounds: shares, copies and limits that were computed by hand."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from grpo.data.__main__ import main
from grpo.data_tools.stats import DataStats, describe_lengths, summarise


def make_rows(count, **columns):
    """Rows of a prompt and an answer; a column is one value for all, or a list of one each."""
    return [
        {
            "id": str(number),
            "messages": [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": f"a{number}"}],
            **{key: value[number] if isinstance(value, list) else value for key, value in columns.items()},
        }
        for number in range(count)
    ]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def say(capsys, *words):
    """The exit code and what was printed."""
    code = main([*map(str, words)])
    shown = capsys.readouterr()
    return code, shown.out + shown.err


@pytest.mark.parametrize("which", [("--value", "rare"), ("--except", "common")])
def test_upsample_when_half_shall_be_rare_then_two_of_eight_become_six(tmp_path, capsys, which):
    """Six common rows want six rare ones: two more copies of each, twelve rows in all."""
    source = write(tmp_path / "rows.jsonl", make_rows(8, kind=["rare", "common", "common", "common"] * 2))
    out = tmp_path / "out.jsonl"
    words = ("upsample", source, "--out", out, "--column", "kind", *which, "--share", "0.5")
    assert say(capsys, *words) == (0, f"{out}: 4 copies marked upsampled_from; share 25.00% -> 50.00%\n")
    rows = read(out)
    assert len(rows) == 12 and sum(row["kind"] == "rare" for row in rows) == 6
    assert len({row["id"] for row in rows}) == 12
    found = json.loads(say(capsys, *words, "--json")[1])
    assert found == {"rows": 12, "copies": 4, "share": 0.5, "share_before": 0.25}


@pytest.mark.parametrize("share", ["0", "1"])
def test_upsample_when_the_share_is_nothing_or_all_then_it_is_refused(tmp_path, capsys, share):
    """Neither can be reached by copies."""
    source = write(tmp_path / "rows.jsonl", make_rows(4, kind="x"))
    code, said = say(
        capsys, "upsample", source, "--out", tmp_path / "o.jsonl", "--column", "kind", "--value", "x", "--share", share
    )
    assert code == 2 and f"--share {share}: a share above 0 and below 1 is allowed" in said


def test_split_when_one_part_takes_all_then_the_other_is_there_and_empty(tmp_path, capsys):
    """A share of 1 beside one of 0, and a value that is held out."""
    source = write(tmp_path / "rows.jsonl", make_rows(4, sector=["a", "b", "a", "b"]))
    out = tmp_path / "out"
    code, said = say(capsys, "split", source, "--out", out, "--shares", "all=1,none=0", "--hold-out", "sector=b")
    assert (code, said.splitlines()) == (
        0,
        [f"{out}/all.jsonl: 2 rows, 50.0%", f"{out}/none.jsonl: 0 rows, 0.0%", f"{out}/test_sector_ood.jsonl: 2 rows, 50.0%"],
    )  # fmt: skip
    assert [row["id"] for row in read(out / "all.jsonl")] == ["0", "2"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shares", "a=0.9995,b=0"), "they add up to 0.9995"),
        (("--shares", "a=1", "--hold-out", "sector"), "--hold-out sector: not COLUMN=SHARE"),
        (("--shares", "a=1", "--hold-out", "=x"), "--hold-out =x: not COLUMN=SHARE"),
        (("--shares", "a=1", "--hold-out", "sector="), "--hold-out sector=: not COLUMN=SHARE"),
    ],
)
def test_split_when_it_cannot_be_meant_then_it_is_refused(tmp_path, capsys, words, said):
    """Shares that lose rows, and what names no column or nothing of it."""
    source = write(tmp_path / "rows.jsonl", make_rows(4, sector="a"))
    code, shown = say(capsys, "split", source, "--out", tmp_path / "out", *words)
    assert code == 2 and said in shown


def test_hold_out_when_the_number_is_1_then_it_is_a_value(tmp_path, capsys):
    """`level=1` is the rows of level 1, not a share of all."""
    source = write(tmp_path / "rows.jsonl", make_rows(4, level=[0, 1, 2, 1]))
    code, _ = say(capsys, "split", source, "--out", tmp_path / "out", "--shares", "all=1", "--hold-out", "level=1")
    assert code == 0
    assert [row["id"] for row in read(tmp_path / "out" / "test_level_ood.jsonl")] == ["1", "3"]


@pytest.mark.parametrize(("shares", "wanted"), [((0.5, 0.5), (4, 4)), ((3, 1), (10, 3))])
def test_mix_when_no_rows_are_given_then_as_many_as_no_part_needs_twice(tmp_path, capsys, shares, wanted):
    """Of 10 and 4 rows in halves 4 each; of 3 to 1 the ten last for 13, a quarter of which is 3."""
    sources = [write(tmp_path / f"{name}.jsonl", make_rows(count)) for name, count in (("a", 10), ("b", 4))]
    out = tmp_path / "out.jsonl"
    parts = [word for source, share in zip(sources, shares, strict=True) for word in ("--part", f"{source}={share}")]
    a, b = wanted
    assert say(capsys, "mix", *parts, "--out", out) == (
        0,
        f"{out}: {a + b} rows, {a} of {sources[0]}, {b} of {sources[1]}\n",
    )
    rows = read(out)
    assert [sum(row["mixed_from"] == source for row in rows) for source in sources] == [a, b]
    assert len({row["id"] for row in rows}) == a + b


def test_mix_when_one_of_two_rows_is_drawn_then_either_may_be(tmp_path, capsys):
    """By twenty seeds both; a share of nothing is refused."""
    source, out = write(tmp_path / "a.jsonl", make_rows(2)), tmp_path / "out.jsonl"
    drawn = set()
    for seed in range(20):
        say(capsys, "mix", "--part", f"{source}=1", "--rows", "1", "--out", out, "--seed", seed)
        drawn |= {row["id"] for row in read(out)}
    assert drawn == {"0", "1"}
    assert say(capsys, "mix", "--part", f"{source}=0", "--out", out)[0] == 2


def test_wrap_when_two_rows_become_one_then_it_holds_both_and_one_system_turn(tmp_path, capsys):
    """Rows of a prompt and a reference, too: both go, the messages stay."""
    system = {"role": "system", "content": "Be short."}
    rows = [
        {"id": str(n), "prompt": [system, {"role": "user", "content": f"q{n}"}], "reference": f"a{n}"} for n in (0, 1)
    ]
    source, out = write(tmp_path / "rows.jsonl", rows), tmp_path / "out.jsonl"
    assert say(capsys, "wrap", source, "--rows", "1", "--out", out)[0] == 0
    (row,) = read(out)
    assert set(row) == {"id", "messages", "wrapped_from"} and sorted(row["wrapped_from"]) == ["0", "1"]
    assert [turn["role"] for turn in row["messages"]] == ["system", *["user", "assistant"] * 2]
    first, second = row["wrapped_from"]
    assert [turn["content"] for turn in row["messages"][1:]] == [f"q{first}", f"a{first}", f"q{second}", f"a{second}"]
    for words in (("--rows", "0"), ("--rows", "1", "--turns", "1")):
        assert say(capsys, "wrap", source, *words, "--out", out)[0] == 2


def cycle(distinct, words):
    return " ".join(f"w{place % distinct}" for place in range(words))


@pytest.mark.parametrize(
    ("answer", "options", "kept"),
    [
        ("a" * 10, ("--max-characters", "10", "--min-characters", "10"), True),
        ("a" * 11, ("--max-characters", "10"), False),
        ("a" * 9, ("--min-characters", "10"), False),
        ("a", ("--max-messages", "2", "--min-messages", "2"), True),
        ("a", ("--max-messages", "1"), False),
        ("a", ("--min-messages", "3"), False),
        ("a" * 98 + "\x01" * 2, ("--quality",), True),
        ("a" * 97 + "\x01" * 3, ("--quality",), False),
        ("a\tb\nc", ("--quality",), True),
        (cycle(4, 22), ("--quality",), True),  # 19 phrases of four words say too little
        (cycle(4, 23), ("--quality",), False),  # 20, of which 4 differ
        (cycle(10, 23), ("--quality",), True),  # half of them
        (cycle(9, 23), ("--quality",), False),
    ],
)
def test_filter_when_an_answer_is_at_a_bound_then_it_is_kept_and_beyond_it_not(tmp_path, capsys, answer, options, kept):
    """Numbers of characters and messages, 2 % that cannot be printed, half of the phrases said before."""
    rows = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]}]
    out = tmp_path / "out.jsonl"
    code, said = say(capsys, "filter", write(tmp_path / "rows.jsonl", rows), "--out", out, *options)
    assert code == 0 and len(read(out)) == kept
    assert said.splitlines()[0] == f"{out}: {int(kept)} kept, {1 - kept} removed, {100.0 * kept:.1f}% retained"


@pytest.mark.parametrize(
    ("lengths", "found"),
    [
        ({10: 1, 20: 1, 30: 1, 40: 1}, (25, 20, 40, 40, 40)),
        (dict.fromkeys(range(1, 101), 1), (50.5, 50, 95, 99, 100)),
        (dict.fromkeys(range(1, 102), 1), (51, 51, 96, 100, 101)),
        ({7: 3}, (7, 7, 7, 7, 7)),
        ({9: 1, 1: 2}, (3.67, 1, 9, 9, 9)),
    ],
)
def test_lengths_when_counted_then_percentiles_are_lengths_of_the_nearest_rank(lengths, found):
    """Of four the second is the half and the fourth the 95th; of 101 the 51st, 96th and 100th; in any order of counting."""
    assert describe_lengths(Counter(lengths)) == dict(zip(("mean", "p50", "p95", "p99", "max"), found, strict=True))


def test_stats_when_a_row_is_unreadable_then_shares_are_of_the_others():
    """Of five rows four can be read: three within ten tokens, one without a tag, and one value in four is rare."""
    stats = DataStats(
        rows=5, bad=1, whole_lengths=Counter({5: 1, 10: 2, 11: 1}), filled=Counter(id=4, tag=3), null=Counter(tag=1),
        columns={"kind": Counter(rare=1, common=3)},
    )  # fmt: skip
    found = summarise(stats, limits=[10, 4], tokens="words")
    assert found["within"] == {"10": 0.75, "4": 0.0}
    assert found["missing_or_null"] == {"tag": 1}
    assert found["columns"] == {"kind": {"common": {"rows": 3, "share": 0.75}, "rare": {"rows": 1, "share": 0.25}}}
    assert found["messages"] is None and found["structures"] is None


def test_stats_when_rows_are_counted_by_hand_then_the_table_is_this(tmp_path, capsys):
    """Four lines, one broken; three rows of two, three and one messages, four characters a token; the null counts as missing."""
    first, second, third = make_rows(3, kind=["x", "y", "x"])
    first |= {"tag": None}
    second |= {"tag": "t"}
    first["messages"] = [{"role": "user", "content": "one two"}, {"role": "assistant", "content": '{"a": 1}'}]
    second["messages"].insert(0, {"role": "system", "content": "s"})
    third["messages"] = [{"role": "user", "content": "a b c"}]
    source = tmp_path / "rows.jsonl"
    write(source, [first, second, third])
    source.write_text(source.read_text() + "not json\n")
    code, said = say(capsys, "stats", source, "--by", "kind", "--structures")
    assert code == 0
    assert said.splitlines() == [
        "4 rows, 1 of them unreadable",
        "forms: 3 messages",
        "roles: 3 user, 2 assistant, 1 system",
        "tokens, by 4 characters a token",
        "             mean      p50    p95    p99    max",
        "  messages      2.0        2      3      3      3",
        "  prompt        1.7        2      2      2      2",
        "  answer        1.0        1      2      2      2",
        "  both          2.7        2      4      4      4",
        "within 2048 tokens: 100.00%",
        "missing or null: tag 2",
        "kind: 2 values",
        "          2   66.67%  x",
        "          1   33.33%  y",
        "JSON structures of the answers: 2",
        "          2  (no JSON)",
        "          1  {a:n}",
    ]
