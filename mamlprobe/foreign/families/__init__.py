"""Families of checkpoints that need more than names: layouts of TensorFlow, nets that are refused with a reason."""
