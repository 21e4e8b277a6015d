"""Recorded evaluations beside each other: `python -m grpo.compare`."""
