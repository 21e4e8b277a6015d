"""Generated rows of personas: one message told in several voices, each with the others' answers as contrasts."""
