"""One thin script a published figure or table; ``python -m analyses --help`` runs them."""
