"""Algorithms as values: settings, the method, and which settings do not go together. No torch."""
