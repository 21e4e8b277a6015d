"""Files that are none, torn or in another encoding, through every command that reads one: lines and an exit code, in 10 s.

python benchmarks/odd_files.py
python benchmarks/odd_files.py --only "UTF-32" --json

Each command is a fork of this process, without root's leave to read everything, so that permissions count. Of processor time; a
minute by the clock is a hang. A file that a command reads all the same is `accepted`.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import io
import json
import os
import shutil
import signal
import socket
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from bad_inputs import SECONDS, leave_with, show_results, wait_for

_ROW = {"id": "1", "task": "t", "prompt": [{"role": "user", "content": "ação {}"}], "reference": '{"a": 1}'}
_LINES = "".join(
    json.dumps({**_ROW, "id": str(n), "completion": "x"}, ensure_ascii=False).replace("{}", str(n)) + "\n"
    for n in range(20)
)
Make = Callable[[Path], None]
SUFFIXES = {
    "plan": ".yaml", "run": ".yaml", "run with a plugin": ".py", "harness": ".yaml", "from-trl": ".yaml",
    "rewards serve": ".yaml", "resume": "", "evaluate a model": "", "report": "", "watch": "", "checklist": "", "prune": "",
    "export": "", "chat": "",
}  # fmt: skip
"""What a file is called for the commands that look at it; `.jsonl` for the others."""


def content(data: bytes) -> Make:
    return lambda path: path.write_bytes(data) and None


def bind(path: Path) -> None:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as there:
        there.bind(str(path))


def forbid(path: Path) -> None:
    path.write_text(_LINES)
    path.chmod(0)


def forbid_folder(path: Path) -> None:
    path.mkdir()
    (path / "config.json").write_text("{}")
    path.chmod(0)


def make_circle(path: Path) -> None:
    path.mkdir()
    (path / "config.json").symlink_to(path)


def make_tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(__file__, arcname="../../x")
    return made.getvalue()


def make_zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../xl/workbook.xml", b"\0" * 50_000_000)
    return made.getvalue()


def make_parquet(cut: bool) -> bytes:
    import pyarrow as arrow
    from pyarrow import parquet

    made = io.BytesIO()
    parquet.write_table(arrow.table({"a": list(range(5_000)), "b": ["x" * 20] * 5_000}), made)
    whole = made.getvalue()
    return whole[:2_000] + whole[3_000:] if cut else whole


def list_kinds() -> dict[str, Make]:
    """What may lie where a file is asked for, by name."""
    bomb = gzip.compress(b'{"a": 1}\n' * 30_000_000, 1)
    kinds: dict[str, Make] = {
        "a pipe": os.mkfifo,
        "a socket": bind,
        "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
        "/dev/tty": lambda path: path.symlink_to("/dev/tty"),
        "/proc/self/mem": lambda path: path.symlink_to("/proc/self/mem"),
        "a folder": Path.mkdir,
        "a folder of itself": make_circle,
        "a broken link": lambda path: path.symlink_to("nowhere"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a file that may not be read": forbid,
        "a folder that may not be read": forbid_folder,
        "gz that blows up": content(bomb),
        "a tar": content(make_tar()),
        "a zip that climbs and blows up": content(make_zip()),
        "a torn Parquet file": content(make_parquet(cut=True)),
        "a Parquet file of other columns": content(make_parquet(cut=False)),
        "xz": content(b"\xfd7zXZ\x00" + bytes(50)),
        "bzip2": content(b"BZh9" + bytes(50)),
        "PDF": content(b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n" + bytes(500)),
        "PNG": content(b"\x89PNG\r\n\x1a\n" + bytes(500)),
        "safetensors": content(b"\x10\0\0\0\0\0\0\0" + b'{"a":{"dtype":1}' + bytes(50)),
        "NULs": content(bytes(2_000_000)),
        "rows with NULs": content(_LINES.replace("ação", "a\0b").encode()),
        "a CSV with NULs": content(b"prompt,reference\na\0b,c\n" * 50),
        "a CSV whose quote never ends": content(b'prompt,reference\n"a' + b"x,y\n" * 200_000),
        "a CSV with a field of 20 MB": content(b"prompt,reference\n" + b"a" * 20_000_000 + b",b\n"),
        "a CSV of 50,000 columns": content(
            b",".join(b"c%d" % n for n in range(50_000)) + b"\n" + b",".join([b"1"] * 50_000)
        ),
        "one line of 40 MB": content(b'{"a": "' + b"x" * 40_000_000 + b'"}\n'),
        "30 MB of brackets": content(b"[" * 30_000_000),
        "200,000 levels": content(b'{"a":' * 200_000),
        "numbers that are none": content(b'{"a": NaN, "b": 1e999, "c": -Infinity, "d": 1' + b"0" * 6_000 + b"}\n"),
        "lone surrogates": content(b'{"id": "\\ud800", "prompt": "\\udfff", "\\ud800": ["\\udc00"]}\n' * 30),
        "escape sequences": content(b'{"\\u001b[2J\\u009b31m": "\\u001b]52;c;aGk=\\u0007", "id": "\\u202e"}\n' * 3),
        "the letter a": content(b"a"),
        "null": content(b"null\n"),
        "a list of lists": content(b"[[[1], [2]], [[3]]]\n"),
    }
    for coding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        marked = {
            "utf-16-le": b"\xff\xfe",
            "utf-16-be": b"\xfe\xff",
            "utf-32-le": b"\xff\xfe\0\0",
            "utf-32-be": b"\0\0\xfe\xff",
        }
        name = coding.upper()
        kinds[f"{name} without a mark"] = content(_LINES.encode(coding))
        kinds[f"{name} with its mark"] = content(marked[coding] + _LINES.encode(coding))
        kinds[f"{name}, cut"] = content(marked[coding] + _LINES.encode(coding)[:-1])
        kinds[f"{name}, the mark alone"] = content(marked[coding])
    kinds["UTF-8's mark alone"] = content(b"\xef\xbb\xbf")
    kinds["UTF-8's mark twice"] = content(b"\xef\xbb\xbf" * 2 + _LINES.encode())
    kinds["EBCDIC"] = content(_LINES.encode("cp500", "replace"))
    return kinds


def list_commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """Every command that is given a path, with `{}` where it goes."""
    good, config, out = str(folder / "good.jsonl"), str(folder / "config.yaml"), str(folder / "out")
    push = ("--reward", "json_valid")
    return {
        "plan": ("plan", "--config", "{}"),
        "run": ("run", "--dry-run", "--config", "{}"),
        "run on rows": ("run", "--dry-run", "--quiet", "--config", config, "--set", "data.train={}"),
        "run with a plugin": ("run", "--dry-run", "--quiet", "--config", config, "--set", "rewards.plugins=[{}]"),
        "resume": ("run", "--resume", "{}"),
        "init": ("init", "{}", "--out", out),
        "audit": ("rewards", "audit", "--data", "{}", "--held-out", good),
        "score": ("rewards", "score", *push, "--input", "{}"),
        "rescore": ("rewards", "rescore", "{}", *push),
        "explain": ("rewards", "explain", "{}", "--id", "1"),
        "attack": ("rewards", "attack", "json_valid", "--data", "{}"),
        "rewards export": ("rewards", "rows", "--for", "trl", "--input", "{}", "--output", out),
        "stats": ("data", "stats", "{}"),
        "validate": ("data", "validate", "{}"),
        "filter": ("data", "filter", "{}", "--out", out, "--max-characters", "90"),
        "split": ("data", "split", "{}", "--out", out, "--shares", "train=0.9,test=0.1"),
        "dedup": ("data", "dedup", "{}", "--out", out),
        "merge": ("data", "merge", "{}", good, "--out", out),
        "mix": ("data", "mix", "--part", "{}=1", "--rows", "5", "--out", out),
        "evaluate": ("evaluate", "--model", str(folder / "none"), "--data", "{}", "--config", config, "--out", out),
        "evaluate a model": ("evaluate", "--model", "{}", "--data", good, "--config", config, "--out", out),
        "compare": ("compare", "{}", "{}"),
        "leaderboard": ("leaderboard", "{}"),
        "tables": ("tables", "{}", "--out", out),
        "harness": ("harness", "check", "{}"),
        "checklist": ("checklist", "{}"),
        "report": ("report", "{}"),
        "watch": ("watch", "{}", "--once"),
        "decide": ("decide", "{}"),
        "decide on a history": ("decide", "--metrics", "{}", "--config", "v4_1.yaml"),
        "from-trl": ("config", "from-trl", "{}"),
        "prune": ("prune", "{}", "--keep", "best"),
        "export": ("export", "{}", "--to", out),
        "chat": ("chat", "{}"),
        "rewards serve": ("rewards", "serve", "--config", "{}", "--port", "1"),
    }


def obey_permissions() -> None:
    """Without root's leave to read whatever there is (Linux): capabilities 1 and 2 of this process are dropped."""
    if os.getuid() == 0 and sys.platform == "linux":
        head, rest = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        libc = ctypes.CDLL(None)
        libc.capget(head, rest)
        for at in range(3):  # effective, permitted, inheritable of the first 32
            rest[at] &= ~0b110
        libc.capset(head, rest)


