"""How a policy writes: prompts to sampled completions."""
