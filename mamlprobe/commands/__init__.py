"""Floor 6: what the command line does, once its options are parsed."""
