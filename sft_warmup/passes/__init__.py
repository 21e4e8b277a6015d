"""What one forward and backward pass of the supervised stage computes, and what it leaves out."""
