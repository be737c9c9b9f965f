"""The customer file, its schema, the split and the index."""
