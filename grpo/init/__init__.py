"""One's own data, made ready for a run: rows, split, schema, rewards, lengths and a config."""
