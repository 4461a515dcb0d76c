"""The papers' figures and claims: what analysis scripts stand on, and how all of them are run."""
