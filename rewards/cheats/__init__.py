"""Wrong answers that a reward must not pay."""
