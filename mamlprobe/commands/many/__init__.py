"""The commands on many runs at once."""
