"""What a run records as it goes (numbers, events, completions, margins), and what a resumed run reads back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from errno import ENOENT
from math import inf, isfinite
from pathlib import Path
from typing import Any

import orjson

from callbacks.evaluation.best import BestCheckpoint, count_looks
from callbacks.evaluation.endings import TaskEndings
from callbacks.evaluation.eval import write_records
from callbacks.evaluation.pairs import name_evaluation_file, pair_evaluations, read_rewards
from callbacks.progress import Progress
from callbacks.tracking.tracking import Tracker
from callbacks.watch import watch
from grpo.config.run_config import RunConfig
from grpo.distributed import collectives
from grpo.distributed import rank as ranks
from grpo.lifecycle.run_directory import RunDirectory
from grpo.machine import environment
from rewards.host.scoring import RewardHost
from rewards.statistics.estimates import Estimate
from rewards.writing.files import read_object

_NOTHING = 0.005  # a mean reward that is none


class RunRecord:
    """Everything a run writes. `best` and `watch` judge what was logged, `effective` are the settings in force."""

    def __init__(
        self, config: RunConfig, host: RewardHost, directory: RunDirectory, tracker: Tracker, progress: Progress
    ):
        self.config, self.host, self.directory, self.tracker, self.progress = config, host, directory, tracker, progress
        self.rank = ranks.find_rank()
        self.best = self._make_best()
        self.effective: dict[str, Any] = {}
        self.policy: dict[str, int] = {}  # weights of the model that was loaded, and how many of them are trained
        self._earlier_rewards: dict[str, Any] = {}  # the host's report of the processes that this one continues from
        self._previous: tuple[str, dict[str, Estimate]] | None = (
            None  # the file and the numbers of the evaluation before
        )
        self._repetition: float | None = None
        self._batch: tuple[int, Sequence[Any], Sequence[int], Sequence[float]] = (0, (), (), ())
        self._sft_losses: list[float] = []  # the first and the latest of the supervised stage
        self._least_held_out = inf
        self._tasks_at_zero: frozenset[str] = frozenset()
        self._reward_counts = (0, 0)
        grpo, decision = config.grpo, config.decision
        self.watch = watch.Watch(
            decision.watch,
            beta=grpo.beta,
            recipe=decision.relative_to == "thresholds",
            settings={"max_completion_length": grpo.max_completion_length, "max_steps": grpo.max_steps},
        )

    def _make_best(self) -> BestCheckpoint:
        section = self.config.evaluation
        return BestCheckpoint(section.task_floor_margin, count_looks(self.config.grpo.max_steps, section.every_steps))

    # -- what an earlier process left ------------------------------------------------------------------------------

    def resume(self, checkpoint: Path | None) -> None:
        """Recall what the files say up to `checkpoint`, or to the end of the warm-up where there is none."""
        noted = collectives.on_main(lambda: read_object(self.directory.path / "environment.json"))
        self.effective = dict(noted.get("settings") or {})
        self._earlier_rewards = noted.get("rewards") or {}
        if checkpoint is not None:
            state = orjson.loads((checkpoint / "trainer_state.json").read_bytes())
            self._earlier_rewards = state["stateful_callbacks"]["Follow"]["attributes"]["rewards"]

    def replay(self) -> None:
        """Judge the numbers that were kept once more: which evaluation was the best, and what the watch rules saw.

        What the rules have said comes out again, word for word; a stop among it is past and stops nothing.
        """
        rows = collectives.on_main(self._read_metrics)
        folder = self.directory.evaluations
        found = collectives.on_main(
            lambda: {
                (row["stage"], row["step"]): read_rewards(folder / name_evaluation_file(row["stage"], row["step"]))
                for row in rows
                if "eval/mean_reward" in row
            }
        )
        self.best = self._make_best()
        self.best.replay(rows, lambda stage, step: found.get((stage, step)) or None)
        events = self.watch.replay(rows)
        self._replay_supervised(rows)
        if self.rank.is_main:
            watch.write_events(self.directory.path / watch.EVENTS_FILE, events)

    def _read_metrics(self) -> list[dict[str, Any]]:
        path = self.directory.path / "metrics.jsonl"
        return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []

    # -- the stages ------------------------------------------------------------------------------------------------

    def log_warmup(self, step: int, logs: Mapping[str, Any]) -> None:
        """A row of the warm-up's training."""
        if "loss" not in logs:
            return
        row = {f"sft/{key}": value for key, value in logs.items() if key != "epoch"} | {"sft/step": step}
        self._sft_losses = [*self._sft_losses[:1], float(logs["loss"])]
        self.tracker.log(row, stage="warmup", step=0)
        self._watch(row, "warmup", step)

    def log_held_out_loss(self, step: int, measured: Mapping[str, Estimate]) -> None:
        """What the supervised stage makes of held-out answers: `sft/held_out_loss` and `sft/held_out_token_accuracy`."""
        row: dict[str, Any] = {"sft/step": step}
        for name, estimate in measured.items():
            key = f"sft/held_out_{name}"
            row |= {
                key: estimate.mean,
                f"{key}_n": estimate.n,
                f"{key}_low": estimate.low,
                f"{key}_high": estimate.high,
            }
        loss = measured["loss"].mean
        if loss is not None and isfinite(loss):
            self._least_held_out = min(loss, self._least_held_out)
            row["sft/held_out_loss_above_best"] = loss / self._least_held_out - 1.0 if self._least_held_out > 0 else 0.0
        self.tracker.log(row, stage="warmup", step=0)
        self._watch(row, "warmup", step)

    def _replay_supervised(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._sft_losses, self._least_held_out = [], inf
        for row in rows:
            if (loss := row.get("sft/held_out_loss")) is not None:
                self._least_held_out = min(loss, self._least_held_out)
            if row.get("sft/loss") is not None:
                self._sft_losses = [*self._sft_losses[:1], float(row["sft/loss"])]
            elif "eval/mean_reward" in row:
                self._fell_for_nothing(str(row.get("stage")), row)

    def _fell_for_nothing(self, stage: str, metrics: Mapping[str, Any]) -> dict[str, float]:
        """By which share the supervised loss fell while the reward of a task stayed at 0; nothing where none did."""
        if stage == "before":
            self._tasks_at_zero = find_tasks_at_zero(metrics)
            return {}
        if len(self._sft_losses) < 2 or self._sft_losses[0] <= 0 or stage not in ("warmup", "final"):
            return {}
        stayed = self._tasks_at_zero & find_tasks_at_zero(metrics)
        fell = 1.0 - self._sft_losses[1] / self._sft_losses[0]
        self._sft_losses = []
        return {"sft/loss_fell_for_nothing": fell} if stayed and fell > 0 else {}

    def log_training(self, step: int, logs: Mapping[str, Any], seconds: Mapping[str, float]) -> dict[str, Any]:
        """A row of GRPO and what its parts took; returns the row as it was logged."""
        if self.rank.is_main and not (self.directory.path / "metrics.jsonl").is_file():
            # Files that are open take what is written although nobody will ever find it.
            raise FileNotFoundError(ENOENT, "the folder of the run is gone", str(self.directory.path))
        row = {key: value for key, value in logs.items() if not key.startswith("rewards/")}
        if self._repetition is not None:
            row["completions/repetition"] = self._repetition
        row |= self._count_reward_errors()
        self.tracker.log(row, stage="train", step=step)
        self._watch(row, "train", step)
        took = {f"{name}_seconds": round(value, 4) for name, value in seconds.items()}
        self.tracker.log_seconds(stage="train", step=step, **took)
        return row

    def note_step(self) -> dict[str, Any]:
        """What goes into the present step's row beside what the trainer logs, for a row that is written by another process."""
        errors, scores = self._count_scores()
        return {"repetition": self._repetition, "errors": errors, "scores": scores}

    def recall_step(self, noted: Mapping[str, Any]) -> None:
        """Restore what `note_step` returned, before the row is written."""
        self._repetition = noted.get("repetition")
        self._reward_counts = (-int(noted.get("errors") or 0), -int(noted.get("scores") or 0))

    def log_completions(
        self, step: int, scored: Sequence[Any], groups: Sequence[int], advantages: Sequence[float]
    ) -> None:
        """Log the completions of a step: stored every so many steps, while repetition is measured at every step."""
        if self.rank.count > 1:
            scored, advantages = collectives.concatenate(scored), collectives.concatenate(advantages)
            groups = [index // self.config.grpo.num_generations for index in range(len(scored))]
        self._repetition = watch.measure_repetition(s.completion.text for s in scored)
        self._batch = step, scored, groups, advantages
        if not self.rank.is_main or (step % self.config.grpo.log_completions_every and step != 1):
            return
        write_records(
            path := self.directory.completions / f"step-{step:06d}.jsonl",
            (
                {**self.host.to_record(s), "stage": "train", "step": step, "group": group, "advantage": advantage}
                for s, group, advantage in zip(scored, groups, advantages, strict=True)
            ),
        )
        self.tracker.log_completions(path, stage="train", step=step)

    def log_evaluation(self, stage: str, step: int, metrics: Mapping[str, Any]) -> None:
        """The numbers of an evaluation, its completions, and how far it is from each threshold of the decision."""
        metrics = {**metrics, **self._fell_for_nothing(stage, metrics)}
        self.tracker.log(metrics, stage=stage, step=step)
        self._watch(metrics, stage, step)
        self.tracker.log_completions(
            self.directory.evaluations / name_evaluation_file(stage, step), stage=stage, step=step
        )
        if stage != "before" and self.rank.is_main:
            self.tracker.log_margins(self._ask_tree(), stage=stage, step=step)

    def show_estimates(
        self,
        stage: str,
        step: int,
        estimates: dict[str, Estimate],
        functions: dict[str, Estimate],
        endings: dict[str, TaskEndings],
    ) -> None:
        """The table of an evaluation on the screen, beside the one before it and the warm-up's; functions below the tasks."""
        name = name_evaluation_file(stage, step)
        kept = stage == "judged" and (self.directory.evaluations / "start.jsonl").is_file()
        start = "start.jsonl" if kept else "warmup.jsonl"
        titles = {
            "before": "before training",
            "warmup": "after the SFT warm-up",
            "start": "the start of GRPO, on the rows reserved for the end",
            "final": f"at the end, step {step}",
            "judged": f"judged: step {step}, estimated again",
        }
        last = self.config.grpo.max_steps if self.config.trains_grpo else None
        self.progress.show_evaluation(
            titles.get(stage, f"step {step} of {last}" if last else f"step {step} of the SFT"),
            estimates,
            previous=self._previous[1] if self._previous else None,
            baseline=self.best.baseline if stage in ("train", "final", "judged") else None,
            since_previous=self._pair(self._previous[0], name) if self._previous else {},
            since_baseline=self._pair(start, name),
            functions=functions,
            endings=endings,
        )
        if stage != "start":
            self._previous = name, estimates

    def _pair(self, before: str, after: str) -> dict[str, Estimate]:
        """The change between two evaluations over the examples of both; only the first process shows it."""
        folder = self.directory.evaluations
        return pair_evaluations(folder / before, folder / after) if self.rank.is_main and before != after else {}

    def _count_reward_errors(self) -> dict[str, float]:
        """The share of scores that failed since the last step; nothing where none did."""
        failed, made = self._count_scores()
        self._reward_counts = (self._reward_counts[0] + failed, self._reward_counts[1] + made)
        return {"reward_errors": failed / made} if failed > 0 and made > 0 else {}

    def _count_scores(self) -> tuple[int, int]:
        """Scores that failed, and all that were made, since the last row."""
        report = self.host.report().values()
        counts = collectives.gather([sum(function[key] for function in report) for key in ("errors", "values")])
        errors, values = (sum(each) for each in zip(*counts, strict=True))
        return errors - self._reward_counts[0], values + errors - self._reward_counts[1]

    def _watch(self, row: Mapping[str, Any], stage: str, step: int) -> None:
        """Judge a row that was just logged; what comes of it is kept, tracked and shown."""
        events = self.watch.observe(row, stage=stage, step=step)
        if not events:
            return
        if self.rank.is_main:
            watch.append_events(self.directory.path / watch.EVENTS_FILE, events)
        self.tracker.log({f"watch/{event.rule}": event.value for event in events}, stage=stage, step=step)
        if stage == "train" and self.rank.is_main and not all(isfinite(event.value) for event in events):
            self._keep_batch(step)
        for event in events:
            self.tracker.alert(event.rule, event.text, stage=stage, step=step, level=event.action)
            self.progress.warn(event.text)

    def _keep_batch(self, step: int) -> None:
        """Keep the completions of a step whose loss, gradient or reward is not a number, for whoever looks for the reason."""
        at, scored, groups, advantages = self._batch
        if at != step:
            return
        path = self.directory.path / "not_finite" / f"step-{step:06d}.jsonl"
        rows = zip(scored, groups, advantages, strict=True)
        write_records(
            path,
            (
                {**self.host.to_record(s), "stage": "train", "step": step, "group": group, "advantage": advantage}
                for s, group, advantage in rows
            ),
        )
        checkpoint = self.directory.latest_checkpoint()
        kept = f"checkpoints/{checkpoint.name}" if checkpoint else "the end of the warm-up"
        self.progress.warn(f"its completions are in {path}; the last good state is {kept}")

    def _ask_tree(self) -> Sequence[Any]:
        """The nodes that the decision would pass if the run ended now; none where that cannot be told."""
        from callbacks.decision.tree import decide
        from grpo.ladder import find_rung

        try:
            rung, next_rung = find_rung(self.config.model.name)
            return decide(self._read_metrics(), self.config.decision, rung=rung, next_rung=next_rung).path
        except Exception as fault:  # a number to look at must not end the run
            self.progress.warn(f"the margins of the decision are not tracked at this step: {fault}")
            return ()

    # -- the environment -------------------------------------------------------------------------------------------

    def report_rewards(self) -> dict[str, dict[str, Any]]:
        """What the reward functions did in the whole run, with what the processes before this one counted."""
        return add_reports(self._earlier_rewards, self.host.report())

    def write_environment(self, device: str) -> None:
        """environment.json: versions, device, the settings in force so far and what the reward functions did."""
        # A config that was read back from its file no longer knows the profile it was made under.
        saved = read_object(self.directory.path / "config.json")
        self.directory.write_json(
            "environment.json",
            environment.describe(
                profile=saved.get("profile") or self.config.profile,
                **environment.describe_device(device),
                **self.policy,
                settings=self.effective,
                rewards=self.report_rewards(),
            ),
        )


def find_tasks_at_zero(metrics: Mapping[str, Any]) -> frozenset[str]:
    """The tasks of an evaluation row whose mean reward is 0, or close enough to 0 to be chance."""
    means = {key: value for key, value in metrics.items() if key.startswith("eval/") and f"{key}_n" in metrics}
    return frozenset(
        key for key, value in means.items() if key != "eval/mean_reward" and value is not None and value <= _NOTHING
    )


def add_reports(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Two reports of a reward host one after the other; versions and weights are the later one's.

    Without the mean: added up in two parts it differs in its last bit, and the means of a run are in metrics.jsonl.
    """
    added = {}
    for name, report in now.items():
        before = earlier.get(name) or {}
        row = {key: value for key, value in report.items() if key != "mean"}
        for key in ("values", "unscored", "errors", "seconds", "worker_starts", "stray_answers"):
            row[key] = row.get(key, 0) + before.get(key, 0)
        row["faults"] = {
            kind: before.get("faults", {}).get(kind, 0) + report["faults"].get(kind, 0)
            for kind in sorted({*before.get("faults", {}), *report["faults"]})
        }
        scores = row["values"] + row["errors"]
        row["mean_seconds"] = row["seconds"] / scores if scores else 0.0
        row["slowest_seconds"] = max(before.get("slowest_seconds", 0.0), report["slowest_seconds"])
        added[name] = row
    return added
