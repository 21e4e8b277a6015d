"""The reward functions that come with recompensa, one a file."""
