"""Many independent jobs: grids of settings, their cost, the one door that runs them, and a table over their runs."""
