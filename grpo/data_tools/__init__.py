"""Commands over data files: each reads any source a row at a time and writes JSON Lines."""
