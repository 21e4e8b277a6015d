"""What a run weighs, and what of it may go."""
