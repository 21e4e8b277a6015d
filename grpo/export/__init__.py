"""Taking a trained policy home: merged weights, GGUF, a proof of each, and the card beside them."""
