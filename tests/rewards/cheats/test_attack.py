"""The suite of cheats: no built-in falls for one, a naive reward does, and the command says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards import plugins
from rewards.cheats.attack import CLEARLY, FORM_ONLY, SLACK, attack, attack_named, run
from rewards.cheats.cheats import Knowledge, is_same, keeps_form, known_labels, make_cheats, make_halves
from rewards.cheats.documents import collect_values, corrupt_document, halve_document, list_leaves, read_document
from rewards.commands.selection import make_host
from rewards.errors import UserError
from rewards.functions.extraction import FieldExtraction
from rewards.plugins import Registry
from rewards.sample_rows import find_options, open_samples
from rewards.types import Completion, Example

BUILT_INS = [module.rpartition(".")[2] for module in plugins.BUILT_INS]
ANYWHERE = {
    "empty object",
    "prompt echo",
    "length padding",
    "only reasoning",
    "contradictory double answer, right last",
}
IN_DOCUMENTS = {
    "all keys with guesses 1", "schema echo", "every enumeration at once, lists", "key stuffing", "NaN", "1e999",
    "duplicate keys, right one last", "giant list of guesses", "right keys with wrong values",
}  # fmt: skip
IN_TEXTS = {"keyword stuffing", "marker phrases", "another row's answer"}
IN_SQL = {"constant", "constant, as a bound on the rows' numbers", "without the tables", "right clauses of a constant", "keyword stuffing, in a comment"}  # fmt: skip
NAIVE = '''
"""Rewards as one writes them before one has been cheated."""

from typing import ClassVar

from rewards.hookspecs import hookimpl
from rewards.types import Completion, Example, RewardFunction, Score

SAMPLES = [
    {"id": "1", "prompt": [{"role": "user", "content": "capital da França"}], "reference": "Paris, claro, fica na França"},
    {"id": "2", "prompt": [{"role": "user", "content": "capital do Peru"}], "reference": "Lima, claro, fica no Peru"},
]


class SharedWords(RewardFunction):
    """Share of the reference's words that stand anywhere."""

    name: ClassVar[str] = "shared_words"
    version: ClassVar[str] = "7"

    def __call__(self, example: Example, completion: Completion) -> Score:
        wanted = set(example.reference.split())
        return Score(len(wanted & set(completion.text.split())) / len(wanted))


class SameWords(SharedWords):
    """The same words in the same order."""

    name: ClassVar[str] = "same_words"

    def __call__(self, example: Example, completion: Completion) -> Score:
        wanted, said = example.reference.split(), completion.text.split()
        return Score(sum(a == b for a, b in zip(wanted, said)) / max(len(wanted), len(said), 1))


class Faulty(SharedWords):
    """Raises on an empty text."""

    name: ClassVar[str] = "faulty"

    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score(1.0 / len(completion.text))


class Elsewhere(SharedWords):
    """Applies to nothing."""

    name: ClassVar[str] = "elsewhere"

    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score(None, "not mine")


@hookimpl
def register_rewards(register):
    for function in (SharedWords, SameWords, Faulty, Elsewhere):
        register(function)
