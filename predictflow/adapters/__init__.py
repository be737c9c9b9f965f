"""The only room that knows Git, DVC, MLflow and processes. Knows no other room."""
