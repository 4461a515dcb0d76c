"""Floor 1: nets, functions from parameters and inputs to named activations."""
