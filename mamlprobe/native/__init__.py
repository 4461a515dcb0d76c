"""Between floors 0 and 1: kernels in C++: compiled once a machine, called with tensors."""
