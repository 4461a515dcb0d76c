"""Floor 2: the inner loop, the outer gradient and evaluation."""
