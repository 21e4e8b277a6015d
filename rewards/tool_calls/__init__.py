"""Tool calls in the dialects that models write."""
