"""The decision over a run directory, written into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from callbacks.config import DecisionSection
from callbacks.decision.decision import Decision
from callbacks.decision.measures import Schedule
from callbacks.decision.tree import decide
from callbacks.evaluation.judged import JUDGED, find_judged
from callbacks.evaluation.pairs import pair_evaluations
from grpo.config.sections import ratio_to_steps
from grpo.decide.advice import list_commands
from grpo.decide.history import read_history
from grpo.decide.next_config import write_next_config
from grpo.ladder import find_rung
from rewards import limits
from rewards.identity import RewardIdentity, read_identities, refuse_differences
from rewards.statistics.estimates import Estimate
from rewards.writing.files import read_object, write_json


def decide_run(run_directory: Path | str, config: Any = None, *, rehearsal: bool = False) -> Decision:
    """Decide over a finished run and leave decision.json, and next_config.yaml where the tree names one, in its folder.

    `config` is the run's resolved config, by default the one it wrote down. The end is compared with the warm-up and with
    the zero-shot evaluation example by example where those were kept.
    """
    folder = Path(run_directory)
    saved = read_saved(folder)
    settings = config.model_dump(mode="json") if config is not None else saved.get("config") or {}
    section = config.decision if config is not None else DecisionSection.model_validate(settings.get("decision") or {})
    identities = read_identities(read_object(folder / "audit.json").get("reward_identities"))
    section, incomparable = choose_measure(section, identities)
    source = saved.get("source")
    rung, next_rung = find_rung(name_model(settings), source)
    decision = decide(
        read_history(folder / "metrics.jsonl"),
        section,
        rung=rung,
        next_rung=next_rung,
        rehearsal=rehearsal,
        **read_paired(folder),
        schedule=read_schedule(settings),
    )
    decision = replace(decision, not_judged=(*incomparable, *decision.not_judged))
    rewards = [identity.to_json() for identity in identities.values()]
    more = {"judged": find_judged(folder).to_json(), "rewards": rewards, "commands": list_commands(decision, folder)}
    write_json(folder / "decision.json", {**decision.to_json(), **more})
    write_next_config(decision, source, folder / "next_config.yaml", config=settings)
    return decision


def name_model(settings: Mapping[str, Any]) -> str | None:
    """The model of resolved settings; where a run continues from another, the one that the first of them was given."""
    for _ in range(limits.CONFIG_CHAIN):
        before = settings.get("continue_from")
        saved = read_saved(Path(before)).get("config") if isinstance(before, str) else None
        if not isinstance(saved, dict):
            break
        settings = saved
    return (settings.get("model") or {}).get("name")


def choose_measure(
    section: DecisionSection, identities: Mapping[str, RewardIdentity]
) -> tuple[DecisionSection, tuple[str, ...]]:
    """The section to decide by, and why it is not the one given: thresholds hold for the rewards they were set for only.

    A run with another version of one of those, or without it, is held to its own start; where a fingerprint is given
    beside the version, as `4 (0123456789ab)`, that counts too. Without identities (an older run, a history of numbers
    alone) the thresholds are taken as they are.
    """
    other = []
    for name, wanted in sorted(section.thresholds_for.items()) if identities else ():
        found = identities.get(name)
        if found is None:
            other.append(f"{name} {wanted} (not used here)")
        elif wanted not in (found.version, str(found)):
            other.append(f"{name} {wanted} (here {found if '(' in wanted else found.version})")
    if not other or section.relative_to != "thresholds":
        return section, ()
    line = f"the thresholds are not comparable: they were set for {', '.join(other)}; this run is held to its own start"
    return section.model_copy(update={"relative_to": "baseline"}), (line,)


def read_saved(folder: Path) -> dict[str, Any]:
    """What a run wrote into config.json: `config`, `profile`, `source`; empty where the folder is none of a run."""
    saved = read_object(folder / "config.json")
    return saved if isinstance(saved.get("config"), dict) else {}


def read_paired(folder: Path) -> dict[str, dict[str, Estimate]]:
    """Differences to the end of a run, paired by example, from its warm-up and from before any training."""
    end = find_outcome(folder)
    start = folder / "eval" / "start.jsonl"
    # The start's answers to the kept rows belong to the judged checkpoint alone.
    kept = end.name == f"{JUDGED}.jsonl" and start.is_file()
    return {
        "paired": pair_evaluations(start if kept else _find_start(folder / "eval"), end),
        "paired_zero_shot": pair_evaluations(folder / "eval" / "before.jsonl", end),
    }


def check_one_scorer(folder: Path, *, allowed: bool = False) -> tuple[str, ...]:
    """What is to be said where stored evaluations of a run have other scorers than its end; `UserError` unless `allowed`."""
    end = read_scorers(find_outcome(folder))
    notes = []
    for name in ("before", "warmup", "start"):
        found = refuse_differences(f"{folder}: eval/{name}.jsonl", read_scorers(folder / "eval" / f"{name}.jsonl"), end,
                                   allowed=allowed)  # fmt: skip
        if found:
            notes.append(f"eval/{name}.jsonl was scored otherwise than the end: {'; '.join(found)}")
    return tuple(notes)


def read_scorers(path: Path) -> dict[str, RewardIdentity]:
    """The scorers whose values a stored evaluation holds; none where fingerprints were not kept."""
    found: dict[str, RewardIdentity] = {}
    try:
        rows = [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
        for row in rows:
            for name, score in (row.get("scores") or {}).items():
                if isinstance(score.get("fingerprint"), str):
                    found.setdefault(name, RewardIdentity(name, str(score.get("version")), score["fingerprint"]))
    except (OSError, ValueError, AttributeError):
        return {}
    return found


def find_outcome(folder: Path) -> Path:
    """The stored evaluation of what training led to: the judged checkpoint, or the last step where that is the start."""
    judged = find_judged(folder)
    anew = judged.stage == JUDGED and judged.step and judged.evaluation is not None
    return judged.evaluation if anew and judged.evaluation else folder / "eval" / "final.jsonl"


def read_schedule(settings: Mapping[str, Any]) -> Schedule | None:
    """The learning-rate schedule of resolved settings; None where they have none."""
    grpo = settings.get("grpo") or {}
    if not {"lr_scheduler_type", "max_steps", "learning_rate"} <= grpo.keys():
        return None
    steps = grpo.get("warmup_steps")
    if steps is None:
        steps = ratio_to_steps(grpo.get("warmup_ratio") or 0.0, grpo["max_steps"])
    return Schedule(grpo["lr_scheduler_type"], grpo["max_steps"], grpo["learning_rate"], steps)


def _find_start(evaluations: Path) -> Path:
    """What GRPO began with; of a run that is all SFT the policy before it."""
    warmup = evaluations / "warmup.jsonl"
    return warmup if warmup.is_file() else evaluations / "before.jsonl"
