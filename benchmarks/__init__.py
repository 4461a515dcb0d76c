"""How fast and how large the works are: ours, a plain autograd loop and learn2learn's algorithm, side by side."""
