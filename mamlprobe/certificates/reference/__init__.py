"""The outer gradient the plain way: nothing of `learn` computes in it."""
