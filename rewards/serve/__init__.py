"""Rewards over HTTP: one scorer, the dialects of many trainers, and a failure that is never a number."""
