"""What the telecom rewards share: figures, units, paths, layers."""
