"""Reward for a short analysis: a diagnosis and numbered actions, with figures that the prompt really gave."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import ClassVar, NamedTuple

from pydantic import Field, model_validator

from rewards.hookspecs import hookimpl
from rewards.screen.allowed import show_value
from rewards.text.portuguese import fold, judge_echo, list_words, numbers_in, split_words
from rewards.types import Completion, Example, RewardFunction, Score

MAXIMUM_TEXT = 8_000
"""Characters that are read; far beyond the longest answer that earns anything for its length."""

ACTION_VERBS = list_words(
    """abrir acelerar acompanhar agilizar ajustar alinhar ampliar analisar antecipar aprimorar atualizar aumentar avaliar avisar
    buscar capacitar cobrar comunicar conferir conter contratar contatar corrigir criar definir destacar diminuir divulgar
    diversificar eliminar entrar enviar estabelecer estudar evitar expandir explorar fazer focar fortalecer garantir
    identificar implantar implementar incentivar incluir informar iniciar investigar investir lancar ligar manter mapear
    medir melhorar monitorar mudar negociar notificar oferecer otimizar pedir pesquisar planejar premiar priorizar
    programar promover propor rastrear recuperar redesenhar reduzir reforcar renegociar reorganizar repetir repor replicar
    responder revisar segmentar simplificar solicitar substituir subsidiar testar treinar trocar usar verificar"""
)
_NUMBERED = re.compile(r"(?<![0-9.,/])([1-9])[ \t]?[).][ \t]*(?![0-9])")
_PARTS = ("structure", "figures", "verbs", "length", "repetition")


class _Sections(NamedTuple):
    diagnosis: str | None
    actions: tuple[str, ...] | None
    figures_text: str
    twice: bool = False


class Insights(RewardFunction):
    """Length and repetition times what is left after structure, figures and verbs have each taken off their cost."""

    name: ClassVar[str] = "insights"
    version: ClassVar[str] = "3"
    tasks: ClassVar[tuple[str, ...]] = ("insights",)

    diagnosis_label: str = Field("Diagnóstico:", min_length=2, description="What the first section starts with.")
    actions_label: str = Field("Ações:", min_length=2, description="What the second section starts with.")
    minimum_actions: int = Field(2, ge=1, le=9, description="Numbered actions that earn the whole share.")
    maximum_actions: int = Field(5, ge=1, le=9, description="Numbered actions beyond which the structure is broken.")
    minimum_figures: int = Field(2, ge=0, description="Distinct figures of the prompt that the text must use.")
    action_verbs: tuple[str, ...] = Field(
        ACTION_VERBS, description="Infinitives with which an action may start; their imperatives count too."
    )
    minimum_words: int = Field(15, ge=0, description="Words below which the length costs.")
    maximum_words: int = Field(80, ge=1, description="Words above which the length costs, all of it at twice as many.")
    structure_cost: float = Field(0.6, ge=0, le=1, description="Share lost without diagnosis and numbered actions.")
    figures_cost: float = Field(0.7, ge=0, le=1, description="Share lost without figures, or with invented ones only.")
    verbs_cost: float = Field(0.3, ge=0, le=1, description="Share lost when no action starts with a verb.")

    @model_validator(mode="after")
    def _check_ranges(self) -> Insights:
        if self.minimum_actions > self.maximum_actions or self.minimum_words > self.maximum_words:
            raise ValueError("a minimum is above its maximum")
        return self

    def problems(self, example: Example) -> list[str]:
        problems = [] if example.reference else ["reference: missing; give the analysis a perfect model would write"]
        figures = example.columns.get("figures")
        if (
            isinstance(figures, str)
            or not isinstance(figures, Sequence)
            or not all(isinstance(f, str) for f in figures)
        ):
            problems.append(f"figures: {show_value(figures)}; give the prompt's numbers as a list of strings")
        elif len(_values(figures)) < self.minimum_figures:
            problems.append(
                f"figures: {len(_values(figures))} distinct; the option minimum_figures asks {self.minimum_figures}"
            )
        return problems

    def __call__(self, example: Example, completion: Completion) -> Score:
        whole = completion.answer
        text = whole[:MAXIMUM_TEXT]
        sections = self._split(fold(text))
        words = split_words(sections.figures_text)
        if not words:
            return Score(0.0, "no words", dict.fromkeys(_PARTS, 0.0))
        structure, structure_reason = self._judge_structure(sections)
        figures, figures_reason = self._judge_figures(sections.figures_text, example.columns.get("figures", ()))
        verbs = self._judge_verbs(sections.actions or ())
        length = self._judge_length(len(words)) if len(whole) <= MAXIMUM_TEXT else 0.0
        # Handing the data back is not an analysis; it counts like saying the same thing again.
        echo = judge_echo(words, example.prompt)
        repetition = judge_repetition(words) * echo
        notes = [structure_reason, figures_reason]
        notes.append("" if verbs == 1.0 else "actions do not start with distinct verbs")
        notes.append(
            "" if length == 1.0 else f"{len(words)} words, allowed {self.minimum_words} to {self.maximum_words}"
        )
        notes.append("" if repetition == 1.0 else "repeats the prompt" if echo < 1.0 else "repeats itself")
        parts = (structure, figures, verbs, length, repetition)
        costs = (self.structure_cost, self.figures_cost, self.verbs_cost)
        # Multiplied, so that a tidy form does not make up for figures that are missing or invented.
        value = (
            length * repetition * math.prod(1 - cost * (1 - part) for cost, part in zip(costs, parts[:3], strict=True))
        )
        return Score(value, "; ".join(filter(None, notes)), dict(zip(_PARTS, parts, strict=True)))

    def _split(self, folded: str) -> _Sections:
        """Both sections of a folded text, None where a label is missing, and the text without labels and action numbers."""
        first, second = fold(self.diagnosis_label), fold(self.actions_label)
        diagnosis = actions = None
        before, label, after = folded.partition(second)
        if label:
            pieces = _NUMBERED.split(after)
            # re.split with a group gives: before, number, text, number, text ...
            numbered = zip(pieces[1::2], pieces[2::2], strict=True)
            actions = tuple(piece.strip() for at, (number, piece) in enumerate(numbered, 1) if number == str(at))
            after = " ".join(pieces[::2])
        _, label, said = before.partition(first)
        if label:
            diagnosis = said.strip()
        twice = folded.count(first) > 1 or folded.count(second) > 1
        return _Sections(diagnosis, actions, f"{before.replace(first, ' ')} {after}".strip(), twice)

    def _judge_structure(self, sections: _Sections) -> tuple[float, str]:
        """A third for each: a diagnosis that says something, the label of the actions, enough numbered actions."""
        if sections.twice:
            return 0.0, "a section twice"
        diagnosed = sections.diagnosis is not None and _count_real_words(sections.diagnosis) >= 4
        if sections.actions is None:
            return diagnosed / 3, f"no {self.actions_label}" + ("" if diagnosed else f" and no {self.diagnosis_label}")
        count = sum(_count_real_words(action) >= 2 for action in sections.actions)
        enough = min(count, self.minimum_actions) / self.minimum_actions if count <= self.maximum_actions else 0.0
        reason = "" if diagnosed else f"no {self.diagnosis_label}"
        if enough < 1.0:
            reason = f"{reason}; " * bool(reason) + f"{count} numbered actions"
        return (diagnosed + 1 + enough) / 3, reason

    def _judge_figures(self, text: str, figures: Sequence[str]) -> tuple[float, str]:
        """The share of the text's numbers that the prompt gave, squared because an invented number is worse than none.

        Less when fewer distinct ones than asked are used.
        """
        given, used = _values(figures), numbers_in(text)
        grounded = [value for value in used if value in given]
        if not used:
            return (1.0 if self.minimum_figures == 0 else 0.0), "no figures"
        share = (len(grounded) / len(used)) ** 2
        enough = min(1.0, len(set(grounded)) / self.minimum_figures) if self.minimum_figures else 1.0
        invented = len(used) - len(grounded)
        notes = [f"{invented} invented figures"] if invented else []
        notes += [f"{len(set(grounded))} distinct figures of the prompt"] if enough < 1.0 else []
        return share * enough, ", ".join(notes)

    def _judge_verbs(self, actions: Sequence[str]) -> float:
        """Distinct verbs with which the actions start; one in the middle of an action earns nothing."""
        allowed = _fold_all(self.action_verbs)
        firsts = {words[0] for action in actions if (words := split_words(action[:200]))}
        found = {infinitive for word in firsts if (infinitive := _infinitive(word, allowed))}
        return min(len(found), self.minimum_actions) / self.minimum_actions

    def _judge_length(self, count: int) -> float:
        if count < self.minimum_words:
            return count / self.minimum_words
        return max(0.0, 1.0 - max(0, count - self.maximum_words) / self.maximum_words)


def judge_repetition(words: Sequence[str], size: int = 3, free: float = 0.1) -> float:
    """1 while at most `free` of the runs of `size` words stood before, then down to 0 as all of them do."""
    runs = [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]
    if not runs:
        return 1.0
    repeated = 1.0 - len(set(runs)) / len(runs)
    return 1.0 if repeated <= free else max(0.0, (1.0 - repeated) / (1.0 - free))


def _count_real_words(text: str) -> int:
    return sum(any(letter.isalpha() for letter in word) for word in split_words(text))


def _values(figures: Sequence[str]) -> frozenset[float]:
    return frozenset(value for figure in figures for value in numbers_in(figure))


@lru_cache(maxsize=64)
def _fold_all(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(fold, words))


def _infinitive(word: str, allowed: frozenset[str]) -> str | None:
    """The infinitive of an infinitive or a regular imperative: `revisar`, `revise`, `ofereca`."""
    if word in allowed:
        return word
    for ending in ("e", "a"):
        if word.endswith(ending):
            stem = word[: -len(ending)]
            for infinitive in (
                f"{stem}ar",
                f"{stem}er",
                f"{stem}ir",
                f"{stem.removesuffix('qu')}car",
                f"{stem.removesuffix('u')}ar",
            ):
                if infinitive in allowed:
                    return infinitive
    return None


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(Insights)
