"""What is written to disk: whole files or none, values that any writer can hold, folders that say what they hold."""
