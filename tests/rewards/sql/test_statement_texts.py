"""Finding the one SELECT of a text: what is markup, what is prose, what is a second statement."""

from __future__ import annotations

import pytest

from rewards.extraction.reasoning import ReasoningStyle
from rewards.sql.statements import find_answer, find_statement
from rewards.types import Completion
from tests.timing import at_most

SQL = "SELECT COUNT(*) FROM orders WHERE state = 'SP' AND late = 1"
CTE = "WITH a AS (\n  SELECT state FROM orders\n),\n\nb AS (\n  SELECT * FROM a\n)\n\nSELECT COUNT(*) FROM b"


@pytest.mark.parametrize(
    "text",
    [
        f"-- atrasados\n{SQL}",
        f"/* atrasados */\n{SQL} -- fim",
        f"```sql\n-- atrasados\n{SQL};\n```",
        f"~~~sqlite\n{SQL}\n~~~",
        f"````sql\n{SQL}\n````",
        f"<answer>{SQL}</answer>",
        f"<sql>\n```\n{SQL}\n```\n</sql>",
        f'{{"sql": "{SQL}"}}',
        f'```json\n{{"query": "{SQL};"}}\n```',
        f"`{SQL}`",
        f"({SQL});",
        "> " + SQL.replace(" WHERE", "\n> WHERE"),
        f"<|im_start|>{SQL}<|im_end|></s>",
        f'<tool_call>{{"name": "run", "arguments": {{"query": "{SQL}"}}}}</tool_call>',
        SQL.replace(" WHERE", "\n\n-- só SP\nWHERE"),
    ],
)
def test_find_statement_when_only_markup_or_comments_stand_around_then_is_not_wrapped(text):
    """A fence, tags, JSON and comments are not prose."""
    found = find_statement(text)
    assert found.tokens == find_statement(SQL).tokens and not found.wrapped


@pytest.mark.parametrize(
    "text",
    [
        f"{SQL};\n\nEsse SELECT conta os pedidos atrasados de SP.",
        f"{SQL}; This will select the late orders from SP with care.",
        f"{SQL}\n\nWith this query we count the late orders.",
        f"{SQL}\n\nE então seleciono: only late ones.",
        f"{SQL}\nConta os pedidos atrasados.",
        f"{SQL}. Conta os pedidos.",
        f"Let me explain the query:\n\n{SQL}",
        f"We do not delete or update anything, we drop nothing.\n{SQL}",
        f"With the table orders I would write:\n{SQL}",
        f"A consulta é `{SQL}` e conta os atrasados.",
        f"Primeiro pensei em SELECT id FROM orders, mas é melhor:\n{SQL}",
        f"Segue:\n```sql\n{SQL}\n```\nUse SELECT com WHERE, sem UPDATE.",
        f'{{"sql": "{SQL}", "explanation": "we select from orders"}}',
        f"<answer>{SQL}</answer> Espero ter ajudado!",
        f"**SQL:** {SQL}",
    ],
)
def test_find_statement_when_prose_stands_around_then_is_wrapped(text):
    """Words that SQL uses too make no second statement."""
    found = find_statement(text)
    assert found.tokens == find_statement(SQL).tokens and found.wrapped, found


@pytest.mark.parametrize(
    "text",
    [
        f"{SQL}; {SQL}",
        f"{SQL}\n{SQL}",
        f"{SQL} {SQL}",
        f"{SQL}\n\nOu então:\nSELECT AVG(price) FROM orders",
        f"{SQL}; ou SELECT AVG(price) FROM orders",
        f"```\n{SQL}\n```\n```\nSELECT AVG(price) FROM orders\n```",
        f"<answer>{SQL}</answer><answer>SELECT AVG(price) FROM orders</answer>",
        f"{SQL};\nDROP TABLE orders",
        f"{SQL}; DELETE FROM orders",
        f"{SQL};\nselect count(*) from these t",
    ],
)
def test_find_statement_when_two_are_offered_then_takes_none(text):
    """Offering two answers is not an answer."""
    assert find_statement(text).reason == "several statements"


@pytest.mark.parametrize("text", [f"DROP TABLE orders;\n{SQL}", f"EXPLAIN {SQL}", f"PRAGMA x;\n{SQL}"])
def test_find_statement_when_another_command_leads_then_takes_none(text):
    """What is not a SELECT is not cut down to one."""
    assert find_statement(text).reason == "not a SELECT"


@pytest.mark.parametrize(
    "sql", [CTE, "SELECT state,\n\n       COUNT(*)\nFROM orders\nGROUP BY state", "SELECT AVG(`price`) FROM `orders`"]
)
def test_find_statement_when_blank_lines_or_quoted_names_are_inside_then_keeps_them(sql):
    """White space and a name in backticks at the end belong to the statement."""
    assert find_statement(sql).sql == sql and find_statement(f"```sql\n{sql}\n```").sql == sql


@pytest.mark.parametrize(
    "piece",
    ["select ", "with x as (", "`", "SELECT a FROM t\n", "<answer>", "```", "SELECT a FROM t;", "-- \n", "'", "\n\n"],
)
def test_find_statement_when_a_piece_repeats_then_takes_no_longer_than_a_second(piece):
    """Starts and ends that are tried have a bound."""
    with at_most(1.0):
        find_statement(piece * (1_000_000 // len(piece)))


@pytest.mark.parametrize(
    "tags", [("<think>", "</think>"), ("<reasoning>", "</reasoning>"), ("<|begin_of_thought|>", "<|end_of_thought|>")]
)
def test_find_answer_when_reasoning_holds_drafts_then_they_do_not_count(tags):
    """Whatever the tags are called; a template may have written the opening one."""
    opened, closed = tags
    draft = f"```sql\nSELECT COUNT(*) FROM orders\n```\nfalta o filtro{closed}\n```sql\n{SQL}\n```"
    for text in (f"{opened}Primeiro:\n{draft}", draft):
        found = find_answer(Completion(text))
        assert found.tokens == find_statement(SQL).tokens and not found.wrapped
    assert find_answer(Completion(f"{opened} {SQL}")).reason == "reasoning never ends"
    assert find_answer(Completion(SQL, style=ReasoningStyle(opened=True))).reason == "reasoning never ends"
