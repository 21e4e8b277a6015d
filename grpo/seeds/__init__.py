"""One recipe under several seeds, or several settings of it: a run a seed, and one summary."""
