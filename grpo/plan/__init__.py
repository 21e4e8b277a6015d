"""What a config will do and cost, before anything is spent."""
