"""The forms a row may come in: conversations and columns of several conventions, and what no row may hold."""
