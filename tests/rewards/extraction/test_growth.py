"""No text takes long, and four times the text takes no more than a few times as long."""

from __future__ import annotations

import pytest

from rewards.extraction import extract_json
from tests.timing import stopwatch


def fill(unit: str, length: int) -> str:
    return (unit * (length // len(unit) + 1))[:length]


SHAPES = {
    "opening brackets": lambda n: "[" * n,
    "opening braces": lambda n: "{" * n,
    "closers": lambda n: fill("]}", n),
    "nested objects": lambda n: fill('{"a":', n),
    "nested lists and back": lambda n: "[" * (n // 2) + "]" * (n // 2),
    "mixed brackets": lambda n: fill("[}", n),
    "wrong closers": lambda n: fill('{"a":[}', n),
    "quotes": lambda n: "{" + '"' * n,
    "quotes in a list": lambda n: "[" + '"' * n,
    "inner quotes": lambda n: '{"x": "' + fill('a" ', n),
    "inner quotes and commas": lambda n: '{"x": "' + fill('a", "b": c', n),
    "mixed quotes": lambda n: "{'a': '" + fill("\"x', ", n),
    "typographic quotes": lambda n: "{“a”: “" + fill("x” ", n),
    "blank lines behind an open key": lambda n: '{"a”' + "\n" * n,
    "blank lines in a text": lambda n: '{"a": "x' + "\n " * (n // 2),
    "quotes of two styles": lambda n: fill('{"a”: ', n),
    "corrections": lambda n: fill('Ops {"a":1} para ', n),
    "backslashes": lambda n: '{"a": "' + "\\" * n,
    "escaped quotes": lambda n: '{"a": "' + fill('\\"', n),
    "escaped documents": lambda n: fill('{\\"a\\": ', n),
    "entities": lambda n: fill("{&quot;a&quot;:", n),
    "digits": lambda n: '{"a": ' + "7" * n + "}",
    "decimals": lambda n: '{"a": [' + fill("7,5; ", n) + "1]}",
    "grouped digits": lambda n: '{"a": 1' + fill(".111", n) + "}",
    "commas": lambda n: '{"a": 1' + "," * n,
    "words and commas": lambda n: '{"a": ' + fill("palavra, ", n),
    "colons": lambda n: fill('{"a":::', n),
    "keys": lambda n: fill('"a": ', n),
    "decoys": lambda n: fill("{x} [y] ", n),
    "small objects": lambda n: fill('{"a":1} texto ', n),
    "broken objects": lambda n: fill('{"a":"b ', n),
    "keyless objects": lambda n: fill('{"a" ', n),
    "unclosed lines": lambda n: fill('{\n "a": 1,\n "b": "x\n', n),
    "fences": lambda n: fill("```json\n", n),
    "fenced objects": lambda n: fill('```json\n{"a":1}\n```\n', n),
    "fenced members": lambda n: fill('```json\n"a":1\n```\n', n),
    "think tags": lambda n: fill("<think>", n),
    "think pairs": lambda n: fill("<think></think>", n),
    "lone closing think tags": lambda n: fill("</think>", n),
    "comments": lambda n: '{"a": 1, ' + fill("/* x */", n),
    "open comments": lambda n: fill("/*", n),
    "open comments in objects": lambda n: '{"k": ' + fill('{/*{"a": 1}}}', n),
    "colours amid escaped quotes": lambda n: fill('\\"a\\": -\x1b[31m', n),
    "formulas amid escaped quotes": lambda n: fill('\\"a\\": \\[ ', n),
    "dots": lambda n: '{"a": 1, ' + "." * n,
    "spaces": lambda n: '{"a": 1 ' + " " * n,
    "calls": lambda n: '{"a": ' + fill("f(", n),
    "tuples": lambda n: "[" + fill("(1,2),", n),
    "doubled braces": lambda n: fill('{{"a":1}},', n),
    "comments before closers": lambda n: '{"a": 1 ' + fill("// x } ", n),
    "lines of bare text": lambda n: '{"a": texto\n' + fill("mais texto aqui\n", n) + "}",
    "rows without openers": lambda n: "[[1]" + fill(", 2], [3", n),
    "lists closed too early": lambda n: '{"a": [1]' + fill(", [2]", n),
    "roots closed too early": lambda n: fill('{"a":[1]}, ', n) + "]}",
    "stray words": lambda n: '{"a": 1' + fill(', AAA "b": 1', n),
    "texts that are not calls": lambda n: '{"a": ' + "f(" * (n // 4) + "x)y" * (n // 6),
    "keys given twice": lambda n: "{" + fill("'a': [1, 2], 'a': 'x', ", n) + "}",
    "values taken back": lambda n: fill('{"a":1} ignore o bloco acima. ', n),
    "quoted fragments": lambda n: fill('"{"a": 1', n),
    "calls at the root": lambda n: fill("dict(a=", n),
    "cut strict text": lambda n: '{"a": ["' + fill('x", "', n),
    "garbage": lambda n: fill("áé~#@!%&*()_+<>?;:|\x00\ud800", n),
    "garbage in an object": lambda n: '{"a": ' + fill("áé~#@!%&*()_+<>?;:|\x00\ud800", n),
}


def measure(text: str) -> float:
    with stopwatch() as spent:
        extract_json(text)
    return spent.seconds


@pytest.mark.parametrize("shape", SHAPES)
def test_worst_case_when_four_times_as_long_then_takes_linear_time(shape):
    """Growth stays well below quadratic; the bound is loose, since the machine may be busy."""
    short, long = SHAPES[shape](40_000), SHAPES[shape](160_000)
    quick = min(measure(short) for _ in range(2))
    slow = min(measure(long) for _ in range(2))
    assert slow < 1.5
    assert slow < 9 * quick + 0.05
