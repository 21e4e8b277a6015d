"""What an evaluation says of a completion: what was stripped, every metric, the kind of failure, and summaries."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpo.evaluate.failures import name_failure
from grpo.evaluate.markdown import write_markdown
from grpo.evaluate.metrics import Measurer, kind_of
from grpo.evaluate.stripping import strip_answer
from grpo.evaluate.summary import summarise_rows
from rewards.types import Completion, Example

A1_REFERENCE = {
    "policy_type_id": "ORAN_SliceSLATarget_1.0.0",
    "scope": {"sliceId": {"sst": 1, "sd": "000001", "plmnId": {"mcc": "001", "mnc": "01"}}},
    "sliceSlaObjectives": {"maxNumberOfUes": 200, "guaDlThptPerSlice": 50.0},
}


def make_example(reference, task="t", **columns):
    text = reference if isinstance(reference, str) or reference is None else json.dumps(reference)
    return Example("1", task, [{"role": "user", "content": "200 UEs, 50 Mbps"}], text, columns)


def measure(example, text, truncated=False, scores=None):
    return Measurer().measure(example, Completion(text, truncated), scores)


@pytest.mark.parametrize(
    ("text", "left", "kinds"),
    [
        ('{"a": 1}', '{"a": 1}', ()),
        ('<think>hm</think>\n{"a": 1}', '{"a": 1}', ("think",)),
        ('```json\n{"a": 1}\n```', '{"a": 1}', ("fence",)),
        ('Here:\n```json\n{"a": 1}\n```\nDone.', '{"a": 1}', ("fence", "prose")),
        ('<think>a</think>```\n{"a": 1}\n```', '{"a": 1}', ("think", "fence")),
        ("<think>and so on", "", ("unclosed_think",)),
        ("```\nSELECT 1", "SELECT 1", ("fence",)),
        ("```\na\n```\n```\nb\n```", "```\na\n```\n```\nb\n```", ()),
    ],
)
def test_strip_answer_of_each_wrapping_leaves_the_answer_and_names_it(text, left, kinds):
    """Reasoning and one fence come off, by name; two fences are left alone."""
    assert strip_answer(text) == (left, kinds)


@given(st.text(alphabet="ab`\n<think>/{}", max_size=60))
def test_strip_answer_of_any_text_never_raises_and_is_settled(text):
    """What was stripped once holds no closed reasoning any more."""
    stripped = strip_answer(text)
    assert "</think>" not in stripped.text and set(stripped.kinds) <= {"think", "unclosed_think", "fence", "prose"}


@pytest.mark.parametrize(
    ("reference", "columns", "kind"),
    [
        ({"a": 1}, {}, "json"),
        (A1_REFERENCE, {"target_layer": "a1_policy"}, "telecom"),
        ({"name": "f", "arguments": {"x": 1}}, {}, "tool"),
        ('<tool_call>{"name": "f", "arguments": {}}</tool_call>', {}, "tool"),
        ("SELECT 1", {"database": "shop.db"}, "sql"),
        ("Olá", {}, "text"),
        (None, {}, "none"),
    ],
)
def test_kind_of_each_row_is_found(reference, columns, kind):
    """The reference and the columns say what is measured."""
    assert kind_of(make_example(reference, **columns)) == kind


def test_measure_of_json_counts_fields_keys_and_parse_by_hand():
    """Of three fields two are right, all keys are there: field F1 2/3, key F1 1; a fence is no fault, a comma is."""
    example = make_example({"a": 1, "b": 2, "c": 3})
    found = measure(example, '```json\n{"a": 1, "b": 2.0, "c": 4}\n```')
    assert found["field_f1"] == pytest.approx(2 / 3) and found["key_f1"] == 1.0
    assert (found["parse"], found["read"], found["exact"]) == (1.0, 1.0, 0.0)
    found = measure(example, '{"a": 1, "b": 2, "c": 3,}')
    assert (found["parse"], found["read"], found["exact"]) == (0.0, 1.0, 1.0)


def test_measure_of_what_cannot_be_parsed_is_0_everywhere():
    """Unparsable counts 0 in every metric, and is not left out."""
    found = measure(make_example({"a": 1}), "no JSON here")
    assert set(found.values()) == {0.0} and {"parse", "exact", "field_f1", "key_f1"} <= found.keys()


def test_measure_of_a_telecom_row_has_kpi_and_semantic_parts_and_ignores_what_is_volatile():
    """The layer's functions are used: gold earns 1 in all, a wrong figure falls in kpi; an id of its own costs nothing."""
    columns = {"target_layer": "a1_policy", "max_ues": 200, "dl_throughput_mbps": 50.0}
    example = make_example({**A1_REFERENCE, "id": "one"}, **columns)
    gold = measure(example, json.dumps({**A1_REFERENCE, "id": "other"}))
    for metric in ("parse", "exact", "field_f1", "key_f1", "kpi", "semantic_core", "semantic_kpi", "semantic_overall"):
        assert gold[metric] == 1.0, metric
    wrong = json.loads(json.dumps(A1_REFERENCE))
    wrong["sliceSlaObjectives"]["maxNumberOfUes"] = 999
    found = measure(example, json.dumps({**wrong, "id": "x"}))
    assert found["kpi"] < 1.0 and found["semantic_kpi"] < 1.0 and found["key_f1"] == 1.0


