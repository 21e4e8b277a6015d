"""What a group of seeds shows: mean and interquartile mean over seeds, the sd over seeds, the winner of a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from callbacks.evaluation.best import find_fallen_tasks
from callbacks.evaluation.judged import JUDGED, find_judged
from callbacks.evaluation.pairs import read_rewards
from callbacks.evaluation.task_scores import summarise
from grpo.decide.history import read_history
from grpo.seeds.group import RunGroup, open_group
from rewards.errors import UserError
from rewards.statistics.estimates import ALL, Estimate, paired_differences
from rewards.statistics.seeds import (
    FEWEST,
    bootstrap,
    correct_for_choice,
    estimate_over_seeds,
    iqm_of_scores,
    mean_of_scores,
)
from rewards.writing.files import write_json

FILE = "summary.json"


def read_result(run: Path) -> dict[str, Any] | None:
    """Of a run that is done, the means of its judged checkpoint and of its start, for all and by task; else None.

    `interval` and `gain_interval` say of each how far other examples would move it (n, low, high), which is not how far
    another seed would. `fallen` names the tasks that lost since the start, by the rule of a decision.
    """
    judged = find_judged(run)
    if judged.evaluation is None:
        return None
    kept = run / "eval" / "start.jsonl"
    start = kept if judged.stage == JUDGED and kept.is_file() else run / "eval" / "warmup.jsonl"
    after, before = (read_rewards(path) for path in (judged.evaluation, start))
    ends, starts = _means(after), _means(before)
    if not ends:
        return None
    gains = {task: ends[task] - starts[task] for task in ends if task in starts}
    changes = {name: each for name, each in paired_differences(before, after).items() if each.mean is not None}
    return {
        "judged": judged.to_json(), "mean": ends, "start": starts, "gain": gains,
        "interval": _intervals(summarise(_scored(after))), "start_interval": _intervals(summarise(_scored(before))),
        "gain_interval": _intervals(changes),
        "fallen": list(find_fallen_tasks(summarise(_scored(before)), summarise(_scored(after)), changes)),
        "held_out_loss": find_held_out_loss(run),
    }  # fmt: skip


def find_held_out_loss(run: Path) -> dict[str, Any] | None:
    """The least held-out loss of a run's SFT (nats a token), its step and interval, and the last; None where none was measured."""
    try:
        rows = [row for row in read_history(run) if row.get("sft/held_out_loss") is not None]
    except UserError:
        return None
    if not rows:
        return None
    best = min(rows, key=lambda row: row["sft/held_out_loss"])
    loss = "sft/held_out_loss"
    return {
        "least": best[loss], "step": best["sft/step"], "n": best.get(f"{loss}_n"), "low": best.get(f"{loss}_low"),
        "high": best.get(f"{loss}_high"), "last": rows[-1][loss],
    }  # fmt: skip


def summarise_group(group: RunGroup) -> dict[str, Any]:
    """Everything the summary says, as plain data; settings of a grid under `settings`, best first."""
    settings = [summarise_setting(group, setting) for setting in group.settings]
    settings.sort(key=lambda entry: -(entry["mean"][ALL]["mean"] if entry["done"] else -1.0))
    summary: dict[str, Any] = {"folder": str(group.folder), "config": group.config, "settings": settings}
    scored = {" ".join(entry["setting"]): entry["values"] for entry in settings if entry["done"]}
    if len(scored) > 1:
        winner = settings[0]
        summary["winner"] = {
            "setting": winner["setting"],
            "mean": winner["mean"][ALL]["mean"],
            "corrected_mean": correct_for_choice(scored),
            "against": [_compare_settings(winner, entry, len(scored) - 1) for entry in settings[1:] if entry["done"]],
        }
    return summary


