"""A disk that fills up, becomes read-only or is taken away while a run trains: it ends in order, and resumes to the same numbers.

mount -t tmpfs -o size=60m tmpfs /mnt/small && python benchmarks/full_disk.py --disk /mnt/small
python benchmarks/full_disk.py --deletions 40 --seed 3      only the deletions, each as the run is about to write one of its files
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def delete_at(run: Path, number: int, spared: tuple[str, ...], counted: Path) -> Callable[[], None]:
    """In the run's own process: as it is about to open, make or move its `number`th file, the folder is deleted.

    But for the files in `spared`: whoever deletes a folder comes to them a moment later. How many there were is `counted`.
    """
    events = ("open", "os.mkdir", "os.rename", "os.remove")
    seen = [0]

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in events or not arguments or not isinstance(arguments[0], (str, bytes, Path)):
            return
        if str(run) not in str(arguments[0]) or (event == "open" and "r" in str(arguments[1] or "w")):
            return
        seen[0] += 1
        if seen[0] == number:
            for path in sorted(run.rglob("*"), reverse=True):
                if path.is_file() and path.name not in spared:
                    path.unlink(missing_ok=True)
            if not spared:
                shutil.rmtree(run, ignore_errors=True)
        if number == 0:
            counted.write_text(str(seen[0]))

    def begin() -> None:
        if number:
            sys.addaudithook(look)
            return
        # Counting writes a file itself.
        busy: list[bool] = []

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            if not busy:
                busy.append(True)
                look(event, arguments)
                busy.clear()

        sys.addaudithook(count)

    return begin


def delete_at_random(folder: Path, times: int, seed: int) -> None:
    """The folder gone at random moments of writing: each must end in a line or two, 75, 2 or 0, and never in a traceback."""
    rng = random.Random(seed)
    run, counted = folder / "counting", folder / "counted"
    code, errors = run_command(*start_words(run), first=delete_at(run, 0, (), counted))
    assert code == 0, errors
    writes = int(counted.read_text())
    bad = 0
    for time in range(times):
        run, number = folder / f"deleted-{time}", rng.randint(1, writes)
        spared = rng.choice(((), ("config.json", "identity.json"), ("config.json",), ("metrics.jsonl", "status.json")))
        code, errors = run_command(*start_words(run), first=delete_at(run, number, spared, counted))
        said = [line for line in errors.splitlines() if line.strip()]
        held = code in (0, 2, 75) and "Traceback" not in errors and len(said) <= 3
        bad += not held
        told = "held" if held else "NOT HELD"
        print(
            f"deleted at write {number} of {writes}, but for {spared}: {told}, exit {code}: {'; '.join(said)[-200:]}",
            flush=True,
        )
        shutil.rmtree(run, ignore_errors=True)
    print(f"{times - bad} of {times} deletions told in a line or two")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--disk", type=Path, help="a small file system of its own, 60 MB or so")
    parser.add_argument(
        "--deletions", type=int, default=0, metavar="N", help="delete the run's folder at N random writes"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.disk is None and not options.deletions:
        parser.error("give --disk, --deletions or both")
    if options.deletions:
        with tempfile.TemporaryDirectory(prefix="recompensa-deletions-") as folder:
            delete_at_random(Path(folder), options.deletions, options.seed)
    if options.disk is None:
        return
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
