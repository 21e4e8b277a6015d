"""`python -m tests.fuzz`: minutes of fuzzing over every target, guided by coverage where atheris is installed.

What is found is kept in tests/fuzz/corpus, and from then on every run of the tests tries it.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    parser.add_argument("--target", action="append", default=[], help="one target (repeatable); all without it")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.one:
        fuzz_one(options.one, options.seconds, options.seed)
        return
    from tests.fuzz.targets import TARGETS

    failed = []
    names = options.target or list(TARGETS)
    for name in names:
        share = options.seconds / len(names)
        words = [
            sys.executable,
            "-m",
            "tests.fuzz",
            "--one",
            name,
            "--seconds",
            str(share),
            "--seed",
            str(options.seed),
        ]
        code = subprocess.run(words, check=False).returncode
        print(f"{name}: {'found something' if code else 'nothing found'} in {share:.0f} s", flush=True)
        failed += [name] if code else []
    sys.exit(1 if failed else 0)


def fuzz_one(name: str, seconds: float, seed: int) -> None:
    """One target in this process; ends with 1 where an input fails, which is then in the corpus."""
    try:
        import atheris
    except ImportError:
        mutate(name, seconds, seed)
        return
    with atheris.instrument_imports(include=["rewards", "grpo"]):
        from tests.fuzz.targets import SECONDS, TARGETS

        TARGETS[name](b"")  # what a target imports as it is first called is guided too

    found = CORPUS / name
    words = [sys.argv[0], f"-max_total_time={int(seconds)}", "-max_len=8192", f"-timeout={int(4 * SECONDS)}",
             f"-artifact_prefix={found}/found-", f"-seed={seed or 1}", "-verbosity=0"]  # fmt: skip
    work = Path(os.environ.get("RECOMPENSA_FUZZ_CORPUS", "/tmp")) / f"recompensa-fuzz-{name}"
    work.mkdir(parents=True, exist_ok=True)
    atheris.Setup([*words, str(work), str(found)], TARGETS[name])
    atheris.Fuzz()


def mutate(name: str, seconds: float, seed: int) -> None:
    """Without atheris: pieces of the corpus cut, doubled, joined and flipped at random."""
    from tests.fuzz.targets import SECONDS, TARGETS

    rng = random.Random(seed)
    inputs = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())] or [b""]
    ends = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < ends:
        content = bytearray(rng.choice(inputs))
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(content) + 1)
            other = rng.choice(inputs)
            cut = rng.randrange(len(other) + 1)
            content[at : at + rng.choice((0, 1, 4, 30))] = rng.choice(
                (
                    bytes([rng.randrange(256)]),
                    other[cut : cut + rng.randint(1, 40)],
                    content[at : at + 20] * rng.randint(2, 30),
                )
            )
        faulthandler.dump_traceback_later(4 * SECONDS, exit=True)
        try:
            TARGETS[name](bytes(content[:8192]))
        except BaseException:
            digest = hashlib.sha256(content).hexdigest()[:12]
            (CORPUS / name / f"found-{digest}").write_bytes(bytes(content[:8192]))
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
        tried += 1
    print(f"{name}: {tried:,} inputs")


if __name__ == "__main__":
    main()
