"""Floor 4: what is kept of a training: settings, checkpoints, logs, in one folder a run."""
