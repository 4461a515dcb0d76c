"""Whether gradients are what a method's settings say: everything is computed a second way."""
