"""Nets written in words, layer by layer."""
