"""Watch rules: what a run is warned of or stopped for."""
