"""Floor 4: what is saved of a training: settings, checkpoints, logs, in one folder a run."""
