"""What the commands measure on runs and data sets: each a table, its summary and its figure."""
