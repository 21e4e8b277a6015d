"""What stands between a trained policy and its deployment: `python -m grpo.checklist`."""
