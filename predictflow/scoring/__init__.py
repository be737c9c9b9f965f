"""A model folder scores customers."""
