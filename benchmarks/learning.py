"""Does a run learn? Seeds side by side, each beside the same time of further SFT; prints a table.

python benchmarks/learning.py                     three seeds of v4_1.yaml, about 25 minutes on two quiet cores
python benchmarks/learning.py --seeds 42 --json learning.json
python benchmarks/learning.py --profile small --no-sft       the same with a pretrained model, half an hour a seed
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in one unit of ru_maxrss


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="v4_1.yaml")
    parser.add_argument("--profile", choices=("embedded", "small"), default="embedded")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--runs", type=Path, help="where the runs are kept (default: a temporary folder)")
    parser.add_argument("--no-sft", action="store_true", help="skip the comparison with further SFT")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    root = options.runs or Path(tempfile.mkdtemp(prefix="learning-"))
    results = []
    for seed in options.seeds:
        directory = root / f"seed-{seed}"
        result = {"seed": seed, **run_once(options.config, options.profile, seed, options.overrides, directory)}
        if not options.no_sft:
            result["sft_baseline"] = continue_sft(directory)
        results.append(result)
        print(json.dumps(result), file=sys.stderr, flush=True)
    print_table(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def run_once(config: str, profile: str, seed: int, overrides: list[str], directory: Path) -> dict:
    """One run as a user starts it: wall-clock seconds, peak memory, and its means after the warm-up and at the end."""
    command = [
        sys.executable,
        "-m",
        "grpo.run",
        "--config",
        config,
        "--profile",
        profile,
        "--run-dir",
        str(directory),
        "--set",
        f"seed={seed}",
    ]
    for override in overrides:
        command += ["--set", override]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"seed {seed}: the run failed with exit code {os.waitstatus_to_exitcode(status)}")
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_gib": round(usage.ru_maxrss * MEMORY_UNIT / 2**30, 2),
        **read_result(directory),
    }


def read_result(directory: Path) -> dict:
    from rewards.statistics.estimates import paired_differences

    rewards = {stage: read_rewards(directory / "eval" / f"{stage}.jsonl") for stage in ("warmup", "final")}
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    evaluations = {row["stage"]: row for row in rows if "eval/mean_reward" in row}
    tasks = sorted({task for task, _ in rewards["warmup"]})
    gains = {
        task: {"gain": gain.mean, "low": gain.low, "high": gain.high, "n": gain.n}
        for task, gain in paired_differences(rewards["warmup"], rewards["final"]).items()
    }
    return {
        stage: {
            task: evaluations[stage][f"eval/{'mean_reward' if task == 'all' else task}"] for task in ("all", *tasks)
        }
        for stage in ("before", "warmup", "final")
    } | {"gains": gains}


def read_rewards(path: Path) -> dict[tuple[str, str], float]:
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return {(row["task"], row["id"]): row["reward"] for row in rows}


def continue_sft(directory: Path) -> dict:
    """What the warm-up would have reached had it simply gone on for as long as GRPO took; written into the run."""
    code = "import sys; from pathlib import Path; from benchmarks.learning import sft_for_as_long; sft_for_as_long(Path(sys.argv[1]))"
    root = Path(__file__).resolve().parent.parent
    subprocess.run([sys.executable, "-c", code, str(directory.resolve())], check=True, cwd=root, stdout=sys.stderr)
    return json.loads((directory / "sft_baseline.json").read_text())


def sft_for_as_long(directory: Path) -> None:
    """Continue the SFT of a finished run on the same rows for the seconds its GRPO stage took, and evaluate."""
    from callbacks.interrupt import Interruption
    from callbacks.progress import Progress
    from callbacks.tracking.tracking import Tracker
    from grpo.config.run_config import RunConfig
    from grpo.data.run_rows import load_inputs
    from grpo.engines.packages import quieten_libraries
    from grpo.lifecycle.run_directory import RunDirectory
    from grpo.machine.environment import prepare_threads
    from grpo.report import write_report
    from rewards.config import build_host

    run = RunDirectory.open(directory)
    config = RunConfig.model_validate(run.read_json("config.json")["config"])
    timings = [json.loads(line) for line in (directory / "timings.jsonl").read_text().splitlines()]
    stage_seconds = {row["stage"]: row["stage_seconds"] for row in timings if "stage_seconds" in row}
    warmup_steps = config.sft_warmup.steps(10**9)
    steps = max(1, int(stage_seconds["train"] / (stage_seconds["warmup"] / warmup_steps)))
    section = config.sft_warmup.model_copy(update={"max_steps": steps})
    tracking = config.tracking.model_copy(update={"wandb": "off", "tensorboard": False})
    config = config.model_copy(update={"sft_warmup": section, "tracking": tracking})
    threads = prepare_threads(config.threads)
    quieten_libraries()
    import torch

    from grpo.training.stages import Stages

    torch.set_num_threads(threads)
    scratch = RunDirectory(Path(tempfile.mkdtemp(prefix="sft-")))
    with build_host(config.rewards) as host, Interruption() as interruption, Tracker(scratch.path, tracking) as tracker:
        stages = Stages(config, load_inputs(config), host, run, tracker, Progress(), interruption, "cpu")
        stages.restore_policy()
        stages.directory = scratch
        start = time.perf_counter()
        stages.warm_up()
        seconds = time.perf_counter() - start
        estimates = stages.evaluate("warmup", 0)
    mean = {name: estimate.mean for name, estimate in estimates.items()}
    run.write_json(
        "sft_baseline.json", {"seconds": round(seconds, 1), "steps": steps, "mean": mean.pop("all"), "per_task": mean}
    )
    write_report(directory)


def print_table(results: list[dict]) -> None:
    print(
        "| seed | zero-shot | after warm-up | after GRPO | gain (95 % interval) | share | same time of SFT | tasks fallen | run | peak |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for r in results:
        gain = r["gains"]["all"]
        fallen = [task for task, g in r["gains"].items() if task != "all" and g["high"] is not None and g["high"] < 0]
        sft = f"{r['sft_baseline']['mean']:.3f}" if "sft_baseline" in r else "-"
        print(
            f"| {r['seed']} | {r['before']['all']:.3f} | {r['warmup']['all']:.3f} | {r['final']['all']:.3f} | +{gain['gain']:.3f} "
            f"({gain['low']:.3f} to {gain['high']:.3f}) | {gain['gain'] / r['warmup']['all']:+.0%} | {sft} | "
            f"{', '.join(fallen) or 'none'} | {r['seconds']:.0f} s | {r['peak_gib']:.2f} GiB |"
        )


if __name__ == "__main__":
    sys.exit(main())
