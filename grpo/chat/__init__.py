"""Talking to a trained policy: in a terminal, and over an endpoint that speaks as OpenAI's does."""
