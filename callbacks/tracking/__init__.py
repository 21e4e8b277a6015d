"""Where a run's numbers are sent: JSONL always, W&B, TensorBoard, MLflow and trackio on request."""
