"""Rows of personas, written as training and held-out files; the same section writes the same bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from grpo.data.personas.voices import DAYS, KINDS, THINGS, VOICES, Voice
from grpo.data.section import PersonasSection
from rewards.errors import UserError
from rewards.writing.files import replacing

_PRICES = tuple(str(price) for price in range(10, 40))
_ASKED = {
    "price": ("o {0} custa {1} reais", "preço do {0}: {1} reais"),
    "arrived": ("o {0} chegou na {1}", "chegada do {0}: {1}"),
    "gone": ("o {0} acabou, tem mais na {1}", "acabou o {0}, volta {1}"),
    "sale": ("o {0} está mais barato até {1}", "oferta do {0} até {1}"),
}


class VoicedMessage(NamedTuple):
    """What is to be told: one of KINDS, the thing, and its price or day."""

    kind: str
    thing: str
    value: str

    def told_by(self, voice: Voice) -> str:
        return voice.says[self.kind].format(self.thing, self.value)


def build_personas(folder: Path, section: PersonasSection) -> dict[str, Path]:
    """Write `train.jsonl` and `held_out.jsonl`, whose messages do not meet; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{section.seed}/messages")
    messages = [
        VoicedMessage(kind, thing, value)
        for kind in KINDS
        for thing, value in product(THINGS, _PRICES if kind == "price" else DAYS)
    ]
    rng.shuffle(messages)
    # A message is either trained on or held out, whoever tells it; each may be told by every voice in both wordings.
    wanted = -(-section.held_out_rows // section.personas)
    if wanted > len(messages) // 2:
        most = len(messages) // 2 * section.personas
        raise UserError(f"data.personas.held_out_rows: {section.held_out_rows}; there are messages for at most {most}")
    parts = {"held_out": messages[:wanted], "train": messages[wanted:]}
    files = {}
    for name, rows in (("held_out", section.held_out_rows), ("train", section.train_rows)):
        files[name] = folder / f"{name}.jsonl"
        with replacing(files[name]) as file:
            for row in _tell(name, rows, parts[name], section):
                file.write(orjson.dumps(row) + b"\n")
    return files


def _tell(split: str, rows: int, messages: list[VoicedMessage], section: PersonasSection) -> Iterator[dict[str, Any]]:
    rng = random.Random(f"{section.seed}/{split}")
    voices = VOICES[: section.personas]
    for number in range(rows):
        voice = voices[number % len(voices)]
        message = messages[(number // len(voices)) % len(messages)]
        others = rng.sample([other for other in voices if other is not voice], section.contrasts)
        system = voice.name if section.instructions == "short" else voice.description
        yield {
            "id": f"{split.replace('_', '-')}-{number + 1:05d}",
            "task": voice.name,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": rng.choice(_ASKED[message.kind]).format(message.thing, message.value)},
                {"role": "assistant", "content": message.told_by(voice)},
            ],
            "persona": voice.name,
            "contrast": [message.told_by(other) for other in others],
        }
