"""The proof of an export: its own runtime loads it, answers held-out rows greedily, and the run's rewards judge them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks.evaluation.task_scores import summarise
from grpo.export.llama_cpp import LlamaCpp, name_runtime
from grpo.export.sample_texts import make_texts
from rewards.errors import RecompensaError
from rewards.statistics.estimates import ALL, NOTHING, Estimate
from rewards.types import Completion, Example

if TYPE_CHECKING:
    from grpo.policy.prompts import PromptBuilder
    from rewards.host.scoring import RewardHost

Advance = Callable[[int], None]
_SLOTS = 8  # answers that llama.cpp writes at once: its weights are read once for all of them


class ProofFailed(RecompensaError):
    """The exported file is not the policy that the run judged; nothing was left behind."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Greedy answers to the same rows and their rewards; `source` says who wrote them."""

    source: str
    completions: list[Completion]
    estimates: dict[str, Estimate]

    @property
    def whole(self) -> Estimate:
        return self.estimates.get(ALL, NOTHING)


@dataclass
class ExportProof:
    """What was shown of one exported file. `runtime` is None where nothing here can load it, and `note` says why.

    `others` are the ids of the rows that were answered otherwise than by the run's own policy.
    """

    file: str
    runtime: str | None
    rows: int = 0
    mean: Estimate = NOTHING
    own: Estimate = NOTHING
    own_source: str = ""
    equal_answers: float | None = None
    others: list[str] = field(default_factory=list)
    texts: int = 0
    conversations: int = 0
    note: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool | None:
        """None where nothing was shown."""
        return None if self.runtime is None else not self.problems

    def to_json(self) -> dict[str, Any]:
        """The proof as export.json holds it."""
        ends = ("mean", "n", "low", "high")
        return {
            "file": self.file, "runtime": self.runtime, "passed": self.passed, "rows": self.rows,
            "reward": {key: getattr(self.mean, key) for key in ends}, "own": {key: getattr(self.own, key) for key in ends},
            "own_source": self.own_source, "equal_answers": self.equal_answers, "different_rows": self.others,
            "equal_token_texts": self.texts,
            "equal_conversations": self.conversations, "note": self.note, "problems": self.problems,
        }  # fmt: skip

    def describe(self) -> str:
        """One line for people: n rows, mean, interval, the run's own, share of equal answers."""
        if self.runtime is None:
            return f"{self.file}: not proved ({self.note})"
        parts = []
        if self.rows:
            parts.append(
                f"{self.rows} rows, mean {show(self.mean)}; the run's own {show(self.own)} ({self.own_source})"
            )
        if self.equal_answers is not None:
            parts.append(f"{self.equal_answers:.1%} equal answers")
        if self.texts:
            parts.append(f"token ids equal on {self.texts} texts")
        if self.conversations:
            parts.append(f"template byte-equal on {self.conversations} conversations")
        parts += [self.note] if self.note else []
        return f"{self.file} in {self.runtime}: " + ("; ".join(parts) or "loaded")


def show(estimate: Estimate) -> str:
    """A mean with its interval."""
    if estimate.mean is None:
        return "none"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:.3f}"
    return f"{estimate.mean:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def judge(
    source: str, examples: Sequence[Example], completions: Sequence[Completion], host: RewardHost | None
) -> Judged:
    """The answers with their rewards; without a host nothing is scored."""
    if host is None:
        return Judged(source, list(completions), {})
    scored = host.score(list(zip(examples, completions, strict=True)))
    return Judged(source, list(completions), summarise([(item.example.task, item.reward) for item in scored]))


