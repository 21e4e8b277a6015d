"""The decision over a run directory, written into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from callbacks.config import DecisionSection
from callbacks.decision.decision import Decision
from callbacks.decision.measures import Schedule
from callbacks.decision.tree import decide
from callbacks.evaluation.pairs import pair_evaluations
from grpo.config.sections import ratio_to_steps
from grpo.decide.history import read_history
from grpo.decide.next_config import write_next_config
from grpo.ladder import find_rung
from rewards.files import read_object, write_json
from rewards.identity import RewardIdentity, read_identities
from rewards.statistics.estimates import Estimate


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
    rung, next_rung = find_rung((settings.get("model") or {}).get("name"), source)
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
    write_json(folder / "decision.json", {**decision.to_json(), "rewards": rewards})
    write_next_config(decision, source, folder / "next_config.yaml", config=settings)
    return decision


def choose_measure(
    section: DecisionSection, identities: Mapping[str, RewardIdentity]
) -> tuple[DecisionSection, tuple[str, ...]]:
    """The section to decide by, and why it is not the one given: thresholds hold for the rewards they were set for only.

    A run with another version of one of those is held to its own start. Without identities (an older run, a history of
    numbers alone) the thresholds are taken as they are.
    """
    other = [
        f"{name} {wanted} (here {identities[name].version})"
        for name, wanted in sorted(section.thresholds_for.items())
        if name in identities and identities[name].version != wanted
    ]
    if not other or section.relative_to != "thresholds":
        return section, ()
    line = f"the thresholds: they were set for {', '.join(other)}, so this run is held to its own start"
    return section.model_copy(update={"relative_to": "baseline"}), (line,)


def read_saved(folder: Path) -> dict[str, Any]:
    """What a run wrote into config.json: `config`, `profile`, `source`; empty where the folder is none of a run."""
    saved = read_object(folder / "config.json")
    return saved if isinstance(saved.get("config"), dict) else {}


def read_paired(folder: Path) -> dict[str, dict[str, Estimate]]:
    """Differences to the end of a run, paired by example, from its warm-up and from before any training."""
    final = folder / "eval" / "final.jsonl"
    return {
        "paired": pair_evaluations(folder / "eval" / "warmup.jsonl", final),
        "paired_zero_shot": pair_evaluations(folder / "eval" / "before.jsonl", final),
    }


def read_schedule(settings: Mapping[str, Any]) -> Schedule | None:
    """The learning-rate schedule of resolved settings; None where they have none."""
    grpo = settings.get("grpo") or {}
    if not {"lr_scheduler_type", "max_steps", "learning_rate"} <= grpo.keys():
        return None
    steps = grpo.get("warmup_steps")
    if steps is None:
        steps = ratio_to_steps(grpo.get("warmup_ratio") or 0.0, grpo["max_steps"])
    return Schedule(grpo["lr_scheduler_type"], grpo["max_steps"], grpo["learning_rate"], steps)
