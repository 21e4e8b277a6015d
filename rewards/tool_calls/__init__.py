"""Tool calls in the dialects that models write: reading them out of a text, and writing them."""

from rewards.tool_calls.rendering import render_calls

__all__ = ["render_calls"]
