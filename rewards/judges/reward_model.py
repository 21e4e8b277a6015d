"""A trained reward model (sequence classification) as a reward: scored in batches, on the policy's device or beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import Field

from rewards.types import PATH_OR_TEXT, Completion, Example, RewardFunction, Score


class RewardModel(RewardFunction):
    """What a sequence-classification model says of prompt and answer, as a number in 0..1."""

    name: ClassVar[str] = "reward_model"
    version: ClassVar[str] = "1"
    judges_content: ClassVar[bool] = False
    together: ClassVar[str] = "batch"

    model: str = Field(min_length=1, description="A folder, or a name on the Hub.", json_schema_extra=PATH_OR_TEXT)
    device: str = Field("auto", description="auto: the policy's, where it has one of CUDA; or cpu, cuda, cuda:1.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="auto: float32 on a CPU.")
    batch_size: int = Field(16, ge=1, description="Completions in one pass.")
    max_tokens: int = Field(2048, ge=8, description="Longer texts lose their beginning.")
    label: int = Field(0, ge=0, description="Which of the model's numbers counts, where it gives several.")
    squash: Literal["sigmoid", "softmax", "range"] = Field(
        "sigmoid", description="How a logit becomes 0..1: sigmoid; softmax over all labels; or `range`, cut off."
    )
    range: tuple[float, float] = Field((0.0, 1.0), description="With squash: range, the logits of 0 and of 1.")

    def __call__(self, example: Example, completion: Completion) -> Score:
        score = self.score_together([(example, completion)])[0]
        assert score is not None
        return score

    def score_together(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Score | None]:
        """A score a pair, in order, in batches of like length."""
        import torch

        model, tokenizer, device = _load(self.model, self.device, self.dtype)
        texts = [_write(tokenizer, example, completion) for example, completion in pairs]
        # By length: a batch of equals has no padding to pay for.
        order = sorted(range_of(texts), key=lambda at: len(texts[at]))
        values = [0.0] * len(texts)
        for start in range_of(order)[:: self.batch_size]:
            places = order[start : start + self.batch_size]
            batch = tokenizer(
                [texts[at] for at in places], padding=True, truncation=True, max_length=self.max_tokens,
                return_tensors="pt", add_special_tokens=False,
            ).to(device)  # fmt: skip
            with torch.inference_mode():
                logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.float()
            if self.label >= logits.shape[-1]:
                raise ValueError(f"label {self.label}: the model gives {logits.shape[-1]} numbers")
            for place, number in zip(places, self._squash(logits).tolist(), strict=True):
                values[place] = number
        return [Score(value) for value in values]

    def _squash(self, logits: Any) -> Any:
        """(batch, labels) to (batch,) in 0..1."""
        if self.squash == "softmax":
            return logits.softmax(-1)[:, self.label]
        if self.squash == "sigmoid":
            return logits[:, self.label].sigmoid()
        low, high = self.range
        return ((logits[:, self.label] - low) / (high - low)).clamp(0, 1)


def range_of(values: Sequence[Any]) -> list[int]:
    return list(range(len(values)))


@lru_cache(maxsize=2)
def _load(name: str, wanted: str, dtype: str) -> tuple[Any, Any, Any]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted)
    kind = (
        torch.float32
        if dtype == "auto" and device.type == "cpu"
        else "auto"
        if dtype == "auto"
        else getattr(torch, dtype)
    )
    tokenizer = AutoTokenizer.from_pretrained(
        name, truncation_side="left", padding_side="right", trust_remote_code=False
    )
    model = (
        AutoModelForSequenceClassification.from_pretrained(name, dtype=kind, trust_remote_code=False).to(device).eval()
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer, device


def _write(tokenizer: Any, example: Example, completion: Completion) -> str:
    """Prompt and answer as the model was trained to read them: by its chat template, or one after the other."""
    turns = [*map(dict, example.prompt), {"role": "assistant", "content": completion.answer}]
    if tokenizer.chat_template:
        return str(tokenizer.apply_chat_template(turns, tokenize=False))
    return "\n".join(turn["content"] for turn in turns)
