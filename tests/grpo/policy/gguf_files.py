"""A GGUF file of a few thousand weights, written for the tests."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = [
    "A entrega não chegou, paguei R$ 1.234,56 em 12/03/2024!", "Ótimo produto, recomendo. Nota 10.", "it's  DON'T we'll",
    '{"customer": "João", "price": 59.9}', "preço  preço\n\n  entrega\t\tchegou chegou", "2024 2025 1234567",
]  # fmt: skip


def write_gguf(path: Path, *, pre: str = "smollm", eos: str = "<|im_end|>", padding: str | None = None) -> Path:
    """A Llama of one layer with a byte-level BPE, its weights in Q8_0 and F32; `eos` is what the file calls the end."""
    import numpy
    from gguf import GGMLQuantizationType, GGUFWriter, quants
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    markers = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=480, special_tokens=markers, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    import json

    model = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    width, inner, size = 32, 64, len(tokens)
    writer = GGUFWriter(str(path), "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(size)
    writer.add_file_type(7)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in markers else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(tokens.index(eos))
    if padding is not None:
        writer.add_pad_token_id(tokens.index(padding))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    random = numpy.random.default_rng(0)
    shapes = {
        "token_embd": (size, width), "blk.0.attn_q": (width, width), "blk.0.attn_k": (16, width),
        "blk.0.attn_v": (16, width), "blk.0.attn_output": (width, width), "blk.0.ffn_gate": (inner, width),
        "blk.0.ffn_up": (inner, width), "blk.0.ffn_down": (width, inner),
    }  # fmt: skip
    for name, shape in shapes.items():
        weights = random.normal(0, 0.05, shape).astype(numpy.float32)
        packed = quants.quantize(weights, GGMLQuantizationType.Q8_0)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=GGMLQuantizationType.Q8_0)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", numpy.ones(width, numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
