"""Between floors 0 and 1: kernels in C++, compiled once on each machine and called with tensors, and the allocator."""
