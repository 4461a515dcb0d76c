"""Checkpoints of other projects: what they are, told from what stands in them."""
