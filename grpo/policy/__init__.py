"""The policy: its weights, its tokenizer and what it says about a token."""
