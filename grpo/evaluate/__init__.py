"""Any policy over any rows, scored: `python -m grpo.evaluate`."""