def summarise_setting(group: RunGroup, setting: tuple[str, ...]) -> dict[str, Any]:
    """One setting: a row a seed, and what they show together."""
    members = [member for member in group.members if member.setting == setting]
    rows = [
        {"seed": member.seed, "folder": str(member.folder), "state": member.state, **(read_result(member.folder) or {})}
        for member in members
    ]
    done = [row for row in rows if row["state"] == "done" and "mean" in row]
    tasks = sorted({task for row in done for task in row["mean"]}, key=lambda task: (task != ALL, task))
    means, gains = (
        {task: _estimate([row[key][task] for row in done if task in row[key]]) for task in tasks}
        for key in ("mean", "gain")
    )
    scores = {task: [row["mean"][task] for row in done if task in row["mean"]] for task in tasks if task != ALL}
    found: dict[str, Any] = {
        "setting": list(setting),
        "seeds": rows,
        "done": len(done),
        "mean": means,
        "gain": gains,
        "values": [row["mean"][ALL] for row in done],
        "scores": scores,
    }
    losses = [row["held_out_loss"]["least"] for row in done if row.get("held_out_loss")]
    if losses:
        found["held_out_loss"] = _estimate(losses)
    if len(done) > 1 and scores:
        for name, statistic in (("mean_over_tasks", mean_of_scores), ("interquartile_mean", iqm_of_scores)):
            low, high = bootstrap(statistic, scores)
            found[name] = {"value": statistic(scores), "low": low, "high": high, "method": "stratified bootstrap"}
    if len(done) < FEWEST:
        found["note"] = f"{len(done)} seeds: fewer than {FEWEST} say little of how a recipe varies"
    return found


def write_summary(group: RunGroup, summary: Mapping[str, Any]) -> None:
    """Write the summary into the group's folder."""
    write_json(group.folder / FILE, dict(summary))


def show_summary(summary: Mapping[str, Any]) -> None:
    """The summary for a terminal."""
    for entry in summary["settings"]:
        title = " ".join(entry["setting"]) or summary["config"]
        print(f"\n{title}: {entry['done']} of {len(entry['seeds'])} seeds done")
        print(f"  {'seed':>6}  {'start':>22}  {'judged':>22}  {'n':>5}  {'gain':>25}  checkpoint")
        for row in entry["seeds"]:
            if "mean" in row:
                start, end, gain = (
                    _say_one(row[key].get(ALL), row.get(ends, {}).get(ALL), form)
                    for key, ends, form in (
                        ("start", "start_interval", ".3f"),
                        ("mean", "interval", ".3f"),
                        ("gain", "gain_interval", "+.3f"),
                    )
                )
                n = row.get("interval", {}).get(ALL, {}).get("n", "–")
                print(f"  {row['seed']:>6}  {start:>22}  {end:>22}  {n:>5}  {gain:>25}  {row['judged']['name']}")
            else:
                print(f"  {row['seed']:>6}  {row['state']}")
        for task, estimate in entry["mean"].items():
            print(f"  {task:<12} mean {_say(estimate)}; gain {_say(entry['gain'][task], signed=True)}")
        if "held_out_loss" in entry:
            print(f"  {'held-out loss':<12} least {_say(entry['held_out_loss'])}")
        for key, said in (("mean_over_tasks", "mean over tasks"), ("interquartile_mean", "interquartile mean")):
            if key in entry:
                found = entry[key]
                print(
                    f"  {said} {found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f}, bootstrap over seeds)"
                )
        if "note" in entry:
            print(f"  note: {entry['note']}")
    losses = [
        (entry["held_out_loss"]["mean"], entry["setting"]) for entry in summary["settings"] if "held_out_loss" in entry
    ]
    if len(losses) > 1:
        least, setting = min(losses)
        print(f"\nleast held-out loss: {' '.join(setting)}, {least:.3f}")
    winner = summary.get("winner")
    if winner:
        print(
            f"\nwinner: {' '.join(winner['setting'])}, mean {winner['mean']:.3f}; without what it owes to being chosen "
            f"{winner['corrected_mean']:.3f}"
        )
        for other in winner["against"]:
            print(f"  over {' '.join(other['setting'])}: {_say(other['difference'], signed=True)}{other['said']}")


