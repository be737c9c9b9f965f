"""The models, their folder and their measures."""
