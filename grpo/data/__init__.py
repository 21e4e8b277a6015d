"""The data of a run: its YAML section, the row files, the check of the split, and the shop that generates all of it."""
