"""Seeds for requests to vLLM: each completion gets its own random numbers, and a resumed run draws the same ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Seeds:
    """The first seed of each call for completions; a resumed run draws the same seeds as an uninterrupted one.

    `copy` numbers the copies of the policy that generate side by side. Calls are spaced far apart, because each request
    in a call adds one.
    """

    def __init__(self, trainer: Any, copy: int):
        self._trainer, self._copy = trainer, copy
        self._step, self._calls = -1, 0

    def __call__(self) -> int:
        # Written ahead, completions belong to a step that has not begun.
        ahead = getattr(self._trainer, "ahead", None)
        step = self._trainer.state.global_step if ahead is None else ahead.step
        # Dynamic sampling asks more than once a step.
        self._calls = self._calls + 1 if step == self._step else 0
        self._step = step
        place = self._trainer.args.seed * 1_000_003 + step
        return (((place * 1_009 + self._copy) * 1_009 + self._calls) * 1_000_003) % 2**62


def seed_requests(generate: Callable[..., Any], next_seed: Callable[[], int]) -> Callable[..., Any]:
    """`LLM.generate` with a separate seed for every request: a shared seed would make all answers of a group identical."""

    def generate_seeded(prompts: Any, sampling_params: Any, **options: Any) -> Any:
        first, seeded = next_seed(), []
        for index in range(len(prompts)):
            params = sampling_params.clone()
            params.seed = first + index
            seeded.append(params)
        return generate(prompts, sampling_params=seeded, **options)

    return generate_seeded
