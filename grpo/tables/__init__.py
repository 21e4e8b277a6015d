"""The tables of a paper out of recorded runs: by split, by layer and split x layer, each cell with n and its interval."""
