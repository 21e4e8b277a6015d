"""What a run's record says to do next: `python -m grpo.decide`."""
