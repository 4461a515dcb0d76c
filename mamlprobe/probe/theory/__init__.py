"""Statements of the papers' theory, on nets where the answer is known."""
