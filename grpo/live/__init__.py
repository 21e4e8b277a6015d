"""A run seen while it goes on: its files read as they grow, and shown in a terminal."""