def compare(proof: ExportProof, rows: Sequence[Example], found: Judged, own: Judged) -> ExportProof:
    """The proof with the answers held against the run's own; a problem where the run's interval is left."""
    equal = [one.text == other.text for one, other in zip(found.completions, own.completions, strict=True)]
    proof = replace(
        proof, rows=len(equal), mean=found.whole, own=own.whole, own_source=own.source,
        equal_answers=sum(equal) / len(equal) if equal else None,
        others=[row.id for row, same in zip(rows, equal, strict=True) if not same],
    )  # fmt: skip
    mean, low, high = found.whole.mean, own.whole.low, own.whole.high
    # Where every answer earns the same there is no interval; then the mean has to be the same.
    low, high = (own.whole.mean if low is None else low), (own.whole.mean if high is None else high)
    if mean is not None and low is not None and high is not None and not low - 1e-9 <= mean <= high + 1e-9:
        proof.problems.append(
            f"{proof.file}: its mean over {proof.rows} rows, {show(found.whole)}, is outside of the run's own "
            f"{show(own.whole)}; {proof.equal_answers:.1%} of the answers are equal"
        )
    if mean is None and own.whole.mean is not None:
        proof.problems.append(f"{proof.file}: none of its {proof.rows} answers could be scored")
    return proof


def prove_gguf(
    path: Path,
    prompts: PromptBuilder,
    examples: Sequence[Example],
    host: RewardHost | None,
    own: Judged | None,
    *,
    limit: int,
    adds_start: bool,
    threads: int | None = None,
    advance: Advance = lambda _: None,
) -> ExportProof:
    """Load the file by llama.cpp and hold its tokens, its template and its answers against the run's."""
    proof = ExportProof(path.name, name_runtime())
    ids = [prompts.prompt_ids(example.prompt) for example in examples]
    context = max(map(len, ids), default=64) + limit + 8
    with LlamaCpp(path, context=max(512, context), slots=_SLOTS, threads=threads, exact=True) as runtime:
        _compare_tokens(proof, runtime, prompts, examples)
        _compare_template(proof, runtime, prompts, examples, adds_start)
        if proof.problems or own is None:
            return proof
        written = runtime.answer(ids, limit, advance)
    completions = [prompts.completion(item.tokens, truncated=item.truncated) for item in written]
    return compare(proof, examples, judge(proof.runtime or "", examples, completions, host), own)


def _compare_tokens(proof: ExportProof, runtime: LlamaCpp, prompts: PromptBuilder, examples: Sequence[Example]) -> None:
    tokenizer = prompts.tokenizer
    said = [example.reference or message["content"] for example in examples for message in example.prompt[-1:]]
    texts, marked = make_texts(tokenizer.all_special_tokens, said), 0
    for text in texts:
        wanted = list(tokenizer.encode(text, add_special_tokens=False))
        found = runtime.tokenize(text)
        if wanted != found and text not in said and _has_marks(text):
            marked += 1
        elif wanted != found:
            proof.problems.append(
                f"{proof.file}: llama.cpp cuts {text[:40]!r} into {len(found)} tokens {found[:8]}, the run's tokenizer into "
                f"{len(wanted)} {wanted[:8]}; export it with --format safetensors"
            )
            return
        else:
            proof.texts += 1
    if marked:
        proof.note = f"{marked} texts of scripts with combining marks become other tokens in llama.cpp"


def _has_marks(text: str) -> bool:
    """Whether there are combining marks in it, as in Hindi; llama.cpp's patterns for some tokenizers leave them out."""
    return any(unicodedata.category(character).startswith("M") for character in text)


def _compare_template(
    proof: ExportProof, runtime: LlamaCpp, prompts: PromptBuilder, examples: Sequence[Example], adds_start: bool
) -> None:
    start = prompts.tokenizer.bos_token or ""
    for example in list({example.task: example for example in reversed(examples)}.values()) + list(examples[:8]):
        wanted, found = prompts.render(example.prompt, reply=True), runtime.render(example.prompt)
        if adds_start:
            # llama.cpp takes the start token off the text and puts it back as a token.
            wanted, found = wanted.removeprefix(start), found.removeprefix(start)
        if wanted != found:
            place = next(
                (at for at, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b),
                min(len(wanted), len(found)),
            )
            proof.problems.append(
                f"{proof.file}: llama.cpp renders row {example.id} otherwise from character {place} on: {found[place : place + 40]!r} "
                f"for {wanted[place : place + 40]!r}; give a plainer template in model.chat_template"
            )
            return
        proof.conversations += 1
