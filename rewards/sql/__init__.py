"""Model-written SQL: its text, and the sandbox it runs in."""
