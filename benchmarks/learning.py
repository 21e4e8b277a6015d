"""Does a run learn? Seeds of one recipe, each beside the same time of further SFT; prints a table that pools them.

python benchmarks/learning.py                     three seeds of v4_1.yaml, about 25 minutes on two quiet cores
python benchmarks/learning.py --seeds 5 --json learning.json --runs runs/learning
python benchmarks/learning.py --profile small --no-sft       the same with a pretrained model, half an hour a seed

The seeds are a group of `python -m grpo.run --seeds`, so that with --runs an interrupted one is gone on with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="v4_1.yaml")
    parser.add_argument("--profile", choices=("embedded", "small"), default="embedded")
    parser.add_argument("--seeds", type=int, default=3, help="how many, upwards from the config's own")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--runs", type=Path, help="the folder of the group (default: a temporary one)")
    parser.add_argument("--no-sft", action="store_true", help="skip the comparison with further SFT")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    group = options.runs or Path(tempfile.mkdtemp(prefix="learning-")) / "group"
    summary = run_seeds(options, group)
    results = [read_run(row) for row in summary["seeds"] if "mean" in row]
    for result in results:
        folder = Path(result["folder"])
        if not options.no_sft:
            kept = folder / "sft_baseline.json"
            result["sft_baseline"] = json.loads(kept.read_text()) if kept.is_file() else continue_sft(folder)
        print(json.dumps(result), file=sys.stderr, flush=True)
    print_table(results, summary)
    if options.json:
        options.json.write_text(json.dumps({"runs": results, "summary": summary}, indent=2) + "\n")
    return 0 if len(results) == len(summary["seeds"]) else 1


def run_seeds(options: argparse.Namespace, group: Path) -> dict[str, Any]:
    """The group as a user starts or resumes it; what its summary says of the one setting."""
    if (group / "group.json").is_file():
        words = ["--resume", str(group)]
    else:
        words = ["--config", options.config, "--profile", options.profile, "--run-dir", str(group)]
        words += ["--seeds", str(options.seeds)]
        words += [word for override in options.overrides for word in ("--set", override)]
    done = subprocess.run([sys.executable, "-m", "grpo.run", *words], stdout=sys.stderr, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"{group}: the seeds ended with exit code {done.returncode}; go on with --runs {group}")
    summary: dict[str, Any] = json.loads((group / "summary.json").read_text())["settings"][0]
    return summary


def read_run(row: dict[str, Any]) -> dict[str, Any]:
    """A seed's numbers with those of its evaluation before training, its seconds and its peak memory."""
    folder = Path(row["folder"])
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timings = [json.loads(line) for line in (folder / "timings.jsonl").read_text().splitlines()]
    before = next((each for each in metrics if each["stage"] == "before" and "eval/mean_reward" in each), None)
    return {
        **row,
        "before": before["eval/mean_reward"] if before else None,
        "seconds": json.loads((folder / "status.json").read_text()).get("seconds"),
        "peak_gib": round(max((each.get("peak_memory_bytes") or 0 for each in timings), default=0) / 2**30, 2),
    }


def continue_sft(directory: Path) -> dict:
    """What the warm-up would have reached had it simply gone on for as long as GRPO took; written into the run."""
    code = "import sys; from pathlib import Path; from benchmarks.learning import sft_for_as_long; sft_for_as_long(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(directory.resolve())], check=True, cwd=ROOT, stdout=sys.stderr)
    return json.loads((directory / "sft_baseline.json").read_text())


