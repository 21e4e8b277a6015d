"""Bad configs and bad files through the dry run: each must be refused in one line a fault, or be carried safely, in 10 s.

Of processor time, so that other work on the machine does not count; one that takes a minute by the clock hangs.

python benchmarks/bad_inputs.py
python benchmarks/bad_inputs.py --only yaml --json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from more_bad_inputs import BESIDE, ROW, list_more_configs, list_more_files, write_rows

SECONDS = 10.0
_NUMBERS = ("-1", "0", "1e308", "-1e308", "1e999", ".nan", ".inf", "2147483648", "9223372036854775808", "1" + "0" * 400,
            "0x10", "1_000", "'5'", "true", "null", "[]", "{}", "text", "1e-400")  # fmt: skip
_KEYS = ("grpo.max_steps", "grpo.learning_rate", "grpo.num_generations", "grpo.prompts_per_step", "grpo.temperature",
         "data.shop.train_rows", "threads", "model.embedded.hidden_size", "seed")  # fmt: skip


def list_configs() -> Iterator[tuple[str, bytes]]:
    """Contents of a config file."""
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    yield "yaml: billion laughs", laughs.encode()
    yield "yaml: an alias of itself", b"a: &a [*a]\n"
    yield "yaml: a mapping of itself", b"grpo: &g {max_steps: 3, trl: *g}\n"
    yield "yaml: merge keys", b"base: &b {max_steps: 3}\ngrpo:\n  <<: *b\n"
    yield "yaml: python object", b"!!python/object/apply:os.system ['echo owned']\n"
    yield "yaml: unknown tag", b"grpo: !secret 3\n"
    yield "yaml: tabs", b"grpo:\n\tmax_steps: 3\n"
    yield "yaml: two documents", b"seed: 1\n---\nseed: 2\n"
    yield "yaml: a key twice", b"seed: 1\nseed: 2\n"
    yield "yaml: deep flow", b"a: " + b"[" * 5_000 + b"]" * 5_000
    yield "yaml: deep block", "".join(" " * n + "a:\n" for n in range(2_000)).encode()
    yield "yaml: long line", b"name: " + b"x" * 5_000_000
    yield "yaml: many keys", "".join(f"k{n}: {n}\n" for n in range(50_000)).encode()
    yield "yaml: not UTF-8", b"name: \xff\xfe\n"
    yield "yaml: UTF-16", "name: x\n".encode("utf-16")
    yield "yaml: NUL", b"name: a\x00b\n"
    yield "yaml: escape sequences", b'name: "\\e]52;c;aGk=\\a"\n'
    yield "yaml: a lone surrogate", b'name: "\\ud800"\n'
    yield "yaml: empty", b""
    yield "yaml: a list", b"- a\n- b\n"
    yield "yaml: a number", b"3\n"
    yield "yaml: JSON", b'{"grpo": {"max_steps": 3, "no_such": 1}}'
    yield "yaml: gz", gzip.compress(b"seed: 1\n")
    yield "yaml: a key that is a list", b"? [a, b]\n: 1\n"
    yield "yaml: a key that is a number", b"3: 4\n"
    yield "yaml: a big integer key", b"1" + b"0" * 5_000 + b": 4\n"
    yield "yaml: a date", b"seed: 2024-01-01\n"
    yield "yaml: a binary", b"name: !!binary aGVsbG8=\n"
    yield "extends: itself", b"extends: bad.yaml\n"
    yield "extends: nothing", b"extends: no_such_file.yaml\n"
    yield "extends: a folder", b"extends: /tmp\n"
    yield "extends: a device", b"extends: /dev/zero\n"
    yield "extends: a list", b"extends: [a, b]\n"
    yield "extends: outside", b"extends: /etc/passwd\n"
    yield "rewards: unknown", b"rewards: {functions: [{name: no_such}]}\n"
    yield (
        "rewards: weight 1e308 twice",
        b"rewards: {functions: [{name: push, weight: 1e308}, {name: insights, weight: 1e308}]}\n",
    )
    yield "rewards: a plugin that is not there", b"rewards: {plugins: [./no_such.py]}\n"
    yield "rewards: a plugin that is a device", b"rewards: {plugins: [/dev/zero]}\n"
    yield "rewards: none", b"rewards: {functions: []}\n"
    yield "rewards: a function twice", b"rewards: {functions: [{name: push}, {name: push}]}\n"
    yield "model: a secret", b"model: {name: hf_abcdefghijklmnopqrstuvwxyzABCDEFGH}\n"
    yield "model: remote code", b"model: {trust_remote_code: true}\n"
    yield "data: files that are none", b"data: {source: files, train: [no.jsonl], held_out: [no.jsonl]}\n"
    yield "data: the same file twice", b"data: {source: files, train: [a.jsonl], held_out: [a.jsonl]}\n"
    yield "data: a device", b"data: {source: files, train: [/dev/zero], held_out: [/dev/zero]}\n"
    yield "data: a glob that runs wild", b"data: {source: files, train: ['/**/*'], held_out: ['/**/*']}\n"
    for key in _KEYS:
        for number in _NUMBERS:
            yield f"number: {key}={number[:12]}", f"{key}={number}".encode()


def list_files() -> Iterator[tuple[str, bytes]]:
    """Contents of a file of rows."""

    def rows(*changed: dict[str, object], count: int = 0) -> bytes:
        plain = [{**ROW, "id": str(n), "prompt": [{"role": "user", "content": f"q{n}"}]} for n in range(count)]
        return write_rows(*plain, *changed)

    deep: object = 1
    for _ in range(900):
        deep = [deep]
    for where in ("prompt", "id", "task", "reference", "column"):
        content = {"prompt": [{"role": "user", "content": "\ud800"}], "column": "\ud800"}.get(where, "\ud800")
        yield f"rows: a lone surrogate in {where}", rows({**ROW, ("x" if where == "column" else where): content})
    yield "rows: a key that is a lone surrogate", rows({**ROW, "\ud800": 1})
    yield "rows: an integer of 5,000 digits", rows(ROW)[:-2] + b', "n": ' + b"1" * 5_000 + b"}\n"
    yield "rows: an integer of 65 bits", rows(ROW)[:-2] + b', "n": 36893488147419103232}\n'
    yield "rows: 900 levels", rows({**ROW, "x": deep})
    yield "rows: a reference of 2,000 levels", rows({**ROW, "reference": "[" * 2_000 + "]" * 2_000})
    yield "rows: 20,000 levels", b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}\n"
    yield "rows: NaN", rows(ROW)[:-2] + b', "n": NaN}\n'
    yield "rows: 1e999", rows(ROW)[:-2] + b', "n": 1e999}\n'
    yield "rows: a line of 100 MB", rows({**ROW, "x": "y" * (100 << 20)})
    yield "rows: no line end", rows(ROW).rstrip()
    yield "rows: half a line", rows(ROW)[:40]
    yield "rows: BOM", b"\xef\xbb\xbf" + rows(ROW)
    yield "rows: UTF-16", rows(ROW).decode().encode("utf-16")
    yield "rows: gz", gzip.compress(rows(ROW))
    yield "rows: zip", b"PK\x03\x04" + bytes(100)
    yield "rows: parquet", b"PAR1" + bytes(100)
    yield "rows: latin-1", '{"id": "é"}\n'.encode("latin-1")
    yield "rows: one array", json.dumps([ROW], indent=1).encode()
    yield "rows: CSV", b"id,task\n1,t\n"
    yield "rows: empty", b""
    yield "rows: blank lines", b"\n" * 100_000
    yield "rows: NULs", bytes(10_000)
    yield "rows: one million brackets", b"[" * 1_000_000
    yield "rows: the same id", rows(ROW, ROW)
    yield "rows: the same prompt in both", rows(ROW, {**ROW, "id": "2"})
    for key, value in (("id", 3), ("id", ""), ("task", None), ("task", "all"), ("prompt", "text"), ("prompt", []), ("prompt", [1]),
                       ("prompt", [{"role": "king", "content": "x"}]), ("prompt", [{"role": "user"}]), ("reference", {"a": 1}),
                       ("database", "/no/such.db"), ("database", 3), ("messages", []), ("messages", [{"role": "user", "content": "x"}])):  # fmt: skip
        yield f"rows: {key} is {json.dumps(value)[:30]}", rows({**ROW, key: value})
    for key in ("id", "task", "prompt", "reference"):
        yield f"rows: without {key}", rows({name: value for name, value in ROW.items() if name != key})
    yield "rows: an endless prompt", rows({**ROW, "prompt": [{"role": "user", "content": "x " * 2_000_000}]})
    yield (
        "rows: a prompt of escapes",
        rows({**ROW, "prompt": [{"role": "user", "content": "\x1b]52;c;aGk=\x07" * 100}]}),
    )
    yield "rows: 40 columns with odd names", rows({**ROW, **{f"__{n}__\n": n for n in range(40)}})


def run_case(folder: Path, name: str, content: bytes) -> tuple[str, str, float]:
    """`refused` in this many lines, `accepted`, or what is wrong; the last line; seconds."""
    words = ["--dry-run", "--quiet", "--profile", "embedded", "--config"]
    if name.startswith("rows"):
        (folder / "train.jsonl").write_bytes(content)
        (folder / "held.jsonl").write_bytes(
            json.dumps({**ROW, "id": "h", "prompt": [{"role": "user", "content": "z"}]}).encode() + b"\n"
        )
        text = "extends: base.yaml\ndata: {source: files, train: train.jsonl, held_out: held.jsonl}\nrewards: {functions: [{name: json_valid}]}\n"
        (folder / "bad.yaml").write_text(text)
        # One row is enough to train on: what is wrong with it must not hide behind their number.
        words = ["--set", "grpo.prompts_per_step=1", *words]
    else:
        (folder / "bad.yaml").write_bytes(content)
    words.append(str(folder / "bad.yaml"))
    if name.startswith("number"):
        # Above the profile's own numbers, which would hide it.
        words[-1:] = ["v4_1.yaml", "--set", content.decode()]
    errors = folder / "errors"
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        out = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        leave_with("grpo.run", words)
    status, usage = wait_for(child, started)
    took = time.monotonic() - started if status is None else usage.ru_utime + usage.ru_stime
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hang", "", took
    said = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    last = said[-1] if said else ""
    if "Traceback" in "\n".join(said) or os.WIFSIGNALED(status):
        return "crash", last, took
    code = os.WEXITSTATUS(status)
    if took > SECONDS:
        return "slow", last, took
    if code == 2:
        fit = len(said) <= 25 and all(len(line) < 4_200 and "\x1b" not in line for line in said)
        return ("refused" if fit and said else "ill-said"), last, took
    return ("accepted" if code == 0 else f"exit {code}"), last, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    import grpo.run  # noqa: F401  (once for all that are forked)
    from grpo.data.run_rows import load_inputs  # noqa: F401
    from grpo.plan.make_plan import make_plan  # noqa: F401
    from grpo.preflight import run_preflight  # noqa: F401

    results = {}
    with tempfile.TemporaryDirectory(prefix="recompensa-bad-") as folder:
        for name, content in BESIDE.items():
            Path(folder, name).write_bytes(content)
        for name, content in (*list_configs(), *list_more_configs(), *list_files(), *list_more_files()):
            if options.only in name:
                results[name] = run_case(Path(folder), name, content)
                if results[name][0] not in ("refused", "accepted"):
                    print(
                        f"{results[name][0]:9} {results[name][2]:5.1f} s  {name:45} {results[name][1][:120]}",
                        file=sys.stderr,
                    )
    show_results(results, options.json)


def leave_with(module: str, words: list[str], before: Callable[[], object] = bool) -> NoReturn:
    """End this fork with the exit code of a command: 70 after a traceback, 71 for an exit that is no number."""
    code = 70
    try:
        before()
        code = import_module(module).main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 71
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def wait_for(child: int, started: float) -> tuple[int | None, Any]:
    """The status of a fork, None where it does not end in time, and what it used."""
    status, usage = None, None
    while status is None and time.monotonic() - started < 6 * SECONDS:
        found, ended, usage = os.wait4(child, os.WNOHANG)
        status = ended if found else None
        time.sleep(0.02)
    return status, usage


def show_results(results: dict[str, tuple], as_json: bool) -> None:
    """How many cases ended in which way; as JSON with each of them."""
    counted = {
        kind: sum(found == kind for found, *_ in results.values())
        for kind in sorted({found for found, *_ in results.values()})
    }
    if as_json:
        print(json.dumps({"cases": len(results), "counted": counted, "results": results}))
    else:
        print(f"{len(results)} cases: " + ", ".join(f"{count} {kind}" for kind, count in counted.items()))


if __name__ == "__main__":
    main()