def test_measure_of_a_tool_call_knows_the_dialects():
    """Right name and one of two arguments, in XML: name 1, exact 0, arguments 1/2."""
    example = make_example({"name": "f", "arguments": {"x": "1", "y": "2"}})
    found = measure(example, "<function=f>\n<parameter=x>1</parameter>\n<parameter=y>3</parameter>\n</function>")
    assert found["call_name"] == 1.0 and found["call_args_exact"] == 0.0 and found["call_args_f1"] == pytest.approx(0.5)
    assert found["exact"] == 0.0


def test_measure_of_sql_takes_the_verdict_of_the_database():
    """What ran and what was right comes from the stored parts of sql_qa."""
    scores = {"sql_qa": {"parts": {"executes": 1.0, "result": 0.0}}}
    found = measure(make_example("SELECT 1", database="x.db"), "SELECT 2", scores=scores)
    assert found == {"exact": 0.0, "sql_executes": 1.0, "sql_result": 0.0}


def test_measure_of_a_text_has_overlap_and_exact():
    """The same text is exact and overlaps wholly; reasoning before it does not count."""
    found = measure(
        make_example("Oferta de caneca azul hoje mesmo"), "<think>x</think>Oferta de caneca azul hoje mesmo"
    )
    assert found["exact"] == 1.0 and found["rouge1"] == 1.0 and found["bleu"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("reference", "columns", "text", "truncated", "kind"),
    [
        ({"a": 1}, {}, '{"a": 1}', False, None),
        ({"a": 1}, {}, "", False, "empty"),
        ({"a": 1}, {}, "<think>no end", True, "reasoning never ends"),
        ({"a": 1}, {}, '{"a": ', True, "truncated"),
        ({"a": 1}, {}, "sorry", False, "not JSON"),
        ({"a": 1}, {}, '[{"b": 1}]', False, "a list for an object"),
        ({"a": 1, "b": 2}, {}, '{"a": 1}', False, "missing fields"),
        ({"a": 1}, {}, '{"a": 1, "b": 2}', False, "extra fields"),
        ({"a": 1, "b": 2}, {}, '{"a": 1, "c": 2}', False, "missing and extra fields"),
        ({"a": 1}, {}, '{"a": 2}', False, "wrong values"),
        ({"name": "f", "arguments": {}}, {}, "I will call f", False, "no call"),
        ({"name": "f", "arguments": {}}, {}, '{"name": "g", "arguments": {}}', False, "wrong function"),
        ({"name": "f", "arguments": {"x": 1}}, {}, '{"name": "f", "arguments": {"x": 2}}', False, "wrong arguments"),
        ("Olá", {}, "Oi", False, "another text"),
        (None, {}, "anything", False, None),
    ],
)
def test_name_failure_of_each_kind_is_named(reference, columns, text, truncated, kind):
    """Every wrong answer has one kind, the first that explains it; a right one has none."""
    example, completion = make_example(reference, **columns), Completion(text, truncated)
    assert name_failure(example, completion, None, Measurer().measure(example, completion)) == kind


def make_row(id, sample, reward, completion="x", failure=None, reference="y"):
    return {
        "id": id, "task": "t", "sample": sample, "reward": reward, "completion": completion, "reference": reference,
        "truncated": False, "scores": {}, "metrics": {"exact": reward}, "stripped": [], "repairs": [], "tokens": 3,
        "failure": failure, "prompt": [],
    }  # fmt: skip


