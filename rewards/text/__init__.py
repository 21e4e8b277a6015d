"""What is known of texts: Portuguese words, overlap measures."""
