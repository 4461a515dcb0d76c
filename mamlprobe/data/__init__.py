"""Floor 1: where tasks come from: pools of images, episodes drawn from them, readers of raw files."""
