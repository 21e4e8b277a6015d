"""Runs every shipped recipe on the embedded profile and says whether each learnt: all together under 15 minutes.

    python benchmarks/recipes.py                       all of them, one after the other
    python benchmarks/recipes.py --only tmf921         those whose name begins so
    python benchmarks/recipes.py --whole --only v4_1   as the profile has it, not shortened

A recipe learnt where the paired gain of its held-out reward, over its warm-up (over the start of a run that is all SFT), has a
95 % interval clear of zero. Recipes that continue another one take the run of it from the same folder. Recipes of which the
profile leaves the same settings (they differ in the model alone) are one run; the shop's are shortened to 400 and 60 steps.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from grpo.config.loading import list_configs, load_config

MINUTES = 15
# Of the shop's recipes: a third of the warm-up's steps, and a quarter of GRPO's.
SHORT = ("sft_warmup.max_steps=400", "grpo.max_steps=60", "grpo.save_every_steps=60", "evaluation.every_steps=60")
CONTINUED = {"tmf921_stage2": "tmf921_stage1", "tmf921_grpo": "tmf921_stage1"}


def list_recipes(only: str) -> list[str]:
    """The shipped recipes in an order in which each comes after the one that it continues."""
    names = [name for name in list_configs() if name != "base" and name.startswith(only)]
    # Nine models, one rehearsal: on this profile each of these is `personas`.
    names = [name for name in names if not name.startswith("personas_") or only.startswith("personas_")]
    wanted = {CONTINUED[name] for name in names if name in CONTINUED}
    return sorted({*names, *wanted}, key=lambda name: (name in CONTINUED, name))


def group_recipes(names: list[str]) -> list[list[str]]:
    """Names of recipes that are one run under this profile, in their order; the first of each is the one that is run."""
    groups: dict[str, list[str]] = {}
    for name in names:
        resolved = load_config(name, [], "embedded").model_dump(mode="json")
        # Which model a policy made on the spot stands for changes nothing of it.
        left = {**resolved, "name": None, "model": resolved["model"]["embedded"], "continued": CONTINUED.get(name)}
        groups.setdefault(json.dumps(left, sort_keys=True), []).append(name)
    return list(groups.values())


def run_recipe(name: str, folder: Path, *, whole: bool, threads: int) -> dict[str, Any]:
    """One run; its gain, the means it lies between, and the seconds it took."""
    shop = load_config(name, [], "embedded").data.source == "shop"
    settings = [f"threads={threads}", "tracking.wandb=off", *(SHORT if shop and not whole else ())]
    if name in CONTINUED:
        settings.append(f"continue_from={folder / CONTINUED[name]}")
    words = [
        sys.executable,
        "-m",
        "grpo.run",
        "--config",
        name,
        "--profile",
        "embedded",
        "--run-dir",
        str(folder / name),
    ]
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*words, "--quiet", *(part for each in settings for part in ("--set", each))],
        env={**os.environ, "RECOMPENSA_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": str(threads)},
        capture_output=True, text=True,
    )  # fmt: skip
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode not in (0, 3):
        raise SystemExit(f"{name}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return {
        "recipe": name, "seconds": round(seconds, 1), "processor_seconds": round(processor, 1), "exit": done.returncode,
        **read_gain(folder / name),
    }  # fmt: skip


def read_gain(run: Path) -> dict[str, Any]:
    """The start, the end and the paired gain between them, of the checkpoint that the run is judged by."""
    from grpo.decide.decide_run import find_outcome, read_paired
    from rewards.statistics.estimates import ALL, stratify

    config = json.loads((run / "config.json").read_text())["config"]
    if config["stages"] == []:
        return {"start": None, "end": read_mean(run / "eval" / "final.jsonl"), "gain": None, "low": None, "high": None}
    paired = read_paired(run)["paired"]
    gain = stratify(paired, lowest=-1.0)
    end = read_mean(find_outcome(run))
    assert gain.mean is not None and paired[ALL].n
    return {"start": end - gain.mean, "end": end, "gain": gain.mean, "low": gain.low, "high": gain.high, "n": gain.n}


def read_mean(path: Path) -> float:
    rewards = [json.loads(line)["reward"] for line in path.read_text().splitlines()]
    known = [reward for reward in rewards if reward is not None]
    return sum(known) / len(known)


def say(found: dict[str, Any]) -> str:
    if found["gain"] is None:
        verdict, gain, start = "nothing is trained", "", ""
    else:
        verdict = "learnt" if found["low"] is not None and found["low"] > 0 else "did not learn"
        gain = f"{found['gain']:+.3f} ({found['low']:.3f} to {found['high']:.3f})"
        start = f"{found['start']:.3f}"
    names = ", ".join(f"`{name}`" for name in found["recipes"])
    return f"| {names} | {start} | {found['end']:.3f} | {gain} | {found['seconds']:.0f} s | {found['processor_seconds']:.0f} s | {verdict} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="recipes whose name begins so")
    parser.add_argument("--whole", action="store_true", help="as many steps as the profile has")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the runs here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        if not options.json:
            print(
                "| recipe | after warm-up | end | gain (95 % interval) | run | processor | |\n|---|---|---|---|---|---|---|",
                flush=True,
            )
        for names in group_recipes(list_recipes(options.only)):
            result = run_recipe(names[0], folder, whole=options.whole, threads=options.threads)
            found.append({**result, "recipes": names})
            if not options.json:
                print(say(found[-1]), flush=True)
    seconds = sum(each["seconds"] for each in found)
    if options.json:
        print(json.dumps({"recipes": found, "seconds": seconds}, indent=2))
    else:
        print(
            f"\n{sum(len(each['recipes']) for each in found)} recipes in {seconds / 60:.1f} minutes ({MINUTES} allowed), "
            f"{sum(each['processor_seconds'] for each in found) / 60:.1f} of processor time"
        )
    return 0 if seconds <= MINUTES * 60 or options.whole else 1


if __name__ == "__main__":
    sys.exit(main())
