"""One training on several processes or GPUs: rank 0 trains, and every rank computes its part of the tasks."""
