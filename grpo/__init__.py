"""The run: plan, preflight, warm-up, GRPO, evaluation, decision, report."""
