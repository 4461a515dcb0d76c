"""Kernels in C++: compiled once a machine, called with tensors."""
