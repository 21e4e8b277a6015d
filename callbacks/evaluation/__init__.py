"""Scored held-out completions as estimates, and the best checkpoint among them."""
