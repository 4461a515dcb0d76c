"""Whether gradients are what a method's settings say: everything computed a second way."""
