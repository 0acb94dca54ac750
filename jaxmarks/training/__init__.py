"""Training: the step, the optimizer, the loop, checkpoints, logs and replay."""
