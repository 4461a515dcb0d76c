"""Reports: what is asked of runs, as documented tables, with intervals over tasks or seeds, and as a page."""
