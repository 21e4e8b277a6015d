"""Runs every shipped recipe on the embedded profile and says whether each learnt: all together under 15 minutes.

    python benchmarks/recipes.py                       all of them, two at a time with a thread each
    python benchmarks/recipes.py --only tmf921         those whose name begins so
    python benchmarks/recipes.py --seed 43             with another seed than the recipes' own
    python benchmarks/recipes.py --folder runs/all     keep the runs; the same command goes on where it was stopped
    python benchmarks/recipes.py --folder runs/all --write     and put the table into configs/README.md
    python benchmarks/recipes.py --whole --only v4_1   as the profile has it, not shortened

A recipe learnt where the paired gain of its held-out reward, over its warm-up (over the start of a run that is all SFT), has a
95 % interval clear of zero. Recipes that continue another one take the run of it from the same folder. Recipes of which the
profile leaves the same settings (they differ in the model alone) are one run; the shop's are shortened to 400 and 60 steps.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from grpo.config.loading import list_configs, load_config

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "configs" / "README.md"
BEGIN, END = "<!-- benchmarks/recipes.py --write -->", "<!-- the end of what it writes -->"
MINUTES = 15
# Of the shop's recipes: a third of the warm-up's steps, and a quarter of GRPO's.
SHORT = ("sft_warmup.max_steps=400", "grpo.max_steps=60", "grpo.save_every_steps=60", "evaluation.every_steps=60")
CONTINUED = {"tmf921_stage2": "tmf921_stage1", "tmf921_grpo": "tmf921_stage1"}
HEAD = "| recipe | start | end | gain (95 % interval) | rows | run | processor | |\n|---|---|---|---|---|---|---|---|"


def list_recipes(only: str) -> list[str]:
    """The shipped recipes in an order in which each comes after the one that it continues."""
    names = [name for name in list_configs() if name != "base" and name.startswith(only)]
    # Nine models, one rehearsal: on this profile each of these is `personas`.
    names = [name for name in names if not name.startswith("personas_") or only.startswith("personas_")]
    wanted = {CONTINUED[name] for name in names if name in CONTINUED}
    return sorted({*names, *wanted}, key=lambda name: (name not in CONTINUED.values(), name not in CONTINUED, name))


def group_recipes(names: list[str]) -> list[list[str]]:
    """Names of recipes that are one run under this profile, in their order; the first of each is the one that is run."""
    groups: dict[str, list[str]] = {}
    for name in names:
        resolved = load_config(name, [], "embedded").model_dump(mode="json")
        # Which model a policy made on the spot stands for changes nothing of it.
        left = {**resolved, "name": None, "model": resolved["model"]["embedded"], "continued": CONTINUED.get(name)}
        groups.setdefault(json.dumps(left, sort_keys=True), []).append(name)
    return list(groups.values())


def run_recipes(groups: list[list[str]], folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """`--jobs` runs at a time, each after the one that it continues; a line for each as it ends, in the order of the groups."""
    done: dict[str, dict[str, Any]] = {}
    waiting, running = list(groups), dict[Future[dict[str, Any]], list[str]]()
    with ThreadPoolExecutor(options.jobs) as pool:
        while waiting or running:
            ready = [names for names in waiting if CONTINUED.get(names[0]) in {None, *done}]
            for names in ready[: options.jobs - len(running)]:
                waiting.remove(names)
                running[pool.submit(run_recipe, names[0], folder, options)] = names
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                names = running.pop(future)
                done[names[0]] = {**future.result(), "recipes": names}
                if not options.json:
                    print(say(done[names[0]]), flush=True)
    return [done[names[0]] for names in groups]


def run_recipe(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One run; its gain, the means it lies between, and the seconds it took. One that the folder has finished is only read."""
    shop = load_config(name, [], "embedded").data.source == "shop"
    settings = [f"threads={options.threads}", "tracking.wandb=off", *(SHORT if shop and not options.whole else ())]
    if options.seed is not None:
        settings.append(f"seed={options.seed}")
    if name in CONTINUED:
        settings.append(f"continue_from={folder / CONTINUED[name]}")
    run, kept = folder / name, folder / f"{name}.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text())
        if found["settings"] == settings:
            return found
        raise SystemExit(f"{kept}: of a run with {' '.join(found['settings'])}; give another --folder")
    # What was stopped begins anew: its seconds are part of the answer.
    shutil.rmtree(run, ignore_errors=True)
    words = [sys.executable, "-m", "grpo.run", "--config", name, "--profile", "embedded", "--run-dir", str(run)]
    code, seconds, processor, said = time_command(
        [*words, "--quiet", *(part for each in settings for part in ("--set", each))],
        {**os.environ, "RECOMPENSA_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": str(options.threads)},
    )
    if code not in (0, 3):
        raise SystemExit(f"{name}: exit code {code}\n{said[-2000:]}")
    found = {
        "recipe": name, "settings": settings, "seconds": round(seconds, 1), "processor_seconds": round(processor, 1),
        "exit": code, **read_gain(run),
    }  # fmt: skip
    kept.write_text(json.dumps(found, indent=2) + "\n")
    return found


