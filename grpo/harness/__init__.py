"""Suites of prompts asked of several models at once, set side by side: `python -m grpo.harness`."""
