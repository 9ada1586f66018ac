"""Training, metrics and checkpoints."""
