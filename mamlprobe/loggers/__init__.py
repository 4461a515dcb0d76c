"""Where the points of a training's log go beside log.csv: the clients of TensorBoard and Weights & Biases."""
