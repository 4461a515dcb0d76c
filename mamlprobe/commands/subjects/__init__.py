"""What the commands ask of runs and data sets: each a table, its summary and its figure."""
