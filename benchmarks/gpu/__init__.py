"""A visit to a machine with a GPU: everything that is measured there, by one command and within its minutes."""
