"""From how many logits on a pass keeps none, and how many it then makes at once; the plan counts with them, without torch."""

# Below this many logits (64 MiB of float32) keeping them does not matter, and one product is not cut up.
LEAST_LOGITS = 1 << 24
# Logits at once: on a CPU what its caches and a product like, on an accelerator enough for a full product.
CHUNK_LOGITS, CHUNK_LOGITS_CPU = 1 << 27, 1 << 23
