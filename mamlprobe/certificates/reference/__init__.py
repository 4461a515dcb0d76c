"""The outer gradient the plain way: no computation of `learn` is used in it."""
