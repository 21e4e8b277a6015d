"""A fast tokenizer as the vocabulary of a GGUF file: tokens, merges or scores, and how text is cut before them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from grpo.policy.gguf_file import PIECES
from rewards.errors import UserError
from rewards.screen.harmless_text import make_label

# The format's token types (ggml-org/llama.cpp, gguf-py/gguf/constants.py).
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
# Several names cut alike; llama.cpp knows each of these.
_PREFERRED = ("smollm", "qwen2", "llama-bpe", "tekken", "gpt-2")
_BYTE_LEVEL = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the file says of its tokenizer. `kind` is llama.cpp's: `gpt2` merges bytes, `llama` pieces with scores."""

    kind: str
    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str] | None = None
    scores: list[float] | None = None
    space_prefix: bool = False


def read_vocabulary(tokenizer: Any, rows: int) -> Vocabulary:
    """The vocabulary of a transformers tokenizer for a model whose embeddings have `rows`.

    UserError for a tokenizer that llama.cpp cannot be told about: it would cut texts otherwise, and answer worse.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise _unknown("it is not one of the library tokenizers")
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    model = described["model"]
    if model.get("type") != "BPE":
        raise _unknown(f"its model is {model.get('type')}, and llama.cpp's two kinds here are BPE")
    tokens, types = _list_tokens(tokenizer, model, rows)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    if model.get("byte_fallback"):
        types = [
            BYTE if kind == NORMAL and _is_byte(token) else kind for token, kind in zip(tokens, types, strict=True)
        ]
        scores = _score(tokens, model["merges"])
        return Vocabulary("llama", "default", tokens, types, None, scores, _prefixes_space(described))
    pre = _find_cut(described)
    return Vocabulary("gpt2", pre, tokens, types, merges)


def _list_tokens(tokenizer: Any, model: dict[str, Any], rows: int) -> tuple[list[str], list[int]]:
    added = tokenizer.added_tokens_decoder
    by_number = {number: token for token, number in model["vocab"].items()}
    highest = max([*by_number, *added])
    if highest >= rows:
        raise UserError(f"gguf: the tokenizer has a token number {highest}, the model only {rows} embeddings")
    tokens, types = [], []
    for number in range(rows):
        if number in added:
            tokens.append(added[number].content)
            types.append(CONTROL if added[number].special else USER_DEFINED)
        elif number in by_number:
            tokens.append(by_number[number])
            types.append(UNKNOWN if by_number[number] == model.get("unk_token") else NORMAL)
        else:
            tokens.append(f"[PAD{number}]")
            types.append(UNUSED)
    return tokens, types


def _find_cut(described: dict[str, Any]) -> str:
    """The name llama.cpp has for the way these texts are cut; UserError where it has none."""
    cuts = _cuts(described.get("pre_tokenizer"))
    if cuts is None:
        raise _unknown("its way of cutting texts before the merges is not made of patterns and bytes")
    # Whether whole words come before the merges goes with the name too. Some converters let them where the merges make the
    # same words, so that the tokenizer's own setting says nothing; the proof does.
    name = next((name for name in _PREFERRED if PIECES[name] == cuts), None)
    if name is None:
        raise _unknown(
            f"it cuts texts by {make_label(' then '.join(cuts), 60)!r}, which is none of llama.cpp's patterns"
        )
    return name


def _cuts(node: dict[str, Any] | None) -> tuple[str, ...] | None:
    """The patterns of a pre-tokenizer in turn; None where it does anything else."""
    parts = node.get("pretokenizers", [node]) if node else []
    patterns: list[str] = []
    for part in parts:
        kind = part["type"]
        if kind == "Split" and part.get("behavior") == "Isolated" and not part.get("invert"):
            pattern = part["pattern"].get("Regex")
            if pattern is None:
                return None
            patterns.append(pattern)
        elif kind == "Digits" and part.get("individual_digits"):
            patterns.append(r"\p{N}")
        elif kind == "ByteLevel" and not part.get("add_prefix_space"):
            if part.get("use_regex", True):
                patterns.append(_BYTE_LEVEL)
        else:
            return None
    return tuple(patterns) if parts and parts[-1]["type"] == "ByteLevel" else None


def _score(tokens: list[str], merges: list[Any]) -> list[float]:
    """A score a token, the higher the sooner it is merged: the rank of the first merge that makes it."""
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        whole = pair.replace(" ", "", 1) if isinstance(pair, str) else "".join(pair)
        ranks.setdefault(whole, rank)
    return [-float(ranks.get(token, len(merges))) for token in tokens]


def _prefixes_space(described: dict[str, Any]) -> bool:
    """Whether a text gets a space before its first word."""
    nodes = [described.get("normalizer"), described.get("pre_tokenizer")]
    while nodes:
        node = nodes.pop()
        if not node:
            continue
        nodes += [*node.get("normalizers", ()), *node.get("pretokenizers", ())]
        if node["type"] == "Prepend" or node.get("prepend_scheme") in ("first", "always"):
            return True
    return False


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _unknown(reason: str) -> UserError:
    return UserError(
        f"gguf: llama.cpp has no tokenizer for this model ({reason}), so a GGUF file would be cut into other tokens than "
        "it was trained on; export it with --format safetensors"
    )
