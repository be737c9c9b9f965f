"""May a version take a stage, and how it does."""
