"""The life of a run on disk: its folder, how it begins, is held, interrupted, resumed and followed by the next."""
