"""Intervals, verdicts and means of tables: one definition for figures, reports and the command line."""
