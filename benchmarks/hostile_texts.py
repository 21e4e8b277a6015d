"""A hundred completions made to hurt a reader: a megabyte of each mark, what each pattern backtracks over, text that grows."""

from __future__ import annotations

import json
from collections.abc import Iterator

MEGABYTE = 1_000_000
_MARKS = "{}[]()<>\"'`,:;\\/|*#-_=+&%$@!?~^. \t\n\r\0"


def list_hostile() -> Iterator[tuple[str, str]]:
    """Each with what it is."""
    for mark in _MARKS:
        yield f"a megabyte of {mark!r}", mark * MEGABYTE
    yield from _list_nested()
    yield from _list_odd_characters()
    yield from _list_numbers()
    yield from _list_patterns()


def _list_nested() -> Iterator[tuple[str, str]]:
    deep = 100_000
    yield "100,000 arrays", "[" * deep + "]" * deep
    yield "100,000 objects", '{"a":' * deep + "1" + "}" * deep
    yield "100,000 of both", '[{"a":' * (deep // 2) + "1" + "}]" * (deep // 2)
    yield "100,000 objects in single quotes", "{'a':" * deep + "1" + "}" * deep
    yield "100,000 objects without an end", '{"a":' * deep
    yield "100,000 ends", "}" * deep + "]" * deep
    yield "100,000 brackets in turn", "[{(<" * (deep // 4)
    yield "100,000 tags", "<a>" * deep
    yield "100,000 think tags", "<think>" * deep + "</think>" * deep
    yield "100,000 tool calls begun", "<tool_call>" * deep
    yield "100,000 calls", "f(" * deep + ")" * deep
    yield "100,000 fences", "```" * deep
    yield "fences of growing length", "\n".join("`" * n for n in range(3, 1_400))
    yield "JSON in JSON in JSON", _wrap(16)
    yield "100,000 brackets in a text", json.dumps({"a": "[" * deep})
    yield "comments in comments", "/*" * deep + "{}" + "*/" * deep
    yield (
        "XML entities",
        "<!DOCTYPE a [" + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 9}">' for n in range(1, 300)) + "]>&e299;",
    )


def _wrap(times: int) -> str:
    text = '{"a": 1}'
    for _ in range(times):
        text = json.dumps({"a": text})
    return text


def _list_odd_characters() -> Iterator[tuple[str, str]]:
    yield "lone surrogates", "\ud800\udfff" * 200_000
    yield "surrogates as keys", json.dumps({f"\ud800{n}": "\udc00" for n in range(20_000)})
    yield "a pair the wrong way round", '{"a": "\udc00\ud800", "\udc00\ud800": 1}'
    yield "escaped surrogates", '{"a": "' + "\\ud83d" * 100_000 + '"}'
    yield "every control character", json.dumps({"a": "".join(map(chr, range(32)))}, ensure_ascii=False) * 500
    yield "C1 controls", "".join(map(chr, range(0x7F, 0xA0))) * 5_000
    yield "escape sequences", "\x1b[2J\x1b]0;x\x07\x1b[31m\x9b5m\x1bP+q\x1b\\" * 20_000
    yield "text that grows by NFKC", "\ufdfa" * 200_000
    yield "text that grows by NFD", "\u1e69" * 300_000
    yield "keys that are one by NFKC", json.dumps({"\ufb01" * n: n for n in range(1, 500)}, ensure_ascii=False)
    yield "300,000 accents on one letter", "a" + "\u0301" * 300_000
    yield "accents in a bad order", ("a" + "\u0301\u0327\u0323" * 10) * 20_000
    yield "direction marks", "\u202e\u2066\u202a" * 100_000 + '{"a": 1}' + "\u202c\u2069" * 100_000
    yield "an object between zero widths", "\u200b\u200d\ufeff".join('{"name": "x", "price": 1}')
    yield "zero widths", "\u200b\u200c\u200d\u2060\ufeff" * 100_000
    yield "marks of byte order", "\ufeff" * 300_000 + "{}"
    yield "letters that grow in capitals", "\u00df\u0149\u01f0\ufb03" * 100_000
    yield "Turkish i", "\u0130I\u0131i" * 100_000
    yield "full width brackets", "\uff5b\uff02a\uff02\uff1a1\uff5d" * 30_000
    yield "line ends of all kinds", "\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029" * 50_000
    yield "private use and no characters", "\ue000\uffff\ufffe\U0010ffff\ufdd0" * 50_000
    yield "emoji of eleven parts", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\ufe0f\u20e3" * 30_000
    yield "special tokens", "<|im_end|><|im_start|>system\n</s><bos><eos><|endoftext|>[INST]" * 10_000


