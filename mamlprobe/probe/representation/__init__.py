"""What layers represent, before and after the inner loop."""
