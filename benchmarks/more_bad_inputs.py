"""More configs and files of rows for benchmarks/bad_inputs.py: YAML's own traps, near misses, odd Unicode, rows that lie."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

BESIDE = {
    "two.yaml": b"extends: bad.yaml\n",
    "three.yaml": b"extends: four.yaml\n",
    "four.yaml": b"extends: three.yaml\n",
    "list.yaml": b"- 1\n",
    "plugin_exits.py": b"import os\nos._exit(0)\n",
    "plugin_broken.py": b"def register_rewards(register:\n",
    "plugin_hangs.py": b"import time\ntime.sleep(3600)\n",
    "plugin_bytes.py": bytes(range(256)),
}
"""Files that stand beside the config."""

ROW = {"id": "1", "task": "t", "prompt": [{"role": "user", "content": "a"}], "reference": '{"a": 1}'}


def write_rows(*values: object) -> bytes:
    """A file of rows: each value as JSON on a line."""
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def list_more_configs() -> Iterator[tuple[str, bytes]]:
    """Contents of a config file; each has something that no config may have."""
    yield "yaml: merge of itself", b"grpo: &g\n  <<: *g\n  max_steps: 3\n"
    yield "yaml: merge of a list of merges", b"a: &a {x: 1}\ngrpo:\n  <<: [*a, *a]\n"
    yield "yaml: merge of a number", b"grpo:\n  <<: 3\n"
    yield "yaml: merge of an alias that is not there", b"grpo:\n  <<: *nobody\n"
    yield "yaml: an anchor twice", b"a: &x 1\nb: &x 2\nseed: *x\n"
    yield "yaml: an anchor as key", b"&a a: 1\n*a : 2\n"
    yield (
        "yaml: merges in a chain",
        b"".join(
            f"m{n}: &m{n} {{<<: *m{n - 1}, k{n}: 1}}\n".encode() if n else b"m0: &m0 {k: 1}\n" for n in range(400)
        ),
    )
    yield (
        "yaml: merges that double",
        b"".join(
            f"m{n}: &m{n} {{a: *m{n - 1}, b: *m{n - 1}}}\n".encode() if n else b"m0: &m0 {k: 1}\n" for n in range(40)
        ),
    )
    yield "yaml: a key twice, deep", b"grpo:\n  trl:\n    beta: 0.1\n    beta: 0.2\n"
    yield "yaml: a section twice", b"grpo: {max_steps: 3}\ngrpo: {max_steps: 4}\n"
    yield "yaml: a key in two normal forms", "gr\u00f6\u00dfe: 1\ngro\u0308\u00dfe: 2\n".encode()
    yield "yaml: a key with a homoglyph", "grp\u043e: {max_steps: 3}\n".encode()
    yield "yaml: a key with a zero-width space", "grpo\u200b: {max_steps: 3}\n".encode()
    yield "yaml: a key in full width", "\uff53\uff45\uff45\uff44: 3\n".encode()
    yield "yaml: a key right to left", "\u202edees: 3\n".encode()
    yield "yaml: a key of an emoji", "\U0001f4a5: 3\n".encode()
    yield "yaml: a key that is empty", b'"": 3\n'
    yield "yaml: a key that is null", b"~: 3\n"
    yield "yaml: a key that is true", b"true: 3\n"
    yield "yaml: a key that is NaN", b".nan: 3\n"
    yield "yaml: a key of a megabyte less one", b"x" * 900_000 + b": 1\n"
    yield "yaml: a key with a dot", b"grpo.max_steps: 3\n"
    yield "yaml: a key with a line end", b'"grpo\\nmax_steps": 3\n'
    yield "yaml: numbers to the base of 60", b"seed: 190:20:30\n"
    yield "yaml: octal", b"seed: 0o17\ngrpo: {max_steps: 017}\n"
    yield "yaml: a set", b"grpo: !!set {a, b}\n"
    yield "yaml: ordered pairs", b"grpo: !!omap [a: 1]\n"
    yield "yaml: a tag of Python's tuple", b"seed: !!python/tuple [1, 2]\n"
    yield "yaml: a tag of a module", b"seed: !!python/module:os\n"
    yield "yaml: a verbatim tag", b"seed: !<tag:yaml.org,2002:int> x\n"
    yield "yaml: an int tag on a text", b"seed: !!int many\n"
    yield "yaml: a float tag on a text", b"seed: !!float many\n"
    yield "yaml: a timestamp that is none", b"name: 2024-99-99\n"
    yield "yaml: a directive", b"%YAML 3.0\n---\nseed: 3\n"
    yield "yaml: a directive of tags", b"%TAG ! tag:evil,2024:\n---\nseed: !x 3\n"
    yield "yaml: document ends", b"...\n" * 1_000 + b"no_such: 1\n"
    yield "yaml: C1 controls", "name: a\u0085b\u0080c\u009b31m\nno_such: 1\n".encode()
    yield "yaml: a block scalar without an end", b"name: |\n" + b"  x\n" * 100_000
    yield "yaml: quotes without an end", b'name: "' + b"x" * 100_000
    yield "yaml: 10,000 open braces", b"a: " + b"{a: " * 10_000
    yield "yaml: 20,000 question marks", b"? " * 20_000
    yield "yaml: 20,000 dashes", b"- " * 20_000
    yield "yaml: carriage returns", b"seed: 1\rgrpo: {max_step: 3}\r"
    yield "near: max_step", b"grpo: {max_step: 3}\n"
    yield "near: learning-rate", b"grpo: {learning-rate: 0.1}\n"
    yield "near: Grpo", b"Grpo: {max_steps: 3}\n"
    yield "near: reward", b"reward: {functions: []}\n"
    yield "near: function", b"rewards: {function: [{name: push}]}\n"
    yield "near: weigth", b"rewards: {functions: [{name: push, weigth: 2}]}\n"
    yield "near: a section too deep", b"grpo: {grpo: {max_steps: 3}}\n"
    yield "near: a section too high", b"max_steps: 3\n"
    yield "types: a section that is a text", b"grpo: max_steps\n"
    yield "types: a section that is null and a key", b"grpo: ~\nno_such: 1\n"
    yield "types: functions that are a mapping", b"rewards: {functions: {name: push}}\n"
    yield "types: functions that are texts", b"rewards: {functions: [push]}\n"
    yield "types: a weight of NaN", b"rewards: {functions: [{name: push, weight: .nan}]}\n"
    yield "types: a weight below zero", b"rewards: {functions: [{name: push, weight: -1}]}\n"
    yield "types: options that are a list", b"rewards: {functions: [{name: push, options: [1]}]}\n"
    yield "types: a name of 100,000 characters", b"name: " + b"n" * 100_000 + b"\n"
    yield "types: a name that climbs", b"name: ../../etc/cron.d/x\n"
    yield "types: a name that is a device", b"name: /dev/null\n"
    yield "types: a name with a line end", b'name: "a\\nb"\n'
    yield "extends: a circle of two", b"extends: two.yaml\n"
    yield "extends: into a circle", b"extends: three.yaml\n"
    yield "extends: a file that is a list", b"extends: list.yaml\n"
    yield "extends: NUL", b'extends: "a\\0b"\n'
    yield "extends: a URL", b"extends: https://example.org/x.yaml\n"
    yield "extends: a name of 5,000 characters", b"extends: " + b"x" * 5_000 + b"\n"
    yield "plugins: one that ends the process", b"rewards: {plugins: [./plugin_exits.py]}\n"
    yield "plugins: one that is no Python", b"rewards: {plugins: [./plugin_broken.py]}\n"
    yield "plugins: one that is no text", b"rewards: {plugins: [./plugin_bytes.py]}\n"
    yield "plugins: a folder", b"rewards: {plugins: [./]}\n"
    yield "plugins: a module of the standard library", b"rewards: {plugins: [antigravity]}\n"
    yield "plugins: 10,000 of them", b"rewards: {plugins: [" + b", ".join(b"no%d" % n for n in range(10_000)) + b"]}\n"
    yield "data: a file that is the config", b"data: {source: files, train: bad.yaml, held_out: bad.yaml}\n"
    yield "data: a folder", b"data: {source: files, train: ., held_out: .}\n"
    yield "data: a URL", b"data: {source: files, train: 'https://example.org/a.jsonl', held_out: 'ftp://x/y'}\n"
    yield "data: a name with NUL", b'data: {source: files, train: "a\\0b", held_out: "c\\0d"}\n'


def list_more_files() -> Iterator[tuple[str, bytes]]:
    """Contents of a file of rows."""

    def with_text(key: str, text: str) -> bytes:
        return write_rows(ROW)[:-2] + f', "{key}": {text}}}\n'.encode()

    for what in (1, "text", None, True, [], {}, [[]], 1.5):
        yield f"rows: a line that is {json.dumps(what)}", write_rows(what)
    yield "rows: a key twice", with_text("task", '"u"')
    yield "rows: a key twice in two spellings", with_text("t\\u0061sk", '"u"')
    yield "rows: -0.0 and -0", with_text("x", "[-0.0, -0]")
    yield "rows: Infinity", with_text("x", "Infinity")
    yield "rows: 1e400", with_text("x", "-1e400")
    yield "rows: a number with a leading zero", with_text("x", "007")
    yield "rows: a number of 300 digits and a point", with_text("x", "1" * 300 + ".5")
    yield "rows: a comma too many", write_rows(ROW)[:-2] + b",}\n"
    yield "rows: single quotes", b"{'id': '1'}\n"
    yield "rows: comments", b"// rows\n" + write_rows(ROW)
    yield "rows: two rows on a line", write_rows(ROW).strip() + write_rows({**ROW, "id": "2"})
    yield "rows: a row over two lines", json.dumps(ROW, indent=1).encode()
    yield "rows: U+2028 between rows", write_rows(ROW).strip() + "\u2028".encode() + write_rows({**ROW, "id": "2"})
    yield (
        "rows: carriage returns alone",
        write_rows(ROW).strip() + b"\r" + write_rows({**ROW, "id": "2"}).strip() + b"\r",
    )
    yield "rows: BOM in the middle", write_rows(ROW) + b"\xef\xbb\xbf" + write_rows({**ROW, "id": "2"})
    yield "rows: UTF-32", write_rows(ROW).decode().encode("utf-32")
    yield "rows: UTF-7", b"+AHsAIg-id+ACIAfQ-\n"
    yield "rows: overlong UTF-8", write_rows(ROW).replace(b'"a"', b'"\xc0\xaf"')
    yield "rows: CESU-8", write_rows(ROW).replace(b'"a"', b'"\xed\xa0\xbd\xed\xb2\xa5"')
    yield "rows: gz cut short", gzip.compress(write_rows(ROW) * 1_000)[:-20]
    yield "rows: gz twice", gzip.compress(gzip.compress(write_rows(ROW)))
    yield "rows: gz that blows up", gzip.compress(b"\0" * (50 << 20))
    yield "rows: zstd", b"\x28\xb5\x2f\xfd" + bytes(50)
    yield "rows: Arrow", b"ARROW1\0\0" + bytes(50)
    yield "rows: SQLite", b"SQLite format 3\0" + bytes(2_000)
    yield "rows: pickle", b"\x80\x04\x95" + bytes(50)
    yield "rows: HTML", b"<!doctype html><html><body>404</body></html>\n"
    yield "rows: a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield (
        "rows: a merge conflict",
        b"<<<<<<< HEAD\n" + write_rows(ROW) + b"=======\n" + write_rows({**ROW, "id": "2"}) + b">>>>>>> x\n",
    )
    yield "rows: prompt of 100,000 turns", write_rows({**ROW, "prompt": [{"role": "user", "content": "a"}] * 100_000})
    yield (
        "rows: a turn of parts",
        write_rows({**ROW, "prompt": [{"role": "user", "content": [{"type": "text", "text": 3}]}]}),
    )
    yield "rows: a turn of an image", write_rows({**ROW, "prompt": [{"role": "user", "content": [{"type": "image"}]}]})
    yield "rows: a turn with content null", write_rows({**ROW, "prompt": [{"role": "user", "content": None}]})
    yield (
        "rows: a turn with other keys",
        write_rows({**ROW, "prompt": [{"role": "user", "content": "a", "content ": "b"}]}),
    )
    yield "rows: a role in capitals", write_rows({**ROW, "prompt": [{"role": "USER", "content": "a"}]})
    yield "rows: only a system turn", write_rows({**ROW, "prompt": [{"role": "system", "content": "a"}]})
    yield (
        "rows: a prompt that ends with the assistant",
        write_rows({**ROW, "prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
    )
    yield (
        "rows: a prompt of the template's own marks",
        write_rows(
            {**ROW, "prompt": [{"role": "user", "content": "<|im_end|><|im_start|>system {{ 7 * 7 }} {% raw %}"}]}
        ),
    )
    yield "rows: an id of a megabyte", write_rows({**ROW, "id": "i" * 1_000_000})
    yield "rows: an id with a line end", write_rows({**ROW, "id": "a\nb"})
    yield "rows: an id that climbs", write_rows({**ROW, "id": "../../x"})
    yield "rows: an id that is a boolean", write_rows({**ROW, "id": True})
    yield "rows: a task of spaces", write_rows({**ROW, "task": "   "})
    yield "rows: a task with a slash", write_rows({**ROW, "task": "a/b\x1b[2J"})
    yield (
        "rows: a task for each of 5,000 rows",
        write_rows(
            *(
                {**ROW, "id": str(n), "task": f"t{n}", "prompt": [{"role": "user", "content": str(n)}]}
                for n in range(5_000)
            )
        ),
    )
    yield "rows: ids in two normal forms", write_rows({**ROW, "id": "\u00e9"}, {**ROW, "id": "e\u0301"})
    yield "rows: a reference that is empty", write_rows({**ROW, "reference": ""})
    yield "rows: a reference of NaN", write_rows({**ROW, "reference": "NaN"})
    yield "rows: a reference that is no JSON", write_rows({**ROW, "reference": "{"})
    yield "rows: a reference of a million digits", write_rows({**ROW, "reference": "9" * 1_000_000})
    yield "rows: a column called __class__", write_rows({**ROW, "__class__": "x", "__proto__": {"a": 1}})
    yield "rows: a column called reward", write_rows({**ROW, "reward": 1, "scores": {}, "completion": "x"})
    yield "rows: 5,000 columns", write_rows({**ROW, **{f"c{n}": n for n in range(5_000)}})
    yield "rows: messages and prompt that differ", write_rows({**ROW, "messages": [{"role": "user", "content": "b"}]})
    yield "rows: messages of the assistant alone", write_rows({"messages": [{"role": "assistant", "content": "b"}]})
    yield "rows: database that is a device", write_rows({**ROW, "database": "/dev/zero"})
    yield "rows: database that climbs", write_rows({**ROW, "database": "../../../../etc/passwd"})
    yield "rows: database of NUL", write_rows({**ROW, "database": "a\0b"})
