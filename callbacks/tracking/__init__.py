"""Where a run's numbers are sent: JSONL always, W&B, TensorBoard and MLflow on request."""