def compare_groups(first: Path, other: Path) -> dict[str, Any]:
    """Two recipes: seeds are the unit, paired where both have the same ones; raises UserError without results."""
    from rewards.statistics.seeds import probability_of_improvement

    entries = []
    for folder in (first, other):
        group = open_group(folder)
        if len(group.settings) > 1:
            raise UserError(
                f"{folder}: a grid of {len(group.settings)} settings; compare one setting's folder of seeds"
            )
        entry = summarise_setting(group, group.settings[0])
        if entry["done"] < 2:
            raise UserError(
                f"{folder}: {entry['done']} seeds are done; two recipes are compared from two seeds each on"
            )
        entries.append(entry)
    mine, theirs = entries
    chance = probability_of_improvement(theirs["scores"], mine["scores"])
    low, high = bootstrap(probability_of_improvement, theirs["scores"], mine["scores"])
    return {
        "compares": "recipes",
        "unit": "seeds",
        "recipes": [str(first), str(other)],
        "mean": [mine["mean"][ALL], theirs["mean"][ALL]],
        **_difference(mine, theirs),
        "tasks": {task: asdict(_paired(mine, theirs, task)[0]) for task in mine["scores"] if task in theirs["scores"]},
        "probability_of_improvement": {"value": chance, "low": low, "high": high},
    }


def _difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    change, paired = _paired(mine, theirs, ALL)
    return {"difference": asdict(change), "paired_by_seed": paired}


def _paired(mine: Mapping[str, Any], theirs: Mapping[str, Any], task: str) -> tuple[Estimate, bool]:
    """theirs - mine over the seeds of both; Welch's where they have none, or only one, in common."""
    from rewards.statistics.estimates import unpaired_difference

    first, second = (
        {
            row["seed"]: row["mean"][task]
            for row in entry["seeds"]
            if row["state"] == "done" and task in row.get("mean", ())
        }
        for entry in (mine, theirs)
    )
    shared = sorted(first.keys() & second.keys())
    if len(shared) > 1:
        return estimate_over_seeds([second[seed] - first[seed] for seed in shared]), True
    return unpaired_difference(
        estimate_over_seeds(list(first.values())), estimate_over_seeds(list(second.values()))
    ), False


def _compare_settings(winner: Mapping[str, Any], other: Mapping[str, Any], count: int) -> dict[str, Any]:
    found = _difference(other, winner)
    low = found["difference"]["low"]
    clear = low is not None and low > 0
    said = "" if clear else ": within the noise of the seeds"
    if clear and count > 1:
        said = f": clear of noise alone, not yet for being the best of {count + 1}"
        if _holds_for_many(other, winner, count):
            said = f": clear of noise, also for being the best of {count + 1}"
    return {"setting": other["setting"], **found, "said": said}


def _holds_for_many(other: Mapping[str, Any], winner: Mapping[str, Any], count: int) -> bool:
    """Whether zero lies outside the interval at Bonferroni's level for this many comparisons."""
    from rewards.statistics.student import t_quantile

    change, _ = _paired(other, winner, ALL)
    if change.mean is None or change.std is None or change.n is None or change.n < 2:
        return False
    return change.mean > t_quantile(change.n - 1, 1.0 - 0.025 / count) * change.std / change.n**0.5


def _means(rewards: Mapping[tuple[str, str], float | None]) -> dict[str, float]:
    known = [(task, value) for (task, _), value in rewards.items() if value is not None]
    if not known:
        return {}
    tasks = sorted({task for task, _ in known})
    return {
        ALL: fmean(value for _, value in known),
        **{name: fmean(value for task, value in known if task == name) for name in tasks},
    }


def _scored(rewards: Mapping[tuple[str, str], float | None]) -> list[tuple[str, float | None]]:
    return [(task, value) for (task, _), value in rewards.items()]


def _intervals(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
    return {name: {"n": each.n, "low": each.low, "high": each.high} for name, each in estimates.items() if each.n}


def _say_one(value: float | None, ends: Mapping[str, Any] | None, form: str) -> str:
    """One seed's number with its interval over examples."""
    if value is None:
        return "–"
    known = ends is not None and ends["low"] is not None
    return format(value, form) + (f" ({ends['low']:{form}} to {ends['high']:{form}})" if ends and known else "")


def _estimate(values: Sequence[float]) -> dict[str, Any]:
    found = asdict(estimate_over_seeds(values))
    return {**found, "sd_over_seeds": found.pop("std")}


def _say(found: Mapping[str, Any], signed: bool = False) -> str:
    if found["mean"] is None:
        return "–"
    show = "{:+.3f}" if signed else "{:.3f}"
    interval = "" if found["low"] is None else f" ({show.format(found['low'])} to {show.format(found['high'])})"
    sd = found.get("sd_over_seeds", found.get("std"))
    return show.format(found["mean"]) + interval + (f", sd over seeds {sd:.3f}" if sd is not None else "")
