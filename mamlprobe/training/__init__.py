"""Floor 5: the outer loop in time: device, clock, signals and files."""
