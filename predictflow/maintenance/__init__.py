"""A lost store comes back; what nothing refers to goes."""
