"""A run in a terminal while it is in progress: `python -m grpo.watch`."""
