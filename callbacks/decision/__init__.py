"""The decision tree, as data and as the code that walks it."""
