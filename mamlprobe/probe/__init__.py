"""Floor 3: what the papers ask of a trained net."""