def _list_numbers() -> Iterator[tuple[str, str]]:
    yield "an integer of 5,000 digits", '{"a": ' + "9" * 5_000 + "}"
    yield (
        "a thousand integers of 5,000 digits",
        json.dumps({"a": "x"})[:-1] + ", " + ", ".join(f'"k{n}": {"9" * 5_000}' for n in range(200)) + "}",
    )
    yield "a float of a million digits", '{"a": 0.' + "1" * MEGABYTE + "}"
    yield "an exponent of a million digits", '{"a": 1e' + "9" * MEGABYTE + "}"
    yield "numbers beyond every float", '{"a": [1e999, -1e999, NaN, Infinity, -Infinity, 1e-999, -0.0]}' * 5_000
    yield "zeros in front", '{"a": ' + "0" * MEGABYTE + "1}"
    yield "separators of thousands", "1.234,56 1,234.56 1'234 1 234 " * 30_000
    yield "commas and points in turn", "1" + ".1,1" * 250_000
    yield "digits of all scripts", "\u0661\u06f1\u0967\uff11\U0001d7ce\u00b2\u2460" * 60_000
    yield "hexadecimal", '{"a": 0x' + "f" * MEGABYTE + "}"
    yield "signs", "+-" * 500_000 + "1"
    yield "dates that are none", "2024-99-99T99:99:99Z " * 50_000
    yield "units", "10 ms 5 Mbps 99.999 % R$ 3,50 1e3 GB " * 25_000


def _list_patterns() -> Iterator[tuple[str, str]]:
    """Where a pattern of ours may begin and never end."""
    many = 60_000
    yield "SELECTs that never end", "select " * many
    yield "WITHs that never end", "with a as (" * many
    yield "WITH and 500 open brackets", ("with a (" + "b," * 240) * 400
    yield "comments of SQL", "/* " * many + "select 1"
    yield "comments of a line", "-- " * many + "\nselect 1"
    yield "SQL tags", "<sql>" * many
    yield "answers that never end", "<answer>" * many + "select 1"
    yield "quotes in turn", "'\"`" * many
    yield "words and blanks", "a " * (5 * many)
    yield "one word", "a" * MEGABYTE
    yield "words with hyphens", "a-" * (5 * many)
    yield "keys without values", '"a": ' * many
    yield "values without keys", ', "a"' * many
    yield "backslashes and quotes", '\\"' * (5 * many)
    yield "a text that never ends", '{"a": "' + "\\\\" * 300_000
    yield "triple quotes", '"""' * many
    yield "calls without an end", "call:f{" * many
    yield "functions without an end", "<function=f>" * many
    yield "invocations without an end", '<invoke name="f"><parameter name="a">' * (many // 3)
    yield "marks of a channel", "<|channel|>commentary to=functions.f <|message|>" * (many // 3)
    yield "names before a call", "a." * many + "f("
    yield "escapes of gemma", "call:f{a:<escape>" * (many // 2)
    yield "prefixes of Turtle", "@prefix a: <" * many
    yield "IRIs", "<http://a/" * many
    yield "Turtle's brackets", "[ a:b ( " * many
    yield "headings", "# a\n" * many
    yield "lists", "- [ ] **a**: `b`\n" * (many // 3)
    yield "tables", "|a|b|\n|-|-|\n" * (many // 3)
    yield "links", "[a](" * many
    yield "addresses", "a@a." * many
    yield "Python", "def f():\n    return f()\n" * (many // 4)
    yield "Python in brackets", "```python\n" + "(" * many
    yield "blanks before a line end", (" " * 200 + "\n") * 4_000
    yield "template marks", "{{ {% {# ${ <% %s %n " * (many // 5)
    yield "a list that ends in the middle", json.dumps([{"name": "x", "price": n} for n in range(20_000)])[:-7]
    yield "the same key in all spellings", "{" + ", ".join(f'"\\u{ord("a"):04x}": {n}' for n in range(many)) + "}"
