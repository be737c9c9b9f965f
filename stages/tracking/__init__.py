"""Runs and versions in MLflow, and the provenance that they are joined by."""
