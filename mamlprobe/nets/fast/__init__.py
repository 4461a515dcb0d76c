"""Blocks of the built nets with their own first and second derivatives: in torch, in C++, in Triton."""
