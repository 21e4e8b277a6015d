"""The stages of a run and the GRPO step."""
