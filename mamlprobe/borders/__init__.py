"""Floor 1: what comes in from files that others wrote, read within stated limits and checked once."""
