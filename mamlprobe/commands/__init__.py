"""Floor 6: what the command line does, once its words are read."""