def sft_for_as_long(directory: Path) -> None:
    """Continue the SFT of a finished run on the same rows for the seconds its GRPO stage took, and evaluate."""
    from callbacks.evaluation.judged import find_judged
    from callbacks.evaluation.pairs import read_rewards
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
    from rewards.statistics.estimates import paired_differences

    run = RunDirectory.open(directory)
    config = RunConfig.model_validate(run.read_json("config.json")["config"])
    timings = [json.loads(line) for line in (directory / "timings.jsonl").read_text().splitlines()]
    stage_seconds = {row["stage"]: row["stage_seconds"] for row in timings if "stage_seconds" in row}
    warmup_steps = config.sft_warmup.steps(10**9)
    steps = max(1, int(stage_seconds["train"] / (stage_seconds["warmup"] / warmup_steps)))
    section = config.sft_warmup.model_copy(update={"max_steps": steps})
    tracking = config.tracking.model_copy(update={"wandb": "off", "tensorboard": False})
    # Memorising rows that it has had often, as it does here, is what a rule ends a stage for.
    watch = config.decision.watch.model_copy(update={"enabled": False})
    decision = config.decision.model_copy(update={"watch": watch})
    config = config.model_copy(update={"sft_warmup": section, "tracking": tracking, "decision": decision})
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
    further, judged = read_rewards(scratch.evaluations / "warmup.jsonl"), find_judged(directory).evaluation
    over = paired_differences(further, read_rewards(judged)) if judged is not None else {}
    noted = {"seconds": round(seconds, 1), "steps": steps, "mean": mean.pop("all"), "per_task": mean}
    noted |= {"estimates": {name: asdict(estimate) for name, estimate in estimates.items()}}
    noted |= {"judged_over_it": {name: asdict(estimate) for name, estimate in over.items()}}
    run.write_json("sft_baseline.json", noted)
    write_report(directory)


def print_table(results: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    """A row a seed, of its judged checkpoint, and what the seeds show together."""
    heads = ["seed", "zero-shot", "after warm-up", "judged checkpoint", "gain (95 % interval)", "share"]
    heads += ["same time of SFT", "tasks fallen", "run", "peak"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for r in results:
        sft = r.get("sft_baseline")
        cells = [
            str(r["seed"]),
            "-" if r["before"] is None else f"{r['before']:.3f}",
            say(r["start"]["all"], r["start_interval"]["all"]),
            say(r["mean"]["all"], r["interval"]["all"]),
            say(r["gain"]["all"], r["gain_interval"]["all"], "+.3f"),
            f"{r['gain']['all'] / r['start']['all']:+.0%}",
            "-" if sft is None else say(sft["mean"], (sft.get("estimates") or {}).get("all")),
            ", ".join(r["fallen"]) or "none",
            f"{r['seconds']:.0f} s",
            f"{r['peak_gib']:.2f} GiB",
        ]
        print(f"| {' | '.join(cells)} |")
    if not summary["done"]:
        return
    mean, gain = summary["mean"]["all"], summary["gain"]["all"]
    print(f"\n{summary['done']} seeds together (seeds are the unit here, examples in the table):")
    for name, found, form in (("judged mean", mean, ".3f"), ("gain", gain, "+.3f")):
        sd = "" if found["sd_over_seeds"] is None else f", sd over seeds {found['sd_over_seeds']:.4f}"
        print(f"- {name}: {say(found['mean'], found, form)}{sd}")
    for key, name in (("mean_over_tasks", "mean over tasks"), ("interquartile_mean", "interquartile mean")):
        if key in summary:
            print(f"- {name}: {say(summary[key]['value'], summary[key])}, bootstrap over seeds stratified by task")
    for task, found in summary["gain"].items():
        if task != "all":
            print(f"- gain of {task}: {say(found['mean'], found, '+.3f')}")
    over = [
        r["sft_baseline"]["judged_over_it"]["all"]["mean"]
        for r in results
        if "judged_over_it" in r.get("sft_baseline", {})
    ]
    if len(over) > 1:
        from rewards.statistics.seeds import estimate_over_seeds

        found = asdict(estimate_over_seeds(over))
        print(f"- over the same time of SFT: {say(found['mean'], found, '+.3f')}")
    if "note" in summary:
        print(f"- {summary['note']}")


def say(value: float, ends: dict[str, Any] | None, form: str = ".3f") -> str:
    """A number with its interval, where that is known."""
    known = ends is not None and ends.get("low") is not None
    return format(value, form) + (f" ({ends['low']:.3f} to {ends['high']:.3f})" if ends and known else "")


if __name__ == "__main__":
    sys.exit(main())
