"""Runs set side by side: what is read of them, how noisy their differences are, and what follows for a promotion."""
