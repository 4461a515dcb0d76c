"""What the inner loop changes, and what depends on it."""
