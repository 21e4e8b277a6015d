"""A trained policy behind an OpenAI-compatible endpoint on this machine."""
