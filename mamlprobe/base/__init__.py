"""Floor 0: words everyone uses."""