def test_summarise_rows_of_hand_computed_samples_is_met():
    """Rewards 0, 1, 0, 1 with answers b, a, b, b: mean 1/2, best of 2 is 5/6, the majority of 4 is b and earns 0."""
    rows = [make_row("1", n, value, answer) for n, (value, answer) in enumerate(zip((0, 1, 0, 1), "babb", strict=True))]
    found = summarise_rows(rows, 4)["at_k"]["reward"]
    assert found["1"]["best"]["value"] == 0.5 and found["2"]["best"]["value"] == pytest.approx(5 / 6)
    assert found["4"]["best"]["value"] == 1.0 and found["4"]["mean"]["value"] == 0.5
    assert found["4"]["majority"]["value"] == 0.0 and found["1"]["majority"]["value"] == 0.0


def test_summarise_rows_when_json_is_spelt_otherwise_then_it_is_one_answer():
    """The majority counts what is meant: key order and spaces make no other answer."""
    answers = ('{"a": 1, "b": 2}', '{"a": 0}', '{"b":2,"a":1}')
    rows = [
        make_row("1", n, v, a, reference='{"a": 1}') for n, (v, a) in enumerate(zip((1, 0, 1), answers, strict=True))
    ]
    assert summarise_rows(rows, 3)["at_k"]["reward"]["3"]["majority"]["value"] == 1.0


def test_summarise_rows_when_failure_kinds_differ_then_the_most_frequent_comes_first():
    """Kinds by count, a few examples of each, long texts cut."""
    rows = [make_row(f"{n}", 0, 0.0, "z" * 5000, "wrong values") for n in range(5)] + [
        make_row("9", 0, 0.0, "", "empty")
    ]
    found = summarise_rows(rows, 1)["failures"]
    assert [(kind["kind"], kind["count"]) for kind in found] == [("wrong values", 5), ("empty", 1)]
    assert len(found[0]["examples"]) == 3 and len(found[0]["examples"][0]["completion"]) < 700


def test_write_markdown_of_hostile_completions_keeps_the_page_whole():
    """A completion with fences, tables and tags stays inside its block, an id inside its line."""
    hostile = "```\n# Title\n| a | b |\n</details><script>alert(1)</script>"
    rows = [make_row("1|`<b>\n# x", 0, 0.0, hostile, "wrong values", reference="````")]
    summary = {
        "name": "a", "data": {"source": "rows"}, "versions": {},
        "settings": {
            "temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "max_completion_length": 9,
            "samples": 1, "seed": 1,
        },
        **summarise_rows(rows, 1),
    }  # fmt: skip
    page = write_markdown(summary)
    lines = page.splitlines()
    start = lines.index("````text")
    assert lines[start + 1 : start + 5] == hostile.splitlines() and lines[start + 5] == "````"
    assert not [line for line in lines if line.startswith("# x")]


def test_summarise_rows_of_groups_has_tasks_splits_and_layers():
    """An example counts once, in all of its groups."""
    rows = [make_row("1", 0, 1.0), make_row("1", 1, 0.0), make_row("2", 0, 0.5), make_row("2", 1, 0.5)]
    for row in rows:
        row["columns"] = {"split": "ood", "target_layer": "camara"}
    found = summarise_rows(rows, 2)
    assert list(found["results"]) == [
        "all",
        "task:t",
        "split:ood",
        "target_layer:camara",
        "split x target_layer:ood x camara",
    ]
    cell = found["results"]["all"]["reward"]
    assert cell["n"] == 2 and cell["value"] == 0.5 and cell["low"] <= 0.5 <= cell["high"]
    assert found["counts"]["completions"] == 4 and found["counts"]["examples"] == 2


def test_summarise_rows_of_texts_has_the_bleu_of_the_corpus():
    """All texts together as sacrebleu counts them, which is not the mean of their own."""
    import sacrebleu

    texts = [
        ("o produto chegou bem e no prazo", "o produto chegou bem e cedo"),
        ("troca do item", "nova troca do item já"),
    ]
    rows = [make_row(str(at), 0, 0.5) for at, _ in enumerate(texts)]
    for row, (reference, completion) in zip(rows, texts, strict=True):
        row.update(reference=reference, completion=completion, metrics={"bleu": 0.5})
    wanted = sacrebleu.corpus_bleu([said for _, said in texts], [[right for right, _ in texts]]).score / 100
    found = summarise_rows(rows, 1)["corpus"]
    assert found["all"]["bleu"] == pytest.approx(wanted) and found["task:t"] == found["all"]
    assert summarise_rows([make_row("1", 0, 1.0)], 1)["corpus"] == {}
