"""Floor 2: the mathematics of learning to learn."""
