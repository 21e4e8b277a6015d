"""Finding what a plugin brings: imported in a process of its own first, its classes checked, its files named."""
