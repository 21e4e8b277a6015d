"""The supervised stage before GRPO: loss on assistant turns only."""
