"""A disk that fills up, becomes read-only or is taken away while a run trains: it ends in order, and resumes to the same numbers.

mount -t tmpfs -o size=60m tmpfs /mnt/small && python benchmarks/full_disk.py --disk /mnt/small
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from damages import judge, reached, run_command, start_words


def fill(disk: Path) -> None:
    """Take all the room there is."""
    with (disk / "filler").open("wb", buffering=0) as file:
        block = b"\0" * 65_536
        while True:
            try:
                file.write(block)
            except OSError:
                if len(block) == 1:
                    return
                block = block[: len(block) // 2]


def once(condition: Callable[[], bool], act: Callable[[], None]) -> Callable[[], bool]:
    """For `run_command`: act the first time the condition holds, and never end the process."""
    done = []

    def look() -> bool:
        if not done and condition():
            done.append(True)
            act()
        return False

    return look


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--disk", type=Path, required=True, help="a small file system of its own, 60 MB or so")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recompensa-full-disk-") as folder:
        whole = Path(folder, "whole")
        code, errors = run_command(*start_words(whole))
        assert code == 0, errors
        for step in (1, 2, 3, 5):
            run = options.disk / "run"
            shutil.rmtree(run, ignore_errors=True)
            code, errors = run_command(
                *start_words(run), until=once(lambda run=run, step=step: reached(run, step), lambda: fill(options.disk))
            )
            (options.disk / "filler").unlink(missing_ok=True)
            said = [line for line in errors.splitlines() if line.strip()]
            ended = "in order" if code == 75 and "Traceback" not in errors else f"exit {code}"
            result = judge(run, whole, *run_command("--resume", str(run), "--quiet"))
            print(
                f"full after step {step}: ended {ended} ({'; '.join(said)[:200]}), then {result[0]} {result[1][:100]}"
            )
        shutil.rmtree(options.disk / "run", ignore_errors=True)
        run = Path(folder, "gone")
        code, errors = run_command(
            *start_words(run), until=once(lambda: reached(run, 2), lambda: shutil.rmtree(run, ignore_errors=True))
        )
        print(f"folder deleted: exit {code}: {'; '.join(errors.splitlines())[-400:]}")


if __name__ == "__main__":
    main()