def run_case(folder: Path, words: list[str]) -> tuple[str, str, float]:
    """What became of it, what was said last, seconds of processor time."""
    said, started = folder / "said", time.monotonic()
    said.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        leave_with("grpo.console", words, before=obey_permissions)
    status, usage = wait_for(child, started)
    if status is None:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hang", "", time.monotonic() - started
    took = usage.ru_utime + usage.ru_stime
    lines = [line for line in said.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if "Traceback" in "\n".join(lines) or os.WIFSIGNALED(status):
        return "crash", last, took
    code = os.WEXITSTATUS(status)
    if took > SECONDS:
        return "slow", last, took
    if code == 0:
        return "accepted", last, took
    told = lines and len(lines) <= 30 and all(len(line) < 4_200 and "\x1b" not in line for line in lines)
    return ("refused" if code in (1, 2) and told else f"ill-said ({code})"), last, took


def list_cases(folder: Path, only: str) -> Iterator[tuple[str, list[str]]]:
    """Each kind of file through each command; the file is made anew each time."""
    for kind, make in list_kinds().items():
        for name, words in list_commands(folder).items():
            if only not in f"{name}: {kind}":
                continue
            path = folder / f"odd{SUFFIXES.get(name, '.csv' if 'CSV' in kind else '.jsonl')}"
            for left in folder.glob("odd*"):
                if left.is_dir() and not left.is_symlink():
                    left.chmod(0o700)
                    shutil.rmtree(left)
            for left in folder.glob("odd*"):
                left.unlink(missing_ok=True)
            shutil.rmtree(folder / "out", ignore_errors=True)
            make(path)
            yield f"{name}: {kind}", [word.replace("{}", str(path)) for word in words]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds this")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", action="store_true", help="each case with what was said")
    options = parser.parse_args()
    import grpo.run  # noqa: F401  (once for all that are forked)
    from grpo.data.run_rows import load_inputs  # noqa: F401
    from grpo.plan.make_plan import make_plan  # noqa: F401
    from grpo.preflight import run_preflight  # noqa: F401

    results = {}
    with tempfile.TemporaryDirectory(prefix="recompensa-odd-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "good.jsonl").write_text(_LINES)
        (folder / "held.jsonl").write_text(
            json.dumps({**_ROW, "id": "h", "prompt": [{"role": "user", "content": "z"}]})
        )
        (folder / "config.yaml").write_text(
            "extends: v4_1.yaml\ndata: {source: files, train: good.jsonl, held_out: held.jsonl}\n"
            "rewards: {functions: [{name: json_valid}]}\n"
        )
        for case, words in list_cases(folder, options.only):
            results[case] = found = run_case(folder, words)
            if options.show or found[0] not in ("refused", "accepted"):
                print(f"{found[0]:12} {found[2]:5.1f} s  {case:50} {found[1][:200]}", file=sys.stderr, flush=True)
    show_results(results, options.json)


if __name__ == "__main__":
    main()