def time_command(words: list[str], environment: dict[str, str]) -> tuple[int, float, float, str]:
    """Exit code, seconds, seconds of processor time with those of its own processes, and what it said on stderr."""
    begun = time.perf_counter()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: said.append(process.stderr.read()))  # type: ignore[union-attr]
    reader.start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    return process.returncode, time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, "".join(said)


def read_gain(run: Path) -> dict[str, Any]:
    """The start, the end and the paired gain between them, of the checkpoint that the run is judged by."""
    from grpo.decide.decide_run import find_outcome, read_paired
    from rewards.statistics.estimates import ALL

    config = json.loads((run / "config.json").read_text())["config"]
    seed = {"seed": config["seed"]}
    if config["stages"] == []:
        return {
            **seed,
            "start": None,
            "end": read_mean(run / "eval" / "final.jsonl"),
            "gain": None,
            "low": None,
            "high": None,
        }
    gain = read_paired(run)["paired"][ALL]
    end = read_mean(find_outcome(run))
    assert gain.mean is not None
    return {
        **seed, "start": end - gain.mean, "end": end, "gain": gain.mean, "low": gain.low, "high": gain.high, "n": gain.n
    }  # fmt: skip


def read_mean(path: Path) -> float:
    rewards = [json.loads(line)["reward"] for line in path.read_text().splitlines()]
    known = [reward for reward in rewards if reward is not None]
    return sum(known) / len(known)


def say(found: dict[str, Any]) -> str:
    if found["gain"] is None:
        verdict, gain, start, rows = "nothing is trained", "", "", ""
    else:
        verdict = "learnt" if found["low"] is not None and found["low"] > 0 else "did not learn"
        gain = f"{found['gain']:+.3f} ({found['low']:.3f} to {found['high']:.3f})"
        start, rows = f"{found['start']:.3f}", str(found["n"])
    names = ", ".join(f"`{name}`" for name in found["recipes"])
    return (
        f"| {names} | {start} | {found['end']:.3f} | {gain} | {rows} | {found['seconds']:.0f} s | "
        f"{found['processor_seconds']:.0f} s | {verdict} |"
    )


def sum_up(found: list[dict[str, Any]], seconds: float, options: argparse.Namespace) -> str:
    """What stands below the table: the number of recipes, their time, and that a seed is one draw."""
    seeds = sorted({each["seed"] for each in found})
    return (
        f"{sum(len(each['recipes']) for each in found)} recipes as {len(found)} runs in {seconds / 60:.1f} minutes "
        f"({MINUTES} allowed), {sum(each['processor_seconds'] for each in found) / 60:.1f} of processor time; {options.jobs} at a "
        f"time with {options.threads} thread each. One seed ({', '.join(map(str, seeds))}): the intervals are over its held-out "
        "rows, not over seeds."
    )


def write_table(found: list[dict[str, Any]], said: str) -> None:
    """The table between the two marks of configs/README.md, in place of the one before."""
    text = README.read_text(encoding="utf-8")
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"{README}: has no lines {BEGIN} and {END} to write between")
    table = "\n".join([HEAD, *map(say, found)])
    README.write_text(f"{before}{BEGIN}\n\n{table}\n\n{said}\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="recipes whose name begins so")
    parser.add_argument("--whole", action="store_true", help="as many steps as the profile has")
    parser.add_argument("--seed", type=int, help="in place of the recipes' own")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default: 2)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each run (default: 1)")
    parser.add_argument("--folder", type=Path, help="keep the runs here, and go on with those that it has")
    parser.add_argument("--write", action="store_true", help="write the table into configs/README.md")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.write and (options.only or options.whole or options.seed is not None):
        parser.error("--write: of all recipes, with their own seed")
    groups = group_recipes(list_recipes(options.only))
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if not options.json:
            print(HEAD, flush=True)
        begun, clock = time.perf_counter(), folder / "seconds.json"
        before = json.loads(clock.read_text()) if clock.is_file() else 0.0
        try:
            found = run_recipes(groups, folder, options)
        finally:
            # A folder that was gone on with took all of its sittings.
            seconds = before + time.perf_counter() - begun
            clock.write_text(json.dumps(seconds))
    said = sum_up(found, seconds, options)
    print(json.dumps({"recipes": found, "seconds": seconds}, indent=2) if options.json else f"\n{said}")
    if options.write:
        write_table(found, said)
    return 0 if seconds <= MINUTES * 60 or options.whole else 1


if __name__ == "__main__":
    sys.exit(main())
