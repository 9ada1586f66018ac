"""Training, fine-tuning, forecasts of votes and their calibration, metrics and checkpoints."""