'''
leaves = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text(max_size=5)
documents = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    min_size=1,
    max_size=5,
)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return plugins.load_rewards()


@pytest.fixture
def naive(tmp_path: Path) -> str:
    path = tmp_path / "naive.py"
    path.write_text(NAIVE, encoding="utf-8")
    return str(path)


def row(reference: str, **columns: Any) -> Example:
    return Example("1", "any", [{"role": "user", "content": "Diga."}], reference, columns)


def names_of(example: Example, *others: str) -> set[str]:
    return {cheat.name for cheat in make_cheats(example, Knowledge(others, {}))}


@pytest.mark.parametrize("name", BUILT_INS)
def test_attack_when_a_built_in_is_attacked_then_no_cheat_wins(name, registry):
    """Each cheat earns no more than an honest half, and clearly less than a right answer."""
    report = attack_named(name)
    assert [f"{cheat.name}: {cheat.mean:.3f}, {cheat.won}" for cheat in report.wins] == []
    assert len(report.cheats) >= 20
    assert report.right == pytest.approx(1.0) or not registry.get(name).function.judges_content


def test_built_ins_when_registered_then_each_is_named_as_its_module(registry):
    """So that the tests here leave none out."""
    assert set(BUILT_INS) <= set(registry.names())


@pytest.mark.parametrize("name", BUILT_INS)
def test_samples_when_a_built_in_reads_its_own_then_finds_no_fault(name, registry):
    """Three rows at least, so that a policy has answers to learn from."""
    entry = registry.get(name)
    function = entry.function(**find_options(entry))
    with open_samples(entry) as examples:
        assert len(examples) >= 3 and len({example.id for example in examples}) == len(examples)
        assert [line for example in examples for line in function.problems(example)] == []


def test_halves_when_scored_by_the_shop_then_are_worth_about_half():
    """The bar for cheats is neither nothing nor nearly everything."""
    for name in ("extraction", "sql_qa", "insights", "push", "field_f1", "tool_call", "text_overlap", "contrastive"):
        assert 0.35 <= attack_named(name).half <= 0.75, name


def test_make_cheats_when_the_answer_is_json_sql_or_text_then_has_those_of_its_kind():
    """Every cheat that the suite promises is there."""
    document = row('{"a": 1, "b": {"c": "x"}}')
    assert names_of(document, '{"a": 2}') >= ANYWHERE | IN_DOCUMENTS
    sql = row("SELECT COUNT(*) FROM t WHERE a = 'x'", database="nowhere.db", terms=["a"])
    assert names_of(sql, "SELECT 1") >= ANYWHERE | IN_SQL
    assert names_of(row("Bom dia a todos"), "Boa noite") >= ANYWHERE | IN_TEXTS


@settings(max_examples=30, deadline=None)
@given(documents, st.lists(documents, max_size=2))
def test_make_cheats_when_documents_are_any_then_none_is_the_right_answer(document, others):
    """A cheat that is right by chance is left out; the same rows give the same cheats."""
    example = row(json.dumps(document))
    knowledge = Knowledge(tuple(json.dumps(other) for other in others), {})
    cheats = make_cheats(example, knowledge)
    assert cheats == make_cheats(example, knowledge)
    assert not any(is_same(cheat.text, example.reference or "") for cheat in cheats)
    assert len({cheat.name for cheat in cheats}) == len(cheats)


@settings(max_examples=100, deadline=None)
@given(documents)
def test_spoil_document_when_values_are_any_then_every_leaf_is_another_under_its_path(document):
    """Right keys, wrong values."""
    spoilt = corrupt_document(document, collect_values([document]))
    pairs = list(zip(list_leaves(document), list_leaves(spoilt), strict=True))
    assert all(path == other and json.dumps(leaf) != json.dumps(wrong) for (path, leaf), (other, wrong) in pairs)


@settings(max_examples=100, deadline=None)
@given(documents)
def test_halve_document_when_leaves_are_many_then_half_of_them_are_kept(document):
    """Wrong or missing, either way round; a single leaf has no half."""
    leaves = list_leaves(document)
    halves = halve_document(document, collect_values([document]))
    if len(leaves) < 2:
        assert halves == []
    for half in halves:
        written = [json.dumps(leaf) for leaf in list_leaves(half)]
        kept = [json.dumps(leaf) for leaf in leaves]
        shared = sum(min(written.count(leaf), kept.count(leaf)) for leaf in set(kept))
        assert json.dumps(half) != json.dumps(document) and shared >= len(leaves) // 2
        assert {path for path, _ in list_leaves(half)} <= {path for path, _ in leaves}


def test_make_halves_when_the_answer_is_sql_or_text_then_half_is_wrong():
    """Half of the conditions, another value, half of the words."""
    sql = "SELECT a FROM t WHERE b = 'x' AND c = 2 ORDER BY a"
    assert make_halves(sql) == [
        "SELECT a FROM t WHERE b = 'x' ORDER BY a",
        "SELECT a FROM t WHERE b = 'XX' AND c = 2 ORDER BY a",
    ]
    halves = make_halves("um dois três quatro")
    assert "um dois" in halves and "três quatro" in halves
    assert all(len({"um", "dois", "três", "quatro"} & set(half.split())) == 2 for half in halves)
    assert make_halves("um") == make_halves('{"a": 1}') == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<tool_call>{'name': 'f', 'arguments': {'a': 1}}</tool_call>", [{"name": "f", "arguments": {"a": 1}}]),
        ("<function=f><parameter=a>1</parameter></function>", [{"name": "f", "arguments": {"a": "1"}}]),
        ("{'a': True}", {"a": True}),
        ('[{"a": 1}]', [{"a": 1}]),
        ("SELECT 1", None),
        ("3", None),
    ],
)
def test_read_document_when_the_answer_is_no_strict_json_then_is_still_read(text, expected):
    """Cheats are made for calls in any dialect."""
    assert read_document(text) == expected


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"z": 9}', True),
        ("Segue: {'z': 9}", True),
        ("{}", False),
        ('[{"a": 1}]', False),
        ('{"a": NaN}', False),
        ('{"a": 2, "a": 1}', False),
        ('```\n{"a": 1}\n```\nou\n```\n{"a": 2}\n```', False),
        ("não sei", False),
    ],
)
def test_keeps_form_when_a_document_is_clean_then_its_values_do_not_matter(text, kept):
    """What a function that pays for the form alone is right to pay for."""
    assert keeps_form(text, '{"a": 1}') is kept


def test_is_same_when_a_key_stands_twice_then_is_another_answer():
    """Order and layout do not count, a repeated key does."""
    assert is_same('{"b": 2, "a": 1}', '{ "a": 1,\n"b": 2 }')
    assert not is_same('{"a": 2, "a": 1}', '{"a": 1}')


def test_known_labels_when_a_function_has_enumerations_then_cheats_use_them():
    """What the options give away, a policy will find."""
    labels = known_labels(FieldExtraction())
    assert labels["sentiment"] == ("positivo", "neutro", "negativo") and "price" not in labels
    cheats = make_cheats(row('{"sentiment": "neutro", "n": 1}'), Knowledge((), {"sentiment": labels["sentiment"]}))
    listed = next(cheat.text for cheat in cheats if cheat.name == "every enumeration at once, texts")
    assert json.loads(listed)["n"] == "1"
    guesses = {
        json.loads(cheat.text)["sentiment"] for cheat in cheats if cheat.name.startswith("all keys with guesses")
    }
    assert guesses <= set(labels["sentiment"])


def test_attack_when_a_reward_is_naive_then_its_cheats_are_found(naive):
    """Words shared in any order, as often as one likes, are won by double answers; words in their places are not."""
    report = attack_named("shared_words", plugins=[naive])
    wins = {cheat.name: cheat for cheat in report.wins}
    assert "contradictory double answer, right last" in wins and "length padding" not in wins
    assert report.version == "7" and report.rows == 2
    for cheat in report.wins:
        assert cheat.mean > cheat.half + SLACK or cheat.mean > report.right - CLEARLY
    assert wins["contradictory double answer, right last"].text.endswith(("França", "Peru"))


def test_attack_when_a_reward_minds_places_then_only_what_starts_right_earns(naive):
    """Zipped words: half the right answer is half, and right first is no more than that."""
    report = attack_named("same_words", plugins=[naive])
    assert report.wins == () and report.half == pytest.approx(0.6)


def test_attack_when_form_is_all_that_is_paid_then_clean_documents_are_no_cheats():
    """To `json_valid` a clean guess is right, and every broken form is a cheat."""
    assert set(BUILT_INS) >= FORM_ONLY
    names = {cheat.name for cheat in attack_named("json_valid").cheats}
    assert "all keys with guesses 1" not in names
    assert names >= {"NaN", "1e999", "empty object", "duplicate keys, right one first", "giant list of guesses"}


def test_attack_when_rows_cannot_be_used_then_all_problems_are_named(naive):
    """Bad rows, a function that fails, one that applies to none."""
    with make_host(["push"], any_task=True) as host, pytest.raises(UserError) as caught:
        attack(host, [row("x"), row("")])
    assert any("product" in line for line in caught.value.problems)
    assert any("no reference" in line for line in caught.value.problems)
    for name, said in (("faulty", "ZeroDivisionError"), ("elsewhere", "applies to none")):
        with pytest.raises(UserError, match=said):
            attack_named(name, plugins=[naive])


def test_attack_when_other_rows_have_the_same_answer_then_it_is_no_guess():
    """A data set with one answer teaches a policy that answer; that is for the audit to say."""
    with make_host(["field_f1"]) as host:
        report = attack(host, [row('{"a": 1, "b": "x"}'), row('{"b": "x", "a": 1}')])
    assert report.wins == ()


def test_attack_command_when_cheats_fail_then_prints_a_table_and_exits_with_0(capsys):
    """One line a cheat."""
    assert run(["push"]) == 0
    out = capsys.readouterr().out
    assert "marker phrases" in out and "best honest half" in out and out.rstrip().endswith("cheats fail")


def test_attack_command_when_a_cheat_wins_then_shows_it_and_exits_with_1(naive, capsys):
    """With its text, and as JSON."""
    assert run(["shared_words", "--plugin", naive]) == 1
    out = capsys.readouterr().out
    assert "WINS" in out and "Paris, claro" in out
    assert run(["shared_words", "--plugin", naive, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["function"] == "shared_words" and report["wins"]
    assert {"name", "mean", "best", "half", "example_id", "text", "won"} == set(report["cheats"][0])


def test_attack_command_when_rows_are_given_then_takes_those_of_its_tasks(tmp_path, capsys):
    """Options and a file; rows of other tasks are left out."""
    data = tmp_path / "rows.jsonl"
    asked = [{"role": "user", "content": "p"}]
    rows = [
        {"id": "1", "task": "any", "prompt": asked, "reference": '{"ms": 5, "id": "a", "n": 1, "t": "x"}'},
        {"id": "2", "task": "push", "prompt": asked, "reference": '{"ms": 9, "id": "b", "n": 2, "t": "y"}'},
    ]
    data.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    assert run(["field_f1:ignore_fields=[id],tolerances={ms: 0.5}", "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 2
    assert run(["push", "--data", str(data)]) == 2
    assert "product" in capsys.readouterr().err
    assert run(["extraction", "--data", str(data)]) == 2
    assert "no row of the tasks extraction" in capsys.readouterr().err


def test_attack_command_when_a_row_is_none_that_a_run_reads_then_refuses_it_by_its_line(tmp_path, capsys):
    """Doubled ids, bare prompts and references that are no text: what a run would refuse is attacked by nobody."""
    data = tmp_path / "rows.jsonl"
    row = {"id": "1", "task": "any", "prompt": [{"role": "user", "content": "p"}], "reference": '{"ms": 5}'}
    rows = [row, row, row | {"id": "2", "prompt": "p"}, row | {"id": "3", "reference": {"ms": 5}}, row | {"id": 4}]
    data.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    assert run(["field_f1", "--data", str(data)]) == 2
    lines = capsys.readouterr().err.replace("error: ", "").splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{data}:{number}" for number in (2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pus"], "did you mean push?"),
        (["push:maximum=3"], "no such option of 'push'"),
        (["push", "--data", "nowhere.jsonl"], "nowhere.jsonl"),
        (["push", "--plugin", "nowhere.py"], "nowhere.py"),
    ],
)
def test_attack_command_when_the_input_is_bad_then_says_so_and_exits_with_2(arguments, said, capsys):
    """No traceback."""
    assert run(arguments) == 2
    assert said in capsys.readouterr().err


def test_samples_when_a_plugin_has_none_then_says_where_to_put_them(tmp_path, capsys):
    """The file of the plugin, not the name it was imported under."""
    path = tmp_path / "bare.py"
    path.write_text(NAIVE.replace("SAMPLES = [", "ROWS = ["), encoding="utf-8")
    assert run(["same_words", "--plugin", str(path)]) == 2
    assert f"set SAMPLES in {path}" in capsys.readouterr().err


def test_samples_when_a_module_sets_options_then_the_attack_uses_them(tmp_path):
    """SAMPLE_OPTIONS are what the sample rows need; what is given by name goes before them."""
    path = tmp_path / "strict.py"
    source = NAIVE.replace("SAMPLES = [", 'SAMPLE_OPTIONS = {"least": 0.5}\nSAMPLES = [').replace(
        '    version: ClassVar[str] = "7"\n', '    version: ClassVar[str] = "7"\n    least: float = 0.0\n'
    )
    source = source.replace("return Score(sum(", "return Score(self.least * 0 + (self.least == 0.5) * sum(")
    path.write_text(source, encoding="utf-8")
    assert attack_named("same_words", plugins=[str(path)]).right == 1.0
    assert attack_named("same_words:least=0.1", plugins=[str(path)]).right == 0.0


def test_samples_when_a_database_is_a_script_then_is_built_and_queried(registry):
    """The rows of `sql_qa` bring their own shop; it is gone afterwards."""
    entry = registry.get("sql_qa")
    with open_samples(entry) as examples:
        paths = {str(example.columns["database"]) for example in examples}
        function = entry.function()
        assert [function(example, Completion(example.reference)).value for example in examples] == [1.0] * len(examples)
    assert len(paths) == 1 and not Path(paths.pop()).exists()
