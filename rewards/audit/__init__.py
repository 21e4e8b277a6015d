"""What is proven of rows and rewards before a run."""
