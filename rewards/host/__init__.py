"""Many reward functions over many completions, each in its place: budgets, faults, workers."""
