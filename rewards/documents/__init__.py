"""Two documents compared leaf by leaf."""
